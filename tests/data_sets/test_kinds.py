"""Public data sets in the forms in which they are found."""

from collections import Counter
from itertools import chain
from pathlib import Path

import cv2
import numpy as np
import pytest
from tests.data_sets.small import picture, truth, write

from tdnet_data.checking import check_dataset
from tdnet_data.class_lists import CAMVID, CAMVID_COLORS, CITYSCAPES, CITYSCAPES_IDS, NYUDV2
from tdnet_data.kinds import KINDS
from tdnet_data.opening import open_dataset
from tdnet_data.settings import DataSettings
from tdnet_runtime.errors import DataError

CAMVID_HERE = Path(__file__).parents[3] / "shared" / "camvid"


def opened(kind, root, split="train", **settings):
    return open_dataset(DataSettings(kind=kind, root=str(root), **settings), split)


def frames(dataset):
    return {sequence.name: [frame.name for frame in sequence.frames] for sequence in dataset.sequences}


def first_labels(dataset):
    sequence, frame = dataset.labelled[0]
    return dataset.labels(dataset.sequences[sequence].frames[frame])


def test_class_lists():
    assert (len(CITYSCAPES), len(CAMVID), len(NYUDV2)) == (19, 11, 40)
    assert [names[i] for names, i in ((CITYSCAPES.names, 18), (CAMVID.names, 6), (NYUDV2.names, 39))] == [
        "bicycle",
        "sign",
        "otherprop",
    ]
    assert (CITYSCAPES.names[6], CITYSCAPES.colors[6]) == ("traffic light", (250, 170, 30))
    assert NYUDV2.colors[:3] == ((128, 0, 0), (0, 128, 0), (128, 128, 0))
    for classes in (CITYSCAPES, CAMVID, NYUDV2):
        assert len(set(classes.names)) == len(set(classes.colors)) == len(classes)


def test_the_32_colours_of_camvid_become_11_classes():
    assert len(CAMVID_COLORS) == 32
    assert Counter(CAMVID_COLORS.values()) == {
        0: 1, 1: 5, 2: 2, 3: 3, 4: 3, 5: 2, 6: 3, 7: 1, 8: 5, 9: 4, 10: 2, 255: 1,
    }  # fmt: skip
    # Of each class the colour that is its own in the 11, where CamVid's authors and SegNet's agree
    for index, color in enumerate(CAMVID.colors):
        if CAMVID.names[index] != "pavement":
            assert CAMVID_COLORS[color] == index


def test_the_34_ids_of_cityscapes_become_19():
    assert sorted(CITYSCAPES_IDS) == list(range(34))
    assert [CITYSCAPES_IDS[stored] for stored in (7, 8, 11, 17, 23, 24, 26, 33)] == [
        0,
        1,
        2,
        5,
        10,
        11,
        13,
        18,
    ]
    assert [CITYSCAPES_IDS[stored] for stored in (0, 4, 9, 14, 18, 29, 30)] == [255] * 7


def write_cityscapes(root, *, ids=True, clip=range(16, 20)):
    labels = truth(0, classes=3)
    if ids:
        labels = np.array([7, 8, 11] + [0] * 253, np.uint8)[labels]
    kind = "labelIds" if ids else "labelTrainIds"
    for city, number in (("aachen", "000000_000019"), ("bonn", "000012_000019")):
        write(root / "leftImg8bit" / "train" / city / f"{city}_{number}_leftImg8bit.png", picture(0))
        write(root / "gtFine" / "train" / city / f"{city}_{number}_gtFine_{kind}.png", labels)
        write(root / "gtFine" / "train" / city / f"{city}_{number}_gtFine_instanceIds.png", labels)
        for frame in clip:
            name = f"{city}_{number[:6]}_{frame:06d}_leftImg8bit.png"
            write(root / "leftImg8bit_sequence" / "train" / city / name, picture(frame))
    return root


@pytest.mark.parametrize("ids", [True, False])
def test_cityscapes(tmp_path, ids):
    dataset = opened("cityscapes", write_cityscapes(tmp_path, ids=ids))
    assert [len(sequence.frames) for sequence in dataset.sequences] == [4, 4]
    assert dataset.labelled == ((0, 3), (1, 3))
    assert dataset.sequences[0].name == "aachen/aachen_000000"
    np.testing.assert_array_equal(first_labels(dataset), truth(0))
    np.testing.assert_array_equal(dataset.image(dataset.sequences[1].frames[0]), picture(16))


@pytest.mark.parametrize(("clip", "single"), [((), None), (range(16, 20), True)])
def test_cityscapes_as_single_images(tmp_path, clip, single):
    dataset = opened("cityscapes", write_cityscapes(tmp_path, clip=clip), single_images=single)
    assert [len(sequence.frames) for sequence in dataset.sequences] == [1, 1]
    with pytest.raises(
        DataError, match="confidence does not go with Cityscapes' own folders; name images and"
    ):
        opened("cityscapes", tmp_path, confidence="sure")


def test_cityscapes_frames_with_other_labels(tmp_path):
    write_cityscapes(tmp_path)
    for city, number in (("aachen", "000000_000019"), ("bonn", "000012_000019")):
        write(tmp_path / "guessed" / city / f"{city}_{number}_leftImg8bit.png", truth(0))
    ids = {"0": "road", "1": "sidewalk", "2": "building"}
    dataset = opened("cityscapes", tmp_path, images="leftImg8bit/{split}", labels="guessed", map=ids)
    np.testing.assert_array_equal(first_labels(dataset), truth(0))


@pytest.mark.parametrize(
    ("clip", "missing"), [((16, 18, 19), "000017"), ((19,), "000018"), ((17, 18), "000019"), ((5,), "000006")]
)
def test_a_frame_missing_in_cityscapes_sequences_is_named(tmp_path, clip, missing):
    write_cityscapes(tmp_path, clip=clip)
    path = rf"leftImg8bit_sequence/train/aachen/aachen_000000_{missing}_leftImg8bit.png'"
    with pytest.raises(DataError, match=rf"a frame is missing of the clip whose last frame, .*{path}"):
        opened("cityscapes", tmp_path)


def test_a_label_missing_in_cityscapes_is_named(tmp_path):
    write_cityscapes(tmp_path)
    (tmp_path / "gtFine/train/bonn/bonn_000012_000019_gtFine_labelIds.png").unlink()
    with pytest.raises(
        DataError, match=r"no label image in '.*gtFine/train': .*bonn_000012_000019_leftImg8bit.png'"
    ):
        opened("cityscapes", tmp_path)


def test_camvid_by_its_raw_folders_is_split_as_segnet_did(tmp_path):
    names = {
        "train": ["0001TP_008520", "0006R0_f00930", "0016E5_07950", "0016E5_08190"],
        "val": ["0016E5_07959", "0016E5_07961", "0016E5_08159"],
        "test": ["0001TP_008550", "Seq05VD_f00000"],
    }
    colors = np.array(list(CAMVID_COLORS), np.uint8)[np.arange(24 * 32) % 32].reshape(24, 32, 3)
    for name in chain(*names.values()):
        write(tmp_path / "701_StillsRaw_full" / f"{name}.png", picture(0))
        write(tmp_path / "LabeledApproved_full" / f"{name}_L.png", colors)
    for split, expected in names.items():
        dataset = opened("camvid", tmp_path, split)
        assert sorted(chain(*frames(dataset).values())) == expected
        expected_ids = np.array(list(CAMVID_COLORS.values()))[np.arange(24 * 32) % 32].reshape(24, 32)
        np.testing.assert_array_equal(first_labels(dataset), expected_ids)


def test_masks_in_the_colours_of_the_kind(tmp_path):
    """The kind's own classes need no file; a file that is called like known ones does, as it is read."""
    write(tmp_path / "images" / "train" / "a.png", picture(0))
    labels = truth(0)
    write(tmp_path / "masks" / "train" / "a.png", np.array(CITYSCAPES.colors, np.uint8)[labels % 255])
    places = {"images": "images/{split}", "masks": "masks/{split}"}
    for names in (None, "cityscapes"):
        dataset = opened("cityscapes", tmp_path, names=names, **places)
        assert dataset.classes == CITYSCAPES
        np.testing.assert_array_equal(first_labels(dataset)[1:], labels[1:])
    (tmp_path / "cityscapes").write_text("road 128 64 128\ncar\n")
    with pytest.raises(DataError, match=r"the class 'car' has no colour; write `name R G B`: '.*cityscapes'"):
        opened("cityscapes", tmp_path, names="cityscapes", **places)


def test_camvid_with_masks_for_each_split(tmp_path):
    write(tmp_path / "val" / "0016E5_07959.png", picture(0))
    write(tmp_path / "val_labels" / "0016E5_07959_L.png", np.full((24, 32, 3), (128, 64, 128), np.uint8))
    assert (first_labels(opened("camvid", tmp_path, "val")) == 3).all()


def test_camvid_of_label_images(tmp_path):
    labels = truth(0, classes=11)
    labels[1] = 11
    write(tmp_path / "test" / "Seq05VD_f00000.jpg", picture(0))
    write(tmp_path / "testannot" / "Seq05VD_f00000.png", labels)
    np.testing.assert_array_equal(
        first_labels(opened("camvid", tmp_path, "test")), np.where(labels == 11, 255, labels)
    )


@pytest.mark.parametrize("form", ["folders", "rgb", "list"])
def test_nyudv2(tmp_path, form):
    labels = (np.arange(24 * 32) % 41).reshape(24, 32).astype(np.uint8)
    images, truths = {
        "folders": ("images/train", "labels/train"),
        "rgb": ("train/rgb", "train/labels_40"),
        "list": ("RGB", "Label"),
    }[form]
    for name in ("1", "2"):
        write(tmp_path / images / f"{name}.jpg", picture(0))
        write(tmp_path / truths / f"{name}.png", labels)
    (tmp_path / "train.txt").write_text("RGB/2.jpg Label/2.png\n")
    dataset = opened("nyudv2", tmp_path)
    assert len(dataset.sequences) == (1 if form == "list" else 2)
    np.testing.assert_array_equal(first_labels(dataset), np.where(labels == 0, 255, labels.astype(int) - 1))
    zero_based = np.where(labels == 40, 255, labels).astype(np.uint8)
    for name in ("1", "2"):
        write(tmp_path / truths / f"{name}.png", zero_based)
    np.testing.assert_array_equal(first_labels(opened("nyudv2", tmp_path, first_id=0)), zero_based)
    (problem,) = check_dataset(dataset).problems  # as though from 1 on
    assert "no pixel is 'otherprop' (class 39)" in problem


def test_what_the_user_says_goes_before_the_kind(tmp_path):
    write_cityscapes(tmp_path, clip=())
    ids = {str(i): "ignore" for i in range(34)} | {"7": "road", "8": "pavement", "11": "building"}
    dataset = opened("cityscapes", tmp_path, names="camvid", map=ids)
    assert dataset.classes == CAMVID
    expected = np.array([3, 4, 1] + [255] * 253)[truth(0)]
    np.testing.assert_array_equal(first_labels(dataset), expected)
    with pytest.raises(DataError, match="its ids stand for 19 classes, and there are 11 names; say with map"):
        opened("cityscapes", tmp_path, names="camvid")


def test_every_kind_has_a_layout():
    assert set(KINDS) == {"folder", "camvid", "cityscapes", "nyudv2"}
    assert all(kind.layouts for kind in KINDS.values())


@pytest.mark.skipif(not CAMVID_HERE.is_dir(), reason="CamVid lies beside the project only where it was put")
def test_camvid_here():
    counts = {split: len(opened("camvid", CAMVID_HERE, split).labelled) for split in ("train", "val", "test")}
    assert counts == {"train": 367, "val": 101, "test": 233}
    val = opened("camvid", CAMVID_HERE, "val")
    assert [len(sequence.frames) for sequence in val.sequences] == [101]
    stored = cv2.imread(str(CAMVID_HERE / "valannot" / "0016E5_07959.png"), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(first_labels(val), np.where(stored == 11, 255, stored))
    raw = KINDS["camvid"].layouts[2].holds
    names = {
        split: [path.stem for path in (CAMVID_HERE / split).iterdir()] for split in ("train", "val", "test")
    }
    assert all(raw(name, split) for split, those in names.items() for name in those)
