"""The first weights: from scratch, ImageNet, a per-frame network split onto sub-networks, another TDNet."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tdnet_models import ReferenceStream, load_checkpoint  # noqa: E402
from tdnet_models.preprocessing import IMAGENET  # noqa: E402
from tdnet_models.reference import labels_of  # noqa: E402
from tdnet_runtime.errors import CheckpointError, OptionError, SizeError  # noqa: E402
from tdnet_train.networks.building import fresh_network, spec_from_settings  # noqa: E402
from tdnet_train.networks.clip_network import ClipNetwork  # noqa: E402
from tdnet_train.running.stream import TrainingStream  # noqa: E402
from tdnet_train.settings import NetworkSettings, StartSettings  # noqa: E402
from tdnet_train.starting import take_start  # noqa: E402

SIZE = (49, 65)


def network(name, *, classes=5, seed=0, size=SIZE, **settings):
    spec = spec_from_settings(
        NetworkSettings(name=name, size=size, **{"width": 0.125, **settings}), classes=classes
    )
    return fresh_network(spec, seed=seed)


def start(net, kind, path, weights=None):
    return take_start(net, StartSettings(kind=kind, checkpoint=str(path), weights=weights))


def counted(weights):
    """How many tensors hold something that was learnt."""
    return sum(not key.endswith("num_batches_tracked") for key in weights)


# What is built


def test_widths_scale_and_can_be_named():
    spec = spec_from_settings(NetworkSettings(name="td2-fa18", size=(360, 480), width=0.5), classes=11)
    assert (spec.stem, spec.planes, spec.neck, spec.value, spec.head) == (
        32,
        (32, 64, 128, 256),
        64,
        128,
        128,
    )
    spec = spec_from_settings(
        NetworkSettings(name="td4-psp18", size=SIZE, stem=8, planes=(8, 8, 16, 32), value=24, head=12),
        classes=5,
    )
    assert (spec.stem, spec.planes, spec.value, spec.head) == (8, (8, 8, 16, 32), 24, 12)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "td3-psp18"}, r"network.name is 'td3-psp18'; known are td2-psp18"),
        ({"name": "td4-psp18", "planes": (8, 8, 8, 12)}, r"the last layer's 12 channels a multiple of 8"),
        ({"name": "td2-fa18", "width": 0.01}, r"expected 4 or more each"),
        ({"name": "psp101", "value": 64}, r"network.value is given, but psp101 has no such width"),
    ],
)
def test_networks_that_cannot_be_built(settings, message):
    with pytest.raises(OptionError, match=message):
        spec_from_settings(NetworkSettings(**{"size": SIZE, **settings}), classes=5)
    with pytest.raises(SizeError, match=r"cannot take an input of 32x64"):
        spec_from_settings(NetworkSettings(name="td2-fa18", size=(32, 64)), classes=5)


def test_a_seed_is_a_network():
    one, same, other = (network("td2-fa18", seed=seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(one[key], same[key]) for key in one)
    assert not torch.equal(one["pretrained1.conv1.weight"], other["pretrained1.conv1.weight"])
    assert not torch.equal(one["pretrained1.conv1.weight"], one["pretrained2.conv1.weight"])


@pytest.mark.parametrize("name", ["td2-fa18", "td4-psp18", "td2-psp50", "psp50"])
def test_trained_weights_load_strictly_and_stream_alike(name, tmp_path):
    """What training validates is what the oracle computes from the file, cold frames included."""
    torch.manual_seed(0)
    net = network(name)
    clips = ClipNetwork(net)
    paths = clips.paths
    with torch.no_grad():
        for path in range(1, paths + 1):
            clips.train()(torch.randn(2, paths, 3, *SIZE), path)
    torch.save({"epoch": 3, "model_state": clips.weights(), "best_iou": 0.5}, tmp_path / "best.pth")
    loaded = load_checkpoint(tmp_path / "best.pth", size=SIZE)
    assert loaded.spec == net.spec
    clips.eval().memory_stride = 4
    ours, oracle = TrainingStream(clips, IMAGENET), ReferenceStream(loaded, memory_stride=4)
    for index in range(2 * paths):
        frame = np.random.default_rng(index).integers(0, 255, (*SIZE, 3), dtype=np.uint8)
        pushed, labels = ours.push(frame), labels_of(oracle.push(frame)).numpy()
        assert (pushed.labels == labels).mean() > 0.999  # nearly tied logits
        assert (pushed.path, pushed.cold) == (index % paths + 1, index < paths - 1)


def test_frames_of_another_size_come_back_in_theirs():
    stream = TrainingStream(ClipNetwork(network("td2-fa18")).eval(), IMAGENET)
    assert stream.push(np.zeros((60, 100, 3), np.uint8)).labels.shape == (60, 100)


@pytest.mark.parametrize("propagation", ["one-step", "none"])
def test_other_ways_to_use_the_memory(propagation):
    """They differ from the chain for four paths, and `none` reads no memory."""
    net = network("td4-psp18").eval()
    frames = torch.randn(1, 4, 3, *SIZE)
    chain, other = (ClipNetwork(net, propagation=kind).eval() for kind in ("chain", propagation))
    with torch.no_grad():
        made, own = other(frames, 2).recomposed, chain(frames, 2)
        assert not torch.allclose(made, own.recomposed)
        assert torch.allclose(made, own.own) is (propagation == "none")
        frames[:, :3] = 0
        assert torch.allclose(made, other(frames, 2).recomposed) is (propagation == "none")


# Where weights come from


def test_scratch_takes_nothing(tmp_path):
    assert take_start(network("td2-fa18"), StartSettings()).tensors == 0
    with pytest.raises(OptionError, match=r"start.kind is scratch; say what the file is"):
        start(network("td2-fa18"), "scratch", tmp_path)
    with pytest.raises(OptionError, match=r"start.kind is 'tdnet', but start.checkpoint names no file"):
        take_start(network("td2-fa18"), StartSettings(kind="tdnet"))


def test_imagenet_goes_onto_every_trunk(tmp_path):
    donor = network("td2-fa18", seed=7)
    trunk = {f"module.{key}": value for key, value in donor.pretrained1.state_dict().items()}
    torch.save({"state_dict": {**trunk, "module.fc.weight": torch.zeros(10, 64)}}, tmp_path / "r18.pth")
    net = network("td2-fa18")
    taken = start(net, "imagenet", tmp_path / "r18.pth")
    assert taken.tensors == 2 * counted(trunk)
    assert taken.unused == ["fc.weight"]
    for path in (1, 2):
        assert torch.equal(
            net.get_submodule(f"pretrained{path}").layer4[1].conv2.weight,
            trunk["module.layer4.1.conv2.weight"],
        )
    assert "head1.conv_out.weight" in taken.fresh
    with pytest.raises(CheckpointError, match=r"is not what start.kind says: it has no 'head.conv5.0"):
        start(network("td4-psp18"), "pspnet", tmp_path / "r18.pth")


def test_nothing_that_fits_is_no_start(tmp_path):
    """Of another width BatchNorm's counters fit, and a few of the memory's convolutions."""
    wide = network("td2-fa18", width=0.25)
    trunk = wide.pretrained1.state_dict()
    message = r"wide.pth' gives a td2-fa18 of these widths no trunk: {}conv1.weight is \[16, 3, 7, 7\] there, .*\[8, "
    for kind, state in (("tdnet", wide.state_dict()), ("imagenet", trunk)):
        torch.save(state, tmp_path / "wide.pth")
        with pytest.raises(CheckpointError, match=message.format("pretrained1.") + ".*set network.width"):
            start(network("td2-fa18"), kind, tmp_path / "wide.pth")
    torch.save(network("psp18", width=0.25).state_dict(), tmp_path / "psp.pth")
    with pytest.raises(
        CheckpointError, match=r"psp.pth' gives a td4-psp18 of these widths no trunk: .*network.width"
    ):
        start(network("td4-psp18"), "pspnet", tmp_path / "psp.pth")


def test_a_pspnet_splits_onto_four_paths(tmp_path):
    """C = 64: half 2 keeps channels 32–63 of the backbone and 8–15 of each pooled map's 16."""
    donor = ClipNetwork(network("psp18", seed=7))
    torch.save({f"module.{key}": value for key, value in donor.weights().items()}, tmp_path / "psp18.pth")
    clips = ClipNetwork(network("td4-psp18"))
    taken = start(clips.network, "pspnet", tmp_path / "psp18.pth")
    taken.take_auxiliary(clips)
    net, weight = clips.network, donor.network.head.conv5[1].weight
    half = [*range(32, 64), *range(72, 80), *range(88, 96), *range(104, 112), *range(120, 128)]
    assert torch.equal(net.head2.conv5[0].weight, weight[:, half])
    assert torch.equal(net.head4.conv5[0].weight, net.head2.conv5[0].weight)
    assert torch.equal(net.head1.conv5[4].weight, donor.network.head.conv5[5].weight)
    assert torch.equal(net.psp3.conv4[0].weight, donor.network.head.conv5[0].conv4[0].weight)
    assert torch.equal(net.pretrained4.conv1.weight, donor.network.pretrained.conv1.weight)
    assert torch.equal(clips.heads["auxlayer3"].conv5[0].weight, donor.heads["auxlayer"].conv5[0].weight)
    assert not taken.unused


def test_a_pspnet_leaves_the_heads_of_two_paths(tmp_path):
    """Their middle layer is narrower: the public code takes none of the head either."""
    torch.save(network("psp18", seed=7).state_dict(), tmp_path / "psp18.pth")
    taken = start(network("td2-psp18"), "pspnet", tmp_path / "psp18.pth")
    assert {key.split(".")[2] for key in taken.unused} == {"1", "2", "5"}
    assert any(key.startswith("head1.conv5.0") for key in taken.fresh)


def test_another_tdnet_gives_what_fits(tmp_path):
    """Other classes: the last convolution is new. Another size: the maps are resampled."""
    donor = network("td2-fa18", seed=7, classes=9, size=(96, 128))
    with torch.no_grad():
        donor.layer_norm1.ln.weight.copy_(torch.arange(16.0).expand(12, 16))
    torch.save({"model_state": donor.state_dict()}, tmp_path / "other.pth")
    net = network("td2-fa18")
    taken = start(net, "tdnet", tmp_path / "other.pth")
    assert taken.fresh == ["head1.conv_out.weight", "head2.conv_out.weight"]
    assert taken.unused == taken.fresh
    assert torch.equal(net.enc2.w_vs[0].conv.weight, donor.enc2.w_vs[0].conv.weight)
    torch.testing.assert_close(net.layer_norm1.ln.weight, torch.linspace(0, 15, 9).expand(7, 9))


@pytest.mark.parametrize(
    ("name", "heads"), [("td2-psp18", ["auxlayer1", "auxlayer2"]), ("psp18", ["auxlayer"])]
)
def test_another_tdnet_gives_its_auxiliary_heads(name, heads, tmp_path):
    """What fits of them; what does not is told, as of the network."""
    donor = ClipNetwork(network(name, seed=7))
    wrapped = {f"module.{key}": value for key, value in donor.weights().items()}
    torch.save({"epoch": 3, "model_state": wrapped, "ema": torch.zeros(3)}, tmp_path / "own.pth")
    torch.save(network(name, seed=7).state_dict(), tmp_path / "bare.pth")
    clips = ClipNetwork(network(name))
    taken = start(clips.network, "tdnet", tmp_path / "own.pth")
    taken.take_auxiliary(clips)
    assert list(clips.heads) == heads
    assert all(torch.equal(value, donor.weights()[key]) for key, value in clips.weights().items())
    assert (taken.tensors, taken.fresh, taken.unused) == (counted(clips.weights()), [], [])
    last = [f"{head}.conv5.4.{kind}" for head in heads for kind in ("weight", "bias")]
    other = ClipNetwork(network(name, classes=4))
    taken = start(other.network, "tdnet", tmp_path / "own.pth")
    taken.take_auxiliary(other)
    assert [key for key in taken.fresh if key.startswith("aux")] == last
    assert [key for key in taken.unused if key.startswith("aux")] == last
    taken = start(clips.network, "tdnet", tmp_path / "bare.pth")
    taken.take_auxiliary(clips)
    assert {key.partition(".")[0] for key in taken.fresh} == set(heads)
    assert not taken.unused
    plain = ClipNetwork(network(name), auxiliary=False)
    taken = start(plain.network, "tdnet", tmp_path / "own.pth")
    taken.take_auxiliary(plain)
    assert {key.partition(".")[0] for key in taken.unused} == set(heads)


def test_what_else_a_file_holds_is_told(tmp_path):
    net, other = network("td2-fa18", seed=7).state_dict(), network("td2-fa18", seed=8).state_dict()
    torch.save({"student": net, "teacher_ema": other, "step": 3}, tmp_path / "two.pth")
    with pytest.raises(CheckpointError, match=r"holds 2 networks"):
        start(network("td2-fa18"), "tdnet", tmp_path / "two.pth")
    torch.save(
        {f"student.{key}": value for key, value in net.items()} | {"teacher.x.weight": torch.zeros(2)},
        tmp_path / "in.pth",
    )
    assert start(network("td2-fa18"), "tdnet", tmp_path / "in.pth").unused == ["teacher"]


@pytest.mark.parametrize(("name", "donor"), [("td2-fa18", "psp18"), ("psp18", "td2-fa18")])
def test_per_frame_and_temporal_networks_are_told_apart(name, donor, tmp_path):
    torch.save(network(donor).state_dict(), tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match=rf"is not a {name}"):
        start(network(name), "tdnet", tmp_path / "other.pth")
