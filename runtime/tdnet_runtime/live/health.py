"""How a `LiveSegmenter` is: typed, and JSON by `msgspec.json.encode` or `to_builtins`."""

from __future__ import annotations

import msgspec

from tdnet_runtime.file_names import as_utf8

__all__ = ["DeviceHealth", "EventNote", "Latencies", "LiveHealth", "SinkHealth", "SourceHealth"]


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
        failures_in_a_row: frames that the engine failed at since it last segmented one.
        fruitless: frames in a row, up to now, that were to give a result and did not: refused, failed, or late and skipped.
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
    failures_in_a_row: int
    fruitless: int
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
        busy_with: the source whose frame, or whose stream's opening, it is at.
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
        written: results that it wrote.
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
        status: `failing` where a backend hangs or has failed at a source's last three frames, or a source is lost for good;
            `degraded` where a source is stalled (its opening and closing, too), waited for, being opened again or in a
            degraded mode, where its last three frames gave no result (`fruitless`), or a sink fails or blocks; else `ok`.
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
