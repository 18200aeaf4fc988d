"""What the INT8 graphs that engines are built from cost in quality: documents of `tdnet-eval`, made on a CPU."""

from __future__ import annotations

from tdnet_bench.published import markdown as md
from tdnet_bench.published.results import Results
from tdnet_bench.views.formats import format_percent
from tdnet_eval.document import read_document
from tdnet_runtime.preflight import SIGNED_INT8

__all__ = ["signed_table"]

_COLUMNS = (
    "network", "split, frames", "input", "precision", "mIoU, %", "labels equal", "consistency, %", "file",
)  # fmt: skip


def signed_table(results: Results, link: md.Link) -> str | None:
    """A row for each side of the documents that have one in `int8_fp16`; None without any.

    Raises:
        OptionError: a file is no document of this version.
    """
    rows, places = [], []
    for path in results.evaluations:
        document = read_document(path)
        if all(info.precision != SIGNED_INT8 for info in document.sides.values()):
            continue
        for side, info in document.sides.items():
            score = document.scores[side].overall
            split = f"{document.data.split}, {score.labelled_frames}"
            size = "×".join(map(str, info.size_hw))
            equal = "reference" if score.agreement is None else md.share_cell(score.agreement)
            figures = (format_percent(score.miou), equal, format_percent(score.temporal_consistency))
            precision = "pytorch" if info.kind == "pytorch" else info.precision
            rows.append((info.network, split, size, precision, *figures, f"[json]({link(path)})"))
            engine = info.engine.removesuffix(f", {info.precision}")
            places.append(f"{engine}, on {document.started_at[:10]}")
    if not rows:
        return None
    return (
        f"{md.markdown_table(_COLUMNS, rows)}\n\nJudged by `tdnet-eval`: {'; '.join(dict.fromkeys(places))}."
    )
