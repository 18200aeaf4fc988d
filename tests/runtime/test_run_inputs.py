"""`tdnet-run` on turned, deep, damaged and nested images, and what it writes of them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest
from tests.runtime.media import marks
from tests.runtime.test_run import COLORS, FakeSegmenter, error_line, frames_in

from tdnet_runtime.cli.run_options import RunOptions
from tdnet_runtime.errors import MediaError, OptionError
from tdnet_runtime.media.orientation import Orientation
from tdnet_runtime.media.sinks import LabelForm, LabelWriter
from tdnet_runtime.media.sources import open_source

HEIGHT, WIDTH = 20, 30


def picture(level=40, *, height=HEIGHT, width=WIDTH):
    """Bright, so class 1, in the lower left corner alone."""
    image = np.full((height, width, 3), level, np.uint8)
    image[height // 2 :, : width // 3] = 240
    return image


TRUTH = np.uint8(picture()[..., 0] > 70)


@pytest.fixture
def network(monkeypatch):
    class Network(FakeSegmenter):
        def push(self, frame, **options):
            super().push(frame, **options)
            self.log.append(frame.shape[:2])

        def reset(self):
            self.log.append("reset")

    Network.log = []
    monkeypatch.setattr("tdnet_runtime.cli.engine.Segmenter", Network)
    return Network


@pytest.fixture
def tdnet_run(monkeypatch, capfd):
    def run(*arguments):
        from tdnet_runtime.cli import run_main

        monkeypatch.setattr(sys, "argv", ["tdnet-run", "--engine", "x.plan", *map(str, arguments)])
        monkeypatch.setenv("COLUMNS", "200")
        with pytest.raises(SystemExit) as caught:
            run_main()
        out, err = capfd.readouterr()
        return caught.value.code, out, err

    return run


@pytest.fixture
def folder(tmp_path):
    """folder(name, count): PNGs `0.png`, `1.png`, ..."""

    def make(name="in", count=3, **size):
        path = tmp_path / name
        path.mkdir(parents=True)
        for index in range(count):
            (path / f"{index}.png").write_bytes(marks.encoded(".png", picture(**size)))
        return path

    return make


def read(path):
    return cv2.imread(str(path), cv2.IMREAD_UNCHANGED)


def files(path):
    return sorted(each.relative_to(path).as_posix() for each in path.rglob("*") if each.is_file())


@pytest.mark.parametrize("number", range(1, 9))
@pytest.mark.parametrize("asked", ["upright", "stored"])
def test_labels_lie_as_asked(tmp_path, network, tdnet_run, number, asked):
    orientation = Orientation(number)
    data = marks.png(marks.stored(orientation, picture()), marks.exif(number))
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").write_bytes(data)
    outputs = ("--labels", tmp_path / "l", "--colors", tmp_path / "c", "--overlay", tmp_path / "o.mp4")
    code, out, _ = tdnet_run("--input", tmp_path / "in", *outputs, "--orientation", asked)
    assert code == 0
    assert f"orientation: {orientation.words}" in out
    assert network.log[-1] == (HEIGHT, WIDTH)  # what the network saw
    expected = TRUTH if asked == "upright" else orientation.inverse.apply(TRUTH)
    assert np.array_equal(read(tmp_path / "l" / "a.png"), expected)
    assert np.array_equal(read(tmp_path / "c" / "a.png")[..., 2] > 0, expected)  # class 1 is red
    with open_source(tmp_path / "o.mp4") as overlay:
        assert overlay.size_hw == (HEIGHT, WIDTH)


def test_colours_and_palettes(tmp_path, network, tdnet_run, folder):
    image = pytest.importorskip("PIL.Image")
    code, _, _ = tdnet_run(
        "--input", folder(), "--labels", tmp_path / "l", "--palette", "--colors", tmp_path / "c"
    )
    assert code == 0
    expected = np.array(COLORS, np.uint8)[TRUTH]
    for name in ("0.png", "1.png", "2.png"):
        assert np.array_equal(read(tmp_path / "c" / name)[..., ::-1], expected)
        assert np.array_equal(read(tmp_path / "l" / name)[..., ::-1], expected)  # OpenCV sees the colours
        with image.open(tmp_path / "l" / name) as indexed:
            assert indexed.mode == "P"
            assert np.array_equal(np.asarray(indexed), TRUTH)  # PIL the classes
            assert np.array_equal(np.asarray(indexed.convert("RGB")), expected)


@pytest.mark.parametrize("form", LabelForm)
def test_every_index_survives_in_every_form(tmp_path, source_frame_of, form):
    labels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    colors = [(index, 255 - index, index // 2) for index in range(256)]
    with LabelWriter(tmp_path, form=form, colors=colors) as writer:
        writer.write(source_frame_of(labels), labels)
    image = read(tmp_path / "a.png")
    assert np.array_equal(
        image, labels if form is LabelForm.GREY else np.array(colors, np.uint8)[labels][..., ::-1]
    )


@pytest.fixture
def source_frame_of():
    from tdnet_runtime.media.frames import SourceFrame

    return lambda labels: SourceFrame(image=np.dstack([labels] * 3), name="a", stamp_ns=0)


def test_a_folder_of_folders(tmp_path, network, tdnet_run, folder):
    for name in ("in/seq10", "in/seq2", "in/seq1"):
        folder(name, count=2)
    (tmp_path / "in" / "notes").mkdir()
    overlay, summary = tmp_path / "o.mp4", tmp_path / "s.json"
    code, out, err = tdnet_run(
        "--input", tmp_path / "in", "--labels", tmp_path / "l", "--overlay", overlay, "--json", summary
    )
    assert (code, err) == (0, "")
    assert "3 sequences of images in" in out
    assert files(tmp_path / "l") == [f"seq{n}/{i}.png" for n in (1, 10, 2) for i in range(2)]
    assert network.log == [(20, 30), (20, 30), "reset", (20, 30), (20, 30), "reset", (20, 30), (20, 30)]
    assert frames_in(overlay) == 6
    assert json.loads(summary.read_text())["frames"] == 6


def test_sequences_of_several_sizes(tmp_path, network, tdnet_run, folder):
    folder("in/a", count=1)
    folder("in/b", count=1, height=24, width=36)
    arguments = ("--input", tmp_path / "in", "--labels", tmp_path / "l")
    line = error_line(*tdnet_run(*arguments, "--overlay", tmp_path / "o.mp4"))
    assert "--overlay: the sequences differ in size (20x30, 24x36; height x width)" in line
    assert not (tmp_path / "l").exists()
    assert tdnet_run(*arguments)[0] == 0
    assert network.log == [(20, 30), "reset", (24, 36)]
    assert [read(tmp_path / "l" / name / "0.png").shape for name in "ab"] == [(20, 30), (24, 36)]


@pytest.mark.parametrize("inside", ["labels", "deep/er"])
def test_outputs_among_the_sequences(tmp_path, network, tdnet_run, folder, inside):
    folder("in/a")
    line = error_line(*tdnet_run("--input", tmp_path / "in", "--labels", tmp_path / "in" / inside))
    assert "--labels lies in --input, whose folders are sequences" in line
    assert files(tmp_path / "in") == ["a/0.png", "a/1.png", "a/2.png"]


def test_a_longer_runs_masks_do_not_stay(tmp_path, network, tdnet_run, folder):
    labels = tmp_path / "l"
    long, short = folder("long", 5), folder("short", 2)
    assert tdnet_run("--input", long, "--labels", labels)[0] == 0
    (labels / "4.png.partial").write_bytes(b"of a run that was killed in mid-file")
    (labels / "notes.txt").write_text("mine")
    before = files(labels)
    line = error_line(*tdnet_run("--input", short, "--labels", labels))
    assert "6 files of an earlier run are in it, which would be mixed with this one's; --overwrite" in line
    assert files(labels) == before
    assert tdnet_run("--input", short, "--labels", labels, "--overwrite")[0] == 0
    assert files(labels) == ["0.png", "1.png", "notes.txt"]


@pytest.mark.parametrize("name", ["photo.png", "Photo.PNG"])
@pytest.mark.parametrize("more", [(), ("--overwrite",)])
def test_other_programs_pngs_are_never_removed(tmp_path, network, tdnet_run, folder, name, more):
    labels = tmp_path / "l"
    assert tdnet_run("--input", folder(), "--labels", labels)[0] == 0
    (labels / name).write_bytes(marks.encoded(".png", picture()))
    before = files(labels)
    line = error_line(*tdnet_run("--input", tmp_path / "in", "--labels", labels, *more))
    assert f"1 PNGs are in it that no tdnet-run of this version wrote, '{name}' for one" in line
    assert files(labels) == before


def test_an_input_that_fails_costs_no_earlier_masks(tmp_path, network, tdnet_run, folder):
    labels = tmp_path / "l"
    assert tdnet_run("--input", folder(), "--labels", labels)[0] == 0
    (tmp_path / "empty").mkdir()
    error_line(*tdnet_run("--input", tmp_path / "empty", "--labels", labels, "--overwrite"))
    assert files(labels) == ["0.png", "1.png", "2.png"]


def test_earlier_sequences(tmp_path, network, tdnet_run, folder):
    labels = tmp_path / "l"
    folder("one/a"), folder("one/b", 4), folder("two/b", 1)
    assert tdnet_run("--input", tmp_path / "one", "--labels", labels)[0] == 0
    line = error_line(*tdnet_run("--input", tmp_path / "two", "--labels", labels, "--overwrite"))
    assert "'a' in it is an earlier run's and no sequence of this one; remove it" in line
    folder("two/a", 1)
    assert "--overwrite" in error_line(*tdnet_run("--input", tmp_path / "two", "--labels", labels))
    assert tdnet_run("--input", tmp_path / "two", "--labels", labels, "--overwrite")[0] == 0
    assert files(labels) == ["a/0.png", "b/0.png"]


def test_refused_before_the_engine_is_loaded(tmp_path, network, tdnet_run, folder):
    arguments = ("--input", folder(), "--labels", tmp_path / "l", "--colors", tmp_path / "c")
    assert tdnet_run(*arguments[:2], *arguments[4:])[0] == 0
    del network.opened_with
    assert "writing colour images to" in error_line(*tdnet_run(*arguments))
    assert not hasattr(network, "opened_with")
    assert not (tmp_path / "l").exists()


def test_sequences_without_a_usable_image_are_passed_over(tmp_path, network, tdnet_run, folder):
    for name in ("in/a", "in/c"):
        folder(name, 2)
        for path in (tmp_path / name).iterdir():
            path.write_bytes(b"damaged")
    folder("in/b", 2), folder("in/d", 1)
    outputs = ("--labels", tmp_path / "l", "--overlay", tmp_path / "o.mp4")
    code, _, err = tdnet_run("--input", tmp_path / "in", *outputs)
    assert (code, err.startswith("tdnet-run: 4 damaged frames left out: ")) == (0, True)
    assert files(tmp_path / "l") == ["b/0.png", "b/1.png", "d/0.png"]
    assert network.log == [(20, 30), (20, 30), "reset", (20, 30)]


def test_two_runs_at_once(tmp_path, source_frame_of):
    labels = np.zeros((4, 4), np.uint8)
    with LabelWriter(tmp_path / "l") as first, LabelWriter(tmp_path / "l", overwrite=True) as second:
        first.write(source_frame_of(labels), labels)
        with pytest.raises(MediaError, match="another run is writing there; name another folder"):
            second.write(source_frame_of(labels), labels)
    assert files(tmp_path) == ["l/a.png"]
    with LabelWriter(tmp_path / "l", overwrite=True) as third:
        third.write(source_frame_of(labels), labels)


def test_the_summary_as_json(tmp_path, network, tdnet_run, folder):
    path = folder(count=4)
    deep = np.full((HEIGHT, WIDTH, 3), 3000, np.uint16)
    assert cv2.imwrite(str(path / "1.png"), deep)
    (path / "2.png").write_bytes(b"damaged")
    code, out, err = tdnet_run("--input", path, "--json", "-", "--labels", tmp_path / "l")
    assert code == 0
    told = json.loads(out)
    assert told["tdnet_run"] == 1
    assert told["input"]["reader"] == f"OpenCV {cv2.__version__}"
    assert told["input"] | {"reader": ""} == {
        "spec": str(path),
        "description": f"images in '{path}'",
        "height": HEIGHT,
        "width": WIDTH,
        "reader": "",
        "orientation": "as stored",
        "bit_depth": "8 and 12",
        "bit_depth_detected": True,
    }
    example = f"reading an image: not an image, damaged or cut short: '{path / '2.png'}'"
    assert told["damage"] == {"policy": "skip", "skipped": 1, "used": 0, "examples": [example]}
    assert err == f"tdnet-run: 1 damaged frame left out: {example}\n"
    assert (told["frames"], told["interrupted"]) == (3, False)
    assert told["latency_ms"].keys() == {"p50", "p95", "max"}
    network = told["network"]
    assert (network["name"], network["height"], network["width"]) == ("td2-fa18", 24, 32)
    assert (network["size_resampled"], network["size_from"]) == (False, "user")
    assert network["preprocessing"].keys() == {"color_order", "scale", "mean", "std", "from"}
    assert told["bundle"] == {"path": "town.plan", "digest": "0123456789abcdef" * 4}
    assert told["backend"]["precision"] == "fp32"
    assert told["outputs"]["labels"] == str(tmp_path / "l")


def test_a_summary_of_names_that_are_not_utf8_is_json_for_any_program(tmp_path, network, tdnet_run, folder):
    path = folder().rename(tmp_path / os.fsdecode(b"caf\xe9"))
    code, out, _ = tdnet_run("--input", path, "--json", "-", "--labels", tmp_path / "l")
    assert code == 0
    assert msgspec.json.decode(out)["input"]["spec"] == str(tmp_path / r"caf\udce9")


def test_a_summary_replaces_a_summary_and_nothing_else(tmp_path, network, tdnet_run, folder):
    path, summary = folder(), tmp_path / "s.json"
    for _ in range(2):
        code, out, _ = tdnet_run("--input", path, "--json", summary)
        assert code == 0
        assert "whole loop" in out
        assert json.loads(summary.read_text())["frames"] == 3
    summary.write_text('{"settings": 1}')
    line = error_line(*tdnet_run("--input", path, "--json", summary))
    assert "--json would replace a file that is no summary of tdnet-run" in line
    assert summary.read_text() == '{"settings": 1}'


def test_a_failed_run_leaves_no_earlier_summary(tmp_path, network, tdnet_run, folder):
    path, summary = folder(), tmp_path / "s.json"
    assert tdnet_run("--input", path, "--json", summary)[0] == 0
    (path / "2.png").write_bytes(b"damaged")
    assert "not an image" in error_line(*tdnet_run("--input", path, "--json", summary, "--on-damage", "fail"))
    assert not summary.exists()


BAD = {
    "palette": ({"palette": True}, "--palette goes with --labels"),
    "stored": ({"orientation": "stored"}, "--orientation stored goes with --labels or --colors"),
    "overwrite": ({"overwrite": True}, "--overwrite goes with --labels or --colors"),
    "bit depth": ({"bit_depth": 7}, "--bit-depth is 7; expected 8 to 16"),
    "one folder": ({"labels": "new", "colors": "./new/../new"}, "--labels and --colors are one folder"),
    "colours over the input": ({"colors": "in"}, "--colors is the folder of --input"),
    "json over the input": ({"json": "in"}, "--json is the same file as --input"),
    "json over the engine": ({"json": "x.plan"}, "--json is the same file as --engine"),
    "json over the overlay": (
        {"json": "o.mp4", "overlay": "o.mp4"},
        "--overlay and --json are the same file",
    ),
    "json in no folder": ({"json": "no/s.json"}, "--json: there is no folder 'no'"),
    "json is a folder": ({"json": "."}, "--json needs a file name"),
    "an unquoted unset variable": (
        {"labels": "--overwrite"},
        "--labels is '--overwrite'; is a variable unset",
    ),
}


@pytest.mark.parametrize(("values", "message"), BAD.values(), ids=BAD.keys())
def test_options_that_cannot_be_meant(tmp_path, monkeypatch, values, message):
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    Path("x.plan").write_text("")
    values = {
        key: Path(value) if key in {"labels", "colors", "json", "overlay"} else value
        for key, value in values.items()
    }
    if "orientation" in values:
        from tdnet_runtime.cli.run_options import LabelOrientation

        values["orientation"] = LabelOrientation(values["orientation"])
    with pytest.raises(OptionError, match=message.replace("(", r"\(")):
        RunOptions(engine=Path("x.plan"), inputs={"": "in"}, **values)


@pytest.mark.parametrize("option", ["--input", "--labels", "--colors", "--overlay", "--json", "--backend"])
@pytest.mark.parametrize("form", [("",), ("  ",), "="])
def test_an_unset_variable_writes_nothing(tmp_path, network, tdnet_run, monkeypatch, folder, option, form):
    monkeypatch.chdir(folder("here"))
    before = files(tmp_path)
    empty = (f"{option}=",) if form == "=" else (option, *form)
    line = error_line(*tdnet_run("--input", folder(), *empty))
    assert f"{option} was given an empty value; is a variable unset?" in line
    assert files(tmp_path) == [*before, "in/0.png", "in/1.png", "in/2.png"]


@pytest.mark.parametrize("name", ["", " "])
def test_an_empty_input(name):
    with pytest.raises(MediaError, match="its name is empty"):
        open_source(name)


@pytest.mark.parametrize("address", ["rtmp://user:pass@10.0.0.5:554//stream?a=1", "s3://x//y/../z"])
def test_an_address_is_quoted_as_it_came_but_for_a_password(network, tdnet_run, address):
    told = address.replace("pass", "***")
    assert f"(docs/streaming.md): {told!r}" in error_line(*tdnet_run("--input", address))


def test_masks_of_a_killed_run_are_known_for_what_they_are(tmp_path):
    """SIGKILL in mid-run, in mid-file: what is left is refused, or removed where asked."""
    code = """
import os, sys
import numpy as np
from pathlib import Path
from tdnet_runtime.media.frames import SourceFrame
from tdnet_runtime.media.sinks import LabelWriter
labels = np.zeros((4, 4), np.uint8)
writer = LabelWriter(Path(sys.argv[1]))
for name in "ab":
    writer.write(SourceFrame(image=np.dstack([labels] * 3), name=name, stamp_ns=0), labels)
Path.replace = lambda self, other: os.kill(os.getpid(), 9)
writer.write(SourceFrame(image=np.dstack([labels] * 3), name="c", stamp_ns=0), labels)
"""
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], env=os.environ)
    assert done.returncode == -9
    assert files(tmp_path) == ["a.png", "b.png", "c.png.partial"]
    with pytest.raises(MediaError, match="3 files of an earlier run"):
        LabelWriter(tmp_path)
    labels = np.zeros((4, 4), np.uint8)
    from tdnet_runtime.media.frames import SourceFrame

    with LabelWriter(tmp_path, overwrite=True) as writer:
        writer.write(SourceFrame(image=np.dstack([labels] * 3), name="a", stamp_ns=0), labels)
    assert files(tmp_path) == ["a.png"]
