"""From samples of whatever depth to 8 bits."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

from tdnet_runtime.errors import MediaError

__all__ = ["BIT_DEPTHS", "BitDepth", "Samples"]

Samples = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]

BIT_DEPTHS = range(8, 17)
"""That may be stated."""

_DETECTED = (8, 10, 12, 14, 16)


class BitDepth:
    """How many bits of 16-bit samples are used: one number for all images of a run, so that none flickers.

    Cameras' 10 and 12 bits come right-aligned in 16-bit files, which do not say so.

    Args:
        stated: by the user; None to take the smallest usual depth that holds what the samples hold.
        largest: of the 16-bit samples of a few images that stand for all; called once at most, and only where
            nothing is stated.

    Attributes:
        bits: of the 16-bit samples, once known.
        met: depths of the images so far.
    """

    def __init__(self, stated: int | None, largest: Callable[[], int]) -> None:
        self.bits = stated
        self.stated = stated is not None
        self.met: set[int] = set()
        self._largest = largest

    def to_8_bits(self, samples: Samples, name: str) -> npt.NDArray[np.uint8]:
        """`samples` scaled so that the largest value of the depth becomes 255, rounded.

        Args:
            samples: any shape.
            name: of the file, for messages.

        Raises:
            MediaError: a sample is larger than that, or more bits were stated than the file holds.
        """
        if samples.dtype == np.uint8:
            self.met.add(8)
            if self.stated and self.bits != 8:
                raise MediaError(
                    f"reading an image: the depth is stated to be {self.bits} bits, but its samples have 8 bits: '{name}'"
                )
            return np.asarray(samples, dtype=np.uint8)
        most = int(samples.max(initial=0))
        if self.bits is None:
            found = max(self._largest(), most)
            self.bits = next(bits for bits in _DETECTED if found < 1 << bits)
        self.met.add(self.bits)
        if most >= 1 << self.bits:
            source = "stated" if self.stated else "that the first, the last and some between them need"
            raise MediaError(
                f"reading an image: its samples go up to {most}, beyond the {self.bits} bits {source}; state the "
                f"true depth, {max(most.bit_length(), 8)} or more, with tdnet-run --bit-depth or a data set's bit_depth: "
                f"'{name}'"
            )
        scaled = cv2.convertScaleAbs(samples, alpha=255 / ((1 << self.bits) - 1))
        return np.asarray(scaled, dtype=np.uint8)
