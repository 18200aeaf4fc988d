"""Networks of other depths than the published ones: as the public code computes them, and read off the keys."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.conftest import DATA, _recipe
from tests.models.test_checkpoint import state_of

from tdnet_models import ReferenceStream, load_checkpoint, synthetic_network
from tdnet_models.resnet import layer_plan
from tdnet_models.tdnet import build_network
from tdnet_models.variants import PUBLISHED, VARIANTS
from tdnet_runtime.errors import CheckpointError, OptionError
from tdnet_runtime.media.scene import render

REFERENCE = DATA / "reference" / "depths_seed0.npz"
"""For each network the logits of the public code, every 8th row and column, for 5 classes and the rendered scene.

The weights are the recipe's. The public code has no streaming form of FANet: the first frame is NaN there.
"""


@pytest.mark.usefixtures("all_threads")
@pytest.mark.reference
@pytest.mark.parametrize(
    "name", ["td2-psp34", "psp50", "td2-fa34", pytest.param("td4-psp50", marks=pytest.mark.slow)]
)
def test_outputs_are_the_public_codes(name, saved):
    """The bounds are those of spec §6; another half of the pooled channels or another dilation is off by 0.1 and more."""
    size = (128, 192) if name == "td2-fa34" else (97, 161)
    with torch.device("meta"):
        shapes = {
            k: list(v.shape)
            for k, v in build_network(replace(PUBLISHED[name], classes=5)).state_dict().items()
        }
    features = [-(-side // 8) for side in size]
    state = _recipe().make_state_dict(
        {key: features if key.startswith("layer_norm") else shape for key, shape in shapes.items()}
    )
    network = load_checkpoint(saved(state), size=size)
    assert network.spec.name == name
    stream = ReferenceStream(network)
    with np.load(REFERENCE) as archive:
        expected = archive[name]
    compared = 0
    for index, reference in enumerate(expected):
        logits = stream.push(render(index, height=size[0], width=size[1])).numpy()[:, ::8, ::8]
        if np.isnan(reference).any():
            continue
        compared += 1
        delta = np.abs(logits - reference) / reference.std()
        assert delta.max() <= 2e-3
        assert np.sqrt((delta**2).mean()) <= 1e-4
    assert compared >= len(expected) - 1


@pytest.mark.parametrize("name", VARIANTS)
def test_every_depth_is_read_off_the_keys(name, saved):
    spec, state = state_of(name)
    network = load_checkpoint(saved(state), size=None if spec.variant.temporal else (41, 49))
    assert network.spec.variant == VARIANTS[name]
    assert network.spec.name == name
    assert network.spec.widths == spec.widths
    assert network.state_dict().keys() == state.keys()


def test_published_shapes_of_other_depths():
    """Training/ptsemseg/models of the public code: widths follow from the blocks' expansion."""
    found = {name: (spec.value, spec.head, spec.stem_out) for name, spec in PUBLISHED.items()}
    assert found == {
        "td2-psp18": (128, 64, 64),
        "td2-psp34": (128, 64, 64),
        "td2-psp50": (512, 256, 128),
        "td2-psp101": (512, 256, 128),
        "td4-psp18": (512, 128, 64),
        "td4-psp34": (512, 128, 64),
        "td4-psp50": (2048, 512, 128),
        "td4-psp101": (2048, 512, 128),
        "psp18": (0, 128, 64),
        "psp34": (0, 128, 64),
        "psp50": (0, 512, 128),
        "psp101": (0, 512, 128),
        "td2-fa18": (256, 256, 64),
        "td2-fa34": (256, 256, 64),
        "td2-fa50": (256, 256, 64),
    }
    assert layer_plan(PUBLISHED["td4-psp34"])[3] == [(1, 4, 4), (1, 8, 4), (1, 16, 4)]


def merged(one, two, path):
    """The state `one` with the trunk of `path` from `two`."""
    trunk = f"pretrained{path}."
    return {k: v for k, v in one.items() if not k.startswith(trunk)} | {
        k: v for k, v in two.items() if k.startswith(trunk)
    }


def renamed(state, old, new):
    return {key.replace(old, new): value for key, value in state.items()}


def refused(name, change):
    return lambda: change(state_of(name)[1])


BAD = {
    "mixed depths": (
        lambda: merged(state_of("td2-psp18")[1], state_of("td2-psp34")[1], 2),
        r"different depths \(path 1 a ResNet-18, path 2 a ResNet-34\)",
    ),
    "mixed depths of four": (
        lambda: merged(state_of("td4-psp50")[1], state_of("td4-psp101")[1], 3),
        r"path 2 a ResNet-50, path 3 a ResNet-101, path 4 a ResNet-50\)",
    ),
    "ResNet-152": (
        refused(
            "psp101",
            lambda s: (
                s
                | {f"pretrained.layer2.{n}.conv1.weight": torch.ones(1) for n in range(4, 8)}
                | {f"pretrained.layer3.{n}.conv1.weight": torch.ones(1) for n in range(23, 36)}
            ),
        ),
        r"pretrained has 3, 8, 36, 3 blocks in layer1 to layer4 \(as a ResNet-152\)",
    ),
    "three sub-networks": (
        refused("td4-psp18", lambda s: {k: v for k, v in s.items() if not k.startswith("pretrained4.")}),
        r"it has the trunks pretrained1, pretrained2, pretrained3; expected",
    ),
    "one of two sub-networks": (
        refused("td2-psp18", lambda s: {k: v for k, v in s.items() if not k.startswith("pretrained2.")}),
        r"pretrained1 is its only trunk; the other sub-networks are missing",
    ),
    "four FANets": (
        refused(
            "td2-fa18",
            lambda s: (
                s
                | renamed(
                    {k: v for k, v in s.items() if k.startswith("pretrained1.")}, "pretrained1", "pretrained3"
                )
                | renamed(
                    {k: v for k, v in s.items() if k.startswith("pretrained1.")}, "pretrained1", "pretrained4"
                )
            ),
        ),
        r"it would be a td4-fa18, which the public code does not build",
    ),
    "teacher": (
        lambda: (
            {k: v for k, v in state_of("psp101")[1].items() if k.startswith("pretrained.")}
            | {"group1.conv5.0.weight": torch.ones(2, 2, 3, 3)}
        ),
        r"it is the teacher that training makes of a psp101; name the psp101 itself",
    ),
    "no ResNet": (
        lambda: {"pretrained.model.blocks.0.attn.qkv.weight": torch.ones(3, 3)},
        r"pretrained has no layer1 to layer4, so it is no ResNet",
    ),
    "torchvision's stem": (
        refused(
            "psp50",
            lambda s: (
                {k: v for k, v in s.items() if ".conv1.0" not in k}
                | {"pretrained.conv1.weight": torch.ones(4, 3, 7, 7)}
            ),
        ),
        r"its ResNet-50 begins with one 7×7 convolution \(torchvision's\); the public code's has three of 3×3",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_such_network_is_refused_with_the_cause(case, saved):
    make, message = BAD[case]
    with pytest.raises(CheckpointError, match=message) as caught:
        load_checkpoint(saved(make()))
    assert len(str(caught.value)) < 1500


def test_names_of_manifests_are_checked():
    with pytest.raises(OptionError, match=r"no network is called 'td8-psp18'; known are td2-psp18, "):
        synthetic_network("td8-psp18", classes=2, input_size=(48, 48), widths={})
