"""Names and colours of classes, and the lists of names that users write."""

import pytest

from tdnet_export.classes import class_specs
from tdnet_runtime.errors import CheckpointError, OptionError


def as_dict(specs):
    return {spec.name: spec.color for spec in specs}


def test_cityscapes_and_camvid_are_known_by_their_count():
    cityscapes = as_dict(class_specs(19, None))
    assert len(cityscapes) == 19
    assert list(cityscapes)[:2] == ["road", "sidewalk"]
    assert cityscapes["traffic light"] == (250, 170, 30)
    assert list(cityscapes)[-1] == "bicycle"
    camvid = as_dict(class_specs(11, None))
    order = [
        "sky",
        "building",
        "pole",
        "road",
        "pavement",
        "tree",
        "sign",
        "fence",
        "car",
        "pedestrian",
        "bicyclist",
    ]
    assert list(camvid) == order
    assert camvid["sky"] == (128, 128, 128)


@pytest.mark.parametrize("count", [2, 12, 256])
def test_others_are_numbered_in_distinct_colours(count):
    specs = class_specs(count, None)
    assert [spec.name for spec in specs] == [f"class{index}" for index in range(count)]
    assert len({spec.color for spec in specs}) == count
    assert specs == class_specs(count, None)


@pytest.mark.parametrize("count", [0, 257, 1000])
def test_labels_are_8_bit(count):
    with pytest.raises(CheckpointError, match=rf"has {count} classes; labels are 8-bit, so 1 to 256"):
        class_specs(count, None)


@pytest.mark.parametrize(
    ("text", "names", "color"),
    [
        ("road\nsky\n", ["road", "sky"], None),
        ("road 1 2 3\nsky 4 5 6", ["road", "sky"], (1, 2, 3)),
        ("road,1,2,3\nsky , 4 , 5 , 6", ["road", "sky"], (1, 2, 3)),
        ("  traffic light  9\t8 7 \n\n# a remark\n lane 2\n", ["traffic light", "lane 2"], (9, 8, 7)),
        ("\ufeffStraße\r\nciel été\r\n", ["Straße", "ciel été"], None),
        ("255 0 0\n1 2 3 4", ["255 0 0", "1"], None),
    ],
)
def test_a_users_list(text, names, color, tmp_path):
    path = tmp_path / "names.txt"
    path.write_bytes(text.encode())
    specs = class_specs(2, path)
    assert [spec.name for spec in specs] == names
    if color is not None:
        assert specs[0].color == color


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, {"background": (0, 0, 0), "foreground": None}),
        ("rail", {"background": (0, 0, 0), "rail": None}),
        ("rail 1 2 3", {"background": (0, 0, 0), "rail": (1, 2, 3)}),
        ("gravel 4 5 6\nrail 1 2 3", {"gravel": (4, 5, 6), "rail": (1, 2, 3)}),
    ],
)
def test_one_class_has_two_labels(text, expected, tmp_path):
    path = None
    if text is not None:
        path = tmp_path / "names.txt"
        path.write_text(text)
    found = as_dict(class_specs(1, path))
    assert list(found) == list(expected)
    assert all(color in (found[name], None) for name, color in expected.items())
    assert len(set(found.values())) == 2


@pytest.mark.parametrize("text", ["", "a\nb\nc\n", "background"])
def test_other_numbers_of_names_for_one_class_are_refused(text, tmp_path):
    path = tmp_path / "names.txt"
    path.write_text(text)
    with pytest.raises(
        OptionError, match=r"has 1 class \(name it, or the background and it\); write one name"
    ):
        class_specs(1, path)


BAD = {
    "too few": ("road\n", r"--names has 1 names, the checkpoint has 2 classes; write one name a line"),
    "too many": ("a\nb\nc\n", r"--names has 3 names, the checkpoint has 2 classes"),
    "empty": ("", r"--names has 0 names"),
    "remarks only": ("# a\n# b\n", r"--names has 0 names"),
    "twice": ("road\nroad\n", r"--names: the name 'road' is there more than once: '.*names.txt'"),
    "colour": ("road 1 2 256\nsky\n", r"--names: line 1 \('road'\) has the colour 1 2 256; each is 0 to 255"),
    "control characters": (
        "road\nsk\x07y\n",
        r"--names: line 2 is 'sk\\x07y'; expected `name` or `name R G B`",
    ),
    "not UTF-8": (b"stra\xdfe\nsky\n", r"--names: not UTF-8 text; write one class a line"),
    "large": (b"a" * (1 << 20) + b"\nb", r"--names: larger than 1 MiB"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_lists_are_refused(case, tmp_path):
    content, message = BAD[case]
    path = tmp_path / "names.txt"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(OptionError, match=message):
        class_specs(2, path)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "--names: No such file or directory; write one class a line.*absent"),
        (lambda path: path.mkdir(), "--names: Is a directory"),
    ],
    ids=["absent", "folder"],
)
def test_unreadable_lists_are_refused(make, message, tmp_path):
    path = tmp_path / "absent"
    make(path)
    with pytest.raises(OptionError, match=message):
        class_specs(2, path)
