"""How a stored picture is turned and mirrored to stand upright: marks of EXIF and of videos."""

from __future__ import annotations

from enum import IntEnum

import numpy as np
import numpy.typing as npt

__all__ = ["Orientation"]

_TURNS = {3: 1, 6: 0, 8: 2}  # OpenCV's codes
_FLIPS = {2: 1, 4: 0}  # of the axis


class Orientation(IntEnum):
    """What is done to stored pixels to see them upright; the numbers are EXIF's (tag 274, Orientation).

    >>> Orientation.TURN_RIGHT.inverse
    <Orientation.TURN_LEFT: 8>
    """

    AS_STORED = 1
    MIRROR = 2  # left and right
    TURN_180 = 3
    FLIP = 4  # top and bottom
    TRANSPOSE = 5  # rows become columns
    TURN_RIGHT = 6  # by 90 degrees, clockwise
    TRANSVERSE = 7  # mirrored along the other diagonal
    TURN_LEFT = 8

    @classmethod
    def from_axes(cls, a: float, b: float, c: float, d: float) -> Orientation:
        """The orientation nearest to x' = a·x + c·y, y' = b·x + d·y, in which x runs right and y down.

        The names are those of display matrices (ISO 14496-12), whose other entries shift and scale.

        >>> Orientation.from_axes(0, 1, -1, 0)
        <Orientation.TURN_RIGHT: 6>

        Raises:
            ValueError: a diagonal or degenerate one, which no whole number of quarter turns comes near.
        """
        straight, crossed = abs(a) + abs(d), abs(b) + abs(c)
        first, second = (a, d) if straight > crossed else (c, b)  # x' by its source, y' by its source
        if min(abs(first), abs(second)) < 4 * min(straight, crossed) or not first * second:
            raise ValueError(f"no whole number of quarter turns: {a:g} {b:g} {c:g} {d:g}")
        signs = (first > 0, second > 0)
        if straight > crossed:
            return {
                (True, True): cls.AS_STORED,
                (False, True): cls.MIRROR,
                (False, False): cls.TURN_180,
                (True, False): cls.FLIP,
            }[signs]
        return {
            (True, True): cls.TRANSPOSE,
            (False, True): cls.TURN_RIGHT,
            (False, False): cls.TRANSVERSE,
            (True, False): cls.TURN_LEFT,
        }[signs]

    @property
    def swaps_sides(self) -> bool:
        """Height and width change places."""
        return self >= Orientation.TRANSPOSE

    @property
    def inverse(self) -> Orientation:
        """What takes upright pixels back to where they were stored."""
        turned = {
            Orientation.TURN_RIGHT: Orientation.TURN_LEFT,
            Orientation.TURN_LEFT: Orientation.TURN_RIGHT,
        }
        return turned.get(self, self)

    @property
    def words(self) -> str:
        """For a summary, such as `turn right`."""
        return self.name.lower().replace("_", " ")

    def apply(self, stored: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """The picture upright: a new array, or for `AS_STORED` the same one.

        Args:
            stored: uint8 [H, W] or [H, W, 3], C-contiguous.

        Returns:
            C-contiguous; [W, H] or [W, H, 3] where the sides change places.
        """
        if self is Orientation.AS_STORED:
            return stored
        import cv2  # only here: whoever hands frames on does without

        if self in _TURNS:
            turned = cv2.rotate(stored, _TURNS[self])
        elif self in _FLIPS:
            turned = cv2.flip(stored, _FLIPS[self])
        else:
            turned = cv2.transpose(stored)
            if self is Orientation.TRANSVERSE:
                turned = cv2.flip(turned, -1)
        return np.asarray(turned, dtype=np.uint8)
