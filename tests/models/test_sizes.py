"""Which input sizes share a feature size, what is suggested among them, and what the refusal of others offers."""

import re

import pytest
import torch
from tests.models.conftest import NETWORKS
from tests.models.test_synthetic import NARROW

from tdnet_models import synthetic_network
from tdnet_models.sizes import checked_size, exact_sizes, feature_size_from_input, suggested_size
from tdnet_models.tdnet import build_network
from tdnet_models.variants import PUBLISHED, VARIANTS, spec_from_widths
from tdnet_runtime.errors import SizeError

ODD_SIZES = [
    (41, 48),  # the smallest features: 6×6
    (48, 41),
    (63, 65),
    (50, 71),
    (66, 87),
    (64, 129),
    (81, 110),
    (95, 102),
    (104, 59),
    (127, 128),
]


@pytest.mark.parametrize("name", NETWORKS)
def test_published_sizes(name):
    spec = PUBLISHED[name]
    assert spec.input_size == ((768, 1536) if name == "td2-fa18" else (769, 1537))
    assert spec.feature_size == ((96, 192) if name == "td2-fa18" else (97, 193))
    assert suggested_size(spec.variant, spec.feature_size) == spec.input_size


@pytest.mark.parametrize(
    ("size", "features"),
    [
        ((256, 512), (32, 64)),
        ((200, 383), (25, 48)),
        ((512, 512), (64, 64)),
        ((479, 479), (60, 60)),
        ((320, 192), (40, 24)),
        ((544, 960), (68, 120)),
        ((1024, 2048), (128, 256)),
        ((769, 1537), (97, 193)),
        ((776, 1544), (97, 193)),
        ((768, 1536), (96, 192)),
        ((41, 8192), (6, 1024)),
    ],
)
def test_sizes_that_users_train_at(size, features):
    assert feature_size_from_input(size) == features
    assert all(side in sides for side, sides in zip(size, exact_sizes(features), strict=True))
    for name in NETWORKS:
        assert checked_size(VARIANTS[name], size, maps=features) == size


def test_the_exact_sizes_are_all_there_are():
    heights, widths = exact_sizes((32, 64))
    assert (list(heights), list(widths)) == (list(range(249, 257)), list(range(505, 513)))
    for side in range(41, 600):
        assert (feature_size_from_input((side, 99))[0] == 32) == (side in heights)


@pytest.mark.parametrize(
    ("name", "suggested"),
    [("td4-psp18", (249, 505)), ("td2-psp50", (249, 505)), ("td2-fa18", (256, 512)), ("psp101", (249, 505))],
)
def test_the_suggestion_is_as_the_published_sizes_are(name, suggested):
    assert suggested_size(VARIANTS[name], (32, 64)) == suggested


def narrow_network(name, size_hw):
    widths = {key: NARROW.get(key, width) if width else 0 for key, width in PUBLISHED[name].widths.items()}
    return synthetic_network(name, classes=3, input_size=size_hw, widths=widths)


@pytest.mark.parametrize("size", ODD_SIZES, ids=str)
@pytest.mark.parametrize("name", NETWORKS)
def test_every_level_of_the_network_has_the_size_that_strides_give(name, size):
    """Each stride of 2 rounds up, whatever the layer; the logits have the image's own size."""
    network = narrow_network(name, size)
    spec = network.spec
    image = torch.zeros(1, 3, *size)
    maps = network.get_submodule(spec.variant.prefix(1))(image)
    strides = (8, 16, 32, 64) if spec.variant.family == "fanet" else (4, 8, 8, 8)
    expected = [tuple(-(-side // stride) for side in size) for stride in strides]
    assert [tuple(level.shape[2:]) for level in maps] == expected
    assert spec.feature_size == tuple(-(-side // 8) for side in size)
    if not spec.variant.temporal:
        assert network(image).shape == (1, 3, *size)
        return
    features = network.encode(1, image, 3)
    assert features.query.shape[2:] == features.value.shape[2:] == spec.feature_size
    assert features.entry.k.shape[2:] == tuple(-(-side // 3) for side in spec.feature_size)
    assert network.classify(1, features.value).shape == (1, 3, *size)


@pytest.mark.parametrize("size", [(512, 512), (479, 479), (320, 192), (544, 960), (1024, 2048)], ids=str)
@pytest.mark.parametrize("name", NETWORKS)
def test_large_networks_by_their_shapes(name, size):
    with torch.device("meta"):
        spec = spec_from_widths(name, classes=7, input_size=size, widths=PUBLISHED[name].widths)
        network = build_network(spec).eval()
        image = torch.empty(1, 3, *size)
        if not spec.variant.temporal:
            assert network(image).shape == (1, 7, *size)
            return
        features = network.encode(1, image, spec.variant.memory_stride)
        memory = [features.entry] * (spec.variant.paths - 1)
        logits = network.classify(1, network.recompose(1, features, memory))
    assert logits.shape == (1, 7, *size)
    assert tuple(network.layer_norm1.ln.weight.shape) == spec.feature_size == features.value.shape[2:]


@pytest.mark.parametrize(
    ("size", "nearest"),
    [
        ((40, 385), "41x385"),
        ((33, 33), "41x41"),
        ((8193, 100), "8192x100"),
        ((100000, 769), "8192x769"),
        ((0, 0), "41x41"),
        ((-8, 96), "41x96"),
    ],
)
@pytest.mark.parametrize("name", NETWORKS)
def test_sizes_outside_the_limits_are_refused_with_the_nearest(name, size, nearest):
    words = f"{name} cannot take an input of {size[0]}x{size[1]}: sides are 41 to 8192; nearest: {nearest}"
    with pytest.raises(SizeError, match=f"^{re.escape(words)}$"):
        checked_size(VARIANTS[name], size, maps=None)


@pytest.mark.parametrize(
    ("size", "kept"), [((30, 508), "249x508"), ((9000, 9000), "256x512"), ((0, 100), "249x505")]
)
def test_the_refusal_names_the_nearest_size_that_keeps_the_maps(size, kept):
    words = r"LayerNorm maps \[32, 64\] are kept at heights 249 to 256 and widths 505 to 512 alone, nearest: "
    with pytest.raises(SizeError, match=f"; its {words}{kept}$"):
        checked_size(VARIANTS["td4-psp18"], size, maps=(32, 64))
