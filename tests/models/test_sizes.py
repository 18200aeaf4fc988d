"""Which input sizes are taken, and what the refusal of the others offers."""

import re

import pytest
from tests.models.conftest import NETWORKS

from tdnet_models.sizes import feature_size_from_input
from tdnet_models.variants import PUBLISHED, VARIANTS
from tdnet_runtime.errors import SizeError


@pytest.mark.parametrize("name", NETWORKS)
def test_published_sizes(name):
    spec = PUBLISHED[name]
    assert spec.input_size == ((768, 1536) if name == "td2-fa18" else (769, 1537))
    assert feature_size_from_input(spec.variant, spec.input_size) == spec.feature_size


@pytest.mark.parametrize(
    ("name", "size", "features"),
    [
        ("td4-psp18", (41, 41), (6, 6)),
        ("td4-psp18", (193, 385), (25, 49)),
        ("psp101", (8185, 41), (1024, 6)),
        ("td2-fa18", (48, 48), (6, 6)),
        ("td2-fa18", (192, 384), (24, 48)),
        ("td2-fa18", (8192, 48), (1024, 6)),
    ],
)
def test_valid_sizes(name, size, features):
    assert feature_size_from_input(VARIANTS[name], size) == features


@pytest.mark.parametrize(
    ("name", "size", "nearest"),
    [
        ("td4-psp18", (768, 1537), "761x1537 or 769x1537"),
        ("td4-psp18", (769, 1536), "769x1529 or 769x1537"),
        ("td4-psp18", (1024, 2048), "1017x2041 or 1025x2049"),
        ("td2-psp50", (40, 385), "41x385"),
        ("td2-psp50", (33, 33), "41x41"),
        ("psp101", (8192, 8192), "8185x8185"),
        ("psp101", (100000, 769), "8185x769"),
        ("td2-fa18", (769, 1537), "768x1536 or 776x1544"),
        ("td2-fa18", (540, 960), "536x960 or 544x960"),
        ("td2-fa18", (47, 96), "48x96"),
        ("td2-fa18", (0, 0), "48x48"),
        ("td2-fa18", (-8, 96), "48x96"),
    ],
)
def test_other_sizes_are_refused_with_the_nearest_valid_ones(name, size, nearest):
    with pytest.raises(SizeError) as caught:
        feature_size_from_input(VARIANTS[name], size)
    text = str(caught.value)
    assert text.startswith(f"{name} cannot take an input of {size[0]}x{size[1]}: valid sizes are ")
    assert text.endswith(f"with h, w from 6 to 1024; nearest: {nearest}")
    assert ("8h × 8w" in text) == (name == "td2-fa18")


@pytest.mark.parametrize("name", NETWORKS)
def test_every_height_is_valid_or_between_the_nearest(name):
    """Whatever is asked for, what is offered is valid and the closest there is."""
    variant = VARIANTS[name]
    valid = []
    for height in range(30, 140):
        try:
            feature_size_from_input(variant, (height, 8 * 9 + (name != "td2-fa18")))
            valid.append(height)
        except SizeError as error:
            offered = [int(text) for text in re.findall(r"(\d+)x\d+", str(error).rsplit(":", 1)[1])]
            for side in offered:
                feature_size_from_input(variant, (side, side))
            if height > offered[0]:
                assert offered == [offered[0], offered[0] + 8]
                assert offered[0] < height < offered[1]
            else:
                assert not valid
    step = 0 if name == "td2-fa18" else 1
    assert valid == list(range(40 + 8 * (1 - step) + step, 140, 8))
