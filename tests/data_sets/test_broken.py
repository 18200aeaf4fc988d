"""Broken data sets: each is named in one line, with the file, before anything is trained."""

import cv2
import numpy as np
import pytest
from tests.data_sets.small import mask, picture, truth, write, write_folder

from tdnet_data.checking import check_dataset
from tdnet_data.opening import open_dataset
from tdnet_data.settings import DataSettings
from tdnet_runtime.errors import DataError, TdnetError

BROKEN = {}
"""By a name: what breaks the good data set and returns settings, and the message."""


def broken(message):
    def keep(function):
        BROKEN[function.__name__] = (function, message)
        return function

    return keep


def image(root, name="drive1_10"):
    return root / "images" / "train" / f"{name}.png"


def label(root, name="drive1_10"):
    return root / "labels" / "train" / f"{name}.png"


@broken(r"there is no such folder: '.*elsewhere'")
def no_folder(root):
    return {"root": str(root / "elsewhere")}


@broken(
    r"no images of its split 'train'; expected a folder 'images/train' or 'train/images'; there are 'validation'"
)
def no_such_split(root):
    (root / "images" / "train").rename(root / "images" / "validation")


@broken(r"no images \(.png, .*\) and no videos in '.*images/train'")
def no_images(root):
    for path in (root / "images" / "train").iterdir():
        path.rename(path.with_suffix(".gif"))


@broken(r"but no labels; expected a folder 'labels/train' or 'masks/train'")
def no_labels(root):
    (root / "labels").rename(root / "annotations")


@broken(
    r"no label image .* is called like a frame \('drive1_10_gt' and 'drive1_8', for instance\); label_suffix"
)
def labels_called_otherwise(root):
    for path in list((root / "labels" / "train").iterdir()):
        path.rename(path.with_stem(f"{path.stem}_gt"))


@broken(r"a label image has no frame of its name in '.*images/train': '.*labels/train/drive1_10.png'")
def missing_frame(root):
    image(root).unlink()


@broken(r"the label image is 24x31 \(height x width\), its frame 24x32; .*: '.*labels/train/drive1_10.png'")
def sizes_of_a_pair_differ(root):
    write(label(root), truth(0)[:, :31])


@broken(r"it is 12x16 \(height x width\), '.*drive2_1.png' of the same sequence 24x32; .*: '.*drive2_2.png'")
def sizes_in_a_sequence_differ(root):
    write(image(root, "drive2_2"), picture(0, (12, 16)))
    write(label(root, "drive2_2"), truth(0, (12, 16)))


@broken(r"7 \(8 pixels\), and 1 more, is no label; expected 0 to 2, 255: '.*labels/train/drive2_3.png'")
def label_out_of_range(root):
    labels = truth(5)
    labels[4, 4:12] = 7
    labels[5, 5] = 12
    write(label(root, "drive2_3"), labels)


@broken(r"it is uint8 \[24, 32, 3\], expected 8-bit grey, a class index in each pixel: '.*drive1_10.png'")
def colours_where_ids_belong(root):
    write(label(root), mask(truth(0)))


@broken(r"it is no readable image, expected 8-bit grey.*: '.*labels/train/drive1_10.png'")
def unreadable_label(root):
    label(root).write_bytes(label(root).read_bytes()[:40])


@broken(r"not an image, damaged or cut short: '.*images/train/drive1_10.png'")
def unreadable_frame(root):
    image(root).write_bytes(b"no image")


@broken(r"the file is empty \(0 bytes\): '.*images/train/drive1_9.png'")
def empty_file_of_an_unlabelled_frame(root):
    image(root, "drive1_9").write_bytes(b"")


@broken(r"damaged or cut short.*: '.*images/train/drive1_9.jpg'")
def cut_jpeg(root):
    image(root, "drive1_9").unlink()
    data = cv2.imencode(".jpg", picture(0))[1].tobytes()
    image(root, "drive1_9").with_suffix(".jpg").write_bytes(data[: len(data) // 2])


@broken(r"'drive1_9.jpg' and 'drive1_9.png' would both be 'drive1_9'; rename or remove one")
def two_frames_of_one_name(root):
    write(image(root, "drive1_9").with_suffix(".jpg"), picture(0))


@broken(r"No such file or directory; write one class a line, `name` or `name R G B`: '.*names.txt'")
def no_names(root):
    (root / "names.txt").unlink()


@broken(r"there are 0, expected 1 to 254, one a line: '.*names.txt'")
def empty_names(root):
    (root / "names.txt").write_text("# nothing\n\n")


@broken(r"the name 'road' is there more than once: '.*names.txt'")
def a_name_twice(root):
    (root / "names.txt").write_text("road\nsky\nroad\n")


@broken(r"the colour 1 2 3 is there more than once: '.*names.txt'")
def a_colour_twice(root):
    (root / "names.txt").write_text("road 1 2 3\nsky 3 2 1\ncar, 1, 2, 3\n")


@broken(r"line 2 \('sky'\) has the colour 1 2 300; each is 0 to 255: '.*names.txt'")
def a_colour_out_of_range(root):
    (root / "names.txt").write_text("road 1 2 3\nsky 1 2 300\ncar\n")


@broken(r"not UTF-8 text; write one class a line: '.*names.txt'")
def names_not_utf8(root):
    (root / "names.txt").write_bytes(b"stra\xdfe\nsky\ncar\n")


@broken(r"no pixel is 'tram' \(class 3\); name it in may_be_empty, or see whether map.*own train: 3 labelled")
def an_empty_class(root):
    (root / "names.txt").write_text("road\nsky\ncar\ntram\n")


@broken(r"no pixel is 'crack' \(class 1\); masks of 0 and 255 need map \(\"255\" = 1\), since 255 is ignored")
def masks_of_0_and_255(root):
    (root / "names.txt").write_text("wall\ncrack\n")
    for name in ("drive1_10", "drive2_2", "drive2_3"):
        write(label(root, name), np.where(truth(0) == 1, 255, 0).astype(np.uint8))


@broken(r"the colour 1 1 1 \(4 pixels\) is no class's; list it .*: '.*masks/train/drive2_2.png'")
def a_colour_of_no_class(root):
    write_folder(root, masks=True)
    colors = mask(truth(4), (0, 0, 142))
    colors[3, :4] = 1
    write(root / "masks" / "train" / "drive2_2.png", colors)
    write(root / "masks" / "train" / "drive1_10.png", mask(truth(4), (0, 0, 142)))
    return {"masks": "masks/train"}


@broken(r"its labels are colour masks, and the class 'sky' has no colour; write `name R G B`: '.*names.txt'")
def masks_without_colours(root):
    write_folder(root, masks=True, names="road 128 64 128\nsky\ncar 0 0 142\n")
    return {"masks": "masks/train"}


@broken(r"a label image has no confidence image of its name in 'sure': '.*drive2_2.png'")
def missing_confidence(root):
    write(root / "sure" / "drive1_10.png", truth(0))
    write(root / "sure" / "drive2_3.png", truth(0))
    return {"confidence": "sure", "min_confidence": 0.5}


@broken(r"the confidence is 24x30 \(height x width\), its label image is 24x32: '.*sure/drive1_10.png'")
def confidence_of_another_size(root):
    for name in ("drive1_10", "drive2_2", "drive2_3"):
        write(root / "sure" / f"{name}.png", truth(0)[:, :30])
    return {"confidence": "sure", "min_confidence": 0.5}


@broken(r"opening a data set: File name too long: '.*xxx'")
def a_name_that_no_folder_can_have(root):
    return {"images": "x" * 300}


@broken(r"No such file or directory: '.*drive1_9.png'")
def a_link_to_nothing(root):
    image(root, "drive1_9").unlink()
    image(root, "drive1_9").symlink_to(root / "gone.png")


@broken(r"min_confidence is 0.5, but confidence names no folder")
def confidence_without_images(root):
    return {"min_confidence": 0.5}


@broken(r"'.*walk/000001.png' and frame 1 of '.*walk.mkv' are both called 'walk/000001'; rename one of them")
def an_image_called_like_a_videos_frame(root):
    pytest.importorskip("av")
    from tests.runtime.media.conftest import encode_video

    write(root / "images" / "train" / "walk" / "000001.png", picture(0, (36, 52)))
    frames = [picture(index, (36, 52)) for index in range(3)]
    encode_video(root / "images" / "train" / "walk.mkv", frames, codec="ffv1")


@broken(r"the depth is stated to be 10 bits, but its samples have 8 bits: '.*drive1_8.png'")
def another_depth_than_stated(root):
    return {"bit_depth": 10}


@broken(r"2 \(240 pixels\) is no label; expected 0 to 1, 255: '.*drive1_10.png'")
def a_map_without_a_label(root):
    return {"map": {"0": "road", "1": "sky"}}


@broken(
    r"map sends label 1 to 'tram', which is no class; expected 0 to 2, 'ignore', or a name \(road, sky, car\)"
)
def a_map_to_no_class(root):
    return {"map": {"0": "road", "1": "tram"}}


@broken(r"map has the label '9{5000}'; expected a number from 0 to 255")
def a_map_from_an_endless_label(root):
    return {"map": {"9" * 5000: "road"}}


@broken(r"map has the label '1-3'; expected a number from 0 to 255")
def a_map_from_no_label(root):
    return {"map": {"1-3": "road"}}


@broken(r"line 2 names 'drive9_1.png', of which there is no image: '.*few.txt'")
def a_list_with_a_missing_frame(root):
    (root / "few.txt").write_text("drive1_10.png\ndrive9_1.png\n")
    return {"list_file": "few.txt"}


@broken(r"No such file or directory: '.*few.txt'")
def no_list(root):
    return {"list_file": "few.txt"}


@broken(r"labels and masks are both given; leave one of them out")
def labels_and_masks(root):
    return {"labels": "labels/train", "masks": "labels/train"}


@broken(r"ignore_colors does not go with label images, which it has")
def colours_for_label_images(root):
    return {"ignore_colors": ((0, 0, 0),)}


@pytest.mark.parametrize("case", BROKEN)
def test_it_is_named(case, tmp_path):
    damage, message = BROKEN[case]
    root = write_folder(tmp_path / "own")
    settings = DataSettings(**{"root": str(root)} | (damage(root) or {}))
    with pytest.raises(TdnetError, match=message) as caught:
        check_dataset(open_dataset(settings, "train"), reach=2).require()
    assert "\n" not in str(caught.value)


def test_there_are_25_and_more():
    assert len(BROKEN) >= 25


def test_the_data_set_they_are_made_from_is_whole(tmp_path):
    root = write_folder(tmp_path / "own")
    check_dataset(open_dataset(DataSettings(root=str(root)), "train"), reach=2).require()


def test_all_problems_are_named_at_once_but_not_thousands(tmp_path):
    root = write_folder(tmp_path / "own")
    for name in ("drive1_9", "drive2_2", "drive2_3"):
        image(root, name).write_bytes(b"")
    findings = check_dataset(open_dataset(DataSettings(root=str(root)), "train"), reach=2)
    assert [problem.rpartition("/")[2] for problem in findings.problems] == [
        "drive1_9.png'",
        "drive2_2.png'",
        "drive2_3.png'",
    ]
    with pytest.raises(DataError, match=r"drive1_9.png' \(and 2 more problems\)$"):
        findings.require()
    for number in range(40):
        write(image(root, f"x_{number}"), picture(0))
        write(label(root, f"x_{number}"), np.full((24, 32), 99, np.uint8))
    problems = check_dataset(open_dataset(DataSettings(root=str(root)), "train"), reach=2).problems
    assert len(problems) == 21
    assert problems[-1] == "there are 20 problems, so nobody looked for more"
