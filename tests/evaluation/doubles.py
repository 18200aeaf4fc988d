"""A data set in memory, and streams whose labels are known beforehand."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt

from tdnet_eval.evaluation import OpenStream

Array = npt.NDArray[np.uint8]
IGNORE = 255


class FakeData:
    """Frames whose pixels are all (sequence, place, 0), and label images made by `truth`, None for a frame without one."""

    name, split = "fake", "val"

    def __init__(
        self,
        lengths: Sequence[int],
        truth: Callable[[int, int], Array | None],
        *,
        classes: Sequence[str] = ("road", "sky", "car"),
        size_hw: tuple[int, int] = (32, 48),
    ) -> None:
        self.classes = SimpleNamespace(
            names=tuple(classes), colors=tuple((60 * i, 0, 9) for i, _ in enumerate(classes))
        )
        self._size_hw, self._truth = size_hw, truth
        self.sequences = tuple(
            SimpleNamespace(
                name=f"drive{number}", frames=tuple(self._frame(number, place) for place in range(length))
            )
            for number, length in enumerate(lengths)
        )

    @property
    def labelled(self) -> tuple[tuple[int, int], ...]:
        """See `DataSet`."""
        return tuple(
            frame.at for sequence in self.sequences for frame in sequence.frames if frame.label is not None
        )

    def _frame(self, number: int, place: int) -> Any:
        label = None if self._truth(number, place) is None else Path(f"{number}_{place}.png")
        return SimpleNamespace(name=f"{number}_{place}", label=label, at=(number, place))

    def image(self, frame: Any) -> Array:
        return np.full((*self._size_hw, 3), (*frame.at, 0), dtype=np.uint8)

    def labels(self, frame: Any) -> Array:
        truth = self._truth(*frame.at)
        assert truth is not None
        return truth


class FakeStream:
    """Labels by `made(sequence, place, path, cold)`; what was pushed is kept as (sequence, place), `None` for a reset."""

    def __init__(self, made: Callable[[int, int, int, bool], Array | int], *, paths: int, cold: int) -> None:
        self._made, self._paths, self._cold = made, paths, cold
        self._index = 0
        self.pushed: list[tuple[int, int] | None] = []

    def reset(self) -> None:
        self._index = 0
        self.pushed.append(None)

    def push(self, frame: Array, /) -> Any:
        number, place, _ = frame[0, 0].tolist()
        path, cold = self._index % self._paths + 1, self._index < self._cold
        self._index += 1
        self.pushed.append((number, place))
        labels = self._made(number, place, path, cold)
        if isinstance(labels, int):
            labels = np.full(frame.shape[:2], labels, dtype=np.uint8)
        return SimpleNamespace(labels=labels, path=path, cold=cold)


def opening(stream: FakeStream) -> OpenStream:
    """What `evaluate` takes."""

    @contextmanager
    def opened() -> Iterator[FakeStream]:
        yield stream

    return opened
