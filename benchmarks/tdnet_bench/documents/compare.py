"""Two runs of different times or machines against each other: frames cannot be paired."""

from __future__ import annotations

from typing import NamedTuple

from tdnet_bench.documents.document import Document
from tdnet_bench.documents.notes import extra_outputs
from tdnet_bench.records.frames import FrameRecord
from tdnet_bench.statistics.ratios import UnpairedRatio, unpaired_ratio
from tdnet_bench.statistics.summary import is_warm
from tdnet_runtime.errors import OptionError

__all__ = ["MUST_BE_EQUAL", "ComparedRuns", "compare_documents"]

MUST_BE_EQUAL = (
    "network", "widths", "height", "width", "paths", "cold_frames", "memory_stride", "footage", "footage_size_hw",
    "pause_ms",
)  # fmt: skip
"""Fields of `RunConfig` that must be equal; so must the number of classes, and what the bundle gives beside the labels."""

_WORTH_SAYING = (
    "engine", "bundle_digest", "checkpoint_sha256", "threads", "warm_frames_requested", "requested",
)  # fmt: skip
_MACHINE = ("started_at", "cpu", "cpu_flags", "usable_cores", "governor", "gpus", "packages", "commit")


class ComparedRuns(NamedTuple):
    """One side of a run over one side of another, by their host calls on warm frames, of the paths that both have.

    `differences` is what else was different: name, in the first run, in the second.
    """

    side: str
    baseline: str
    overall: UnpairedRatio | None
    by_path: dict[int, UnpairedRatio]
    differences: tuple[tuple[str, str, str], ...]


def compare_documents(first: Document, second: Document, *, side: str | None = None) -> ComparedRuns:
    """Compare the subjects of two runs, or a side of one name.

    Raises:
        OptionError: the runs did different work, or there is no such side.
    """
    a, b = _work(first), _work(second)
    if different := [f"{name} is {a[name]!r} and {b[name]!r}" for name in a if a[name] != b[name]]:
        raise OptionError(
            f"the two runs did different work, so their times mean nothing together: {'; '.join(different)}"
        )
    names = [side or document.config.subject for document in (first, second)]
    ours, theirs = (_times_by_path(doc, name) for doc, name in zip((first, second), names, strict=True))
    shared = sorted(ours.keys() & theirs.keys())
    ratios = {path: unpaired_ratio(ours[path], theirs[path]) for path in shared}
    return ComparedRuns(
        side=names[0],
        baseline=names[1],
        overall=unpaired_ratio(*([time for path in shared for time in run[path]] for run in (ours, theirs))),
        by_path={path: ratio for path, ratio in ratios.items() if ratio is not None},
        differences=_differences(first, second, names),
    )


def _work(document: Document) -> dict[str, object]:
    """What it did for each frame, by name."""
    config = document.config
    counted = {"number of classes": len(config.classes), "extra outputs": extra_outputs(document.notes)}
    return {name: getattr(config, name) for name in MUST_BE_EQUAL} | counted


def _times_by_path(document: Document, side: str) -> dict[int, list[int]]:
    if side not in document.sides:
        raise OptionError(f"--side {side!r} is not in the run; it has: {', '.join(document.sides)}")
    grouped: dict[int, list[int]] = {}
    for record in document.records:
        if isinstance(record, FrameRecord) and record.side == side and is_warm(record):
            grouped.setdefault(record.path, []).append(record.host_call_ns)
    return grouped


def _differences(first: Document, second: Document, sides: list[str]) -> tuple[tuple[str, str, str], ...]:
    pairs = [
        ("side", first.sides[sides[0]].description, second.sides[sides[1]].description),
        *((name, getattr(first.config, name), getattr(second.config, name)) for name in _WORTH_SAYING),
        *((name, getattr(first.environment, name), getattr(second.environment, name)) for name in _MACHINE),
    ]
    return tuple((name, _text(ours), _text(theirs)) for name, ours, theirs in pairs if ours != theirs)


def _text(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {entry}" for key, entry in value.items())
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
