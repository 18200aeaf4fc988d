"""What clips are made of, and within which limits chance varies them."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

__all__ = ["ClipSettings"]

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Side = Annotated[int, msgspec.Meta(ge=1, le=1 << 15)]
Step = Annotated[int, msgspec.Meta(ge=1, le=1000)]
Scale = Annotated[float, msgspec.Meta(ge=0.01, le=100)]


class ClipSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A clip ends with a labelled frame; everything random is drawn once for all its frames.

    Attributes:
        stage: `still`, the labelled frame in all places, or `video`, it and frames before it: the author's two stages.
        gap_min: of the frames from one of a clip's frames to the next, drawn for each pair.
        gap_max: see `gap_min`.
        simulate: where a sequence has no frame so early, a shift and zoom of its first stands for it, not the first
            itself.
        simulate_shift: largest shift from one such frame to the next, as a share of the sides; half a side in all.
        simulate_zoom: largest zoom from one to the next, as a share; a factor of two in all.
        base_hw: (H, W) of the whole frame at scale 1; None for the network's size, to which the robot brings frames.
        scale: smallest and largest scale; what is then larger than the network's size is cropped, what is smaller
            padded, and the padding ignored.
        scales: to choose from, instead of the range `scale`.
        place_rows: how far from the middle crops may lie up and down, as a share of what is left over: 1 anywhere, 0 at
            half the height, so that a crop is what a longer lens sees, with the ground below and the sky above.
        rotate: largest angle, in degrees.
        flip: probability of left and right changing places.
        brightness: factors are drawn from 1 − it to 1 + it.
        contrast: see `brightness`.
        saturation: see `brightness`.
        white_balance: the same for a gain of R, of G and of B, each drawn for itself.
        shading: light that is uneven over the frame, by gains up to 1 + it and down to 1 / (1 + it).
        blur_px: largest standard deviation of a Gaussian, in pixels of the network's input.
        noise: largest standard deviation of noise, of 255.
    """

    stage: Literal["still", "video"] = "video"
    gap_min: Step = 1
    gap_max: Step = 2
    simulate: bool = False
    simulate_shift: Share = 0.02
    simulate_zoom: Share = 0.03
    base_hw: tuple[Side, Side] | None = None
    scale: tuple[Scale, Scale] = (0.75, 2.0)
    scales: tuple[Scale, ...] = ()
    place_rows: Share = 1.0
    rotate: Annotated[float, msgspec.Meta(ge=0, le=180)] = 0.0
    flip: Share = 0.5
    brightness: Share = 0.3
    contrast: Share = 0.3
    saturation: Share = 0.3
    white_balance: Share = 0.0
    shading: Share = 0.0
    blur_px: Annotated[float, msgspec.Meta(ge=0, le=20)] = 0.0
    noise: Annotated[float, msgspec.Meta(ge=0, le=255)] = 0.0

    def __post_init__(self) -> None:
        if self.gap_min > self.gap_max:
            raise ValueError(
                f"gap_min is {self.gap_min} and gap_max {self.gap_max}; expected a smaller one first"
            )
        if self.scale[0] > self.scale[1]:
            raise ValueError(f"scale is {list(self.scale)}; expected the smallest first, then the largest")

    def reach(self, frames: int) -> int:
        """How many frames before a labelled one a clip of so many frames may begin."""
        return 0 if self.stage == "still" else (frames - 1) * self.gap_max
