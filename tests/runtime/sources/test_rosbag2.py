"""rosbag2 recordings: folders, their parts and lists, SQLite, compression; and bags of ROS 1."""

import os
import sqlite3

import numpy as np
import pytest
from tests.runtime.sources.logs import (
    IMAGE_TYPE,
    STEP,
    S,
    camera,
    images,
    picture,
    raw,
    write_db3,
    write_mcap,
)

from tdnet_runtime.errors import MediaError
from tdnet_runtime.sources.registry import open_source

METADATA = """rosbag2_bagfile_information:
  version: 9
  storage_identifier: mcap
  relative_file_paths:
{paths}
  duration:
    nanoseconds: 1
"""


def read(spec):
    with open_source(spec) as source:
        return [round((frame.stamp_ns - S) / STEP) for frame in source], source


def part(first, count=3):
    return {"/cam": (IMAGE_TYPE, "cdr", images(count, first=first))}


@pytest.fixture
def folder(tmp_path):
    """make(names, listed=None): parts of three frames each, in this order, and perhaps a list of names."""

    def make(names, *, listed=None):
        path = tmp_path / "drive"
        path.mkdir()
        for index, name in enumerate(names):
            write = write_db3 if name.endswith("db3") else write_mcap
            write(path / name, part(3 * index))
        if listed is not None:
            items = "\n".join(f"    - {name}" for name in listed)
            (path / "metadata.yaml").write_text(METADATA.format(paths=items))
        return path

    return make


NAMES = ["d_2.mcap", "d_9.mcap", "d_10.mcap"]


@pytest.mark.parametrize(
    "listed", [None, NAMES, NAMES[:1], [f"drive/{name}" for name in NAMES], ["'d_2.mcap'"], []]
)
def test_parts_in_order(folder, listed):
    frames, source = read(folder(NAMES, listed=listed))
    assert frames == list(range(9))
    assert source.facts["parts"] == 3
    assert "warning" not in source.facts


def test_the_list_is_not_needed_for_the_order_of_time(folder):
    assert read(folder(NAMES, listed=NAMES[::-1]))[0] == list(range(9))


def test_names_with_other_digits_than_ours(folder):
    assert read(folder(["d_²_1.mcap", "d_²_٣.mcap", "d_10.mcap"]))[0] == list(range(9))


def test_parts_in_sqlite_and_both_ways_of_naming(folder):
    path = folder(["d_0.db3", "d_1.db3"], listed=["d_0.db3", "d_1.db3"])
    frames, source = read(f"rosbag2:{path}?topic=/cam")
    assert frames == list(range(6))
    assert source.facts["reader"].startswith("SQLite")


def test_parts_that_are_missing_are_told_of(folder):
    frames, source = read(folder(NAMES[:2], listed=NAMES))
    assert frames == list(range(6))
    assert "1 of 3 parts are missing, 'd_10.mcap' for one" in source.facts["warning"]


def test_a_last_part_that_was_cut_short(folder):
    path = folder(NAMES)
    last = path / NAMES[-1]
    last.write_bytes(last.read_bytes()[: 2 * last.stat().st_size // 3])
    frames, source = read(path)
    assert frames[:7] == list(range(7))
    assert "cut short" in source.facts["warning"]
    last.write_bytes(b"")
    frames, source = read(path)
    assert frames == list(range(6))
    assert "'d_10.mcap' is empty" in source.facts["warning"]


def without_tables(path):
    """As a recorder leaves it that was killed while it opened the next part."""
    with sqlite3.connect(path) as file:
        file.execute("CREATE TABLE schema(schema_version INTEGER)")
    file.close()


@pytest.mark.parametrize(
    ("name", "spoil"),
    [
        ("d_10.mcap", lambda path: path.write_bytes(path.read_bytes()[:5])),
        ("d_10.db3", lambda path: path.write_bytes(path.read_bytes()[:100])),
        ("d_10.db3", lambda path: path.write_bytes(bytes(4096))),
        ("d_10.db3", without_tables),
    ],
)
def test_a_part_of_which_nothing_can_be_read(folder, name, spoil):
    path = folder([*NAMES[:2], name])
    (path / name).unlink() if spoil is without_tables else None
    spoil(path / name)
    frames, source = read(path)
    assert frames == list(range(6))
    assert f"'{name}' is damaged and left out" in source.facts["warning"]
    for whole in NAMES[:2]:
        (path / whole).unlink()
    with pytest.raises(MediaError, match=r"no rosbag2 that can be read|neither MCAP nor a rosbag2 file"):
        open_source(f"rosbag2:{path}")


def test_parts_that_overlap_give_each_message_once(tmp_path):
    for index, first in enumerate((0, 2, 4)):
        write_mcap(tmp_path / f"d_{index}.mcap", part(first, 4))
    frames, source = read(tmp_path)
    assert frames == list(range(8))
    assert source.facts["messages_held_twice"] == 4


def test_a_folder_without_parts(tmp_path):
    (tmp_path / "metadata.yaml").write_text(METADATA.format(paths="    - gone.mcap"))
    with pytest.raises(MediaError, match=r"no part of it \(.mcap, .db3\) is there"):
        open_source(tmp_path)


# SQLite


def test_a_file_alone(tmp_path):
    path = write_db3(tmp_path / "a.db3", camera())
    with open_source(path) as source:
        frames = list(source)
    np.testing.assert_array_equal(frames[4].image, picture(4))
    assert source.frame_count == 6


def test_rows_out_of_order(tmp_path):
    content = images()
    path = write_db3(
        tmp_path / "a.db3", {"/cam": (IMAGE_TYPE, "cdr", [content[i] for i in (2, 0, 1, 5, 4, 3)])}
    )
    assert read(path)[0] == list(range(6))


def test_a_name_with_characters_that_urls_use(tmp_path):
    assert read(write_db3(tmp_path / "a?b#c%41.db3", camera()))[0] == list(range(6))


def test_a_cut_file_gives_what_is_there(tmp_path):
    path = write_db3(tmp_path / "a.db3", part(0, 40))
    data = path.read_bytes()
    given = []
    for share in (0.4, 0.7, 0.9):
        path.write_bytes(data[: int(share * len(data)) // 4096 * 4096])
        frames, source = read(path)
        assert frames == list(range(len(frames)))
        assert "cut short or damaged" in source.facts["warning"]
        given.append(len(frames))
    assert given == sorted(given)
    assert given[0] > 10
    path.write_bytes(data[: 5 * 4096])
    with pytest.raises(
        MediaError, match=r"no picture in it that can be used; the log: cut short or damaged \("
    ):
        read(path)
    assert given[-1] > 30


@pytest.mark.parametrize("content", [None, "empty"])
def test_a_file_of_another_program(tmp_path, content):
    path = tmp_path / "a.db3"
    with sqlite3.connect(path) as file:
        file.execute("CREATE TABLE songs(id)")
    file.close()
    if content == "empty":
        path.write_bytes(b"")
    words = (
        "the file is empty"
        if content
        else r"an SQLite file, but no rosbag2 that can be read \(no such table: topics\)"
    )
    with pytest.raises(MediaError, match=words):
        open_source(path)


def test_rows_of_other_types(tmp_path):
    path = write_db3(tmp_path / "a.db3", camera())
    with sqlite3.connect(path) as file:
        file.execute("UPDATE messages SET data = 'text' WHERE id = 2")
        file.execute("UPDATE messages SET data = 7 WHERE id = 3")
    file.close()
    frames, source = read(path)
    assert frames == [0, 3, 4, 5]
    assert source.damage.skipped == 2


def test_nothing_is_written_beside(tmp_path):
    path = write_db3(tmp_path / "a.db3", camera())
    tmp_path.chmod(0o500)
    try:
        read(path)
        assert [item.name for item in tmp_path.iterdir()] == ["a.db3"]
    finally:
        tmp_path.chmod(0o700)


# Compression, and other formats


@pytest.mark.parametrize(
    ("name", "magic", "command"),
    [
        ("a.mcap.zstd", b"\x28\xb5\x2f\xfd", "zstd -d"),
        ("a.db3.zstd", b"\x28\xb5\x2f\xfd", "zstd -d"),
        ("a.mcap.lz4", b"\x04\x22\x4d\x18", "lz4 -d"),
    ],
)
def test_files_that_are_packed_as_a_whole_are_refused_with_the_command(tmp_path, name, magic, command):
    path = tmp_path / name
    path.write_bytes(magic + bytes(50))
    for spec in (path, tmp_path, f"mcap:{path}"):
        with pytest.raises(MediaError, match=f"compressed as a whole; unpack it first: {command} '.*{name}'"):
            open_source(spec)


def test_messages_that_are_packed(tmp_path):
    import zstandard

    content = [(time, zstandard.compress(data)) for time, data in images()]
    content[3] = (content[3][0], content[3][1][:40])
    frames, source = read(write_db3(tmp_path / "a.db3", {"/cam": (IMAGE_TYPE, "cdr", content)}))
    assert frames == [0, 1, 2, 4, 5]
    assert "it does not unpack" in source.damage.examples[0]


def test_a_bag_of_ros_1_is_refused_with_the_command(tmp_path):
    path = tmp_path / "an old.bag"
    path.write_bytes(b"#ROSBAG V2.0\n" + bytes(99))
    with pytest.raises(
        MediaError,
        match=r"a bag of ROS 1.*pip install rosbags, then rosbags-convert --src '/.*an old.bag' --dst '/.*an old': '",
    ):
        open_source(path)


BAD = {
    "text.mcap": (b"hello", "neither MCAP nor a rosbag2 file"),
    "empty.mcap": (b"", "the file is empty"),
    "head.mcap": (b"\x89MCAP0\r\n", "no topic of it has pictures; topics: none"),
    "video.db3": (bytes(100), "neither MCAP nor a rosbag2 file"),
}


@pytest.mark.parametrize(("name", "content", "words"), [(name, *rest) for name, rest in BAD.items()])
def test_other_content_under_these_names(tmp_path, name, content, words):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(MediaError, match=words):
        open_source(tmp_path / name)


@pytest.mark.parametrize(
    "spec", ["none.mcap", "mcap:none.mcap?topic=/a", "none.db3", "rosbag2:none", "none.mcap?topic=/a"]
)
def test_what_is_not_there(tmp_path, monkeypatch, spec):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MediaError, match="there is no such file or folder: 'none"):
        open_source(spec)


def test_a_pipe_and_a_folder_of_images_with_a_metadata_file(tmp_path):
    import cv2

    os.mkfifo(tmp_path / "a.mcap")
    with pytest.raises(MediaError, match="neither a file nor a folder"):
        open_source(tmp_path / "a.mcap")
    (tmp_path / "images").mkdir()
    cv2.imwrite(str(tmp_path / "images" / "a.png"), picture(0))
    (tmp_path / "images" / "metadata.yaml").write_text("license: CC-BY\n")
    with open_source(tmp_path / "images") as source:
        assert len(list(source)) == 1


def test_known_by_what_it_begins_with(tmp_path):
    write_mcap(tmp_path / "a.mcap", camera()).rename(tmp_path / "recording")
    assert read(tmp_path / "recording")[0] == list(range(6))


def test_a_stamp_that_does_not_fit_the_day(tmp_path):
    content = [(S, raw(0, stamp=-5 * S)), (2 * S, raw(1, stamp=-4 * S))]
    frames, _ = read(write_mcap(tmp_path / "a.mcap", {"/cam": (IMAGE_TYPE, "cdr", content)}))
    assert frames == [-60, -50]
