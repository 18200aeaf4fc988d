"""How a `LiveSegmenter` is: typed, and JSON by `msgspec.json.encode` or `to_builtins`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import msgspec

from tdnet_runtime.live.events import Event, as_utf8
from tdnet_runtime.live.histogram import BOUNDS_MS, Histogram
from tdnet_runtime.live.reader import Reader
from tdnet_runtime.live.sink_worker import SinkWorker
from tdnet_runtime.live.worker import Track, Worker

__all__ = ["DeviceHealth", "Latencies", "LiveHealth", "SinkHealth", "SourceHealth", "resident_mib"]

_STATM = Path("/proc/self/statm")


class _Part(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all parts. Paths that are no UTF-8 are in them as stderr shows them: JSON has no word for the rest."""

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if isinstance(value, str):
                msgspec.structs.force_setattr(self, name, as_utf8(value))
            elif isinstance(value, dict):
                said = {as_utf8(key): each for key, each in value.items()}
                msgspec.structs.force_setattr(self, name, said)


class Latencies(_Part, frozen=True, kw_only=True):
    """Durations since the start.

    Attributes:
        count: how many there were.
        sum_ms: of all.
        p50_ms: upper bound of the bucket that holds the median.
        p95_ms: likewise.
        p99_ms: likewise.
        max_ms: the longest.
        bounds_ms: of the buckets; one more has no bound.
        counts: in each bucket.
    """

    count: int
    sum_ms: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float
    bounds_ms: tuple[float, ...]
    counts: tuple[int, ...]


class SourceHealth(_Part, frozen=True, kw_only=True):
    """One source and its stream.

    Attributes:
        state: see `Reader`.
        state_for_s: for how long it has been so.
        description: the source's own; empty before it is open.
        live: see `FrameSource`; None before it is open.
        policy: its name.
        mode: see `LiveResult.mode`.
        fps: inferences a second of late.
        received: frames that came.
        results: given, those without an inference (`held`) included.
        held: see `Deadline`.
        dropped: frames that gave no result, by why: `newest`, `every_kth`, `fixed_rate`, `half_rate`, `hold`, `lost`
            (as the source says), `refused`, `failed`, `late` (and skipped).
        late: results over the deadline, given or not.
        cold_starts: by why.
        restarts: how often the source was opened again.
        stamp_faults: stamps that were not believed.
        queue_depth: frames that wait.
        last_frame_s: since its last frame, or since it was opened; None where it is not open.
        latency: from a frame's arrival to its labels.
        inference: the part of the inference in it.
        error: what it died of last; empty where it never has.
    """

    state: str
    state_for_s: float
    description: str
    live: bool | None
    policy: str
    mode: str
    fps: float
    received: int
    results: int
    held: int
    dropped: dict[str, int]
    late: int
    cold_starts: dict[str, int]
    restarts: int
    stamp_faults: int
    queue_depth: int
    last_frame_s: float | None
    latency: Latencies
    inference: Latencies
    error: str


class DeviceHealth(_Part, frozen=True, kw_only=True):
    """One segmenter's worker.

    Attributes:
        description: engine, version and device.
        state: `idle`, `busy`, `hangs` or `over`.
        busy_with: the source whose frame it is at.
        busy_s: for how long it has been at it.
        failures: of the engine.
        streams_mib: of the GPU's memory, held by the streams without the weights; None where the backend has none.
    """

    description: str
    state: str
    busy_with: str
    busy_s: float
    failures: int
    streams_mib: float | None


class SinkHealth(_Part, frozen=True, kw_only=True):
    """One sink.

    Attributes:
        state: `ok`, `fails` (at the last result) or `blocks`.
        written: results that it took.
        dropped: results of each source that it never got.
        failures: results that it raised at.
        queue_depth: results that wait.
        error: the last failure, in words.
    """

    state: str
    written: int
    dropped: dict[str, int]
    failures: int
    queue_depth: int
    error: str


class EventNote(_Part, frozen=True, kw_only=True):
    """See `Event`; `ago_s` instead of its time."""

    kind: str
    place: str
    message: str
    ago_s: float


class LiveHealth(_Part, frozen=True, kw_only=True):
    """All of it.

    Attributes:
        status: `failing` where a backend hangs or a source is lost for good; `degraded` where a source is stalled, waited
            for or in a degraded mode, or a sink fails or blocks; else `ok`.
        uptime_s: since the start.
        sources: by name.
        devices: by name.
        sinks: by name.
        resident_mib: memory of this process; None where the system does not say.
        events: what happened last, oldest first.
        event_counts: how often each kind happened.
    """

    status: str
    uptime_s: float
    sources: dict[str, SourceHealth]
    devices: dict[str, DeviceHealth]
    sinks: dict[str, SinkHealth]
    resident_mib: float | None
    events: list[EventNote]
    event_counts: dict[str, int]


def status_of(
    sources: dict[str, SourceHealth], devices: dict[str, DeviceHealth], sinks: dict[str, SinkHealth]
) -> str:
    """See `LiveHealth.status`."""
    if any(device.state == "hangs" for device in devices.values()):
        return "failing"
    if any(source.state in ("failed", "given_up") for source in sources.values()):
        return "failing"
    if any(source.state in ("stalled", "waiting") or source.mode != "full" for source in sources.values()):
        return "degraded"
    return "degraded" if any(sink.state != "ok" for sink in sinks.values()) else "ok"


def source_health(reader: Reader, track: Track, now_ns: int) -> SourceHealth:
    """Of one source."""
    lane, runner, last_ns = track.lane, track.runner, reader.last_frame_ns
    dropped = {why: count for why, count in lane.dropped.copy().items() if count}
    for why, count in (("refused", runner.refused), ("failed", runner.failures), ("late", runner.skipped)):
        if count:
            dropped[why] = dropped.get(why, 0) + count
    return SourceHealth(
        state=reader.state,
        state_for_s=_seconds(reader.since_ns, now_ns),
        description=reader.description,
        live=reader.live,
        policy=lane.policy,
        mode=runner.mode,
        fps=round(runner.fps(now_ns), 3),
        received=lane.received,
        results=runner.results,
        held=runner.held,
        dropped=dropped,
        late=runner.late,
        cold_starts=dict(runner.cold_starts.copy()),
        restarts=reader.restarts,
        stamp_faults=runner.stamp_faults,
        queue_depth=len(lane),
        last_frame_s=None if last_ns is None else _seconds(last_ns, now_ns),
        latency=_latencies(runner.latency),
        inference=_latencies(runner.inference),
        error=reader.error,
    )


def device_health(worker: Worker, now_ns: int) -> DeviceHealth:
    """Of one worker."""
    since_ns = worker.busy_since_ns
    state = "over" if worker.over else "idle" if since_ns is None else "hangs" if worker.hangs else "busy"
    uses = [use for track in worker.tracks for use in track.runner.memory_use]
    return DeviceHealth(
        description=worker.description,
        state=state,
        busy_with="" if since_ns is None else worker.busy_with,
        busy_s=0.0 if since_ns is None else _seconds(since_ns, now_ns),
        failures=sum(track.runner.failures for track in worker.tracks),
        streams_mib=sum(use.device_bytes for use in uses) / 2**20 if uses else None,
    )


def sink_health(sink: SinkWorker) -> SinkHealth:
    """Of one sink."""
    return SinkHealth(
        state="blocks" if sink.blocks else "fails" if sink.failing else "ok",
        written=sink.taken - sink.failures,
        dropped={source: count for source, count in sink.dropped.copy().items() if count},
        failures=sink.failures,
        queue_depth=len(sink),
        error=sink.error,
    )


def event_note(event: Event, now_ns: int) -> EventNote:
    """Of one event."""
    return EventNote(
        kind=event.kind, place=event.place, message=event.message, ago_s=_seconds(event.at_ns, now_ns)
    )


def resident_mib() -> float | None:
    """Memory of this process; None where the system does not say."""
    if not sys.platform.startswith("linux"):
        return None
    return int(_STATM.read_text(encoding="utf-8").split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def _latencies(times: Histogram) -> Latencies:
    return Latencies(
        count=times.count,
        sum_ms=times.sum_ms,
        p50_ms=times.share_below(0.5),
        p95_ms=times.share_below(0.95),
        p99_ms=times.share_below(0.99),
        max_ms=times.most_ms,
        bounds_ms=BOUNDS_MS,
        counts=tuple(times.counts),
    )


def _seconds(since_ns: int, now_ns: int) -> float:
    return max(now_ns - since_ns, 0) / 1e9
