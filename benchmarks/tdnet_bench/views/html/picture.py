"""One frame of a run as pictures inside the page: itself, its mask, and where the mask is not the reference's."""

from __future__ import annotations

import base64
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from tdnet_eval.judge import Picture
from tdnet_eval.painting import ClassColors, color_image, disagreement_image
from tdnet_runtime.errors import OptionError

__all__ = [
    "MAX_BYTES", "PictureBlock", "block_from_picture",
]  # fmt: skip

MAX_BYTES = 1_500_000
"""Of all pictures together, as they stand in the page."""

_WIDTHS = (640, 480, 360, 240, 120)

Array = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureBlock:
    """What the template shows: index of the frame, pictures as `data:` URIs, index and CSS colour of the mask's classes."""

    frame: int
    image: str
    mask: str | None
    disagreement: str | None
    classes: tuple[tuple[int, str], ...]


def block_from_picture(
    picture: Picture, *, subject: str, reference: str | None, colors: ClassColors
) -> PictureBlock:
    """The frame, the subject's mask and where it is not the reference's, scaled down until they take at most `MAX_BYTES`.

    Raises:
        OptionError: a label without a colour.
    """
    labels = picture.labels.get(subject)
    other = picture.labels.get(reference) if reference not in (None, subject) else None
    if labels is not None and labels.max() >= len(colors):
        raise OptionError(
            f"drawing the mask of {subject}: there is a label {labels.max()}, but colours for {len(colors)} "
            "classes only; give the colours of the bundle's manifest"
        )
    uris: list[str] = []
    for width in _WIDTHS:
        images = [_smaller(picture.image, width, area=True)]
        if labels is not None:
            images.append(_smaller(color_image(labels, colors), width, area=False))
            if other is not None:
                images.append(disagreement_image(images[0], labels != other))
        uris = [_data_uri(image) for image in images]
        if sum(map(len, uris)) <= MAX_BYTES:
            break
    present = [] if labels is None else np.unique(labels).tolist()
    return PictureBlock(
        frame=picture.frame,
        image=uris[0],
        mask=uris[1] if len(uris) > 1 else None,
        disagreement=uris[2] if len(uris) > 2 else None,
        classes=tuple((index, "#{:02x}{:02x}{:02x}".format(*colors[index])) for index in present),
    )


def _smaller(image: Array, width: int, *, area: bool) -> Array:
    """At most `width` wide and high; labels' colours are not mixed unless `area`."""
    scale = width / max(image.shape[:2])
    if scale >= 1:
        return image
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    scaled = cv2.resize(image, size, interpolation=cv2.INTER_AREA if area else cv2.INTER_NEAREST)
    return np.asarray(scaled, dtype=np.uint8)


def _data_uri(image: Array) -> str:
    done, data = cv2.imencode(
        ".png", np.ascontiguousarray(image[..., ::-1]), [cv2.IMWRITE_PNG_COMPRESSION, 9]
    )
    assert done  # PNG takes any RGB image
    return f"data:image/png;base64,{base64.b64encode(data.tobytes()).decode()}"
