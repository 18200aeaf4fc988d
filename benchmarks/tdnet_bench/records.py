"""What a run writes down: one record for each frame and side, and the configuration they hold for.

Statistics are computed from these alone; see `stats.py`.
"""

from __future__ import annotations

import msgspec

__all__ = ["BUNDLE", "REFERENCE", "FrameRecord", "Record", "RunConfig"]

BUNDLE = "bundle"
REFERENCE = "reference"


class Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of everything that ends up in the JSON document: immutable, unknown fields refused."""


class FrameRecord(Record, frozen=True, kw_only=True):
    """One frame through one side.

    Attributes:
        frame: index in the stream, from 0; equal indices are the same picture on all sides.
        side: `bundle` or `reference`.
        path: 1 to m.
        cold: True where no attention was applied, since the memory was not yet full.
        turn: 0 where this side was the first one to get the frame.
        host_call_ns: what the clock showed for the call, unclipped.
        agreement: share (0 to 1) of pixels whose label equals the reference's on this frame; None
            for the reference itself, and where it was not measured.
    """

    frame: int
    side: str
    path: int
    cold: bool
    turn: int
    host_call_ns: int
    agreement: float | None = None


class RunConfig(Record, frozen=True, kw_only=True):
    """All that was decided before the first frame. Files are given by name only, never by folder.

    Attributes:
        engine: file name of the bundle.
        bundle_digest: SHA-256 that covers all of the bundle's members.
        network: as in the manifest.
        size_resampled: True where the bundle is an approximation, resampled from another size.
        precision: of the graphs that ran.
        backend: its name.
        backend_description: engine, version and device in one line.
        height: of the network's input and of every frame.
        width: see `height`.
        paths: m.
        cold_frames: frames after the start for which there is no attention.
        memory_stride: n of the memory, for both sides.
        threads: for each side.
        warm_frames_requested: frames to time after the lead-in.
        footage: where the frames came from.
        reference: `checkpoint`, `synthetic` (the bundle's shapes, made-up weights) or `absent`.
        reference_note: what that means for the numbers, in one sentence.
        checkpoint_sha256: of the reference's weights; None where they are not from a file.
        pause_ms: idle time before each timed call.
        includes: by side, what is inside its number and what is not.
    """

    engine: str
    bundle_digest: str
    network: str
    size_resampled: bool
    precision: str
    backend: str
    backend_description: str
    height: int
    width: int
    paths: int
    cold_frames: int
    memory_stride: int
    threads: int
    warm_frames_requested: int
    footage: str
    reference: str
    reference_note: str
    checkpoint_sha256: str | None
    pause_ms: float
    includes: dict[str, str]
