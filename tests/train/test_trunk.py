"""The trunk in training is the trunk: values, gradients, and what BatchNorm learns."""

import copy

import pytest

torch = pytest.importorskip("torch")

from tdnet_train.networks.building import fresh_network, spec_from_settings  # noqa: E402
from tdnet_train.networks.trunk import trunk_maps  # noqa: E402
from tdnet_train.settings import NetworkSettings  # noqa: E402


@pytest.mark.parametrize("name", ["td2-fa18", "psp18", "psp50"])
def test_the_stem_made_twice_learns_once(name):
    """The plain stem with and without a leak, and the deep one, which has BatchNorms of its own."""
    spec = spec_from_settings(NetworkSettings(name=name, size=(49, 65), width=0.125), classes=3)
    network = fresh_network(spec, seed=0)
    ours = network.get_submodule(spec.variant.prefix(1))
    plain = copy.deepcopy(ours)
    image = torch.randn(2, 3, 49, 65)
    sums = []
    for trunk, maps in ((ours, trunk_maps(ours, image)), (plain, plain(image))):
        total = sum((index + 1) * one.square().mean() for index, one in enumerate(maps))
        total.backward()
        sums.append(total.item())
        assert trunk.bn1.momentum == 0.1
    assert sums[0] == sums[1]
    for (key, value), other in zip(ours.state_dict().items(), plain.state_dict().values(), strict=True):
        torch.testing.assert_close(value, other, rtol=0, atol=0, msg=key)
    assert ours.bn1.num_batches_tracked == 1
    for (key, value), other in zip(ours.named_parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(value.grad, other.grad, msg=key)
