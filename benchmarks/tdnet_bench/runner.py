"""The measuring loop: the same frames through every side, one after the other, frame by frame.

A side is anything that opens streams (see `baselines.py`); the loop knows neither bundle nor PyTorch.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from itertools import cycle
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from tdnet_bench.records import FrameRecord
from tdnet_runtime.memory import is_cold, path_index

__all__ = [
    "PAUSE_MS",
    "Push",
    "Schedule",
    "Side",
    "Tick",
    "label_agreement",
    "measure",
    "turn_order",
    "warm_up",
]

Array: TypeAlias = npt.NDArray[np.uint8]
Push: TypeAlias = Callable[[Array], Array]
"""One frame, uint8 RGB [H, W, 3], to its labels, uint8 [H, W]. This call is what is timed."""
Tick: TypeAlias = Callable[[], None]
"""Called after each frame, for a progress display."""

PAUSE_MS = 20.0
"""Idle time before each timed call.

Worker threads of GNU OpenMP (PyTorch's) spin for a while after their work is done. Measured on 2 cores
with PyTorch 2.13: a call of 11 ms took 16 ms right after the other side's, and 12 to 13 ms after this pause.
"""

_WARM_UP_FLOOR_NS = 1_000_000_000  # clocks and caches need time, not only frames


class Side(Protocol):
    """Something that can segment a video.

    Attributes:
        name: as in `FrameRecord.side`.
    """

    name: str

    def stream(self) -> AbstractContextManager[Push]:
        """A new stream, at its first frame; it ends with the context."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """Which path a frame takes and whether it is cold; the same for all sides."""

    paths: int
    cold_frames: int

    def path(self, frame: int) -> int:
        """Path (1 to m) of frame `frame`."""
        return path_index(frame, self.paths)

    def cold(self, frame: int) -> bool:
        """True where the memory is not yet full."""
        return is_cold(frame, self.cold_frames)

    @property
    def lead_in_frames(self) -> int:
        """Frames that are kept out of the statistics: the first one, and the cold ones."""
        return max(self.cold_frames, 1)

    @property
    def warm_up_frames(self) -> int:
        """Frames that take every path both cold (where it is ever cold) and warm."""
        return 2 * self.paths


def turn_order(frame: int, *, paths: int, sides: int) -> tuple[int, ...]:
    """Indices of the sides in the order in which they get frame `frame`.

    The order shifts from frame to frame and, for each path, from round to round. (With m even, plain
    alternation would give a path the same order for ever.)

        >>> [turn_order(frame, paths=2, sides=2)[0] for frame in range(8)]
        [0, 1, 1, 0, 0, 1, 1, 0]
    """
    first = (frame // paths + frame % paths) % sides
    return tuple((first + place) % sides for place in range(sides))


def label_agreement(labels: Array, reference: Array) -> float:
    """Share of pixels with equal labels, 0 to 1; both uint8 [H, W]."""
    if labels.shape != reference.shape:
        raise ValueError(f"labels are {labels.shape}, the reference's are {reference.shape}")
    return float(np.count_nonzero(labels == reference) / labels.size)


def warm_up(
    side: Side,
    frames: Sequence[Array],
    schedule: Schedule,
    *,
    floor_ns: int = _WARM_UP_FLOOR_NS,
    clock: Callable[[], int] = time.perf_counter_ns,
    tick: Tick = lambda: None,
) -> int:
    """Run a scratch stream over all paths, cold and warm, then close it; its numbers are not kept.

    Args:
        side: the side to warm up.
        frames: at least one; repeated as needed.
        schedule: of the network.
        floor_ns: whole rounds of m frames are added until this much time has passed.
        clock: monotonic, in nanoseconds.
        tick: called after each frame.

    Returns:
        Number of frames run.
    """
    source = cycle(frames)
    started_ns = clock()
    count = 0
    with side.stream() as push:
        while count < schedule.warm_up_frames or count % schedule.paths or clock() - started_ns < floor_ns:
            push(next(source))
            count += 1
            tick()
    return count


def measure(
    sides: Sequence[Side],
    frames: Iterable[Array],
    schedule: Schedule,
    *,
    baseline: str | None = None,
    pause_ms: float = PAUSE_MS,
    clock: Callable[[], int] = time.perf_counter_ns,
    sleep: Callable[[float], None] = time.sleep,
    tick: Tick = lambda: None,
) -> list[FrameRecord]:
    """Push every frame through every side and write down what the clock showed.

    Args:
        sides: each gets one new stream.
        frames: uint8 RGB [H, W, 3]; taken one at a time, outside the timed calls.
        schedule: of the network.
        baseline: the side whose labels the others' are compared with; None to compare nothing.
        pause_ms: idle time before each timed call.
        clock: monotonic, in nanoseconds.
        sleep: pauses for so many seconds.
        tick: called after each frame.

    Returns:
        One record for each frame and side, by frame, then in the order of the calls.
    """
    records: list[FrameRecord] = []
    with ExitStack() as stack:
        pushes = [stack.enter_context(side.stream()) for side in sides]
        for index, frame in enumerate(frames):
            order = turn_order(index, paths=schedule.paths, sides=len(sides))
            spent_ns: dict[str, int] = {}
            labels: dict[str, Array] = {}
            for place in order:
                sleep(pause_ms / 1e3)
                started_ns = clock()
                result = pushes[place](frame)
                spent_ns[sides[place].name] = clock() - started_ns
                labels[sides[place].name] = result
            for turn, name in enumerate(spent_ns):
                records.append(
                    FrameRecord(
                        frame=index,
                        side=name,
                        path=schedule.path(index),
                        cold=schedule.cold(index),
                        turn=turn,
                        host_call_ns=spent_ns[name],
                        agreement=_agreement(name, labels, baseline),
                    )
                )
            tick()
    return records


def _agreement(name: str, labels: dict[str, Array], baseline: str | None) -> float | None:
    if baseline is None or name == baseline:
        return None
    return label_agreement(labels[name], labels[baseline])
