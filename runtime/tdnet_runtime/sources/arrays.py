"""Frames that a program has in memory."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sized
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from tdnet_runtime.closeable import Closeable
from tdnet_runtime.errors import MediaError
from tdnet_runtime.media.damage import DamageLog, OnDamage
from tdnet_runtime.media.frames import Fact, SourceFrame

__all__ = ["ArraySource"]

_NS = 1_000_000_000


class ArraySource(Closeable):
    """Arrays as frames; see `FrameSource`.

    Args:
        arrays: each uint8 [H, W, 3], RGB, as a NumPy array or anything with `__array__`, or in the CPU's memory with
            `__dlpack__`; all of one size. Or pairs of a stamp in nanoseconds and such an array. Each is copied before the
            next one is asked for.
        fps: by which frames without a stamp are stamped.
        live: see `FrameSource`.
        name: for messages.

    Raises:
        MediaError: there is none, the first is not as described, or `fps` is no number above 0.
    """

    def __init__(
        self,
        arrays: Iterable[Any],
        *,
        fps: float | Fraction = 25,
        live: bool = False,
        name: str = "arrays",
    ) -> None:
        self._period_ns = _period_ns(fps, name)
        try:
            items = iter(arrays)
        except TypeError as error:
            raise MediaError(f"reading {name}: {error}; expected several arrays") from error
        self.description = name
        self.live = live
        self.fps: Fraction | None = None
        self.frame_count: int | None = len(arrays) if isinstance(arrays, Sized) else None
        self.damage = DamageLog(OnDamage.FAIL)
        self.facts: dict[str, Fact] = {"reader": f"NumPy {np.__version__}", "orientation": "as stored"}
        self._stopped = False
        self._last_ns: int | None = None
        frames = self._read(items)
        first = next(frames, None)
        if first is None:
            raise MediaError(f"reading {name}: there is not a single frame")
        self.size_hw: tuple[int, int] = (first.image.shape[0], first.image.shape[1])
        self._frames = itertools.chain([first], frames)

    def stop(self) -> None:
        """See `FrameSource`."""
        self._stopped = True

    def close(self) -> None:
        """Nothing is held."""

    def __iter__(self) -> Iterator[SourceFrame]:
        """See `FrameSource`."""
        for frame in self._frames:
            if self._stopped:
                return
            yield frame

    def _read(self, arrays: Iterator[Any]) -> Iterator[SourceFrame]:
        size_hw: tuple[int, int] | None = None
        for index, item in enumerate(arrays):
            what = f"reading {self.description}: frame {index}"
            stamped = item if isinstance(item, tuple) else (round(index * self._period_ns), item)
            if len(stamped) != 2:
                raise MediaError(
                    f"{what} is a tuple of {len(stamped)}; expected an array, or a stamp in ns and an array"
                )
            stamp_ns, array = stamped
            image = _image(array, what)
            size_hw = size_hw or (image.shape[0], image.shape[1])
            if image.shape[:2] != size_hw:
                raise MediaError(
                    f"{what} is {image.shape[0]}x{image.shape[1]}, the first was {size_hw[0]}x{size_hw[1]} (height x "
                    "width), and one stream has one size"
                )
            if not isinstance(stamp_ns, (int, np.integer)) or (
                self._last_ns is not None and stamp_ns <= self._last_ns
            ):
                raise MediaError(
                    f"{what} has the stamp {stamp_ns!r}; expected a whole number of ns after {self._last_ns}"
                )
            self._last_ns = int(stamp_ns)
            yield SourceFrame(image=image, name=f"{index:06d}", stamp_ns=self._last_ns)


def _period_ns(fps: Any, name: str) -> Fraction:
    """Nanoseconds from one frame to the next."""
    try:
        if 0 < fps < math.inf:
            return _NS / Fraction(fps if isinstance(fps, Fraction) else float(fps))
    except (TypeError, ValueError, OverflowError):  # no number
        pass
    raise MediaError(f"reading {name}: fps is {fps!r}; expected a number, more than 0")


def _image(array: Any, what: str) -> npt.NDArray[np.uint8]:
    """A copy of the array, checked."""
    try:
        if hasattr(array, "__dlpack__") and not isinstance(array, np.ndarray):
            array = np.from_dlpack(array)
        image = np.asarray(array)
    except (TypeError, ValueError, BufferError, RuntimeError) as error:
        raise MediaError(f"{what} cannot be read as an array in the CPU's memory: {error}") from error
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise MediaError(f"{what} is {image.dtype} {list(image.shape)}; expected uint8 [H, W, 3], RGB")
    return np.array(image, dtype=np.uint8, order="C")
