"""The test: a checkpoint becomes a bundle, the bundle segments, and the masks are the public code's."""

import numpy as np
import pytest

pytest.importorskip("torch")

from tdnet_runtime import Segmenter
from tdnet_runtime.media.scene import render


@pytest.mark.parametrize("name", ["td2-psp50", "td4-psp18", "td2-fa18", "psp101"])
def test_tiny_bundles_are_proven_and_run(name, tiny_bundle):
    with Segmenter.open(tiny_bundle(name)) as segmenter, segmenter.stream() as stream:
        height, width = segmenter.manifest.input.height, segmenter.manifest.input.width
        results = [stream.push(render(t, height=height, width=width)) for t in range(6)]
        paths = len(segmenter.manifest.paths)
        summary = segmenter.manifest.parity["fp32"]
    assert [r.path for r in results] == [t % paths + 1 for t in range(6)]
    assert [r.cold for r in results] == [t < paths - 1 for t in range(6)]
    assert summary.frames == 3 * paths + 2
    assert summary.worst_frame_agreement >= 0.999
    assert all(np.unique(r.labels).size > 1 for r in results)
