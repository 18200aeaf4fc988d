from __future__ import annotations

import base64

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from tests.benchmarks.views.html.rich import COLORS, PEER, SUBJECT

from tdnet_bench.views.html.picture import MAX_BYTES, block_from_picture
from tdnet_eval.judge import Picture
from tdnet_eval.painting import MARK
from tdnet_runtime.errors import OptionError

Array = npt.NDArray[np.uint8]


def _image(uri: str | None) -> Array:
    """RGB of a data URI."""
    assert uri is not None
    assert uri.startswith("data:image/png;base64,")
    data = np.frombuffer(base64.b64decode(uri.partition(",")[2], validate=True), np.uint8)
    decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)
    assert decoded is not None
    return np.asarray(decoded[..., ::-1], np.uint8)


def test_frame_mask_and_disagreement(picture: Picture) -> None:
    block = block_from_picture(picture, subject=SUBJECT, reference=PEER, colors=COLORS)
    assert block.frame == 3
    assert np.array_equal(_image(block.image), picture.image)
    mask = _image(block.mask)
    assert mask[0, 0].tolist() == [0, 0, 0]
    assert mask[5, 7].tolist() == [200, 200, 0]
    marked = (_image(block.disagreement) == MARK).all(axis=2)
    assert np.argwhere(marked).tolist() == [[row, column] for row in range(3, 8) for column in range(5, 10)]
    assert block.classes == ((0, "#000000"), (1, "#0000c8"), (2, "#00c800"), (3, "#c80000"), (4, "#c8c800"))


def test_without_another_side_there_is_no_disagreement(picture: Picture) -> None:
    for reference in (None, SUBJECT, "absent"):
        block = block_from_picture(picture, subject=SUBJECT, reference=reference, colors=COLORS)
        assert block.mask is not None
        assert block.disagreement is None


def test_labels_that_mean_nothing_are_not_shown(picture: Picture) -> None:
    block = block_from_picture(picture, subject="another", reference=PEER, colors=())
    assert (block.mask, block.disagreement, block.classes) == (None, None, ())


def test_a_class_without_a_colour_is_refused(picture: Picture) -> None:
    with pytest.raises(OptionError, match="there is a label 4, but colours for 4 classes only"):
        block_from_picture(picture, subject=SUBJECT, reference=None, colors=COLORS[:4])


def test_a_large_noisy_frame_stays_small() -> None:
    noise = np.random.default_rng(0)
    labels = noise.integers(0, 5, (769, 1537), dtype=np.uint8)
    picture = Picture(
        frame=0,
        image=noise.integers(0, 256, (769, 1537, 3), dtype=np.uint8),
        labels={SUBJECT: labels, PEER: noise.integers(0, 5, (769, 1537), dtype=np.uint8)},
    )
    block = block_from_picture(picture, subject=SUBJECT, reference=PEER, colors=COLORS)
    uris = [block.image, block.mask or "", block.disagreement or ""]
    assert sum(map(len, uris)) <= MAX_BYTES
    shapes = {_image(uri).shape for uri in uris}
    assert len(shapes) == 1
    assert shapes.pop()[1] >= 360
    assert {tuple(color) for color in _image(block.mask).reshape(-1, 3).tolist()} == set(COLORS)
