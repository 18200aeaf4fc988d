"""Which frames of a source are segmented, where there are more than the network takes.

>>> limit = RateLimit(10.0)
>>> [limit.admits(ms * 1_000_000) for ms in (0, 33, 67, 100, 133, 167, 200)]
[True, False, False, True, False, False, True]
"""

from __future__ import annotations

from dataclasses import dataclass

from tdnet_runtime.errors import OptionError

__all__ = ["Picker", "Policy", "RateLimit", "every", "every_kth", "fixed_rate", "newest"]

_SLACK = 4  # a frame counts as on time up to a quarter of the period before it is due: cameras jitter


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Made by `newest`, `every`, `every_kth` and `fixed_rate`.

    Attributes:
        name: of the function that made it.
        waits: True: frames queue in order, a full queue makes the reader wait, and none is lost. False: one frame
            waits, and a newer one takes its place. None: False for live sources, True for others.
        one_of: of so many frames one is taken.
        hz: frames that are taken in a second, at most; None for no limit.
        depth: of the queue where it waits.
    """

    name: str
    waits: bool | None = None
    one_of: int = 1
    hz: float | None = None
    depth: int = 4

    def __post_init__(self) -> None:
        if self.one_of < 1:
            raise OptionError(f"every_kth({self.one_of}): expected 1 or more")
        if self.hz is not None and not 0 < self.hz <= 1000:
            raise OptionError(
                f"fixed_rate({self.hz:g}): expected more than 0 and at most 1000 frames in a second"
            )
        if self.depth < 1:
            raise OptionError(f"a queue of {self.depth} frames: expected 1 or more")

    def keeps_all(self, *, live: bool) -> bool:
        """`waits`, for a source that is live or not."""
        return not live if self.waits is None else self.waits


def newest() -> Policy:
    """The newest frame wins; one that was not taken in time is dropped. What live sources get by default.

    The age of a result stays below one frame time and the inferences that it waits for, however slow the network is.
    """
    return Policy(name="newest", waits=False)


def every(depth: int = 4) -> Policy:
    """Every frame in order; the reader waits. What files and logs get by default.

    A live source that has to wait drops frames itself, or falls behind without end.
    """
    return Policy(name="every", waits=True, depth=depth)


def every_kth(k: int) -> Policy:
    """One of k frames, at most: of these the newest wins in live sources, and none is lost in others."""
    return Policy(name="every_kth", one_of=k)


def fixed_rate(hz: float) -> Policy:
    """So many frames in a second, at most, evenly: by arrival in live sources, by stamps in others.

    Where stamps do not go on, that is told (`stamp_fault`), and the time from frame to frame is that of arrival there, too.
    """
    return Policy(name="fixed_rate", hz=hz)


class RateLimit:
    """Admits frames on a grid of 1/hz seconds; begins anew after a pause or where time runs backwards."""

    def __init__(self, hz: float) -> None:
        self._period_ns = round(1e9 / hz)
        self._due_ns: int | None = None

    def admits(self, time_ns: int) -> bool:
        """This frame is one of those."""
        due_ns, period_ns = self._due_ns, self._period_ns
        if due_ns is None or abs(time_ns - due_ns) > 2 * period_ns:
            self._due_ns = time_ns + period_ns
            return True
        if time_ns < due_ns - period_ns // _SLACK:
            return False
        self._due_ns = due_ns + period_ns
        return True


class Picker:
    """Applies `one_of` and `hz` to the frames of one source, in order."""

    def __init__(self, policy: Policy) -> None:
        self._one_of = policy.one_of
        self._limit = None if policy.hz is None else RateLimit(policy.hz)
        self._count = 0

    def picks(self, time_ns: int) -> bool:
        """The next frame is to be segmented; `time_ns` is its arrival or stamp."""
        if self._limit is not None:
            return self._limit.admits(time_ns)
        self._count += 1
        return (self._count - 1) % self._one_of == 0
