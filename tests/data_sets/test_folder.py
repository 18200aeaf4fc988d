"""The folder convention: frames, sequences, label images, masks, confidences, maps."""

import os

import msgspec
import numpy as np
import pytest
from tests.data_sets.small import COLORS, LABELLED, mask, picture, truth, write, write_folder

pytest.importorskip("cv2")

from tdnet_data.checking import check_apart, check_dataset
from tdnet_data.mixture import open_mixture
from tdnet_data.opening import open_dataset
from tdnet_data.settings import DataSettings
from tdnet_runtime.errors import DataError


def opened(root, split="train", **settings):
    return open_dataset(DataSettings(root=str(root), **settings), split)


def names(dataset):
    return {sequence.name: [frame.name for frame in sequence.frames] for sequence in dataset.sequences}


def labelled(dataset):
    return [dataset.sequences[s].frames[f] for s, f in dataset.labelled]


@pytest.fixture
def folder(tmp_path):
    return write_folder(tmp_path / "own")


def test_clips_by_name_in_natural_order(folder):
    dataset = opened(folder)
    assert names(dataset) == {
        "drive1": ["drive1_8", "drive1_9", "drive1_10"],
        "drive2": ["drive2_1", "drive2_2", "drive2_3"],
    }
    assert [frame.name for frame in labelled(dataset)] == list(LABELLED)
    assert dataset.classes.names == ("road", "sky", "car")
    assert dataset.classes.colors == COLORS
    assert dataset.description == "own train: 3 labelled of 6 frames in 2 sequences"


def test_pixels_and_labels_are_the_files_own(folder):
    dataset = opened(folder)
    for seed, frame in zip((2, 4, 5), labelled(dataset), strict=True):
        np.testing.assert_array_equal(dataset.image(frame), picture(seed))
        np.testing.assert_array_equal(dataset.labels(frame), truth(seed))
    unlabelled = dataset.sequences[0].frames[0]
    with pytest.raises(ValueError, match="'drive1_8' has no labels"):
        dataset.labels(unlabelled)


def test_the_frames_of_clips(folder):
    dataset = opened(folder)
    found = {reach: [frame.name for frame in dataset.clip_frames(reach)] for reach in (0, 1, 5)}
    assert found == {
        0: list(LABELLED),
        1: ["drive1_9", "drive1_10", "drive2_1", "drive2_2", "drive2_3"],
        5: ["drive1_8", "drive1_9", "drive1_10", "drive2_1", "drive2_2", "drive2_3"],
    }


def test_the_other_layout_and_sub_folders(tmp_path):
    for clip, seed in (("b", 1), ("a", 2)):
        for number in ("9", "10"):
            write(tmp_path / "val" / "images" / clip / f"{number}.png", picture(seed))
        write(tmp_path / "val" / "labels" / clip / "10.png", truth(seed))
    (tmp_path / "names.txt").write_text("road\nsky\ncar")
    dataset = opened(tmp_path, "val")
    assert names(dataset) == {"a": ["a/9", "a/10"], "b": ["b/9", "b/10"]}
    assert dataset.labelled == ((0, 1), (1, 1))
    assert len(set(dataset.classes.colors)) == 3


def test_a_jump_in_the_numbers_begins_another_sequence(tmp_path):
    for number in (10, 20, 30, 70, 80):
        write(tmp_path / "images" / "train" / f"f{number:03d}.png", picture(0))
    write(tmp_path / "labels" / "train" / "f080.png", truth(0))
    (tmp_path / "names.txt").write_text("road\nsky\ncar")
    assert names(opened(tmp_path)) == {"f@f010": ["f010", "f020", "f030"], "f@f070": ["f070", "f080"]}


def test_single_images_follow_no_other(folder):
    dataset = opened(folder, single_images=True)
    assert all(len(sequence.frames) == 1 for sequence in dataset.sequences)
    assert [frame.name for frame in dataset.clip_frames(3)] == list(LABELLED)


@pytest.mark.parametrize(("single", "count"), [(("train",), 6), (("val",), 2), ((), 2)])
def test_some_splits_may_be_single_images(folder, single, count):
    assert len(opened(folder, single_images=single).sequences) == count


def test_frames_and_labels_in_one_folder(tmp_path):
    for name in ("a_1", "a_2"):
        write(tmp_path / "train" / f"{name}.jpg", picture(0))
    write(tmp_path / "train" / "a_2_mask.png", truth(0))
    (tmp_path / "names.txt").write_text("road\nsky\ncar")
    dataset = opened(tmp_path, images="{split}", labels="{split}", label_suffix="_mask")
    assert names(dataset) == {"a": ["a_1", "a_2"]}
    assert dataset.labelled == ((0, 1),)


def test_names_without_a_number_are_single_images(tmp_path):
    for name in ("kitchen", "hall", "1403636579.763555", "1403636579.813555", "1403636580.013"):
        write(tmp_path / "images" / "train" / f"{name}.jpg", picture(0))
    write(tmp_path / "labels" / "train" / "hall.png", truth(0))
    (tmp_path / "names.txt").write_text("road\nsky\ncar")
    found = names(opened(tmp_path))
    assert found["hall"] == ["hall"]
    assert found["kitchen"] == ["kitchen"]
    assert ["1403636579.763555", "1403636579.813555"] in found.values()


@pytest.mark.parametrize("void", [(0, 0, 0), (255, 255, 255)])
def test_colour_masks(tmp_path, void):
    root = write_folder(tmp_path / "own")
    for seed, name in ((2, "drive1_10"), (4, "drive2_2"), (5, "drive2_3")):
        write(root / "masks" / "train" / f"{name}.png", mask(truth(seed), void))
    dataset = opened(root, masks="masks/{split}", ignore_colors=(void,))
    for seed, frame in zip((2, 4, 5), labelled(dataset), strict=True):
        np.testing.assert_array_equal(dataset.labels(frame), truth(seed))
    with pytest.raises(DataError, match="both 'labels/train' and 'masks/train'; say which"):
        opened(root)


def test_a_map_gives_new_ids_by_number_and_name(folder):
    dataset = opened(folder, map={"0": "sky", "1": 0, "2": "ignore", "255": 2})
    frame = labelled(dataset)[0]
    table = np.full(256, 255)
    table[[0, 1, 255]] = 1, 0, 2
    np.testing.assert_array_equal(dataset.labels(frame), table[truth(2)])
    dataset = opened(folder, map={"0": "sky", "1": 0}, ignore_ids=(2,))
    table[255] = 255
    np.testing.assert_array_equal(dataset.labels(frame), table[truth(2)])


def test_ids_from_one_on_and_ignored_ids(folder):
    first = labelled(opened(folder))[0]
    from_one = opened(folder, first_id=1, names="cityscapes").labels(first)
    expected = np.array([255, 0, 1] + [255] * 253)[truth(2)]
    np.testing.assert_array_equal(from_one, expected)
    ignoring = opened(folder, ignore_ids=(2,)).labels(first)
    np.testing.assert_array_equal(ignoring, np.where(truth(2) == 2, 255, truth(2)))


def test_unsure_labels_are_ignored(folder):
    sure = np.full((24, 32), 128, np.uint8)
    sure[:, 16:] = 127
    for name in LABELLED:
        write(folder / "sure" / "train" / f"{name}.png", sure)
    frame_labels = {}
    for least in (0.0, 0.5, 0.6):
        dataset = opened(folder, confidence="sure/{split}", min_confidence=least)
        frame_labels[least] = dataset.labels(labelled(dataset)[0])
    expected = truth(2)
    np.testing.assert_array_equal(frame_labels[0.0], expected)
    expected[:, 16:] = 255
    np.testing.assert_array_equal(frame_labels[0.5], expected)
    assert (frame_labels[0.6] == 255).all()
    write(folder / "sure" / "train" / "drive1_10.png", np.full((24, 32), 51, np.uint8))
    for least, kept in ((0.2, True), (0.201, False)):  # 51 of 255 are 0.2
        dataset = opened(folder, confidence="sure/{split}", min_confidence=least)
        assert ((dataset.labels(labelled(dataset)[0]) != 255).any()) == kept


def test_frames_and_labels_are_brought_to_one_size(folder):
    write(folder / "labels" / "train" / "drive1_10.png", np.repeat(np.repeat(truth(2), 2, 0), 2, 1))
    dataset = opened(folder, size_hw=(24, 32))
    np.testing.assert_array_equal(dataset.labels(labelled(dataset)[0]), truth(2))
    write(folder / "labels" / "train" / "drive1_10.png", np.where(truth(2) == 2, 2, 0).astype(np.uint8))
    odd = opened(folder, size_hw=(17, 23))
    assert set(odd.labels(labelled(odd)[0]).ravel().tolist()) == {0, 2}  # no 1 between them
    half = opened(folder, size_hw=(12, 16))
    frame = labelled(half)[0]
    assert half.image(frame).shape == (12, 16, 3)
    # bilinear at half the size is the mean of four, rounded
    means = picture(2).reshape(12, 2, 16, 2, 3).mean((1, 3))
    assert np.abs(half.image(frame) - means).max() <= 0.5


def test_folders_are_looked_through_once_and_pipes_passed_over(folder):
    (folder / "images" / "train" / "again").symlink_to(folder / "images" / "train")
    os.mkfifo(folder / "images" / "train" / "pipe_1.png")
    (folder / "images" / "train" / ".hidden.png").write_bytes(b"")
    assert len(opened(folder).sequences) == 2
    with pytest.raises(DataError, match="the split's name is empty"):
        opened(folder, "")


def test_a_list_of_frames(folder):
    (folder / "few.txt").write_text("# a remark\n\n/data/images/train/drive2_1.png  x.png\ndrive2_2\n")
    dataset = opened(folder, list_file="few.txt")
    assert names(dataset) == {"drive2": ["drive2_1", "drive2_2"]}


def test_a_data_sets_own_names_of_splits_and_label_suffixes(tmp_path):
    root = write_folder(tmp_path, split="validation")
    for path in list((root / "labels" / "validation").iterdir()):
        path.rename(path.with_stem(f"{path.stem}_mask"))
    dataset = opened(root, "val", splits={"val": "validation"}, label_suffix="_mask")
    assert (dataset.split, len(dataset.labelled)) == ("val", 3)


def test_labels_of_all_splits_in_one_folder(folder):
    write(folder / "labels" / "train" / "other_1.png", truth(0))
    with pytest.raises(DataError, match="a label image has no frame of its name"):
        opened(folder, images="images/train", labels="labels/train")
    assert len(opened(folder, labels="labels/train").labelled) == 3  # images/{split} of labels that all share


def test_16_bit_frames_have_one_depth(folder):
    import cv2

    frames = [(picture(seed).astype(np.uint16) << 2) for seed in (2, 4)]
    frames[0][0, 0] = 1023
    for name, image in zip(("drive1_10", "drive2_2"), frames, strict=True):
        cv2.imwrite(str(folder / "images" / "train" / f"{name}.png"), image[..., ::-1])
    dataset = opened(folder)
    for frame, image in zip(labelled(dataset), frames, strict=False):
        assert np.abs(dataset.image(frame) - image * (255 / 1023)).max() <= 0.5


@pytest.mark.parametrize(
    ("others", "settings"), [("train", {}), ("day", {"splits": {"train": "day"}}), ("day", {})]
)
def test_16_bit_frames_have_one_depth_in_all_splits(others, settings, tmp_path):
    """A dark split is read as the bright one is: those of usual names, of `splits`, and those that are used together."""
    import cv2

    bright, dark = (picture(seed).astype(np.uint16) << 4 >> shift for seed, shift in ((1, 0), (2, 3)))
    for split, image in ((others, bright), ("val", dark)):
        write_folder(tmp_path, split=split)
        for path in (tmp_path / "images" / split).iterdir():
            cv2.imwrite(str(path), image[..., ::-1])
    beside = ("day",) if others == "day" and not settings else ()
    dataset = open_dataset(
        DataSettings(root=str(tmp_path), **settings), "val", beside=(*beside, None, "", "no")
    )
    frame = dataset.sequences[0].frames[0]
    np.testing.assert_allclose(dataset.image(frame), dark * (255 / 4095), atol=0.51)


def test_mixing_needs_the_same_classes(tmp_path):
    first, second = write_folder(tmp_path / "a"), write_folder(tmp_path / "b", names="road\nsky\ntram\n")
    settings = tuple(DataSettings(root=str(root), weight=2.0) for root in (first, second))
    with pytest.raises(
        DataError, match="'b' has the classes road, sky, tram; expected those of 'a', road, sky"
    ):
        open_mixture(settings, "train")
    with pytest.raises(DataError, match="mixing data sets: there is none"):
        open_mixture((), "train")
    mixed = open_mixture((settings[0], settings[0]), "train")
    assert [weight for _, weight in mixed.parts] == [2.0, 2.0]
    findings = check_dataset(mixed)
    once = check_dataset(mixed.parts[0][0])
    assert (findings.pixels == 2 * once.pixels).all()
    assert findings.problems == once.problems == ()


def test_what_is_evaluated_is_not_trained_on(folder):
    train = opened(folder)
    write_folder(folder, split="val")
    check_apart(train, opened(folder, "val"))
    (folder.parent / "link").symlink_to(folder)
    other = opened(folder.parent / "link")
    with pytest.raises(
        DataError, match=r"a frame of 'train' of 'link' is trained on as well: '.*drive1_10.png'"
    ):
        check_apart(train, other)


def test_a_class_may_be_said_to_be_empty(tmp_path):
    root = write_folder(tmp_path / "own", names="road\nsky\ncar\ntram\n")
    assert "no pixel is 'tram' (class 3)" in check_dataset(opened(root)).problems[0]
    assert check_dataset(opened(root, may_be_empty=("tram",))).problems == ()
    (problem,) = check_dataset(opened(root, may_be_empty=("tramway",))).problems
    assert "may_be_empty has 'tramway', which is no class" in problem


def test_counts_and_notes(folder):
    findings = check_dataset(opened(folder), reach=2)
    expected = sum(np.bincount(truth(seed).ravel(), minlength=256)[:3] for seed in (2, 4, 5))
    assert findings.pixels.tolist() == expected.tolist()
    assert findings.ignored == 3
    assert findings.sizes_hw == ((24, 32),)
    (note,) = findings.notes
    assert "before 1 labelled frames there are fewer than 2 frames" in note
    assert check_dataset(opened(folder, single_images=True)).notes == ()


def test_frames_that_are_missing_by_their_numbers_are_noted(folder):
    (folder / "images" / "train" / "drive2_2.png").rename(folder / "images" / "train" / "drive1_12.png")
    (folder / "labels" / "train" / "drive2_2.png").unlink()
    write(folder / "images" / "train" / "drive1_17.png", picture(0))
    dataset = opened(folder)
    assert set(names(dataset)) == {"drive1@drive1_8", "drive1@drive1_17", "drive2"}
    note, *_ = check_dataset(dataset).notes
    assert note.endswith("between 'drive1_10' and 'drive1_12' are missing, and at 1 more places")


def test_settings_come_from_a_table():
    table = {"root": "x", "map": {"0": "road", "1": 3}, "size_hw": [360, 480], "ignore_colors": [[0, 0, 0]]}
    settings = msgspec.convert(table, DataSettings)
    assert settings.map == {"0": "road", "1": 3}
    with pytest.raises(msgspec.ValidationError, match="unknown field `rooot`"):
        msgspec.convert({"root": "x", "rooot": "y"}, DataSettings)
    for path in ("", "a\0b"):
        with pytest.raises(msgspec.ValidationError, match="matching regex"):
            msgspec.convert({"root": path}, DataSettings)
    with pytest.raises(msgspec.ValidationError, match=r"<= 1.0.*min_confidence"):
        msgspec.convert({"root": "x", "min_confidence": 50}, DataSettings)
