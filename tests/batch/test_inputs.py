"""What `--input` names, and by which names the outputs are known."""

from __future__ import annotations

import os
from pathlib import Path

import fsspec
import pytest
from tests.batch.conftest import Batch, make_images, make_video
from tests.runtime.sources.logs import IMAGE_TYPE, images, write_mcap

from tdnet_batch.inputs import find_inputs
from tdnet_batch.segmentation import open_input
from tdnet_batch.settings import Settings
from tdnet_runtime.errors import MediaError, OptionError


def outputs(*specs: object, output: Path = Path("/nowhere/out")) -> list[str]:
    return [each.output for each in find_inputs(map(str, specs), output=output).inputs]


@pytest.fixture
def logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of each kind one, without content; the current folder is the one above."""
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "logs"
    for name in (
        "a.mp4", "night/cam10/2.png", "night/cam10/10.jpg", "night/cam2/0.png", "night/drive.mcap",
        "night/bag/metadata.yaml", "night/bag/bag_0.db3", "night/bag/bag_1.db3", "split/split_0.mcap", "split/split_1.mcap",
        "two/front.mcap", "two/rear.mcap", "ros1.bag", "notes.txt", ".hidden.mp4", ".git/b.mp4", "UPPER.MKV",
    ):  # fmt: skip
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * 3)
    return root


ALL = [
    "a.mp4.labels", "night/bag.labels", "night/cam2.labels", "night/cam10.labels", "night/drive.mcap.labels",
    "ros1.bag.labels", "split.labels", "two/front.mcap.labels", "two/rear.mcap.labels", "UPPER.MKV.labels",
]  # fmt: skip


@pytest.mark.parametrize(
    "spec", ["logs", "logs/", "logs/**", "./logs", "{root}", "{root}/**", "file://{root}", "@list.txt"]
)
def test_all_ways_to_name_a_folder_are_one(logs: Path, spec: str) -> None:
    Path("list.txt").write_text("# tonight\n\n  logs/ \r\n")
    assert outputs(spec.format(root=logs)) == ALL


def test_what_is_told(logs: Path) -> None:
    found = find_inputs(["logs"], output=Path("out"))
    assert found.passed_over == 1
    by_output = {each.output: each for each in found.inputs}
    assert by_output["night/cam10.labels"].shown == "logs/night/cam10"
    assert by_output["night/cam10.labels"].path == str(logs / "night/cam10")
    assert by_output["night/cam10.labels"].size_bytes == 6
    assert by_output["night/bag.labels"].size_bytes == 9


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("logs/*.mp4", ["a.mp4.labels"]),
        ("logs/a.mp4", ["logs/a.mp4.labels"]),
        ("./logs/../logs/a.mp4", ["logs/a.mp4.labels"]),
        ("logs/night", ["bag.labels", "cam2.labels", "cam10.labels", "drive.mcap.labels"]),
        ("logs/night/cam2", ["cam2.labels"]),
        ("logs/night/cam10/*", ["cam10.labels"]),
        ("logs/*/cam*", ["night/cam2.labels", "night/cam10.labels"]),
        ("logs/night/bag", ["bag.labels"]),
        ("logs/night/bag/bag_1.db3", ["logs/night/bag.labels"]),
        ("logs/**/*.db3", ["night/bag.labels"]),
        ("logs/two/*.mcap?topic=/front/image", [
            "front.mcap@front_image.labels", "rear.mcap@front_image.labels",
        ]),
        ("logs/two/front.mcap?topic=/x", ["logs/two/front.mcap@x.labels"]),
    ],
)  # fmt: skip
def test_parts_of_a_folder(logs: Path, spec: str, expected: list[str]) -> None:
    assert outputs(spec) == expected


def test_an_input_that_is_named_twice_is_one(logs: Path) -> None:
    (logs.parent / "link").symlink_to(logs)
    assert outputs("logs", "logs/a.mp4", "logs/**", "link/a.mp4") == ALL


def test_two_topics_of_a_log_are_two(logs: Path) -> None:
    assert outputs("logs/two/front.mcap?topic=/a", "logs/two/front.mcap?topic=/b") == [
        "logs/two/front.mcap@a.labels", "logs/two/front.mcap@b.labels",
    ]  # fmt: skip


def test_outputs_are_no_inputs(logs: Path) -> None:
    for name in (
        "logs/out/a.mp4.labels/0.png",
        "logs/night/cam2.labels/0.png",
        "logs/night/own.labels/0.png",
    ):
        path = logs.parent / name
        path.parent.mkdir(parents=True)
        path.write_bytes(b"x")
    (logs / "night" / "cam2.labels" / "record.json").write_text("{}")
    assert set(outputs("logs", output=Path("logs/out"))) == {*ALL, "night/own.labels.labels"}


def test_an_image_that_is_named_alone_is_its_folder_or_refused(logs: Path) -> None:
    (only,) = find_inputs(["logs/night/cam2/0.png"], output=Path("out")).inputs
    assert only.path == str(logs / "night" / "cam2")
    with pytest.raises(OptionError, match="1 of the 2 images"):
        outputs("logs/night/cam10/2.png")


def test_no_output_lies_in_another(logs: Path) -> None:
    """Names stay apart whatever the folders are called."""
    make_images(logs / "b")
    make_images(logs / "deep.labels_" / "b")
    found = outputs("logs")
    assert "deep.labels__/b.labels" in found
    assert not any(other.startswith(f"{each}/") for each in found for other in found)


def test_names_with_magic_and_spaces(tmp_path: Path) -> None:
    for name in ("a [1].mp4", "b*.mp4", "ü c.mp4"):
        (tmp_path / name).write_bytes(b"x")
    assert outputs(tmp_path / "a [1].mp4") == [f"{str(tmp_path)[1:]}/a [1].mp4.labels"]
    assert outputs(tmp_path) == ["a [1].mp4.labels", "b*.mp4.labels", "ü c.mp4.labels"]


@pytest.mark.parametrize(
    ("specs", "told"),
    [
        (["logs/none.mp4"], "'logs/none.mp4': there is nothing of that name"),
        (["logs/*.avi"], r"'logs/\*.avi': no video, log or folder of images is there; videos end in"),
        (["logs/notes.t*"], "no video, log or folder of images is there, only 1 other files"),
        (["none/**"], r"'none/\*\*'"),
        ([" "], "names nothing; is a variable unset"),
        (["@none.txt"], "'@none.txt': reading the list: No such file"),
        (["@empty.txt"], "the list names nothing"),
        (["@nested.txt"], "a list names no lists: '@nested.txt'"),
        (["@binary.txt"], "reading the list"),
        (["logs/night/cam10/*.png"], "1 of the 2 images in 'logs/night/cam10' were named, but a folder"),
        (["logs/two/front.mcap?topic="], "the parameter 'topic' is empty"),
        (["logs/night", "other"], "'logs/night/drive.mcap' and 'other/drive.mcap' would both write to 'drive.mcap.labels'"),
        (["rtsp://u:secret@10.0.0.5/live"], r"'rtsp://u:\*\*\*@10.0.0.5/live': cameras and topics have no end"),
        (["nosuch://bucket/a"], "addresses of the kind nosuch:// are not known to fsspec"),
        (["memory://nothing/here"], "'memory://nothing/here': there is nothing of that name"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant(logs: Path, specs: list[str], told: str) -> None:
    Path("other").mkdir()
    Path("other/drive.mcap").write_bytes(b"x")
    Path("empty.txt").write_text("# nothing\n\n")
    Path("nested.txt").write_text("@nested.txt\n")
    Path("binary.txt").write_bytes(b"\xff\xfe\x00\xd8")
    with pytest.raises(OptionError, match=told) as caught:
        outputs(*specs)
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_folder_that_may_not_be_read(logs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Told, not passed over."""
    scandir = os.scandir

    def guarded(path: object = ".") -> object:
        if str(path).rstrip("/").endswith("night"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)  # type: ignore[call-overload]

    monkeypatch.setattr(os, "scandir", guarded)
    with pytest.raises(OptionError, match="Permission denied"):
        outputs("logs")


@pytest.mark.parametrize("name", ["a?b%20#c+d.mcap", os.fsdecode(b"caf\xe9.mcap"), "r:1.mcap"])
def test_a_topic_of_a_log_of_whatever_name(tmp_path: Path, name: str) -> None:
    write_mcap(tmp_path / name, {t: (IMAGE_TYPE, "cdr", images(3)) for t in ("/a", "/b%20+c")})
    with open_input(tmp_path / name, "/b%20+c", Settings()) as source:
        assert "'/b%20+c'" in source.description
        assert len(list(source)) == 3


def test_a_name_that_is_too_long(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="opening the input: File name too long"):
        open_input(tmp_path / ("x" * 300), "", Settings())


@pytest.fixture
def bucket(tmp_path: Path) -> str:
    """A file system that is not this machine's; of this process alone."""
    fs = fsspec.filesystem("memory")
    make_images(tmp_path / "cam", frames=4, seed=1)
    make_video(tmp_path / "v.mkv", frames=5, seed=2)
    fs.put(str(tmp_path / "cam"), "/fleet/r1/cam", recursive=True)
    fs.put(str(tmp_path / "v.mkv"), "/fleet/r1/v.mkv")
    yield "memory://fleet"
    fs.rm("/fleet", recursive=True)


@pytest.mark.parametrize("spec", ["memory://fleet", "memory://fleet/**", "memory://fleet/r*"])
def test_a_bucket(batch: Batch, bucket: str, spec: str, tmp_path: Path) -> None:
    summary = batch(spec)
    assert [record.error for record in summary.records] == [None, None]
    assert [record.output for record in summary.records] == ["r1/cam.labels", "r1/v.mkv.labels"]
    assert [record.input for record in summary.records] == [
        "memory:///fleet/r1/cam",
        "memory:///fleet/r1/v.mkv",
    ]
    batch(tmp_path / "cam", tmp_path / "v.mkv", output=tmp_path / "local")
    local = sorted((tmp_path / "local").rglob("*.png"))
    assert [path.read_bytes() for path in local] == [
        path.read_bytes() for path in sorted(batch.output.rglob("*.png"))
    ]


def test_a_bucket_is_fetched_once(batch: Batch, bucket: str) -> None:
    batch(bucket)
    assert len(batch(bucket).skipped) == 2
    fs = fsspec.filesystem("memory")
    fs.pipe("/fleet/r1/cam/000.png", fs.cat("/fleet/r1/cam/001.png"))
    summary = batch(bucket)
    assert [record.output for record in summary.made] == ["r1/cam.labels"]


def test_what_vanishes_from_a_bucket_costs_its_row(batch: Batch, bucket: str) -> None:
    def vanish(job: object) -> None:
        fs = fsspec.filesystem("memory")
        if fs.exists("/fleet/r1/v.mkv"):
            fs.rm("/fleet/r1/v.mkv")

    (record,) = batch(bucket, before=vanish).failed
    assert record.output == "r1/v.mkv.labels"
    assert "fetching 'memory:///fleet/r1/v.mkv'" in str(record.error)
