"""Tests for tdnet_train.clips.sensor."""

from __future__ import annotations

import numpy as np
import pytest
import torch

pytest.importorskip("kornia")

from tdnet_train.clips.sensor import Sensor, drawn_sensor, seen_by
from tdnet_train.clips.settings import ClipSettings


def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def flat(value: float, *, frames: int = 2) -> torch.Tensor:
    return torch.full((frames, 3, 9, 13), value)


def test_without_any_the_frames_are_the_same_and_chance_is_left_alone() -> None:
    drawn, untouched = rng(1), rng(1)
    sensor = drawn_sensor(drawn, ClipSettings())
    frames = flat(7.0)
    assert sensor == Sensor()
    assert seen_by(sensor, frames) is frames
    assert drawn.uniform() == untouched.uniform()


def test_light_goes_evenly_from_point_to_point_and_is_the_same_in_all_frames() -> None:
    light = np.ones((3, 4))
    light[0], light[2] = 2.0, 0.5
    found = seen_by(Sensor(light=light), flat(100.0))
    assert found.shape == (2, 3, 9, 13)
    torch.testing.assert_close(found[0], found[1])
    rows = found[0, 0, :, 5]
    torch.testing.assert_close(rows[[0, 2, 4, 6, 8]], torch.tensor([200.0, 150.0, 100.0, 75.0, 50.0]))


def test_blur_keeps_the_light_and_spreads_a_point_as_a_gaussian_does() -> None:
    frames = torch.zeros(1, 3, 21, 21)
    frames[:, :, 10, 10] = 100.0
    found = seen_by(Sensor(blur_px=1.0), frames)
    assert found.sum() == pytest.approx(300.0, rel=1e-4)
    middle, beside = found[0, 0, 10, 10], found[0, 0, 10, 11]
    assert beside / middle == pytest.approx(np.exp(-0.5), rel=1e-4)
    torch.testing.assert_close(seen_by(Sensor(blur_px=3.0), flat(42.0)), flat(42.0))


def test_noise_is_as_strong_as_it_says_another_one_in_each_frame_and_follows_its_seed() -> None:
    frames = torch.full((2, 3, 80, 90), 100.0)
    found = seen_by(Sensor(noise=6.0, seed=3), frames)
    assert found.std() == pytest.approx(6.0, rel=0.02)
    assert found.mean() == pytest.approx(100.0, abs=0.2)
    assert not torch.equal(found[0], found[1])
    assert torch.equal(found, seen_by(Sensor(noise=6.0, seed=3), frames))
    assert not torch.equal(found, seen_by(Sensor(noise=6.0, seed=4), frames))
    assert torch.equal(frames, torch.full((2, 3, 80, 90), 100.0))


def test_what_is_drawn_stays_within_its_limits_and_half_have_none() -> None:
    settings = ClipSettings(shading=1.0, blur_px=2.0, noise=8.0)
    found = [drawn_sensor(rng(seed), settings) for seed in range(300)]
    light = np.array([sensor.light for sensor in found])
    assert light.min() >= 0.5
    assert light.max() <= 2.0
    assert light.min() < 0.51
    assert light.max() > 1.96
    for values, most in (([s.blur_px for s in found], 2.0), ([s.noise for s in found], 8.0)):
        assert 0.97 * most < max(values) <= most
        assert 0.4 < np.mean(np.array(values) == 0) < 0.6
    assert len({sensor.seed for sensor in found}) == 300
