"""Back to back: the same frames through every side, one after the other, frame by frame.

The loop knows neither bundle nor PyTorch; see `sides/side.py`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from itertools import cycle
from typing import NamedTuple, TypeAlias

from tdnet_bench.inputs.footage import FootageFrame
from tdnet_bench.loops.schedule import Schedule, turn_order
from tdnet_bench.records.frames import ClassPixels, FrameRecord
from tdnet_bench.sides.side import Array, Clock, Side, Sleep, Tick, Write
from tdnet_eval.judge import Judgement, require_classes

__all__ = ["PAUSE_MS", "Judging", "WarmUp", "measure", "warm_up"]

PAUSE_MS = 20.0
"""Idle time before each timed call.

Worker threads of GNU OpenMP (PyTorch's) spin for a while after their work is done. Measured on 2 cores
with PyTorch 2.13: a call of 11 ms took 16 ms right after the other side's, and 12 to 13 ms after this pause.
"""

_WARM_UP_FLOOR_NS = 1_000_000_000  # clocks and caches need time, not only frames

Judging: TypeAlias = Callable[[FootageFrame, Mapping[str, Array]], Mapping[str, Judgement]]
"""A frame and the labels of all sides to what they are worth, by side; see `Judge`."""


class WarmUp(NamedTuple):
    """A scratch stream that is over: its frames, and nanoseconds from opening it to its first labels."""

    frames: int
    first_mask_ns: int


def warm_up(
    side: Side,
    frames: Sequence[Array],
    schedule: Schedule,
    *,
    classes: int | None = None,
    floor_ns: int = _WARM_UP_FLOOR_NS,
    clock: Clock = time.perf_counter_ns,
    tick: Tick = lambda: None,
) -> WarmUp:
    """Run a scratch stream over all paths, cold and warm, then close it; its numbers are not kept.

    `frames` are repeated as needed; whole rounds of m frames are added until `floor_ns` have passed.

    Raises:
        BackendError: see `require_classes`.
    """
    source = cycle(frames)
    started_ns = clock()
    with side.stream() as push:
        mask = push(side.feed(next(source)))
        first_mask_ns = clock() - started_ns
        count = 1
        while True:
            if classes is not None:
                require_classes(side.name, mask.labels, classes)
            tick()
            done = count >= schedule.warm_up_frames and count % schedule.paths == 0
            if done and clock() - started_ns >= floor_ns:
                break
            mask = push(side.feed(next(source)))
            count += 1
    return WarmUp(count, first_mask_ns)


def measure(
    sides: Sequence[Side],
    frames: Iterable[FootageFrame],
    schedule: Schedule,
    *,
    write: Write,
    judge: Judging = lambda frame, labels: {},
    pause_ms: float = PAUSE_MS,
    clock: Clock = time.perf_counter_ns,
    sleep: Sleep = time.sleep,
    tick: Tick = lambda: None,
) -> int:
    """Push every frame through every side and write down what the clock showed; gives the number of frames.

    Each side gets a new stream where a sequence of frames begins, and is idle for `pause_ms` before each timed call.
    Frames are taken, and labels judged after all sides had a frame, outside the timed calls. `write` gets one record
    for each frame and side, by frame, then in the order of the calls.
    """
    count = 0
    with ExitStack() as stack:
        for index, frame in enumerate(frames):
            if frame.place == 0:
                stack.close()
                pushes = [stack.enter_context(side.stream()) for side in sides]
            spent_ns: dict[str, int] = {}
            device_ns: dict[str, int | None] = {}
            labels: dict[str, Array] = {}
            for place in turn_order(index, paths=schedule.paths, sides=len(sides)):
                name = sides[place].name
                given = sides[place].feed(frame.image)
                sleep(pause_ms / 1e3)
                started_ns = clock()
                mask = pushes[place](given)
                spent_ns[name] = clock() - started_ns
                labels[name], device_ns[name] = mask.labels, mask.device_compute_ns
            judged = judge(frame, labels)
            for turn, name in enumerate(spent_ns):
                worth = judged.get(name, Judgement())
                write(
                    FrameRecord(
                        frame=index,
                        side=name,
                        path=schedule.path(frame.place),
                        cold=schedule.cold(frame.place),
                        turn=turn,
                        first=frame.place == 0,
                        host_call_ns=spent_ns[name],
                        device_compute_ns=device_ns[name],
                        agreement=worth.agreement,
                        temporal_consistency=worth.temporal_consistency,
                        class_pixels=ClassPixels.of(worth.confusion),
                    )
                )
            count += 1
            tick()
    return count
