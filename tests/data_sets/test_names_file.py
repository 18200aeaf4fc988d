"""A user's file of class names."""

import pytest

from tdnet_data.names_file import read_names
from tdnet_runtime.errors import DataError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("road\nsky\n", [("road", None), ("sky", None)]),
        ("road 1 2 3\nsky 4 5 6", [("road", (1, 2, 3)), ("sky", (4, 5, 6))]),
        ("road,1,2,3\nsky , 4 , 5 , 6", [("road", (1, 2, 3)), ("sky", (4, 5, 6))]),
        (
            "  traffic light  9\t8 7 \n\n# a remark\n lane 2\n",
            [("traffic light", (9, 8, 7)), ("lane 2", None)],
        ),
        ("\ufeffStraße\r\nciel été\r\n", [("Straße", None), ("ciel été", None)]),
    ],
)
def test_names_and_colours(tmp_path, text, expected):
    path = tmp_path / "names.txt"
    path.write_bytes(text.encode())
    assert read_names(path) == expected


@pytest.mark.parametrize("text", ["\n".join(map(str, range(255))), "a\x07b", "a" * (1 << 20) + "\nb"])
def test_what_is_no_list_of_names(tmp_path, text):
    path = tmp_path / "names.txt"
    path.write_text(text)
    with pytest.raises(
        DataError, match=r"there are 255, expected 1 to 254|line 1 is 'a\\x07b'|larger than 1 MiB"
    ):
        read_names(path)
