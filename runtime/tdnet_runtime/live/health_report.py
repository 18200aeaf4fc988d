"""A `LiveSegmenter`'s health, made of its parts."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tdnet_runtime.live.crew import Crew
from tdnet_runtime.live.events import Event, EventLog
from tdnet_runtime.live.health import DeviceHealth, EventNote, Latencies, LiveHealth, SinkHealth, SourceHealth
from tdnet_runtime.live.histogram import BOUNDS_MS, Histogram
from tdnet_runtime.live.reader import Reader
from tdnet_runtime.live.sink_worker import SinkWorker
from tdnet_runtime.live.worker import Track, Worker

__all__ = ["live_health", "resident_mib"]

_IN_A_ROW = 3  # frames without a result that are no accident
_STATM = Path("/proc/self/statm")


def live_health(crew: Crew, events: EventLog, *, started_ns: int | None, now_ns: int) -> LiveHealth:
    """All of it, now.

    Args:
        crew: whose.
        events: what happened to it.
        started_ns: None before the start.
        now_ns: by the same clock.
    """
    sources = {
        name: _source_health(reader, crew.tracks[name], now_ns) for name, reader in crew.readers.items()
    }
    devices = {worker.name: _device_health(worker, now_ns) for worker in crew.workers}
    sinks = {sink.name: _sink_health(sink) for sink in crew.sinks}
    return LiveHealth(
        status=_status_of(sources, devices, sinks),
        uptime_s=0.0 if started_ns is None else (now_ns - started_ns) / 1e9,
        sources=sources,
        devices=devices,
        sinks=sinks,
        resident_mib=resident_mib(),
        events=[_event_note(event, now_ns) for event in events.recent()],
        event_counts=events.counts(),
    )


def _status_of(
    sources: dict[str, SourceHealth], devices: dict[str, DeviceHealth], sinks: dict[str, SinkHealth]
) -> str:
    """See `LiveHealth.status`."""
    if any(device.state == "hangs" for device in devices.values()):
        return "failing"
    if any(
        source.state in ("failed", "given_up") or source.failures_in_a_row >= _IN_A_ROW
        for source in sources.values()
    ):
        return "failing"
    if any(_is_degraded(source) for source in sources.values()):
        return "degraded"
    return "degraded" if any(sink.state != "ok" for sink in sinks.values()) else "ok"


def _is_degraded(source: SourceHealth) -> bool:
    opens_again = source.state == "opening" and source.error != ""
    stands = opens_again or source.state in ("stalled", "waiting")
    return stands or source.mode != "full" or source.fruitless >= _IN_A_ROW


def _source_health(reader: Reader, track: Track, now_ns: int) -> SourceHealth:
    lane, runner, last_ns = track.lane, track.runner, reader.last_frame_ns
    dropped = {why: count for why, count in lane.dropped.copy().items() if count}
    for why, count in (
        ("refused", runner.refused),
        ("failed", runner.failures),
        ("late", runner.skipped),
        ("hold", runner.labels.outdated),
    ):
        if count:
            dropped[why] = dropped.get(why, 0) + count
    return SourceHealth(
        state=reader.state,
        state_for_s=_seconds(reader.since_ns, now_ns),
        description=reader.description,
        live=reader.live,
        policy=lane.policy,
        mode=runner.mode,
        fps=round(runner.rates.fps(now_ns), 3),
        received=lane.received,
        results=runner.results,
        held=runner.held,
        dropped=dropped,
        late=runner.late,
        cold_starts=dict(runner.starts.counts.copy()),
        restarts=reader.restarts,
        stamp_faults=runner.starts.stamp_faults + lane.stamp_faults,
        failures_in_a_row=runner.failures_in_a_row,
        fruitless=track.fruitless + lane.refused_in_a_row,
        queue_depth=len(lane),
        last_frame_s=None if last_ns is None else _seconds(last_ns, now_ns),
        latency=_latencies(runner.latency),
        inference=_latencies(runner.inference),
        error=reader.error,
    )


def _device_health(worker: Worker, now_ns: int) -> DeviceHealth:
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


def _sink_health(sink: SinkWorker) -> SinkHealth:
    return SinkHealth(
        state="blocks" if sink.blocks else "fails" if sink.failing else "ok",
        written=sink.written,
        dropped={source: count for source, count in sink.dropped.copy().items() if count},
        failures=sink.failures,
        queue_depth=len(sink),
        error=sink.error,
    )


def _event_note(event: Event, now_ns: int) -> EventNote:
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
