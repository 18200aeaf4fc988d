from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.runtime.media import marks

from tdnet_bench.inputs.footage import SCENE_FRAMES, FileFootage, SceneFootage
from tdnet_runtime.errors import MediaError
from tdnet_runtime.media.orientation import Orientation
from tdnet_runtime.media.scene import render


def test_the_scene_runs_to_and_fro_without_a_jump() -> None:
    scene = SceneFootage(height=16, width=24, count=100)
    scene.render()
    frames = list(scene.frames(2 * SCENE_FRAMES))
    turn = SCENE_FRAMES - 1
    for index, t in ((0, 0), (1, 1), (turn, turn), (turn + 1, turn - 1), (2 * turn, 0), (2 * turn + 1, 1)):
        np.testing.assert_array_equal(frames[index].image, render(t, height=16, width=24))
    assert len({id(frame.image) for frame in frames}) == SCENE_FRAMES
    assert len({frame.name for frame in frames}) == 2 * SCENE_FRAMES


@pytest.mark.parametrize("count", [1, 2, 5])
def test_no_more_is_rendered_than_wanted(count: int) -> None:
    ticks: list[None] = []
    scene = SceneFootage(height=16, width=24, count=count)
    assert (scene.scenes, scene.size_hw) == (count, (16, 24))
    scene.render(tick=lambda: ticks.append(None))
    frames = list(scene.frames(7))
    assert len(ticks) == count
    assert len(frames) == 7
    assert frames[0].image.shape == (16, 24, 3)
    assert frames[0].image.dtype == np.uint8


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    cv2 = pytest.importorskip("cv2")
    for index in range(3):
        image = np.ascontiguousarray(render(index, height=32, width=48)[:, :, ::-1])
        assert cv2.imwrite(str(tmp_path / f"shot{index}.png"), image)
    return tmp_path


def test_frames_of_the_networks_size_are_not_touched(folder: Path) -> None:
    footage = FileFootage(folder, height=32, width=48)
    frames = list(footage.frames(2))
    assert [frame.name for frame in frames] == ["shot0", "shot1"]
    np.testing.assert_array_equal(frames[1].image, render(1, height=32, width=48))
    assert footage.description == f"{folder.name}, 32x48"


def test_other_frames_are_resized_bilinearly(folder: Path) -> None:
    import cv2

    footage = FileFootage(folder, height=16, width=20)
    frames = list(footage.frames(9))
    assert len(frames) == 3  # it ends where the folder does
    expected = cv2.resize(render(0, height=32, width=48), (20, 16), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_array_equal(frames[0].image, expected)
    assert frames[0].image.flags.c_contiguous
    assert footage.description == f"{folder.name}, 32x48, resized to 16x20 beforehand"
    assert footage.size_hw == (32, 48)


def test_the_file_itself_has_frames_of_their_own_size(folder: Path) -> None:
    footage = FileFootage(folder, height=16, width=20)
    for _ in range(2):  # anew with each call
        with footage.open() as source:
            assert [frame.image.shape for frame in source] == [(32, 48, 3)] * 3


def test_a_folder_without_images_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="no images"):
        FileFootage(tmp_path, height=16, width=20)


def test_a_folder_of_folders_is_one_sequence_after_the_other(tmp_path: Path) -> None:
    cv2 = pytest.importorskip("cv2")
    for drive, count in (("drive10", 2), ("drive9", 3), (".hidden", 1)):
        (tmp_path / drive).mkdir()
        for index in range(count):
            image = np.full((32, 48, 3), 10 * count + index, dtype=np.uint8)
            assert cv2.imwrite(str(tmp_path / drive / f"{index}.png"), image)
    (tmp_path / "notes").mkdir()  # without an image
    footage = FileFootage(tmp_path, height=32, width=48)
    found = [(frame.name, frame.place, int(frame.image[0, 0, 0])) for frame in footage.frames(9)]
    assert found == [
        ("drive9/0", 0, 30), ("drive9/1", 1, 31), ("drive9/2", 2, 32), ("drive10/0", 0, 20), ("drive10/1", 1, 21),
    ]  # fmt: skip
    assert footage.description == f"{tmp_path.name}, 2 sequences, 32x48"
    assert len(list(footage.frames(4))) == 4
    with footage.open() as source:
        assert source.frame_count == 3


def test_frames_stand_upright_and_say_how_they_are_stored(tmp_path: Path) -> None:
    for number in (1, 3, 6):
        image = np.ascontiguousarray(Orientation(number).inverse.apply(render(0, height=32, width=48)))
        (tmp_path / f"{number}.png").write_bytes(marks.png(image, marks.exif(number)))
    footage = FileFootage(tmp_path, height=32, width=48)
    frames = list(footage.frames(3))
    for frame in frames:
        np.testing.assert_array_equal(frame.image, render(0, height=32, width=48))
    assert [frame.stored_hw for frame in frames] == [None, None, (48, 32)]
    assert footage.size_hw == (32, 48)


def test_a_damaged_frame_is_never_left_out(folder: Path) -> None:
    """All runs are to have the same frames."""
    (folder / "shot1.png").write_bytes(b"damaged")
    with pytest.raises(MediaError, match=r"not an image, damaged or cut short: '.*shot1\.png'"):
        list(FileFootage(folder, height=32, width=48).frames(3))
