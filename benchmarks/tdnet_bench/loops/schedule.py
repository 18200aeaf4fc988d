"""Which path a frame takes, whether it is cold, and which side gets it first."""

from __future__ import annotations

from dataclasses import dataclass

from tdnet_runtime.memory import is_cold, path_index

__all__ = ["Schedule", "turn_order"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """The network's rules; the same for all sides."""

    paths: int
    cold_frames: int

    def path(self, frame: int) -> int:
        """Path (1 to m) of frame `frame` of a stream."""
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

    The first one shifts from frame to frame and, for each path, from round to round (with m even, plain alternation
    would give a path the same order for ever); the direction changes with each full turn, so that none always comes
    after the same one.

        >>> [turn_order(frame, paths=2, sides=2)[0] for frame in range(8)]
        [0, 1, 1, 0, 0, 1, 1, 0]
    """
    first = (frame // paths + frame % paths) % sides
    step = -1 if frame // (paths * sides) % 2 else 1
    return tuple((first + step * place) % sides for place in range(sides))
