"""Crops, scales, sides, angles and colours, against hand-computed values, OpenCV and kornia's own functions."""

import numpy as np
import pytest

pytest.importorskip("cv2")
pytest.importorskip("torch")
pytest.importorskip("kornia")

import cv2
import torch
from kornia import enhance

from tdnet_models.preprocessing import IMAGENET, PRESETS
from tdnet_train.clips.colors import Factors, drawn_factors, normalised
from tdnet_train.clips.geometry import drawn_map, drawn_motion
from tdnet_train.clips.settings import ClipSettings
from tdnet_train.clips.warp import warped_frames, warped_labels

PLAIN = {"scale": (1.0, 1.0), "flip": 0.0, "brightness": 0.0, "contrast": 0.0, "saturation": 0.0}


def rng(seed=0):
    return np.random.default_rng(seed)


def picture(size_hw, seed=0):
    return rng(seed).integers(0, 256, (*size_hw, 3), np.uint8)


def drawn(seed=0, *, frame_hw, size_hw, **settings):
    return drawn_map(rng(seed), ClipSettings(**PLAIN | settings), frame_hw=frame_hw, size_hw=size_hw)


def warped(image, map_, size_hw):
    return warped_frames([image], [map_], size_hw=size_hw)[0].permute(1, 2, 0).numpy()


@pytest.mark.parametrize("frame_hw", [(24, 36), (48, 72), (30, 20), (17, 95)])
def test_without_chance_a_frame_is_what_the_robot_makes_of_it(frame_hw):
    size_hw = (24, 36)
    image, map_ = picture(frame_hw), drawn(frame_hw=frame_hw, size_hw=size_hw)
    expected = cv2.resize(image.astype(np.float32), size_hw[::-1], interpolation=cv2.INTER_LINEAR)
    np.testing.assert_allclose(warped(image, map_, size_hw), expected, atol=0.01)
    labels = image[..., 0] // 2
    nearest = cv2.resize(labels, size_hw[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
    found = warped_labels(labels, map_, size_hw=size_hw)
    assert found.dtype == torch.int64
    if all(side % 2 for side in frame_hw) or frame_hw == size_hw:  # else centres lie on edges between pixels
        np.testing.assert_array_equal(found.numpy(), nearest)
    assert set(found.unique().tolist()) <= set(labels.ravel().tolist())


def test_a_crop_at_scale_1_has_the_files_pixels():
    image, labels = picture((60, 80)), picture((60, 80), 1)[..., 0] % 11
    seen = set()
    for seed in range(20):
        map_ = drawn(seed, frame_hw=(60, 80), size_hw=(20, 30), base_hw=(60, 80))
        left, top = -map_[:2, 2].astype(int)
        assert 0 <= top <= 40
        assert 0 <= left <= 50
        crop = slice(top, top + 20), slice(left, left + 30)
        np.testing.assert_allclose(warped(image, map_, (20, 30)), image[crop], atol=0.02)
        np.testing.assert_array_equal(warped_labels(labels, map_, size_hw=(20, 30)), labels[crop])
        seen.add((top, left))
    assert len(seen) > 15
    assert abs(np.corrcoef(np.array(list(seen)).T)[0, 1]) < 0.5  # one is not drawn with the other


def test_what_is_too_small_is_padded_and_the_padding_ignored():
    labels = np.full((20, 30), 3, np.uint8)
    map_ = drawn(frame_hw=(20, 30), size_hw=(20, 30), scale=(0.5, 0.5))
    found = warped_labels(labels, map_, size_hw=(20, 30))
    assert (found == 3).sum() == 10 * 15
    assert (found == 255).sum() == 20 * 30 - 10 * 15
    image = warped(np.full((20, 30, 3), 90, np.uint8), map_, (20, 30))
    np.testing.assert_allclose(image, 90, atol=0.01)  # mirrored, not black


def test_sides_change_places_for_frames_and_labels_alike():
    image, labels = picture((20, 30)), picture((20, 30), 1)[..., 0] % 11
    map_ = drawn(frame_hw=(20, 30), size_hw=(20, 30), flip=1.0)
    np.testing.assert_allclose(warped(image, map_, (20, 30)), image[:, ::-1], atol=0.02)
    np.testing.assert_array_equal(warped_labels(labels, map_, size_hw=(20, 30)), labels[:, ::-1])
    flips = [drawn(seed, frame_hw=(20, 30), size_hw=(20, 30), flip=0.5)[0, 0] < 0 for seed in range(200)]
    assert 70 < sum(flips) < 130


def test_scales_are_chosen_from_a_list_or_a_range():
    size = {"frame_hw": (20, 30), "size_hw": (20, 30)}
    listed = {round(float(drawn(seed, scales=(0.5, 1.5, 2.0), **size)[0, 0]), 6) for seed in range(50)}
    assert listed == {0.5, 1.5, 2.0}
    found = [float(drawn(seed, scale=(0.75, 2.0), **size)[0, 0]) for seed in range(100)]
    assert 0.75 <= min(found) < 0.85
    assert 1.9 < max(found) <= 2.0


@pytest.mark.parametrize(("scale", "free"), [(2.0, 24), (0.5, -12)])
@pytest.mark.parametrize(("place_rows", "within"), [(1.0, 0.5), (0.25, 0.125), (0.0, 0.0)])
def test_crops_and_padding_stay_about_the_middle_row_as_told(scale, free, place_rows, within):
    """`free` of the frame's rows at that scale are cropped (or, negative, padded): half of them above without chance."""
    tops, lefts = np.array(
        [
            -drawn(seed, frame_hw=(24, 36), size_hw=(24, 36), scale=(scale, scale), place_rows=place_rows)[
                [1, 0], 2
            ]
            for seed in range(200)
        ]
    ).T
    assert np.abs(tops - free / 2).max() <= np.ceil(within * abs(free)), "to whole pixels"
    assert np.ptp(tops) >= 1.5 * within * abs(free)
    assert np.ptp(lefts) >= abs(free), "columns are anywhere, whatever rows are"


def test_angles_turn_about_the_middle():
    map_ = next(
        m
        for m in (drawn(seed, frame_hw=(41, 41), size_hw=(41, 41), rotate=30.0) for seed in range(50))
        if abs(np.degrees(np.arctan2(m[1, 0], m[0, 0]))) > 20
    )
    middle = np.array([20.5, 20.5, 1])
    np.testing.assert_allclose(map_ @ middle, middle)
    np.testing.assert_allclose(np.linalg.det(map_), 1)
    angles = [
        np.degrees(np.arctan2(*drawn(seed, frame_hw=(41, 41), size_hw=(41, 41), rotate=5.0)[1::-1, 0]))
        for seed in range(100)
    ]
    assert -5 <= min(angles) < -4
    assert 4 < max(angles) <= 5


def test_one_map_for_all_is_the_same_as_one_for_each():
    images = [picture((20, 30), seed) for seed in range(3)]
    map_ = drawn(3, frame_hw=(20, 30), size_hw=(24, 28), scale=(0.8, 1.5), rotate=9.0, flip=1.0)
    together = warped_frames(images, [map_] * 3, size_hw=(24, 28))
    apart = warped_frames(images, [map_, map_.copy(), map_.copy()], size_hw=(24, 28))
    torch.testing.assert_close(together, apart, atol=1e-3, rtol=0)


def test_a_simulated_camera_moves_steadily():
    settings = ClipSettings(simulate=True, simulate_shift=0.1, simulate_zoom=0.2)
    motion = drawn_motion(rng(4), settings)
    one, two = (motion.before(steps, frame_hw=(20, 30)) for steps in (1, 2))
    assert one[0, 0] == pytest.approx(two[0, 0] ** 0.5)
    middle = np.array([15.0, 10.0, 1])
    np.testing.assert_allclose((two @ middle - middle), 2 * (one @ middle - middle))
    np.testing.assert_allclose(motion.before(0, frame_hw=(20, 30)), np.eye(3), atol=1e-12)
    far = motion.before(3000, frame_hw=(20, 30))
    assert far[0, 0] in (pytest.approx(2), pytest.approx(0.5))
    assert np.abs(far @ middle - middle).max() <= 15
    for seed in range(50):
        shift = drawn_motion(rng(seed), settings).before(1, frame_hw=(20, 30)) @ middle - middle
        assert abs(shift[0]) <= 3
        assert abs(shift[1]) <= 2


def test_without_chance_colours_are_normalised_as_the_network_wants_them():
    frames = torch.from_numpy(picture((5, 7))).permute(2, 0, 1)[None].float()
    for preset in PRESETS.values():
        channels = frames if preset.color_order == "RGB" else frames.flip(1)
        mean, std = (torch.tensor(values)[:, None, None] for values in (preset.mean, preset.std))
        expected = (channels * preset.scale - mean) / std
        torch.testing.assert_close(normalised(frames, Factors(), preset), expected, atol=1e-5, rtol=1e-6)


@pytest.mark.parametrize("gains", [(1.0, 1.0, 1.0), (1.1, 0.95, 0.8)])
@pytest.mark.parametrize("factors", [(1.2, 0.8, 1.3), (0.7, 1.3, 0.6), (1.0, 1.0, 0.0), (1.0, 1.4, 1.0)])
def test_colours_are_kornias(factors, gains):
    """On greys and colours of the middle, of which nothing is cut off on the way."""
    frame = torch.from_numpy(picture((6, 8))).permute(2, 0, 1)[None].float() / 255 * 0.3 + 0.35
    brightness, contrast, saturation = factors
    expected = enhance.adjust_brightness_accumulative(frame * torch.tensor(gains)[:, None, None], brightness)
    expected = enhance.adjust_contrast_with_mean_subtraction(expected, contrast)
    expected = enhance.adjust_saturation_with_gray_subtraction(expected, saturation)
    found = normalised(frame * 255, Factors(*factors, gains), PRESETS["unit"])
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_colours_end_at_black_and_white():
    frames = torch.tensor([[0.0, 255.0], [128.0, 3.0]]).expand(1, 3, 2, 2)
    found = normalised(frames, Factors(1.9, 1.9), PRESETS["unit"])
    assert found.min() == 0
    assert found.max() == 1


def test_all_frames_of_a_clip_get_the_same_colours():
    frames = torch.from_numpy(np.stack([picture((6, 8), seed) // (1 + seed) for seed in range(2)]))
    frames = frames.permute(0, 3, 1, 2).float()
    twice = frames.repeat(2, 1, 1, 1)
    found = normalised(twice, Factors(1.1, 0.8, 1.2), IMAGENET)
    torch.testing.assert_close(found[:2], found[2:])
    # a grey of 100 in a dark frame comes out as one in a bright frame
    frames[:, :, 0, 0] = 100
    found = normalised(frames, Factors(1.1, 0.8, 1.2), IMAGENET)
    torch.testing.assert_close(found[0, :, 0, 0], found[1, :, 0, 0])


def test_factors_stay_within_their_limits():
    settings = ClipSettings(brightness=0.1, contrast=0.2, saturation=0.5, white_balance=0.3)
    found = [drawn_factors(rng(seed), settings) for seed in range(200)]
    off = np.abs(np.array([(*factors[:3], *factors.gains) for factors in found]) - 1)
    assert np.all(off <= [0.1, 0.2, 0.5, 0.3, 0.3, 0.3])
    assert np.all(off.max(0) > [0.09, 0.18, 0.45, 0.27, 0.27, 0.27])


def test_without_white_balance_the_other_factors_are_the_same():
    with_it, without = (drawn_factors(rng(3), ClipSettings(white_balance=share)) for share in (0.2, 0.0))
    assert with_it[:3] == without[:3]
    assert without.gains == (1.0, 1.0, 1.0)
