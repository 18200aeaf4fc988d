"""Frames that were timed, one line of JSON for each: three kinds of records, told apart by `kind`.

Statistics are computed from these alone; see `statistics/summary.py`. Times are readings of one monotonic clock
in nanoseconds, unclipped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from tdnet_bench.records import Record

if TYPE_CHECKING:
    from tdnet_eval.confusion import Confusion

__all__ = ["AnyRecord", "CameraRecord", "ClassPixels", "FrameRecord", "PacedRecord"]


class ClassPixels(Record, frozen=True, kw_only=True):
    """Counts against the label image of one frame, by class index; pixels without a class are left out.

    Pixels of the class that were labelled as it, of the class in the label image, and labelled as the class.
    """

    hits: tuple[int, ...]
    truth: tuple[int, ...]
    labelled: tuple[int, ...]

    @classmethod
    def of(cls, confusion: Confusion | None) -> ClassPixels | None:
        """Its margins; None for None."""
        if confusion is None:
            return None
        return cls(hits=confusion.hits, truth=confusion.truth, labelled=confusion.labelled)


class FrameRecord(Record, frozen=True, kw_only=True, tag_field="kind", tag="frame"):
    """One frame through one side, back to back: all sides get a frame before the next one.

    Attributes:
        frame: index in the footage, from 0; equal indices are the same picture on all sides.
        path: 1 to m, beginning anew, as `cold`, with each sequence of the footage.
        cold: True where no attention was applied, since the memory was not yet full.
        turn: 0 where this side was the first one to get the frame.
        first: True for a sequence's first frame, with which a new stream begins; in older files `frame` 0 alone tells.
        host_call_ns: from handing the frame in to usable labels.
        device_compute_ns: the device's own time between events before and after its work; see `sides/device_spans.py`
            on sides whose labels are on the host. None on a CPU, and where there are no events.
        agreement: share (0 to 1) of pixels whose label equals the reference's; None for the reference itself.
        temporal_consistency: see `tdnet_eval/flow.py`; None on a sequence's first frame, and where it was not measured.
        class_pixels: counts against the label image; None for a frame without one.
    """

    frame: int
    side: str
    path: int
    cold: bool
    turn: int
    host_call_ns: int
    device_compute_ns: int | None = None
    agreement: float | None = None
    temporal_consistency: float | None = None
    class_pixels: ClassPixels | None = None
    first: bool = False


class CameraRecord(Record, frozen=True, kw_only=True, tag_field="kind", tag="camera"):
    """One frame of a file from its bytes to its mask, at its own size, through one side; see `FrameRecord`.

    Attributes:
        frame: index in the file, from 0; in the first one of several sequences.
        decode_ns: reading and decoding; 0 or so for frame 0, which opening the file decoded.
        push_ns: resizing, inference and resizing the labels back.
        camera_to_mask_ns: the whole, `decode_ns + push_ns`.
    """

    frame: int
    side: str
    path: int
    cold: bool
    turn: int
    decode_ns: int
    push_ns: int
    camera_to_mask_ns: int


class PacedRecord(Record, frozen=True, kw_only=True, tag_field="kind", tag="paced"):
    """One frame that was processed while frames arrived at a fixed rate; only of the subject.

    A frame that arrived and was never processed, since a newer one was there when the loop came back, has no record.

    Attributes:
        frame: index of the arrival, from 0; arrival i is at i/fps.
        push: index in the stream, from 0; `path` and `cold` follow from it.
        arrival_ns: after the first one's; on the same scale, when it was handed in and when its labels were usable.
        device_compute_ns: of files that have it; nobody asks for it between two arrivals any more.
    """

    fps: float
    frame: int
    push: int
    path: int
    cold: bool
    arrival_ns: int
    started_ns: int
    done_ns: int
    device_compute_ns: int | None = None


AnyRecord: TypeAlias = FrameRecord | CameraRecord | PacedRecord
