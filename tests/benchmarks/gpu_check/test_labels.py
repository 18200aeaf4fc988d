"""Labels that are written, and compared."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tdnet_bench.gpu_check.labels import agreement, shares_of_equal_labels, write_labels
from tdnet_runtime.errors import BackendError

FRAMES = [np.full((4, 25, 3), value, np.uint8) for value in (1, 2, 3)]


def test_written_labels_are_copies(tmp_path: Path) -> None:
    reused = np.zeros((4, 25), np.uint8)

    def push(frame: np.ndarray) -> np.ndarray:
        reused[...] = frame[..., 0]
        return reused

    assert write_labels(push, FRAMES, tmp_path, "l") == {"frames": 3, "largest_label": 3}
    assert [int(frame.max()) for frame in np.load(tmp_path / "l.npy")] == [1, 2, 3]


@pytest.mark.parametrize("wrong", [np.zeros((4, 25), np.int64), np.zeros((25, 4), np.uint8)])
def test_other_labels_are_refused(tmp_path: Path, wrong: np.ndarray) -> None:
    with pytest.raises(BackendError, match=r"expected uint8 \[4, 25\]"):
        write_labels(lambda frame: wrong, FRAMES, tmp_path, "l")


def verdict(ours: np.ndarray, theirs: np.ndarray) -> tuple[tuple[float, ...], bool]:
    found = agreement(ours, theirs, bundle="b", side="s", reference="fp32", classes=5)
    assert found is not None
    return found.frames, found.correct


def test_agreement() -> None:
    theirs = np.zeros((3, 10, 10), np.uint8)
    ours = theirs[:2].copy()
    ours[1, 0, :4] = 1
    assert verdict(ours, theirs) == ((1.0, 0.96), True)
    ours[1, 1, 0] = 1
    assert verdict(ours, theirs) == ((1.0, 0.95), False)
    ours[...] = 0
    ours[0, 0, 0] = 5  # no class
    assert verdict(ours, theirs) == ((0.99, 1.0), False)
    assert agreement(ours[:0], theirs, bundle="b", side="s", reference="fp32", classes=5) is None
    assert shares_of_equal_labels(ours, theirs[:1]) == (0.99,)
