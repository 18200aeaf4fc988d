from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from tdnet_eval.network_stream import NetworkStream
from tdnet_models import load_checkpoint
from tdnet_runtime import FrameError, Segmenter
from tdnet_runtime.media.scene import render


@pytest.mark.parametrize("name", ["td4-psp18", "psp101"])
def test_it_gives_what_the_runtime_gives(
    name: str, tiny_bundle: Callable[[str], Path], tiny_checkpoint: Callable[[str], Path]
) -> None:
    """Labels of a frame of another size, path and cold; after a reset as well."""
    with Segmenter.open(tiny_bundle(name), backend="onnxruntime") as segmenter, segmenter.stream() as stream:
        spec = segmenter.manifest.input
        network = load_checkpoint(tiny_checkpoint(name), size=(spec.height, spec.width))
        with NetworkStream(network, memory_stride=segmenter.manifest.state.stride) as ours:
            for t in (0, 1, 2, 3, 4, None, 5):
                if t is None:
                    stream.reset()
                    ours.reset()
                    continue
                frame = render(t, height=60, width=84)
                found, expected = ours.push(frame), stream.push(frame)
                assert (found.path, found.cold) == (expected.path, expected.cold)
                assert found.labels.shape == (60, 84)
                assert (found.labels == expected.labels).mean() > 0.999  # ties of untrained weights
            kept = found.labels.copy()
            ours.push(render(9, height=60, width=84))
            np.testing.assert_array_equal(found.labels, kept)


def test_what_is_no_frame_is_refused(tiny_checkpoint: Callable[[str], Path]) -> None:
    stream = NetworkStream(load_checkpoint(tiny_checkpoint("td2-fa18")))
    with pytest.raises(FrameError, match=r"shape \[4, 4\]; expected \[H, W, 3\], RGB"):
        stream.push(np.zeros((4, 4), dtype=np.uint8))
