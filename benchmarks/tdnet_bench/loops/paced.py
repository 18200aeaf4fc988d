"""Frames at a camera's rate, one in flight: idle gaps and deadlines, as on a robot.

Arrival i is at i/fps on the schedule. The loop takes the newest frame that has arrived and was not yet
taken; where there is none, it sleeps until the next one. Older ones that it did not come to are dropped.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from tdnet_bench.inputs.footage import to_and_fro
from tdnet_bench.loops.schedule import Schedule
from tdnet_bench.records.frames import PacedRecord
from tdnet_bench.sides.side import Array, Clock, Side, Sleep, Tick, Write
from tdnet_bench.statistics.paced import arrival_ns

__all__ = ["measure_paced"]


def measure_paced(
    side: Side,
    images: Sequence[Array],
    fps: float,
    count: int,
    schedule: Schedule,
    *,
    write: Write,
    clock: Clock = time.perf_counter_ns,
    sleep: Sleep = time.sleep,
    tick: Tick = lambda: None,
) -> None:
    """Process frames of one new stream as they arrive, and write down what the clock showed.

    `images` are played forwards and backwards in turn, by arrival. `count` frames are processed; those dropped in
    between do not count. `write` gets one record for each processed frame.
    """
    with side.stream() as push:
        origin_ns = clock()
        frame = -1
        for index in range(count):
            frame = _await_frame(frame + 1, fps, origin_ns, clock, sleep)
            given = side.feed(images[to_and_fro(frame, len(images))])
            started_ns = clock() - origin_ns
            push(given)
            done_ns = clock() - origin_ns
            write(
                PacedRecord(
                    fps=fps,
                    frame=frame,
                    push=index,
                    path=schedule.path(index),
                    cold=schedule.cold(index),
                    arrival_ns=arrival_ns(frame, fps),
                    started_ns=started_ns,
                    done_ns=done_ns,
                )
            )
            tick()


def _await_frame(first: int, fps: float, origin_ns: int, clock: Clock, sleep: Sleep) -> int:
    """Index of the newest frame that has arrived, `first` or a later one; sleeps until there is one."""
    while True:
        now_ns = clock() - origin_ns
        missing_ns = arrival_ns(first, fps) - now_ns
        if missing_ns <= 0:
            newest = max(first, int(now_ns * fps / 1e9) - 1)
            while arrival_ns(newest + 1, fps) <= now_ns:
                newest += 1
            return newest
        sleep(missing_ns / 1e9)
