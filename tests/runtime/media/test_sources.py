import os

import pytest

from tdnet_runtime.errors import MediaError
from tdnet_runtime.media.sources import open_source


def empty_folder(path):
    path.mkdir()
    return path


def folder_of_texts(path):
    path.mkdir()
    (path / "a.txt").write_text("a")
    return path


def file_of(content):
    def make(path):
        path = path.with_suffix(".mp4")
        path.write_bytes(content)
        return path

    return make


def text_file(path):
    path = path.with_suffix(".txt")
    path.write_text("hello\n" * 99)
    return path


def pipe(path):
    os.mkfifo(path)
    return path


def folder_of_a_pipe(path):
    path.mkdir()
    os.mkfifo(path / "a.png")
    return path


BAD_INPUTS = {
    "absent": (lambda path: path, "there is no such video file or folder of images"),
    "empty folder": (empty_folder, "no images (.png, .jpg, .jpeg, .bmp, .tif, .tiff, .webp) in"),
    "folder of texts": (folder_of_texts, "no images (.png, "),
    "empty file": (file_of(b""), "the file is empty (0 bytes)"),
    "text named mp4": (file_of(b"hello\n" * 99), "not a video that FFmpeg can read"),
    "zeros named mp4": (file_of(bytes(5000)), "not a video that FFmpeg can read"),
    "text": (text_file, "this is a text file"),
    "pipe": (pipe, "neither a file, a folder nor a camera"),
    "folder of a pipe": (folder_of_a_pipe, "reading an image: neither a file nor a folder"),
    "null in the name": (lambda path: f"{path}\0", "null"),
    "camera without a number": (
        lambda path: "camera:front",
        "a camera is named camera:0, camera:1, ...; got",
    ),
    "absent camera": (lambda path: "4242", "opening camera 4242: there is no /dev/video4242"),
    "absent camera by prefix": (lambda path: "camera:4242", "there is no /dev/video4242"),
    "absent camera by device": (lambda path: "/dev/video4242", "there is no /dev/video4242"),
}


@pytest.mark.parametrize(("make", "expected"), BAD_INPUTS.values(), ids=BAD_INPUTS.keys())
def test_bad_input_has_its_own_message_and_no_noise(tmp_path, capfd, make, expected):
    with pytest.raises(MediaError) as caught:
        open_source(make(tmp_path / "input"))
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr().err == ""


def test_a_file_whose_name_is_a_number(tmp_path, monkeypatch, draw, encode):
    encode(tmp_path / "clip.mp4", [draw(0)]).rename(tmp_path / "7")
    monkeypatch.chdir(tmp_path)
    with open_source("./7") as source:
        assert source.frame_count == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_the_right_to_read_it(tmp_path):
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"x")
    path.chmod(0)
    with pytest.raises(MediaError, match="Permission denied"):
        open_source(path)
