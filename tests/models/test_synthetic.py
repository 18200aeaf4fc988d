"""Networks with made-up weights: for speed alone, but their numbers must stay numbers."""

import pytest
import torch
from tests.models.conftest import NETWORKS

from tdnet_models import ReferenceStream, synthetic_network
from tdnet_models.variants import PUBLISHED
from tdnet_runtime.media.scene import render

NARROW = {"stem": 8, "planes": (8, 16, 32, 64), "head": 8, "value": 16, "neck": 8}


def narrow_network(name, *, seed=0):
    published = PUBLISHED[name].widths
    widths = {key: NARROW.get(key, width) if width else 0 for key, width in published.items()}
    return synthetic_network(name, classes=3, input_size=(50, 71), widths=widths, seed=seed)


@pytest.mark.parametrize("name", NETWORKS)
def test_logits_are_finite_and_vary(name):
    network = narrow_network(name)
    stream = ReferenceStream(network)
    height, width = network.spec.input_size
    for t in range(2 * network.spec.variant.paths):
        logits = stream.push(render(t, height=height, width=width))
        assert logits.shape == (3, height, width)
        assert logits.isfinite().all()
        assert 1e-3 < logits.std() < 1e3
    assert not network.training
    assert not any(p.requires_grad for p in network.parameters())
    assert (network.spec.feature_size, network.spec.classes) == ((7, 9), 3)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_same_seed_gives_the_same_weights(name):
    one, again, other = (narrow_network(name, seed=seed).state_dict() for seed in (5, 5, 6))
    assert all(torch.equal(one[key], value) for key, value in again.items())
    assert any(not torch.equal(one[key], value) for key, value in other.items())


def test_published_depth_stays_in_range():
    """ResNet-101's residual sums are where activations would grow without bounds."""
    network = narrow_network("psp101")
    x = torch.randn(1, 3, 49, 65, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        outputs = network.pretrained(x)
    assert all(1e-2 < output.std() < 1e3 for output in outputs)
