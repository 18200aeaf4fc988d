"""What `--input` names, and by which names the outputs are known."""

from __future__ import annotations

import io
import json
import os
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import fsspec
import msgspec
import numpy as np
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.utils import infer_storage_options
from tests.batch.conftest import Batch, labels_in, make_images, make_video
from tests.runtime.sources.logs import IMAGE_TYPE, images, write_mcap

from tdnet_batch.digest import input_sha256
from tdnet_batch.fetching import key_of, local_copy
from tdnet_batch.inputs import BatchInput, find_inputs
from tdnet_batch.output_names import name_as_written, output_name
from tdnet_batch.output_tree import OutputTree
from tdnet_batch.record import encode_record, read_record
from tdnet_batch.segmentation import open_input
from tdnet_batch.settings import Form, Settings
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


def test_a_key_of_another_form_costs_one_more_look(
    batch: Batch, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Earlier versions made other keys of some file systems' files: the content tells, and the key is the new one then."""
    made = batch(bucket)
    before = {path: path.read_bytes() for path in batch.output.rglob("*.png")}
    for record in made.records:
        old = msgspec.structs.replace(record, input_key="old")
        (batch.output / record.output / "record.json").write_bytes(encode_record(old))
    (batch.output / "r1/cam.labels/mine.png").write_bytes(b"of a user")
    again = batch(bucket)
    assert len(again.skipped) == 2
    assert again.records == made.records
    assert [read_record(batch.output / record.output) for record in made.records] == made.records
    rows = [json.loads(line) for line in (batch.output / "manifest.jsonl").read_text().splitlines()]
    assert "old" not in [row["input_key"] for row in rows]
    assert {path: path.read_bytes() for path in before} == before
    monkeypatch.setattr("tdnet_batch.worker.local_copy", None)
    assert len(batch(bucket).skipped) == 2


def test_a_record_that_cannot_be_put_again_costs_nothing(
    batch: Batch, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise MediaError("read-only")

    made = batch(bucket)
    for record in made.records:
        old = msgspec.structs.replace(record, input_key="old")
        (batch.output / record.output / "record.json").write_bytes(encode_record(old))
    monkeypatch.setattr(OutputTree, "replace", refuse)
    again = batch(bucket)
    assert len(again.skipped) == 2
    assert {record.input_key for record in again.records} == {"old"}


CAFE = os.fsdecode(b"caf\xe9")


@pytest.mark.parametrize("form", [Form.PNG, Form.NPZ, Form.VIDEO])
@pytest.mark.parametrize("cut", [None, 3])
def test_names_that_are_not_utf8_cost_nothing(
    batch: Batch, tmp_path: Path, form: Form, cut: int | None
) -> None:
    """Folders, videos and images: the manifest and the archive are UTF-8, the PNGs have their images' own names."""
    make_images(tmp_path / "in" / "good", seed=1)
    folder = make_images(tmp_path / "in" / "x", seed=2).rename(tmp_path / "in" / CAFE)
    (folder / "000.png").rename(folder / f"{CAFE}.png")
    make_video(tmp_path / "v.mkv").rename(tmp_path / "in" / f"{CAFE}.mkv")
    summary = batch(tmp_path / "in", form=form, cut_frames=cut)
    assert [record.error for record in summary.records] == [None] * 3
    assert [record.output for record in summary.records] == [
        r"caf\udce9.labels", r"caf\udce9.mkv.labels", "good.labels",
    ]  # fmt: skip
    assert len((batch.output / "manifest.jsonl").read_bytes().decode().splitlines()) == 3
    assert len(batch(tmp_path / "in", form=form, cut_frames=cut).skipped) == 3
    made = batch.output / r"caf\udce9.labels"
    if form is Form.PNG:
        assert f"{CAFE}.png" in labels_in(made)
    elif form is Form.NPZ:
        with np.load(made / "labels.npz") as archive:
            assert r"caf\udce9" in archive


def test_a_list_of_names_that_are_not_utf8(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_images(Path("x")).rename(CAFE)
    Path("list.txt").write_bytes(b"caf\xe9\n")
    assert outputs("@list.txt") == [r"caf\udce9.labels"]


@pytest.mark.parametrize(
    ("topic", "name"),
    [
        ("/front", "front"),
        ("/front/image", "front_image"),
        ("/camera/image_raw", "camera_image_raw"),
        ("/camera/image_raw/compressed", "camera_image_raw_compressed"),
        ("image_rect", "image_rect"),
        ("/usb_cam/image_raw", "usb_cam_image_raw"),
        ("/camera/left_image", "camera_left_image"),
        ("/camera%2Fimage", "camera%2Fimage"),
        ("/a b", "a b"),
    ],
)
def test_an_output_has_the_name_of_its_topic(topic: str, name: str) -> None:
    assert output_name("x/a.mcap", topic) == f"x/a.mcap@{name}.labels"


def test_topics_that_would_share_an_output_are_refused(logs: Path) -> None:
    log = "logs/two/front.mcap"
    with pytest.raises(OptionError, match=r"would both write to '.*front.mcap@a_b.labels'; .* --output each"):
        outputs(f"{log}?topic=/a/b", f"{log}?topic=/a_b")


@pytest.mark.parametrize("folder", ["what?", "token=x?key=1&", "what?sig=1"])
def test_names_on_this_machine_are_no_addresses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    """`?key=1` is no signature there."""
    monkeypatch.chdir(tmp_path)
    names = [f"{folder}/clip?key={number}.mp4" for number in (1, 2)]
    for name in names:
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_bytes(b"x")
    found = find_inputs([folder], output=Path("/nowhere/out")).inputs
    assert [each.output for each in found] == ["clip?key=1.mp4.labels", "clip?key=2.mp4.labels"]
    assert [each.shown for each in found] == names
    assert outputs(*names) == [f"{name}.labels" for name in names]
    assert outputs(tmp_path) == [f"{name}.labels" for name in names]


def test_an_output_of_another_topic_does_not_count(batch: Batch, tmp_path: Path) -> None:
    """Whatever it is called: as an earlier version called it."""
    pytest.importorskip("mcap")
    from tests.runtime.sources.logs import camera

    write_mcap(tmp_path / "a.mcap", camera(5) | {"/rear": camera(4, first=9)["/cam"]})
    (record,) = batch(f"{tmp_path}/*.mcap?topic=/cam").records
    assert record.frames == 5
    (batch.output / record.output).rename(batch.output / "a.mcap@rear.labels")
    (record,) = batch(f"{tmp_path}/*.mcap?topic=/rear").made
    assert (record.output, record.frames) == ("a.mcap@rear.labels", 4)


def test_a_topic_that_is_not_utf8_costs_its_own_row(batch: Batch, tmp_path: Path) -> None:
    write_mcap(tmp_path / "a.mcap", {"/a": (IMAGE_TYPE, "cdr", images(3))})
    (record,) = batch(f"{tmp_path}/*.mcap?topic=/{CAFE}").failed
    assert record.output == r"a.mcap@caf\udce9.labels"
    assert "defect" not in str(record.error)


def test_metadata_of_another_program_makes_no_recording(logs: Path) -> None:
    (logs / "two" / "metadata.yaml").write_text("license: CC-BY\n")
    make_images(logs / "two")
    make_images(logs / "split")
    assert outputs("logs/two", "logs/split") == [
        "front.mcap.labels", "rear.mcap.labels", "split.labels", "split_0.mcap.labels", "split_1.mcap.labels",
        "two.labels",
    ]  # fmt: skip
    (logs / "two" / "metadata.yaml").write_text("rosbag2_bagfile_information:\n  version: 5\n")
    assert outputs("logs/two") == ["two.labels"]


def test_a_recording_is_known_by_its_log_not_by_an_image_beside_it(tmp_path: Path) -> None:
    (tmp_path / "metadata.yaml").write_text("rosbag2_bagfile_information:\n")
    (tmp_path / "preview.png").write_bytes(b"x")
    (tmp_path / "bag_0.db3").write_bytes(b"one")
    before = input_sha256(tmp_path)
    (tmp_path / "bag_0.db3").write_bytes(b"two")
    assert input_sha256(tmp_path) != before


def test_a_pipe_costs_its_own_row(batch: Batch, logs: Path) -> None:
    folder = make_images(logs / "x" / "a")
    os.mkfifo(folder.parent / "x.mp4")
    os.mkfifo(make_images(logs / "x" / "b") / "9.png")
    summary = batch(folder.parent)
    assert [record.output for record in summary.failed] == ["b.labels", "x.mp4.labels"]
    for record in summary.failed:
        assert "neither a file nor a folder" in str(record.error)
    assert [record.output for record in summary.made] == ["a.labels"]
    with pytest.raises(OptionError, match=r"x.mp4': neither a file nor a folder"):
        outputs(folder.parent / "x.mp4")


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("spec", ["logs", "logs/**"])
def test_a_link_beside_its_video_never_gives_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spec: str, backwards: bool
) -> None:
    """In whatever order the directory lists them."""
    scandir = os.scandir

    class Listing(list):
        def __enter__(self) -> Listing:
            return self

        def __exit__(self, *_: object) -> None:
            pass

    def ordered(path: object = ".") -> object:
        with scandir(path) as entries:  # type: ignore[call-overload]
            return Listing(sorted(entries, key=lambda entry: entry.name, reverse=backwards))

    monkeypatch.chdir(tmp_path)
    make_images(tmp_path / "logs" / "z")
    (tmp_path / "logs" / "z" / "drive.mp4").write_bytes(b"x")
    (tmp_path / "logs" / "a").symlink_to("z")
    (tmp_path / "logs" / "latest.mp4").symlink_to("z/drive.mp4")
    monkeypatch.setattr(os, "scandir", ordered)
    assert outputs(spec) == ["z.labels", "z/drive.mp4.labels"]


def test_the_folder_above_has_its_own_name(logs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(logs / "night" / "cam2")
    assert outputs(".") == ["cam2.labels"]
    monkeypatch.chdir(make_images(logs / "night" / "cam2" / "below"))
    assert outputs("..") == ["below.labels", "cam2.labels"]
    assert outputs("../../drive.mcap") == ["drive.mcap.labels"]


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("http://u:sEcReT@host:80/d/a.mp4", "host:80/d/a.mp4"),
        ("https://token@host/a.mp4", "host/a.mp4"),
        ("https://host/a.mp4?X-Amz-Date=1&id=3&X-Amz-Signature=ab&take=2", "host/a.mp4?id=3&take=2"),
        ("https://host/a.mp4?sig=ab", "host/a.mp4"),
        ("sftp://u:sEcReT@host/a.mp4", "host/a.mp4"),
        ("zip://a.mp4::http://u:sEcReT@host/x.zip", "a.mp4::http:/host/x.zip"),
        ("abfs://container@account/a.mp4", "container@account/a.mp4"),
    ],
)
def test_no_login_is_in_a_name(address: str, name: str) -> None:
    assert name_as_written(address, remote=True) == name


class Web:
    """A web server's files, as fsspec has them."""

    protocol = ("http", "https")

    def __init__(self, **validators: str) -> None:
        self.validators = validators

    def isdir(self, path: str) -> bool:
        return False

    def info(self, path: str) -> dict[str, object]:
        return {"name": path, "size": 3, **self.validators}

    def ukey(self, path: str) -> str:
        return "of the address alone"

    def get_file(self, path: str, to: str) -> None:
        raise OSError(f"cannot connect to {path}")


@pytest.fixture
def web_video() -> BatchInput:
    address = "http://u:sEcReT@host/a.mp4"
    return BatchInput(
        shown="http://u:***@host/a.mp4", path=address, topic="", output="a.labels", size_bytes=3, remote=True
    )


@pytest.mark.parametrize(
    ("validators", "key"),
    [
        ({}, None),
        ({"Last-Modified": "Sun, 29 Nov 2026 18:00:00 GMT"}, None),  # of whole seconds
        ({"ETag": 'W/"1"'}, None),
        ({"ETag": '"1"'}, '3|"1"'),
    ],
)
def test_a_web_servers_file_is_known_by_what_changes_with_it(
    web_video: BatchInput, monkeypatch: pytest.MonkeyPatch, validators: dict[str, str], key: str | None
) -> None:
    monkeypatch.setattr("tdnet_batch.fetching.file_system", lambda address: (Web(**validators), address))
    assert key_of(web_video) == key


class WebMemory(MemoryFileSystem):
    """Files of a web server, whose keys fsspec makes of their addresses alone."""

    protocol = ("webmemory", "https")
    store: ClassVar[dict[str, object]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    etag = True

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return "/" + path.partition("://")[2].strip("/") if "://" in path else path

    def info(self, path: str, **options: object) -> dict[str, object]:
        info = super().info(path, **options)
        if info["type"] == "file" and self.etag:
            info["ETag"] = f'"{hash(self.cat_file(path))}"'
        return info

    def ukey(self, path: str) -> str:
        return path


def zipped(content: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(zipfile.ZipInfo("a.mkv"), content)
    return file.getvalue()


def tarred(content: bytes) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        member = tarfile.TarInfo("a.mkv")
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return file.getvalue()


@pytest.mark.parametrize("server", ["webmemory", "memory", "file"])
@pytest.mark.parametrize("etag", [True, False])
@pytest.mark.parametrize(
    ("chain", "pack"),
    [
        ("{}", bytes),
        ("simplecache::{}", bytes),
        ("zip://a.mkv::{}", zipped),
        ("tar://a.mkv::{}", tarred),
        ("dir://x.bin::{folder}", bytes),
    ],
)
def test_a_key_changes_with_the_content_alone(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    chain: str,
    pack: Callable[[bytes], bytes],
    server: str,
    etag: bool,
) -> None:
    """Through chains as well. A web server that says nothing tells no key but that of a member with a checksum."""
    fsspec.register_implementation("webmemory", WebMemory, clobber=True)
    monkeypatch.setattr(WebMemory, "etag", etag)
    fs = WebMemory() if server == "webmemory" else fsspec.filesystem(server)
    outer = f"{tmp_path}/x.bin" if server == "file" else "/keys/x.bin"
    whole = f"{server}:/{outer}" if server != "file" else f"file://{outer}"
    address = chain.format(whole, folder=whole.rpartition("/")[0])
    video = BatchInput(shown=address, path=address, topic="", output="a.labels", size_bytes=3, remote=True)
    try:
        fs.pipe(outer, pack(b"one"))
        one, same = key_of(video), key_of(video)
        fs.pipe(outer, pack(b"two"))
        two = key_of(video)
    finally:
        fs.rm(outer)
    assert one == same
    if server == "webmemory" and not etag and "zip" not in chain:
        assert (one, two) == (None, None)
    else:
        assert None not in (one, two)
        assert one != two


@pytest.mark.parametrize("server", ["webmemory", "zip"])
def test_a_folders_key_changes_with_a_name(tmp_path: Path, server: str) -> None:
    """Which labels have from their images."""
    fsspec.register_implementation("webmemory", WebMemory, clobber=True)
    fs = WebMemory()
    keys = []
    for name in ("1.png", "2.png"):
        with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
            archive.writestr(f"cam/{name}", b"x")
        fs.pipe(f"/keys/{name}", b"x")
        address = "webmemory://keys" if server == "webmemory" else f"zip://cam::{tmp_path}/x.zip"
        try:
            keys.append(
                key_of(BatchInput(shown="", path=address, topic="", output="", size_bytes=1, remote=True))
            )
        finally:
            fs.rm(f"/keys/{name}")
    assert None not in keys
    assert keys[0] != keys[1]


def test_no_password_is_in_what_a_file_system_says(
    web_video: BatchInput, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tdnet_batch.fetching.file_system", lambda address: (Web(), address))
    with (
        pytest.raises(MediaError, match=r"cannot connect to http://u:\*\*\*@host/a.mp4"),
        local_copy(web_video),
    ):
        pass


def test_no_password_is_in_what_a_place_says(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(address: str) -> None:
        raise OSError(f"cannot connect to {address}")

    monkeypatch.setattr("tdnet_batch.places.fsspec.core", SimpleNamespace(url_to_fs=refuse))
    for spec in ("http://u:sEcReT@host/a.mp4", "http://u:sEcReT@host/a.mcap?topic="):
        with pytest.raises(OptionError) as caught:
            outputs(spec)
        assert "sEcReT" not in str(caught.value)


class Hosted(MemoryFileSystem):
    """Files of a host, as sftp and ftp have them: its own paths leave host and login out."""

    protocol = "hosted"
    store: ClassVar[dict[str, object]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]

    def __init__(self, host: str, **options: object) -> None:
        super().__init__(host=host, **options)

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return "/" + str(infer_storage_options(path)["path"]).strip("/")

    @staticmethod
    def _get_kwargs_from_urls(address: str) -> dict[str, object]:
        return {
            name: value
            for name, value in infer_storage_options(address).items()
            if name in ("host", "username")
        }


@pytest.fixture
def hosted() -> Iterator[None]:
    fsspec.register_implementation("hosted", Hosted)
    Hosted("there").pipe("/fleet/r1/v.mkv", b"video")
    yield
    Hosted.store.clear()


@pytest.mark.parametrize("spec", ["hosted://u@there/fleet", "hosted://u@there/fleet/*/*.mkv"])
def test_an_address_keeps_its_host(hosted: None, spec: str) -> None:
    (found,) = find_inputs([spec], output=Path("/nowhere/out")).inputs
    assert found.path == "hosted://u@there/fleet/r1/v.mkv"
    with local_copy(found) as copy:
        assert copy.read_bytes() == b"video"


@pytest.mark.parametrize(
    ("spec", "names"),
    [
        ("zip://night/*.mkv::logs.zip", ["v.mkv.labels"]),
        ("zip://night/v.mkv::logs.zip", ["night/v.mkv::logs.zip.labels"]),
        ("zip://::logs.zip", ["day/w.mkv.labels", "night/v.mkv.labels"]),
        ("zip://day::simplecache::memory://fleet/logs.zip", ["w.mkv.labels"]),
    ],
)
def test_an_address_keeps_its_archive(
    spec: str, names: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with zipfile.ZipFile("logs.zip", "w") as archive:
        archive.writestr("night/v.mkv", b"night")
        archive.writestr("day/w.mkv", b"day")
    fs = fsspec.filesystem("memory")
    fs.put("logs.zip", "/fleet/logs.zip")
    try:
        inputs = find_inputs([spec], output=Path("/nowhere/out")).inputs
        monkeypatch.chdir("/")  # where a worker is
        assert sorted(each.output for each in inputs) == names
        for each in inputs:
            with local_copy(each) as copy:
                assert copy.read_bytes().decode() in each.path
    finally:
        fs.rm("/fleet", recursive=True)
