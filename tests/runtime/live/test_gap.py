import numpy as np
import pytest

from tdnet_runtime.errors import OptionError
from tdnet_runtime.live.gap import GapPolicy, SceneCuts
from tdnet_runtime.media.scene import render


def test_a_moving_scene_is_no_cut_and_another_picture_is():
    cuts = SceneCuts()
    assert not any(cuts.is_cut(render(t, height=96, width=160)) for t in range(12))
    assert cuts.is_cut(255 - render(12, height=96, width=160))


def test_exposure_and_noise_are_no_cut():
    noise = np.random.default_rng(0)
    scene = render(0, height=96, width=160).astype(int)
    cuts = SceneCuts()
    for gain in (1.0, 1.1, 1.2, 1.1, 1.0, 0.9):
        image = np.clip(scene * gain + noise.normal(0, 8, scene.shape), 0, 255).astype(np.uint8)
        assert not cuts.is_cut(image)


def test_pictures_smaller_than_its_grid():
    cuts = SceneCuts()
    assert not cuts.is_cut(np.zeros((1, 3, 3), np.uint8))
    assert cuts.is_cut(np.full((1, 3, 3), 255, np.uint8))


@pytest.mark.parametrize("after_ms", [0, -1, float("nan")])
def test_what_cannot_be_meant(after_ms):
    with pytest.raises(OptionError, match="expected more than 0, or None"):
        GapPolicy(after_ms=after_ms)
