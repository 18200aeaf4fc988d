from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.benchmarks.fakes import Array, FakeClock, FakeSide

from tdnet_bench.quality.features import FeatureErrors, feature_errors, relative_error
from tdnet_bench.sides.bundle_side import BundleSide
from tdnet_runtime import Segmenter, Stream
from tdnet_runtime.media.scene import render


def test_the_error_is_relative_to_what_varies() -> None:
    expected = np.array(
        [[10.0, 14.0], [10.0, 14.0]], dtype=np.float32
    )  # off its mean by 2 everywhere: norm 4
    values = expected + np.array([[0.0, 2.0], [0.0, 0.0]], dtype=np.float32)
    assert relative_error(values, expected) == pytest.approx(2 / 4)
    assert relative_error(expected, expected) == 0.0


def test_the_worst_path_counts() -> None:
    assert FeatureErrors(reference="a", by_path=(0.01, 0.03, 0.02)).worst == 0.03


@pytest.fixture
def segmenter(tiny_bundle: Callable[[str], Path]) -> Iterator[Segmenter]:
    pytest.importorskip("onnxruntime")
    with Segmenter.open(tiny_bundle("td2-psp50"), backend="onnxruntime") as opened:
        yield opened


def _images(segmenter: Segmenter, count: int) -> list[Array]:
    size = segmenter.manifest.input
    return [render(t, height=size.height, width=size.width) for t in range(count)]


def test_the_first_side_in_fp32_is_what_the_others_are_compared_with(segmenter: Segmenter) -> None:
    reference, side = BundleSide(segmenter), BundleSide(segmenter)
    side.name = "twin"
    sides = [FakeSide("pytorch", FakeClock(), [1]), reference, side]
    found = feature_errors(sides, _images(segmenter, 4))
    assert found == {"twin": FeatureErrors(reference="onnxruntime:fp32", by_path=(0.0, 0.0))}


def test_each_path_is_compared_on_a_frame_of_its_own(
    segmenter: Segmenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    pushed: list[Array] = []
    push = Stream.push

    def noted(stream: Stream, frame: Array) -> object:
        pushed.append(frame)
        return push(stream, frame)

    value = Stream.tensor
    streams: list[Stream] = []

    def doctored(stream: Stream, name: str) -> Array:
        assert name == "value"
        streams.append(stream)
        # The second side's second path: all features twice as large.
        return value(stream, name) * (2 if len(streams) == 4 else 1)

    monkeypatch.setattr(Stream, "push", noted)
    monkeypatch.setattr(Stream, "tensor", doctored)
    reference, side = BundleSide(segmenter), BundleSide(segmenter)
    side.name = "twin"
    images = _images(segmenter, 4)
    first, second = feature_errors([reference, side], images)["twin"].by_path
    assert first == 0.0
    assert second >= 1.0  # the mean is left out of the norm below, not above
    assert [id(frame) for frame in pushed] == [id(images[place]) for place in (0, 1, 0, 1)]


def test_nothing_is_compared_without_another_side_or_fp32(segmenter: Segmenter) -> None:
    assert feature_errors([BundleSide(segmenter)], []) == {}
    assert feature_errors([FakeSide("pytorch", FakeClock(), [1])], []) == {}
