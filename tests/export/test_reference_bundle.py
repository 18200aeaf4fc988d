"""The exported bundle on ONNX Runtime gives the masks of the public code.

The closed-loop proof has its own tests, so it is cut here to the frames that reach every path once warm or
cold: it would take longer than the comparison.
"""

import logging

import pytest
from tests.conftest import SMALL_SIZE, small_reference, small_state
from tests.models.conftest import (
    FULL_SIZE,
    NETWORKS,
    OTHER_SIZED,
    OTHER_SIZES,
    full_size_reference,
    full_size_state,
    other_size_reference,
)

from tdnet_export import pipeline
from tdnet_export.options import ExportOptions
from tdnet_export.pipeline import bundle_from_checkpoint
from tdnet_runtime import Bundle, Segmenter
from tdnet_runtime.media.scene import render

pytestmark = pytest.mark.usefixtures("all_threads")


@pytest.fixture
def exported(saved, tmp_path, monkeypatch):
    """exported(state, size, **options): its bundle, removed after the test (the largest have 300 MB)."""
    monkeypatch.setattr(pipeline, "required_frames", lambda paths: paths)
    out = tmp_path / "net.plan"

    def export(state, size, **options):
        checkpoint = saved(state)
        bundle_from_checkpoint(ExportOptions(checkpoint=checkpoint, out=out, size_hw=size, **options))
        checkpoint.unlink()
        return out

    yield export
    out.unlink(missing_ok=True)


def agreements(bundle, frames, expected):
    """Share of labels equal to the public code's, frame by frame."""
    with Segmenter.open(bundle, backend="onnxruntime") as segmenter, segmenter.stream() as stream:
        assert not segmenter.manifest.size_resampled
        return [
            float((stream.push(frame).labels == labels).mean())
            for frame, labels in zip(frames, expected, strict=True)
        ]


@pytest.mark.reference
@pytest.mark.reference
@pytest.mark.parametrize("name", NETWORKS)
def test_small_size_is_the_public_codes(name, exported):
    expected = small_reference(name)["labels"]
    height, width = SMALL_SIZE[name]
    frames = [render(t, height=height, width=width) for t in range(len(expected))]
    bundle = exported(small_state(name), SMALL_SIZE[name])
    found = agreements(bundle, frames, expected)
    assert len(found) == (1 if name == "psp101" else 11)
    assert min(found) >= 0.999, found
    if name != "psp101":  # a frame is lost: the paths run on, and the masks are no longer the public code's
        out_of_step = agreements(bundle, frames[:1] + frames[2:4], expected[[0, 2, 3]])
        assert out_of_step[0] >= 0.999
        assert max(out_of_step[1:]) < 0.999


@pytest.mark.parametrize(
    ("name", "size"),
    [
        pytest.param(name, size, marks=[] if (name, size) == ("td4-psp18", (200, 383)) else pytest.mark.slow)
        for name in OTHER_SIZED
        for size in OTHER_SIZES
    ],
    ids=str,
)
def test_other_sizes_are_the_public_codes(name, size, exported):
    """And the FP16 graphs hold their bounds, which are those of every size."""
    reference = other_size_reference(name, size)
    bundle = exported(small_state(name, size), size, precisions=("fp32", "fp16"))
    found = agreements(bundle, reference["frames"], reference["labels"])
    assert min(found) >= 0.999, found
    with Bundle.open(bundle) as opened:
        assert list(opened.manifest.parity) == ["fp32", "fp16"]


@pytest.mark.slow
@pytest.mark.full_size
@pytest.mark.parametrize("name", NETWORKS)
def test_full_size_is_the_public_codes(name, exported):
    reference = full_size_reference(name)
    bundle = exported(full_size_state(name), FULL_SIZE[name])
    found = agreements(bundle, reference["frames"], reference["labels"])
    logging.getLogger(__name__).info("%s: %s", name, found)
    assert min(found) >= 0.999, found
