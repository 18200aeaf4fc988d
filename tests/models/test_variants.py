"""The specs give exactly the public checkpoints' parameter tables, and are read back off them."""

import pytest
import torch
from tests.conftest import published_shapes
from tests.models.conftest import NETWORKS

from tdnet_models.resnet import layer_plan
from tdnet_models.sizes import suggested_size
from tdnet_models.tdnet import build_network, hop_name, read_order
from tdnet_models.variants import KEY_WIDTH, PUBLISHED, VARIANTS, spec_from_shapes, spec_from_widths


def shapes_of(spec):
    with torch.device("meta"):
        return {key: tuple(value.shape) for key, value in build_network(spec).state_dict().items()}


@pytest.fixture(params=NETWORKS)
def spec(request):
    return PUBLISHED[request.param]


def test_parameter_tables_are_the_public_ones(spec):
    """Names and shapes of parameters and buffers."""
    public = {key: tuple(shape) for key, shape in published_shapes(spec.name).items()}
    found = shapes_of(spec)
    assert found.keys() == public.keys()
    assert found == public
    assert any(key.endswith("running_var") for key in found)
    assert any(key.endswith("num_batches_tracked") for key in found)


def test_spec_is_read_off_the_public_tables(spec):
    table = {key: tuple(shape) for key, shape in published_shapes(spec.name).items()}
    assert spec_from_shapes(spec.variant, table) == spec


def test_widths_round_trip(spec):
    again = spec_from_widths(spec.name, classes=spec.classes, input_size=spec.input_size, widths=spec.widths)
    assert again == spec
    narrow = {
        key: tuple(w // 2 for w in width) if isinstance(width, tuple) else width // 2
        for key, width in spec.widths.items()
    }
    size_hw = suggested_size(spec.variant, (11, 13))
    other = spec_from_widths(spec.name, classes=7, input_size=size_hw, widths=narrow)
    assert (other.widths, other.classes, other.feature_size) == (narrow, 7, (11, 13))
    found = spec_from_shapes(other.variant, shapes_of(other))
    if spec.name == "psp101":  # has nothing that tells the size
        assert found.input_size == spec.input_size
    else:
        assert found == other


def test_absent_and_odd_keys_leave_the_published_values(spec):
    """So that the comparison of all keys that follows can name what is wrong."""
    found = spec_from_shapes(spec.variant, {})
    assert found.widths == spec.widths | {"classifier": 0, "auxiliary": 0}
    assert (found.classes, found.input_size) == (spec.classes, spec.input_size)
    scalars = dict.fromkeys(shapes_of(spec), ())
    assert spec_from_shapes(spec.variant, scalars).widths == found.widths


def test_facts_of_the_table():
    """Spec §2."""
    facts = {
        name: (
            variant.paths,
            variant.memory_stride,
            PUBLISHED[name].value,
            PUBLISHED[name].feature_size,
            PUBLISHED[name].feature_channels,
        )
        for name in NETWORKS
        for variant in (VARIANTS[name],)
    }
    assert facts == {
        "td2-psp50": (2, 4, 512, (97, 193), 2048),
        "td4-psp18": (4, 4, 512, (97, 193), 512),
        "td2-fa18": (2, 3, 256, (96, 192), 256),
        "psp101": (1, 4, 0, (97, 193), 4096),
    }
    assert KEY_WIDTH == 64


@pytest.mark.parametrize(
    ("paths", "path", "expected"),
    [(2, 1, (2,)), (2, 2, (1,)), (4, 1, (2, 3, 4)), (4, 2, (3, 4, 1)), (4, 3, (4, 1, 2)), (4, 4, (1, 2, 3))],
)
def test_read_order_is_the_oldest_frame_first(paths, path, expected):
    assert read_order(paths, path) == expected


def test_hops_belong_to_the_current_path():
    assert [hop_name(4, 3, read) for read in read_order(4, 3)] == ["atn3_4", "atn3_1", "atn3_2"]
    assert hop_name(2, 1, 2) == "atn1"


def test_strides_and_dilations_of_the_trunks():
    """(Stride, dilation of the block, dilation of the layer), spec §2."""
    plan = layer_plan(PUBLISHED["td4-psp18"])
    assert plan == [
        [(1, 1, 1), (1, 1, 1)],
        [(2, 1, 1), (1, 1, 1)],
        [(1, 1, 2), (1, 2, 2)],
        [(1, 4, 4), (1, 8, 4)],
    ]
    assert layer_plan(PUBLISHED["td2-psp50"])[3] == [(1, 4, 4), (1, 8, 4), (1, 16, 4)]
    assert len(layer_plan(PUBLISHED["psp101"])[2]) == 23
    assert {layer[0] for layer in layer_plan(PUBLISHED["td2-fa18"])} == {(2, 1, 1)}
