"""What a network's training code made of an image (spec §3); no checkpoint tells, so the user does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

__all__ = ["IMAGENET", "PRESETS", "Preprocessing"]

Channels = tuple[float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Preprocessing:
    """From pixels x, 0 to 255, to the network's input: (x·scale − mean) / std, channel by channel.

    Frames are RGB whatever the network takes; who runs it turns them.

    Attributes:
        mean: subtracted after `scale`; in the order of the network's channels, so B, G, R where that is BGR.
        std: divided by after that, in the same order.
        scale: what pixels are multiplied by first.
        color_order: of the network's channels, `RGB` or `BGR`.

    Raises:
        ValueError: another colour order.
    """

    mean: Channels
    std: Channels
    scale: float = 1 / 255
    color_order: str = "RGB"

    def __post_init__(self) -> None:
        if self.color_order not in ("RGB", "BGR"):
            raise ValueError(f"color_order is {self.color_order!r}, expected RGB or BGR")

    @property
    def rgb(self) -> Preprocessing:
        """The same values with each colour, in the order R, G, B."""
        return self if self.color_order == "RGB" else self._turned("RGB")

    @property
    def bgr(self) -> Preprocessing:
        """The same values with each colour, in the order B, G, R."""
        return self if self.color_order == "BGR" else self._turned("BGR")

    def _turned(self, color_order: str) -> Preprocessing:
        (m0, m1, m2), (s0, s1, s2) = self.mean, self.std
        return replace(self, mean=(m2, m1, m0), std=(s2, s1, s0), color_order=color_order)


_ZEROS, _ONES = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)

IMAGENET = Preprocessing(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
"""ImageNet's mean and std on 0–1: what TDNet's public loaders and training configurations do, all of them."""

PRESETS: Mapping[str, Preprocessing] = {
    "imagenet": IMAGENET,
    "unit": Preprocessing(mean=_ZEROS, std=_ONES),
    "none": Preprocessing(mean=_ZEROS, std=_ONES, scale=1.0),
    "ptsemseg": Preprocessing(
        mean=(104.00699 / 255, 116.66877 / 255, 122.67892 / 255), std=_ONES, color_order="BGR"
    ),
}
"""By name. `ptsemseg` is pytorch-semseg's CamVid and NYUv2 loaders, (x − mean)/255 of BGR: TDNet's training code grew out
of that project, and users' loaders did too."""
