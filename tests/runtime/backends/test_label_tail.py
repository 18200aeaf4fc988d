"""Labels from scores: those of the upsampled scores in double precision, on every way to them."""

from __future__ import annotations

import numpy as np
import pytest

from tdnet_runtime.backends import label_tail
from tdnet_runtime.backends.label_tail import LabelTail
from tdnet_runtime.manifest import TensorSpec

SIZES = [
    ((13, 25), (97, 193)),  # cells of 8x8 pixels, as the PSP networks have them
    ((12, 24), (90, 177)),  # of 7 or 8
    ((9, 7), (9, 7)),  # of one
    ((5, 4), (6, 30)),  # some of two rows
    ((1, 6), (20, 41)),  # one row of scores
    ((7, 1), (50, 3)),
    ((3, 3), (3, 1000)),  # one cell is more than a step, where steps are small
    ((1, 1), (1, 1)),
]


def upsampled(scores: np.ndarray, size_hw: tuple[int, int]) -> np.ndarray:
    """Bilinear with aligned corners, in float64: [K, H, W]."""
    result = scores.astype(np.float64)
    for axis, length in ((1, size_hw[0]), (2, size_hw[1])):
        at = np.linspace(0, scores.shape[axis] - 1, length)
        low = np.minimum(at.astype(int), max(scores.shape[axis] - 2, 0))
        shape = [1, 1, 1]
        shape[axis] = length
        share = (at - low).reshape(shape)
        high = np.minimum(low + 1, scores.shape[axis] - 1)
        result = result.take(low, axis) * (1 - share) + result.take(high, axis) * share
    return result


def labels_of(scores: np.ndarray, size_hw: tuple[int, int]) -> np.ndarray:
    """What a `LabelTail` makes of scores [K, h, w]."""
    tail = LabelTail(TensorSpec(name="scores", shape=(1, *scores.shape), dtype=str(scores.dtype)), size_hw)
    found = np.full((1, *size_hw), 255, np.uint8)
    tail.scores.load(np.zeros_like(scores)[None])
    tail.write(found)
    assert not found.any()  # ties are of the first class, and nothing of them is left for the next frame
    tail.scores.load(scores[None])
    tail.write(found)
    return found[0]


def random(seed: int, *shape: int) -> np.ndarray:
    """As an untrained network's: every class is somewhere."""
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def trained(seed: int, classes: int, h: int, w: int) -> np.ndarray:
    """As a trained network's: areas of one class, with slopes between them."""
    rough = random(seed, classes, h, w)
    smooth = sum(np.roll(rough, shift, axis=(1, 2)) for shift in ((0, 0), (1, 0), (0, 1), (2, 1), (1, 2)))
    return np.float32(4) * smooth + np.linspace(3, -3, classes, dtype=np.float32)[:, None, None]


@pytest.mark.parametrize("step", [60, 1 << 17], ids=["small steps", "large steps"])
@pytest.mark.parametrize(("coarse", "size"), SIZES)
@pytest.mark.parametrize("kind", [random, trained])
def test_labels_are_those_of_the_upsampled_scores(
    monkeypatch: pytest.MonkeyPatch,
    kind: object,
    coarse: tuple[int, int],
    size: tuple[int, int],
    step: int,
) -> None:
    monkeypatch.setattr(label_tail, "_STEP", step)
    for classes in (2, 5, 19):
        scores = kind(classes, classes, *coarse)  # type: ignore[operator]
        found, wanted = labels_of(scores, size), upsampled(scores, size)
        first, second = np.sort(wanted, axis=0)[:-3:-1]
        clear = first - second > 1e-5 * np.abs(wanted).max()
        assert np.array_equal(found[clear], wanted.argmax(axis=0)[clear])
        assert clear.mean() > 0.99
        best = np.take_along_axis(wanted, found[None].astype(int), axis=0)[0]
        assert (first - best).max() <= 1e-5 * np.abs(wanted).max()


def test_one_class_and_the_most_there_can_be() -> None:
    assert not labels_of(random(0, 1, 4, 5), (20, 30)).any()
    scores = random(0, 256, 4, 5)
    found = labels_of(scores, (4, 5))
    assert np.array_equal(found, scores.argmax(axis=0))
    scores[255] += 10
    assert (labels_of(scores, (20, 30)) == 255).all()


def test_of_equal_classes_the_first_one() -> None:
    scores = trained(3, 4, 9, 11)
    twice = np.concatenate([scores, scores])
    assert np.array_equal(labels_of(twice, (65, 81)), labels_of(scores, (65, 81)))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, np.float32(3e38)])
def test_scores_that_are_no_numbers_spoil_the_cells_around(
    value: float,
) -> None:
    """Without a warning, which is an error in tests; labels are classes in any case."""
    scores = trained(1, 5, 9, 9)
    whole = labels_of(scores, (65, 65))
    scores[2:4, 4, 4] = value
    found = labels_of(scores, (65, 65))
    assert found.max() < 5
    around = np.zeros((65, 65), bool)
    around[24:41, 24:41] = True
    assert np.array_equal(found[~around], whole[~around])
    assert labels_of(np.full_like(scores, value), (65, 65)).max() < 5


def test_a_cell_without_any_number_has_a_class() -> None:
    """Not what was in memory before."""
    scores = np.full((1, 2, 4, 4), np.inf, np.float32)
    scores[0, 0] = -np.inf
    scores[0, 0, 1, 1] = np.nan
    tail = LabelTail(TensorSpec(name="scores", shape=scores.shape, dtype="float32"), (25, 25))
    tail._scratch.found.fill(255)
    tail.scores.load(scores)
    labels = np.full((1, 25, 25), 255, np.uint8)
    tail.write(labels)
    assert labels.max() < 2


def test_half_precision() -> None:
    scores = trained(2, 5, 6, 7).astype(np.float16)
    assert np.array_equal(labels_of(scores, (41, 49)), labels_of(scores.astype(np.float32), (41, 49)))


def test_trained_networks_need_few_classes_of_few_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two or three of a mixed cell: what it costs would be in no test of labels."""
    compared: list[int] = []
    candidates = LabelTail._candidates

    def noted(self: LabelTail, corner: np.ndarray) -> np.ndarray:
        wanted = candidates(self, corner)
        compared.extend(wanted.sum(axis=0).tolist())
        return wanted

    monkeypatch.setattr(LabelTail, "_candidates", noted)
    scores = np.full((19, 20, 30), -5, np.float32)
    scores += random(0, 19, 20, 30)
    for index, start in enumerate((0, 7, 12, 21)):
        scores[3 * index, :, start : start + 9] += np.float32(15)
    labels_of(scores, (153, 233))
    assert len(compared) < 0.3 * 20 * 30
    assert np.mean(compared) < 3
