"""Clock and sides of the measuring loops' tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from tdnet_bench.sides.side import Mask, Push

Array = npt.NDArray[np.uint8]


class FakeClock:
    """Time that passes only when somebody works or sleeps."""

    def __init__(self) -> None:
        self.now_ns = 0

    def __call__(self) -> int:
        return self.now_ns

    def sleep(self, seconds: float) -> None:
        self.now_ns += round(seconds * 1e9)


@dataclass
class FakeSide:
    """Labels every pixel with the frame's first one plus `offset`; call n takes `costs_ns[n]`."""

    name: str
    clock: FakeClock
    costs_ns: list[int]
    log: list[tuple[str, int]] = field(default_factory=list)
    offset: int = 0
    device_ns: int | None = None
    opened: int = 0
    closed: int = 0

    def feed(self, image: Array) -> Array:
        return image

    @contextmanager
    def stream(self) -> Iterator[Push]:
        self.opened += 1
        calls = 0

        def push(frame: Array) -> Mask:
            nonlocal calls
            self.log.append((self.name, int(frame.flat[0])))
            self.clock.now_ns += self.costs_ns[min(calls, len(self.costs_ns) - 1)]
            calls += 1
            labels = np.full(frame.shape[:2], frame.flat[0] + self.offset, dtype=np.uint8)
            return Mask(lambda: labels, lambda: self.device_ns)

        try:
            yield push
        finally:
            self.closed += 1
