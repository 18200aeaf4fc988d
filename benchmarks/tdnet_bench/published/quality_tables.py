"""How good: CamVid's label images against what the deployed bundle says."""

from __future__ import annotations

from collections.abc import Iterator

from tdnet_bench.published import markdown as md
from tdnet_bench.published.results import Machine, Result
from tdnet_bench.records.config import PYTORCH
from tdnet_bench.statistics.quality import Accuracy
from tdnet_bench.views.formats import ABSENT, format_percent

__all__ = ["camvid_class_table", "camvid_table", "points_cell"]

_COLUMNS = (
    "network", "split, frames", "input", "side", "mIoU, %", "to PyTorch, points", "labels equal", "worst frame",
    "consistency, %", "p50", "file",
)  # fmt: skip


def camvid_table(machine: Machine, link: md.Link) -> str | None:
    """A row for each network, split, size and side."""
    measured = list(_by_network(machine))
    rows = [row for split, result in measured for row in _rows(split, result, link)]
    return (
        md.with_notes(md.markdown_table(_COLUMNS, rows), [result for _, result in measured]) if rows else None
    )


def camvid_class_table(machine: Machine, link: md.Link) -> str | None:
    """IoU of each class, for the documents at the size of the training; a table for each set of classes."""
    tables: dict[tuple[str, ...], list[tuple[str, ...]]] = {}
    used = []
    for split, result in _by_network(machine):
        accuracies = {side: _accuracy(result, side) for side in result.compared_sides}
        if result.is_approximate or not any(accuracies.values()):
            continue
        used.append(result)
        tables.setdefault(result.document.config.classes, []).extend(
            (
                md.network_cell(result),
                split,
                side,
                *(format_percent(iou) for iou in accuracy.iou_by_class),
                md.file_cell(result, link),
            )
            for side, accuracy in accuracies.items()
            if accuracy is not None
        )
    made = [
        md.markdown_table(("network", "split", "side", *classes, "file"), rows)
        for classes, rows in tables.items()
    ]
    return md.with_notes("\n\n".join(made), used) if made else None


def _by_network(machine: Machine) -> Iterator[tuple[str, Result]]:
    """Splits and documents: by network, then split, then size."""
    found = [(split, result) for split, results in machine.camvid.items() for result in results]
    for network in sorted({result.network for _, result in found}):
        yield from ((split, result) for split, result in found if result.network == network)


def _rows(split: str, result: Result, link: md.Link) -> Iterator[tuple[str, ...]]:
    baseline = _accuracy(result, PYTORCH)
    for side in result.compared_sides:
        accuracy = _accuracy(result, side)
        consistency = result.document.summary.sides[side].quality.temporal_consistency
        yield (
            md.network_cell(result),
            split if accuracy is None else f"{split}, {accuracy.frames}",
            md.size_cell(result),
            side,
            ABSENT if accuracy is None else format_percent(accuracy.miou),
            ABSENT if side == PYTORCH else points_cell(accuracy, baseline),
            md.agreement_cell(result, side),
            md.agreement_cell(result, side, worst=True),
            ABSENT if consistency is None else format_percent(consistency.mean),
            md.p50_cell(result, side),
            md.file_cell(result, link),
        )


def _accuracy(result: Result, side: str) -> Accuracy | None:
    figures = result.document.summary.sides.get(side)
    return None if figures is None else figures.quality.accuracy


def points_cell(accuracy: Accuracy | None, baseline: Accuracy | None) -> str:
    """A side's mIoU less the baseline's, in points (hundredths), with its sign; 0.00 has none."""
    if accuracy is None or baseline is None:
        return ABSENT
    text = f"{100 * (accuracy.miou - baseline.miou):+.2f}"
    return "0.00" if float(text) == 0 else text.replace("-", "\N{MINUS SIGN}")
