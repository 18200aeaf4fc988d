"""How the teacher's features split into groups, and what a group says: by hand, and by the public code's numbers."""

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tests.conftest import _recipe  # noqa: E402

from tdnet_models.tdnet import build_network  # noqa: E402
from tdnet_runtime.errors import OptionError  # noqa: E402
from tdnet_train.losses.cross_entropy import CrossEntropy  # noqa: E402
from tdnet_train.losses.objective import Objective, Weights  # noqa: E402
from tdnet_train.networks.building import fresh_network, spec_from_settings  # noqa: E402
from tdnet_train.networks.clip_network import ClipNetwork  # noqa: E402
from tdnet_train.networks.teacher import Teacher, group_channels, group_of_path  # noqa: E402
from tdnet_train.settings import NetworkSettings  # noqa: E402

SIZE = (49, 65)


def test_groups_are_slices_of_each_of_the_five_parts():
    """C = 8: channels 0–7 are the backbone's, 8–9, 10–11, 12–13 and 14–15 the pooled maps'."""
    assert group_channels(8, 2, 0) == [0, 1, 2, 3, 8, 10, 12, 14]
    assert group_channels(8, 2, 1) == [4, 5, 6, 7, 9, 11, 13, 15]
    quarters = [group_channels(16, 4, index) for index in range(4)]
    assert quarters[2] == [8, 9, 10, 11, 18, 22, 26, 30]
    assert sorted(channel for quarter in quarters for channel in quarter) == list(range(32))


def test_four_paths_are_held_against_quarters_of_their_own_half():
    """Halves 1, 2, 1, 2 of the student; quarters 1, 3, 2, 4 of the teacher."""
    assert [group_of_path(2, path) for path in (1, 2)] == [0, 1]
    assert [group_of_path(4, path) for path in (1, 2, 3, 4)] == [0, 2, 1, 3]


def teacher_network(width=0.125):
    spec = spec_from_settings(NetworkSettings(name="psp18", size=SIZE, width=width), classes=5)
    network = fresh_network(spec, seed=0)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.bias, -0.5, 0.5)
    return network.eval()


@pytest.mark.parametrize("paths", [2, 4])
def test_the_groups_go_through_their_slice_of_the_convolution_and_the_same_classifier(paths):
    network = teacher_network()
    image = torch.randn(2, 3, *SIZE)
    teacher = Teacher(network, paths=paths, classes=5)
    pooling, convolution, norm, relu, _, final = network.head.conv5
    with torch.no_grad():
        features = pooling(network.pretrained(image)[3])
        parts = []
        for index in range(paths):
            mask = torch.zeros(features.shape[1])
            mask[group_channels(network.spec.trunk_channels[3], paths, index)] = 1
            parts.append(convolution(features * mask[:, None, None]))
        whole = final(relu(norm(sum(parts))))
        for path in range(1, paths + 1):
            said = teacher(image, path)
            torch.testing.assert_close(said.whole, whole, rtol=1e-4, atol=1e-5)
            scale = {2: 1, 4: 4}[paths]
            alone = final(relu(norm(scale * parts[group_of_path(paths, path)])))
            torch.testing.assert_close(said.group, alone, rtol=1e-4, atol=1e-5)
    assert not any(parameter.requires_grad for parameter in teacher.parameters())
    assert not teacher.train().network.training


def test_the_whole_is_the_network_itself():
    network = teacher_network()
    image = torch.randn(1, 3, *SIZE)
    said = Teacher(network, paths=1, classes=5)(image, 1)
    assert said.group is None
    torch.testing.assert_close(
        torch.nn.functional.interpolate(said.whole, SIZE, mode="bilinear", align_corners=True), network(image)
    )


def test_another_number_of_classes_is_refused():
    with pytest.raises(OptionError, match=r"the teacher has 5 classes and the student 7"):
        Teacher(teacher_network(), paths=2, classes=7)


# The sums that the public code's `forward` gave (Training/, its own modules, weights of the recipe in tests/data, PSPNet-50
# as the teacher, BatchNorm in evaluation mode, no dropout, frames and labels as below), path by path.
PUBLIC = {
    "td4-psp18": [5.72967529296875, 5.811820983886719, 5.9299092292785645, 5.7886643409729],
    "td2-fa18": [5.599424839019775, 5.416143417358398],
}


@pytest.fixture(scope="module")
def public_teacher():
    spec = spec_from_settings(NetworkSettings(name="psp50", size=SIZE), classes=19)
    network = build_network(replace(spec, classifier=1000))
    network.load_state_dict(recipe_state(network.state_dict()))
    return network


def recipe_state(state):
    return _recipe().make_state_dict({key: list(value.shape) for key, value in state.items()})


@pytest.mark.parametrize(("name", "paths"), [("td4-psp18", (2,)), ("td2-fa18", (1,))])
def test_the_whole_loss_is_the_public_codes(name, paths, public_teacher):
    """One number that holds every term: the clip's way through the networks, groups, weights, ignored pixels."""
    spec = spec_from_settings(NetworkSettings(name=name, size=SIZE), classes=19)
    network = ClipNetwork(build_network(spec), dropout=0.0)
    network.load_weights(recipe_state(network.weights()))
    network.train()
    for module in network.modules():
        if isinstance(module, (torch.nn.BatchNorm2d, torch.nn.Dropout2d)):
            module.eval()
    labels = np.random.default_rng(0).integers(0, 19, (2, *SIZE))
    labels[:, :5] = 255
    frames = np.random.default_rng(1).standard_normal((2, spec.variant.paths, 3, *SIZE))
    frames = torch.from_numpy(frames).float()
    teacher = Teacher(public_teacher, paths=spec.variant.paths, classes=19)
    objective = Objective(weights=Weights(), cross_entropy=CrossEntropy())
    with torch.no_grad():
        for path in paths:
            logits = network(frames, path)
            terms = objective(logits, torch.from_numpy(labels), teacher(frames[:, -1], path))
            # Float32 and another order of sums; a wrong group moves it by 1e-2.
            assert terms["loss"].item() == pytest.approx(PUBLIC[name][path - 1], abs=2e-5)
