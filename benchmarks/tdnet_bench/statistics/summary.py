"""All figures of a run: a pure function of its records.

Each sequence's first frame and the cold frames are listed one by one; every other time is of warm frames. Quality
is of all frames.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import TypeVar

from tdnet_bench.records import Record
from tdnet_bench.records.config import EAGER, SideSpec
from tdnet_bench.records.frames import AnyRecord, CameraRecord, FrameRecord, PacedRecord
from tdnet_bench.statistics.latency import (
    NS_PER_MS,
    Drift,
    LatencyStats,
    drift_stats,
    latency_stats,
    ripple_ms,
    stats_by_path,
)
from tdnet_bench.statistics.paced import PacedSummary, paced_stats
from tdnet_bench.statistics.quality import Quality, quality_stats
from tdnet_bench.statistics.ratios import Ratio, paired_ratio

__all__ = [
    "CameraSummary", "Comparison", "LeadInFrame", "SideSummary", "Summary", "is_warm", "summarise",
]  # fmt: skip

_R = TypeVar("_R", FrameRecord, CameraRecord)


class LeadInFrame(Record, frozen=True, kw_only=True):
    """A frame that is kept out of the statistics: a stream's first one, or a cold one."""

    frame: int
    path: int
    cold: bool
    host_call_ms: float


class SideSummary(Record, frozen=True, kw_only=True):
    """One side's back-to-back frames; statistics are of the warm ones, and None or empty where there are none.

    Attributes:
        lead_in: first and cold frames, in their order; host call, as are `overall` and `by_path`.
        device: device compute, as is `device_by_path`.
        ripple_ms: p50 of the slowest path less p50 of the fastest; None for fewer than two paths.
        quality: of all frames, first and cold ones included.
    """

    lead_in: tuple[LeadInFrame, ...]
    overall: LatencyStats | None
    by_path: dict[int, LatencyStats]
    device: LatencyStats | None
    device_by_path: dict[int, LatencyStats]
    ripple_ms: float | None
    drift: Drift | None
    quality: Quality


class CameraSummary(Record, frozen=True, kw_only=True):
    """One side's warm frames from a file's bytes to the mask: the whole, and of it decoding, and what `push` does."""

    overall: LatencyStats | None
    by_path: dict[int, LatencyStats]
    decode: LatencyStats | None
    push: LatencyStats | None


class Comparison(Record, frozen=True, kw_only=True):
    """One side's host call over another's, on the same warm frames; None where they share none."""

    side: str
    baseline: str
    overall: Ratio | None
    by_path: dict[int, Ratio]


class Summary(Record, frozen=True, kw_only=True):
    """All figures of a run, by side; `paced` is the subject at each rate, the lowest first.

    Comparisons are the subject over each peer, then each other side that runs the bundle over eager PyTorch.
    """

    sides: dict[str, SideSummary]
    camera: dict[str, CameraSummary]
    paced: tuple[PacedSummary, ...]
    comparisons: tuple[Comparison, ...]


def is_warm(record: FrameRecord | CameraRecord) -> bool:
    """True where the record counts: neither a sequence's first frame nor a cold one."""
    return not (record.cold or record.frame == 0 or (isinstance(record, FrameRecord) and record.first))


def summarise(records: Iterable[AnyRecord], *, sides: Mapping[str, SideSpec], paths: int) -> Summary:
    """All figures of a run, from records of all kinds, in any order.

    `sides` are in the order of the report, the subject first; one without records is left out. `paths` is m.
    """
    everything = list(records)
    frames = _by_side([r for r in everything if isinstance(r, FrameRecord)], sides)
    camera = _by_side([r for r in everything if isinstance(r, CameraRecord)], sides)
    paced = sorted((r for r in everything if isinstance(r, PacedRecord)), key=lambda r: (r.fps, r.frame))
    rates = [paced_stats(list(of_rate)) for _, of_rate in groupby(paced, key=lambda r: r.fps)]
    return Summary(
        sides={side: _side_summary(of_side, paths) for side, of_side in frames.items()},
        camera={side: _camera_summary(of_side) for side, of_side in camera.items()},
        paced=tuple(rate for rate in rates if rate is not None),
        comparisons=tuple(_comparison(frames, side, baseline) for side, baseline in _pairs(frames, sides)),
    )


def _pairs(frames: Iterable[str], sides: Mapping[str, SideSpec]) -> list[tuple[str, str]]:
    """Who is compared with whom; `frames` names the sides that were measured."""
    measured = list(frames)
    pairs = [(measured[0], peer) for peer in measured[1:]]
    eager = next((name for name in EAGER if name in measured), None)
    if eager is not None:
        pairs += [(side, eager) for side in measured[1:] if sides[side].kind == "bundle"]
    return pairs


def _by_side(records: list[_R], sides: Iterable[str]) -> dict[str, list[_R]]:
    ordered = sorted(records, key=lambda record: record.frame)
    grouped = {side: [record for record in ordered if record.side == side] for side in sides}
    return {side: of_side for side, of_side in grouped.items() if of_side}


def _side_summary(records: Sequence[FrameRecord], paths: int) -> SideSummary:
    warm = [record for record in records if is_warm(record)]
    times = [(record.path, record.host_call_ns) for record in warm]
    device = [(r.path, r.device_compute_ns) for r in warm if r.device_compute_ns is not None]
    by_path = stats_by_path(times)
    lead_in = tuple(
        LeadInFrame(frame=r.frame, path=r.path, cold=r.cold, host_call_ms=r.host_call_ns / NS_PER_MS)
        for r in records
        if not is_warm(r)
    )
    return SideSummary(
        lead_in=lead_in,
        overall=latency_stats([time_ns for _, time_ns in times]),
        by_path=by_path,
        device=latency_stats([time_ns for _, time_ns in device]),
        device_by_path=stats_by_path(device),
        ripple_ms=ripple_ms(by_path),
        drift=drift_stats([time_ns for _, time_ns in times], paths=paths),
        quality=quality_stats(records),
    )


def _camera_summary(records: Sequence[CameraRecord]) -> CameraSummary:
    warm = [record for record in records if is_warm(record)]
    return CameraSummary(
        overall=latency_stats([record.camera_to_mask_ns for record in warm]),
        by_path=stats_by_path([(record.path, record.camera_to_mask_ns) for record in warm]),
        decode=latency_stats([record.decode_ns for record in warm]),
        push=latency_stats([record.push_ns for record in warm]),
    )


def _comparison(frames: dict[str, list[FrameRecord]], side: str, baseline: str) -> Comparison:
    ours, theirs = ([r for r in frames[name] if is_warm(r)] for name in (side, baseline))
    baseline_ns = {record.frame: record.host_call_ns for record in theirs}
    ratios = {
        path: paired_ratio({r.frame: r.host_call_ns for r in ours if r.path == path}, baseline_ns)
        for path in sorted({record.path for record in ours})
    }
    return Comparison(
        side=side,
        baseline=baseline,
        overall=paired_ratio({record.frame: record.host_call_ns for record in ours}, baseline_ns),
        by_path={path: ratio for path, ratio in ratios.items() if ratio is not None},
    )
