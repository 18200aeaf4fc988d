"""What a training made of an image, in the oracle: the plain way."""

import numpy as np
import pytest
import torch

from tdnet_models import ReferenceStream, load_checkpoint
from tdnet_models.preprocessing import IMAGENET, PRESETS, Preprocessing
from tdnet_models.reference import labels_of

ODD = Preprocessing(mean=(90.0, 110.0, 130.0), std=(40.0, 60.0, 80.0), scale=1.0, color_order="BGR")
FRAME = np.random.default_rng(3).integers(0, 256, (64, 96, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def network(tiny_checkpoint):
    return load_checkpoint(tiny_checkpoint("td2-fa18"))


def seen(network, preprocessing, frame=FRAME):
    """What the network is given: [1, 3, H, W]."""
    return ReferenceStream(network, preprocessing=preprocessing)._normalised(frame)


@pytest.mark.parametrize("preprocessing", [*PRESETS.values(), ODD], ids=[*PRESETS, "odd"])
def test_the_network_sees_what_the_training_code_made(network, preprocessing):
    """Written as training code has it: read, turn, scale, subtract, divide."""
    image = FRAME.astype(np.float64)
    if preprocessing.color_order == "BGR":
        image = image[:, :, [2, 1, 0]]
    image = (image * preprocessing.scale - np.array(preprocessing.mean)) / np.array(preprocessing.std)
    found = seen(network, preprocessing).numpy()
    np.testing.assert_allclose(found, image.transpose(2, 0, 1)[None], rtol=1e-5, atol=1e-5)


def test_presets():
    assert PRESETS["imagenet"] == IMAGENET
    assert (seen_of(PRESETS["none"], 7), seen_of(PRESETS["unit"], 255)) == ((7, 7, 7), (1, 1, 1))
    # pytorch-semseg's loaders: (pixel − mean of 0..255) / 255, the blue channel first
    assert seen_of(PRESETS["ptsemseg"], 104.00699)[0] == pytest.approx(0, abs=1e-12)
    assert seen_of(PRESETS["ptsemseg"], 255)[2] == pytest.approx((255 - 122.67892) / 255)
    assert PRESETS["ptsemseg"].color_order == "BGR"


def seen_of(preprocessing, pixel):
    pairs = zip(preprocessing.mean, preprocessing.std, strict=True)
    return tuple((pixel * preprocessing.scale - mean) / std for mean, std in pairs)


def test_values_stay_with_their_colours():
    assert IMAGENET.bgr == Preprocessing(
        mean=(0.406, 0.456, 0.485), std=(0.225, 0.224, 0.229), color_order="BGR"
    )
    assert IMAGENET.bgr.rgb == IMAGENET
    assert IMAGENET.rgb is IMAGENET
    assert ODD.bgr is ODD


def test_another_colour_order_is_refused():
    with pytest.raises(ValueError, match="color_order is 'GBR', expected RGB or BGR"):
        Preprocessing(mean=(0, 0, 0), std=(1, 1, 1), color_order="GBR")


def test_a_frame_is_not_changed(network):
    frame = FRAME.copy()
    ReferenceStream(network, preprocessing=ODD).push(frame)
    assert np.array_equal(frame, FRAME)


@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.9])
def test_labels_of_one_class_are_a_threshold(threshold):
    logits = torch.tensor([[[-3.0, -1.0, 0.0], [1e-3, 2.0, 3.0]]])
    odds = threshold / (1 - threshold)
    assert torch.equal(labels_of(logits, threshold), (logits[0].exp() > odds).to(torch.uint8))


def test_labels_of_more_classes_are_the_largest_logits():
    logits = torch.randn((4, 5, 6), generator=torch.Generator().manual_seed(0))
    labels = labels_of(logits)
    assert labels.dtype == torch.uint8
    assert torch.equal(labels.long(), logits.argmax(0))
