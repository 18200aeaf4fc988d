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
    """Decode and push frames, all sides in turn, each from a source of its own; gives the number of frames.

    Sides take frames of any size, and get one new stream each; `open_source` gives the file at its first frame, anew
    with each call. `count` frames are wanted; there are fewer where the file ends before. For the rest see
    `back_to_back.measure`.

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
