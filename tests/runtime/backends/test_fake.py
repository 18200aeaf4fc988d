"""The fake's own switches; its law is tested in test_backends.py and ../test_stream.py."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tdnet_runtime.backends.fake import FakeBackend
from tdnet_runtime.bundle import Bundle
from tdnet_runtime.errors import BackendError
from tdnet_runtime.segmenter import Segmenter


@pytest.fixture
def segmenter(made_up_bundle: Path) -> Segmenter:
    with Segmenter.open(made_up_bundle, backend="fake") as segmenter:
        yield segmenter


def test_its_graphs_are_not_read(made_up_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Bundle, "read", lambda self, member: pytest.fail(f"{member} was read"))
    with Segmenter.open(made_up_bundle, backend="fake") as segmenter:
        segmenter.stream().close()


def test_labels_are_classes_of_the_bundle(segmenter: Segmenter) -> None:
    """Two classes: 1, then 2 + 1 = 3 mod 2, then 1 + 2 = 3 mod 2."""
    with segmenter.stream() as stream:
        labels = [stream.push(np.zeros((4, 8, 3), np.uint8)).labels for _ in range(3)]
    assert [np.unique(each).tolist() for each in labels] == [[1], [1], [1]]
    assert labels[0].max() < len(segmenter.manifest.classes)


def test_it_fails_once_where_it_is_told_to(segmenter: Segmenter) -> None:
    backend = segmenter.backend
    assert isinstance(backend, FakeBackend)
    backend.fail_at_call = 4  # the second frame's APM
    frame = np.zeros((4, 8, 3), np.uint8)
    with segmenter.stream() as stream:
        stream.push(frame)
        with pytest.raises(
            BackendError, match=r"the fake backend was told to fail at call 4 \(frame 1, path 2\)"
        ):
            stream.push(frame)
        stream.reset()
        stream.push(frame)
    assert backend.calls == 6
