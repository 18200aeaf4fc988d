"""The figures of a document as plain tables, which a terminal and Markdown show alike."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from tdnet_eval.document import Document, GapRecord, Score, SideScores
from tdnet_eval.gaps import CUT, GAP

__all__ = ["ABSENT", "PlainTable", "tables_from_document"]

ABSENT = "\N{EN DASH}"

_Parts: TypeAlias = Callable[[SideScores], Iterable[tuple[str, Score]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainTable:
    """Text in rows, each with a cell for each column; the first `left` columns are aligned to the left."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    left: int = 1


def tables_from_document(document: Document) -> Iterator[PlainTable]:
    """All that it has, sides in their order."""
    yield _overview(document)
    yield _paths(
        document,
        "By position in the cycle",
        lambda scores: [
            *([] if scores.cold is None else [("cold", scores.cold)]),
            *((f"path {path}", score) for path, score in scores.by_path.items()),
        ],
    )
    if any(scores.every_path is not None for scores in document.scores.values()):
        yield _paths(
            document,
            "The same frames by every path",
            lambda scores: [(f"path {path}", score) for path, score in (scores.every_path or {}).items()],
        )
    yield _classes(document)
    if document.gaps:
        yield _gaps(document)


def percent(share: float | None) -> str:
    """0 to 1 in per cent with two decimals; 100.00 only where it is all."""
    if share is None:
        return ABSENT
    text = f"{100 * share:.2f}"
    return ">99.99" if text == "100.00" and share < 1 else text


def _overview(document: Document) -> PlainTable:
    full = not document.quick
    compared = document.reference is not None
    columns = ["side", "frames", "labelled", "mIoU", "pixels"]
    columns += ["boundary F", "consistency"] if full else []
    columns += ["equal"] if compared else []
    rows = []
    for side, scores in document.scores.items():
        score = scores.overall
        row = [
            side,
            str(score.frames),
            str(score.labelled_frames),
            percent(score.miou),
            percent(score.pixel_accuracy),
        ]
        row += [percent(score.boundary_f), percent(score.temporal_consistency)] if full else []
        if compared:
            row += ["reference" if side == document.reference else percent(score.agreement)]
        rows.append(tuple(row))
    title = f"{document.data.name}, split {document.data.split}: all frames, %"
    return PlainTable(title=title, columns=tuple(columns), rows=tuple(rows))


def _paths(document: Document, title: str, parts: _Parts) -> PlainTable:
    full = not document.quick
    columns = (
        "side",
        "position",
        "labelled",
        "mIoU",
        "pixels",
        *(("boundary F", "consistency") if full else ()),
    )
    rows = []
    for side, scores in document.scores.items():
        label = side
        for position, score in parts(scores):
            row = [
                label,
                position,
                str(score.labelled_frames),
                percent(score.miou),
                percent(score.pixel_accuracy),
            ]
            row += [percent(score.boundary_f), percent(score.temporal_consistency)] if full else []
            rows.append(tuple(row))
            label = ""
    return PlainTable(title=f"{title}, %", columns=columns, rows=tuple(rows), left=2)


def _classes(document: Document) -> PlainTable:
    sides = list(document.scores)
    pixels = [sum(row) for row in next(iter(document.scores.values())).confusion]
    total = sum(pixels) or 1
    rows = [
        (
            name,
            percent(pixels[index] / total),
            *(percent(document.scores[side].overall.iou_by_class[index]) for side in sides),
        )
        for index, name in enumerate(document.data.classes)
    ]
    return PlainTable(
        title="IoU of each class, %", columns=("class", "of the pixels", *sides), rows=tuple(rows)
    )


def _gaps(document: Document) -> PlainTable:
    rows = []
    for side, records in document.gaps.items():
        label = side
        for record in records:
            rows.append(
                (
                    label,
                    _gap_words(record),
                    str(record.after),
                    str(record.frames),
                    percent(record.agreement),
                    percent(record.worst_agreement),
                    percent(record.miou),
                    percent(record.pixel_accuracy),
                )
            )
            label = ""
    columns = ("side", "before", "frame after", "frames", "equal", "worst", "mIoU", "pixels")
    title = "Frames after a gap; equal: to the run without, %"
    return PlainTable(title=title, columns=columns, rows=tuple(rows), left=2)


def _gap_words(record: GapRecord) -> str:
    if record.what == GAP:
        return f"{record.dropped} lost" if record.dropped else "none lost"
    return "cut, no reset" if record.what == CUT else "reset"
