"""Camera to mask: frames of a file, at their own size, from their bytes to their labels."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack

from tdnet_bench.loops.back_to_back import PAUSE_MS
from tdnet_bench.loops.schedule import Schedule, turn_order
from tdnet_bench.records.frames import CameraRecord
from tdnet_bench.sides.side import Clock, Side, Sleep, Tick, Write
from tdnet_runtime.media.frames import FrameSource

__all__ = ["measure_camera"]


def measure_camera(
    sides: Sequence[Side],
    open_source: Callable[[], FrameSource],
    count: int,
    schedule: Schedule,
    *,
    write: Write,
    pause_ms: float = PAUSE_MS,
    clock: Clock = time.perf_counter_ns,
    sleep: Sleep = time.sleep,
    tick: Tick = lambda: None,
) -> int:
    """Decode and push frames, all sides in turn, each from a source of its own.

    Args:
        sides: that take frames of any size; each gets one new stream.
        open_source: the file at its first frame, anew with each call.
        count: frames wanted; fewer where the file ends before.
        schedule: of the network.
        write: gets one record for each frame and side, by frame, then in the order of the calls.
        pause_ms: idle time before each frame of a side.
        clock: monotonic, in nanoseconds.
        sleep: pauses for so many seconds.
        tick: called after each frame.

    Returns:
        Number of frames.

    Raises:
        MediaError: the file cannot be read.
    """
    with ExitStack() as stack:
        pushes = [stack.enter_context(side.stream()) for side in sides]
        sources = [iter(stack.enter_context(open_source())) for _ in sides]
        for index in range(count):
            records: list[CameraRecord] = []
            for place in turn_order(index, paths=schedule.paths, sides=len(sides)):
                sleep(pause_ms / 1e3)
                started_ns = clock()
                frame = next(sources[place], None)
                if frame is None:
                    return index
                decoded_ns = clock()
                pushes[place](frame.image)
                done_ns = clock()
                records.append(
                    CameraRecord(
                        frame=index,
                        side=sides[place].name,
                        path=schedule.path(index),
                        cold=schedule.cold(index),
                        turn=len(records),
                        decode_ns=decoded_ns - started_ns,
                        push_ns=done_ns - decoded_ns,
                        camera_to_mask_ns=done_ns - started_ns,
                    )
                )
            for record in records:
                write(record)
            tick()
    return count
