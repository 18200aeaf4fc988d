"""The learning rate, the length of stages, the moving average and the groups of parameters, by hand."""

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("kornia", reason="the extra `train` is not installed")

from tdnet_runtime.errors import OptionError  # noqa: E402
from tdnet_train.networks.building import fresh_network, spec_from_settings  # noqa: E402
from tdnet_train.networks.clip_network import ClipNetwork  # noqa: E402
from tdnet_train.running.average import Average  # noqa: E402
from tdnet_train.running.optimizer import build_optimizer, map_roughness  # noqa: E402
from tdnet_train.running.schedule import learning_rate  # noqa: E402
from tdnet_train.running.stage import stage_steps  # noqa: E402
from tdnet_train.settings import NetworkSettings, OptimizerSettings, StageSettings  # noqa: E402


def test_poly_with_exponential_warmup():
    """1e-5 to 1e-2 in 1000 steps, then (1 − (step − 1000)/39000)^0.9, as the public configurations have it."""
    stage = StageSettings(learning_rate=1e-2, warmup_steps=1000, warmup_start=1e-5)
    rates = [learning_rate(stage, step, 40000) for step in (0, 500, 1000, 1001, 20500, 39999)]
    expected = [
        1e-5,
        1e-5 * 1000**0.5,
        1e-2,
        1e-2 * (38999 / 39000) ** 0.9,
        1e-2 * 0.5**0.9,
        1e-2 * (1 / 39000) ** 0.9,
    ]
    assert rates == pytest.approx(expected)


def test_other_schedules():
    cosine = StageSettings(
        learning_rate=2.0, schedule="cosine", warmup_steps=4, warmup="linear", warmup_start=1.0
    )
    assert [learning_rate(cosine, step, 12) for step in (0, 2, 4, 8, 12)] == pytest.approx([1, 1.5, 2, 1, 0])
    constant = StageSettings(learning_rate=2.0, schedule="constant")
    assert [learning_rate(constant, step, 3) for step in range(3)] == [2.0] * 3


def test_a_stage_has_steps_or_epochs():
    assert stage_steps(StageSettings(steps=7), 100, 4) == 7
    assert stage_steps(StageSettings(epochs=1.5), 100, 4) == 38
    for wrong in (StageSettings(), StageSettings(steps=1, epochs=1.0)):
        with pytest.raises(OptionError, match=r"either steps or epochs"):
            stage_steps(wrong, 100, 1)
    with pytest.raises(OptionError, match=r"a stage has 5 steps and warms up for 5"):
        stage_steps(StageSettings(steps=5, warmup_steps=5), 100, 1)


@pytest.fixture(scope="module")
def network():
    spec = spec_from_settings(NetworkSettings(name="td2-psp18", size=(49, 65), width=0.125), classes=3)
    return ClipNetwork(fresh_network(spec, seed=0))


def test_weights_of_convolutions_alone_are_decayed(network):
    settings = OptimizerSettings(weight_decay=0.5, head_factor=10.0)
    optimizer = build_optimizer(network, settings, rate=0.1)
    names = {id(value): name for name, value in network.named_parameters()}
    decayed = {
        names[id(p)] for group in optimizer.param_groups if group["weight_decay"] for p in group["params"]
    }
    assert all(name.endswith("weight") for name in decayed)
    assert not any("bn" in name or "layer_norm" in name for name in decayed)
    assert {"network.pretrained1.conv1.weight", "network.enc1.w_vs.0.conv.weight"} <= decayed
    assert "heads.auxlayer1.conv5.4.weight" in decayed
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(names)
    rates = {names[id(p)]: group["lr"] for group in optimizer.param_groups for p in group["params"]}
    assert rates["network.pretrained1.conv1.weight"] == 0.1
    assert rates["network.head1.conv5.0.weight"] == 1.0


def test_the_average_follows(network):
    """First update: the decay is min(0.9, 2/11)."""
    average = Average(network, 0.9)
    name = "head1.conv5.4.bias"
    before = average.state[name].clone()
    with torch.no_grad():
        network.network.head1.conv5[4].bias.add_(11.0)
    average.update(network)
    torch.testing.assert_close(average.state[name], before + 9.0)


def test_roughness_of_the_maps(network):
    """Flat maps have none; one gain of 3 among ones has differences of 2 to each of its four neighbours."""
    assert map_roughness(network) == 0
    with torch.no_grad():
        gains = network.network.layer_norm1.ln.weight
        gains[3, 4] = 3.0
        height, width = gains.shape
        expected = 8 / ((height - 1) * width) + 8 / (height * (width - 1))
        torch.testing.assert_close(map_roughness(network), torch.tensor(expected))
        gains[3, 4] = 1.0
