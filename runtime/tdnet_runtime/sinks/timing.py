"""A result's timing as a ROS message of its own, whose definition goes into the log with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tdnet_runtime.ros.cdr import CdrWriter
from tdnet_runtime.ros.types import HEADER, TIME, MessageType

if TYPE_CHECKING:
    from tdnet_runtime.live.result import LiveResult

__all__ = ["TIMING", "timing_of", "timing_to_cdr"]

_NS = 1_000_000_000

TIMING = MessageType(
    name="tdnet_msgs/msg/Timing",
    type_hash="",  # of logs alone, never on the wire
    fields=(
        "std_msgs/Header header",
        "string source",
        "string name",
        "uint32 frame_index",
        "uint32 path",
        "bool cold",
        "bool late",
        "string mode",
        "string cold_start",
        "uint32 dropped",
        "float32 labels_age_ms",
        "float32[] memory_age_ms",
        "string[] stages",
        "float32[] stage_ms",
    ),
    uses=(HEADER, TIME),
)
"""See `LiveResult` for the fields; `stages` and `stage_ms` belong together."""


def timing_to_cdr(result: LiveResult, stamp_ns: int) -> bytes:
    """A tdnet_msgs/msg/Timing, stamped so.

    Raises:
        MediaError: a number does not fit, such as a stamp after 2038.
    """
    writer = CdrWriter()
    seconds, nanoseconds = divmod(stamp_ns, _NS)
    writer.int32(seconds)
    writer.uint32(nanoseconds)
    writer.string(result.frame.frame_id)
    writer.string(result.source)
    writer.string(result.frame.name)
    writer.uint32(result.frame_index)
    writer.uint32(result.path)
    writer.uint8(result.cold)
    writer.uint8(result.late)
    writer.string(result.mode)
    writer.string(result.cold_start)
    writer.uint32(result.dropped)
    writer.float32(result.labels_age_ms)
    _floats(writer, result.memory_age_ms)
    writer.uint32(len(result.stage_ms))
    for stage in result.stage_ms:
        writer.string(stage)
    _floats(writer, tuple(result.stage_ms.values()))
    return writer.finish()


def timing_of(result: LiveResult) -> dict[str, object]:
    """The same as JSON-like values, without what the frame says."""
    return {
        "source": result.source,
        "frame_index": result.frame_index,
        "path": result.path,
        "cold": result.cold,
        "late": result.late,
        "mode": result.mode,
        "cold_start": result.cold_start,
        "dropped": result.dropped,
        "labels_age_ms": result.labels_age_ms,
        "memory_age_ms": list(result.memory_age_ms),
        "stage_ms": dict(result.stage_ms),
    }


def _floats(writer: CdrWriter, values: tuple[float, ...]) -> None:
    writer.uint32(len(values))
    for value in values:
        writer.float32(value)
