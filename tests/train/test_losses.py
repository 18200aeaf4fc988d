"""Each term of the loss by hand."""

from math import log

import pytest

torch = pytest.importorskip("torch")

from tdnet_train.losses.cross_entropy import CrossEntropy, hard_pixels  # noqa: E402
from tdnet_train.losses.dice import dice_loss  # noqa: E402
from tdnet_train.losses.distillation import divergence  # noqa: E402
from tdnet_train.losses.objective import Objective, Weights  # noqa: E402
from tdnet_train.networks.clip_network import ClipLogits  # noqa: E402
from tdnet_train.networks.teacher import TeacherLogits  # noqa: E402


def logits_of(*probabilities):
    """Logits [1, 2, 1, n] of two classes, from the probabilities of class 0."""
    p = torch.tensor(probabilities)
    return torch.stack([p.log(), (1 - p).log()])[None, :, None]


def labels_of(*labels):
    return torch.tensor(labels)[None, None]


def test_cross_entropy_is_the_mean_over_labelled_pixels():
    logits = logits_of(0.5, 0.25, 0.9)
    loss = CrossEntropy()(logits, labels_of(0, 1, 255))
    assert loss.item() == pytest.approx((log(2) + log(1 / 0.75)) / 2)


def test_cross_entropy_with_weights_is_a_weighted_mean():
    weights = torch.tensor([1.0, 3.0])
    loss = CrossEntropy(weights=weights)(logits_of(0.5, 0.25, 0.9), labels_of(0, 1, 255))
    assert loss.item() == pytest.approx((log(2) + 3 * log(1 / 0.75)) / 4)


def test_a_batch_without_labels_weighs_nothing():
    logits = logits_of(0.5, 0.25).requires_grad_()
    for term in (CrossEntropy(), CrossEntropy(threshold=0.7), dice_loss):
        loss = term(logits, labels_of(255, 255))
        loss.backward()
        assert loss.item() == 0
        assert not logits.grad.any()


def test_hard_pixels_are_those_above_the_threshold_where_there_are_enough():
    """−ln 0.7 is 0.357: with two at the least, number 2 (from 0) of 0.9, 0.5, 0.4, 0.1 is above it."""
    losses = torch.tensor([0.1, 0.9, 0.5, 0.4])
    assert hard_pixels(losses, threshold=0.7, at_least=2).tolist() == [False, True, True, True]
    assert hard_pixels(losses, threshold=0.7, at_least=3).tolist() == [False, True, True, True]
    losses = torch.tensor([0.1, 0.2, 0.5, 0.3])
    assert hard_pixels(losses, threshold=0.7, at_least=2).tolist() == [False, False, True, True]
    assert hard_pixels(losses, threshold=0.7, at_least=9).all()


def test_ohem_is_the_mean_of_the_hard_pixels():
    logits, labels = logits_of(0.5, 0.25, 0.9, 0.95), labels_of(0, 0, 0, 0)
    assert CrossEntropy(threshold=0.7, share=1 / 4)(logits, labels).item() == pytest.approx(
        (log(2) + log(4)) / 2
    )
    # Three quarters of the pixels at the least: the third is easy.
    assert CrossEntropy(threshold=0.7, share=3 / 4)(logits, labels).item() == pytest.approx(
        (log(2) + log(4) - log(0.9)) / 3
    )


@pytest.mark.parametrize("threshold", [None, 0.7])
def test_the_gradient_taken_at_once_is_the_gradient(threshold):
    """Against autograd on the plain formula, through the upsampling."""
    torch.manual_seed(0)
    logits = torch.randn(2, 3, 4, 5, dtype=torch.float32, requires_grad=True)
    labels = torch.randint(0, 3, (2, 8, 9))
    labels[0, 0] = 255
    (2 * CrossEntropy(threshold=threshold, share=0.5)(logits, labels)).backward()
    got, logits.grad = logits.grad, None
    full = torch.nn.functional.interpolate(logits, (8, 9), mode="bilinear", align_corners=True)
    losses = torch.nn.functional.cross_entropy(full, labels, ignore_index=255, reduction="none").flatten()
    if threshold is None:
        plain = losses.sum() / (labels != 255).sum()
    else:
        counted = hard_pixels(losses.detach(), threshold=threshold, at_least=labels.numel() // 2)
        plain = losses[counted].mean()
    (2 * plain).backward()
    torch.testing.assert_close(got, logits.grad)


def test_dice_of_the_classes_that_occur():
    """p = 0.8, 0.4 for class 0, whose pixel is the first; without smoothing 2·0.8/(1.2 + 1) and 2·0.6/(0.8 + 1)."""
    logits = logits_of(0.8, 0.4, 0.5)
    labels = labels_of(0, 1, 255)
    loss = dice_loss(logits, labels, smooth=0.0)
    assert loss.item() == pytest.approx(1 - (1.6 / 2.2 + 1.2 / 1.8) / 2)
    only = dice_loss(logits_of(0.8, 0.4), labels_of(0, 0), smooth=0.0)
    assert only.item() == pytest.approx(1 - 2.4 / 3.2)


def test_divergence_weighs_by_the_teacher():
    student, teacher = logits_of(0.5, 0.8), logits_of(0.9, 0.8)
    expected = 0.9 * log(0.9 / 0.5) + 0.1 * log(0.1 / 0.5)
    assert divergence(student, teacher).item() == pytest.approx(expected / 2, rel=1e-5)
    assert divergence(teacher, teacher).item() == pytest.approx(0, abs=1e-6)


def test_temperature_softens_and_scales():
    """Odds of 9 become 3 at temperature 2: the teacher's 0.75 against 0.5, times 4."""
    expected = 4 * (0.75 * log(0.75 / 0.5) + 0.25 * log(0.25 / 0.5))
    got = divergence(logits_of(0.5), logits_of(0.9), temperature=2.0)
    assert got.item() == pytest.approx(expected, rel=1e-5)


def test_the_terms_and_their_weights_are_the_public_ones():
    """CE + 0.5·CE(own) + 0.1·CE(auxiliary) + KL + 0.5·KL(own)."""
    logits = ClipLogits(logits_of(0.5), logits_of(0.25), logits_of(0.125))
    teacher = TeacherLogits(logits_of(0.9), logits_of(0.8))
    terms = Objective(weights=Weights(), cross_entropy=CrossEntropy())(logits, labels_of(0), teacher)
    expected = {
        "cross_entropy": log(2),
        "own_cross_entropy": 0.5 * log(4),
        "auxiliary_cross_entropy": 0.1 * log(8),
        "distillation": 0.9 * log(0.9 / 0.5) + 0.1 * log(0.1 / 0.5),
        "own_distillation": 0.5 * (0.8 * log(0.8 / 0.25) + 0.2 * log(0.2 / 0.75)),
    }
    assert {name: value.item() for name, value in terms.items()} == pytest.approx(
        {**expected, "loss": sum(expected.values())}, rel=1e-5
    )


def test_terms_of_weight_0_are_not_computed():
    logits = ClipLogits(logits_of(0.5), logits_of(0.25), None)
    weights = Weights(own=0.0, beta=0.0, alpha=0.0, dice=2.0)
    terms = Objective(weights=weights, cross_entropy=CrossEntropy())(
        logits, labels_of(0), TeacherLogits(logits_of(0.9), None)
    )
    assert list(terms) == ["cross_entropy", "dice", "loss"]
