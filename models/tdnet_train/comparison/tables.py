"""A comparison's document as a Markdown table: means, their spread, and differences seed by seed."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

from tdnet_eval.report import markdown_table
from tdnet_eval.tables import ABSENT
from tdnet_train.comparison.document import Document, RowRecord
from tdnet_train.comparison.scores import SplitScore

__all__ = ["difference", "markdown_from_document", "spread", "table_from_document"]

_Figure: TypeAlias = Callable[[SplitScore], "float | None"]

_T_975 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)
"""Student's t, 97.5 %, for 1 to 10 degrees of freedom; more are taken for 10, which is the wider interval."""

LEGEND = (
    "All in per cent: the mean of the seeds ± their standard deviation. Δ is the difference in mIoU to the row that is "
    "named, taken seed by seed (the same first weights and order of clips), likewise; `*` where the 95 % interval of its "
    "mean (Student's t) leaves out 0. Without it the seeds do not tell the two apart."
)


def table_from_document(document: Document) -> str:
    """The table. No line end after the last row."""
    rows = {row.label: row for row in document.rows}
    consistent = [split for split in document.splits if _has_consistency(document, split)]
    columns = ["variant", "runs", "against"]
    for split in document.splits:
        columns += [f"{split} mIoU", "Δ", f"{split} pixels"]
        columns += [f"{split} consistency"] if split in consistent else []
    lines = []
    for row in document.rows:
        other = rows.get(row.against or "")
        cells = [row.label, str(len(row.runs)), ABSENT if other is None else other.label]
        for split in document.splits:
            cells += [
                spread(_values(row, split, _miou)),
                ABSENT if other is None else difference(_paired(row, other, split)),
                spread(_values(row, split, _pixels)),
            ]
            cells += [spread(_values(row, split, _consistency))] if split in consistent else []
        lines.append(cells)
    return markdown_table(columns, lines, left=1)


def markdown_from_document(document: Document) -> str:
    """A page: the question, the table, how to read it, and each run."""
    head = [f"# {document.question}", "", table_from_document(document), "", LEGEND, ""]
    return "\n".join([*head, *_runs(document)]) + "\n"


def spread(values: Sequence[float | None]) -> str:
    """Mean ± standard deviation of shares, in per cent; of one value no deviation."""
    known = [100 * value for value in values if value is not None]
    if not known or len(known) < len(values):
        return ABSENT
    if len(known) == 1:
        return f"{known[0]:.2f}"
    return f"{statistics.fmean(known):.2f} ± {statistics.stdev(known):.2f}"


def difference(values: Sequence[float | None]) -> str:
    """The same of differences, with their sign and a `*` where they are apart from 0."""
    known = [100 * value for value in values if value is not None]
    if not known or len(known) < len(values):
        return ABSENT
    mean = statistics.fmean(known)
    if len(known) == 1:
        return f"{mean:+.2f}"
    deviation = statistics.stdev(known)
    t = _T_975[min(len(known) - 1, len(_T_975)) - 1]
    mark = "*" if abs(mean) > t * deviation / math.sqrt(len(known)) else ""
    return f"{mean:+.2f} ± {deviation:.2f}{mark}"


def _runs(document: Document) -> Iterator[str]:
    yield f"Each run, of `{document.config}` with the fields of its row:"
    yield ""
    columns = ("variant", "seed", "run", *(f"{split} mIoU" for split in document.splits))
    rows = [
        (row.label, str(run.seed), f"`{run.run}`", *(spread([run.scores[s].miou]) for s in document.splits))
        for row in document.rows
        for run in row.runs
    ]
    yield markdown_table(columns, rows, left=1)
    yield ""
    for row in document.rows:
        fields = ", ".join(f"`{field}`" for field in row.set) or "nothing set"
        yield f"- **{row.label}**: {row.network}, judged at memory stride {row.memory_stride}; {fields}"


def _values(row: RowRecord, split: str, figure: _Figure) -> list[float | None]:
    return [figure(run.scores[split]) for run in row.runs]


def _paired(row: RowRecord, other: RowRecord, split: str) -> list[float | None]:
    """Differences of the runs of the same seeds."""
    others = {run.seed: run.scores[split].miou for run in other.runs}
    pairs = [(run.scores[split].miou, others.get(run.seed)) for run in row.runs]
    return [None if a is None or b is None else a - b for a, b in pairs]


def _has_consistency(document: Document, split: str) -> bool:
    return any(
        run.scores[split].temporal_consistency is not None for row in document.rows for run in row.runs
    )


def _miou(score: SplitScore) -> float | None:
    return score.miou


def _pixels(score: SplitScore) -> float | None:
    return score.pixel_accuracy


def _consistency(score: SplitScore) -> float | None:
    return score.temporal_consistency
