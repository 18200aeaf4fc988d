"""`tdnet-run` by its console function, on real files, with a network that paints."""

import io
import os
import re
import signal
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from rich.console import Console

from tdnet_runtime.cli import run_main
from tdnet_runtime.cli.frame_progress import FrameProgress
from tdnet_runtime.cli.run_options import RunOptions
from tdnet_runtime.errors import BackendError, MediaError, OptionError
from tdnet_runtime.manifest import ClassSpec, InputSpec
from tdnet_runtime.media.frames import SourceFrame
from tdnet_runtime.media.overlay import OverlayWriter
from tdnet_runtime.media.sources import open_source

FRAMES = 12
SIZE_HW = (36, 52)
COLORS = [(0, 0, 0), (250, 0, 0)]


class FakeSegmenter:
    """Class 1 where the frame is bright; `before_push(index)` may interfere.

    The clip has 20 and 120: its writer's own black overlay halves what is drawn.
    """

    opened_with: dict[str, object]
    before_push = staticmethod(lambda index: None)
    size_resampled = False
    threshold = None
    size_from = "user"

    def __init__(self):
        self.bundle = SimpleNamespace(path=Path("town.plan"), digest="0123456789abcdef" * 4)
        self.backend = SimpleNamespace(name="fake", description="paint", precision="fp32")
        self.manifest = SimpleNamespace(
            network="td2-fa18",
            input=InputSpec(
                height=24, width=32, mean=(0.0, 0.1, 0.2), std=(1.0, 1.0, 1.0), size_from=self.size_from
            ),
            classes=[
                ClassSpec(name=name, color=color)
                for name, color in zip(("rest", "rail"), COLORS, strict=True)
            ],
            threshold=self.threshold,
            channels=2 if self.threshold is None else 1,
            size_resampled=self.size_resampled,
            state=SimpleNamespace(cold_frames=2),
        )
        self._index = 0

    @classmethod
    def open(cls, path, **options):
        cls.opened_with = {"path": path, **options}
        return cls()

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        return None

    def stream(self):
        return self

    def push(self, frame, *, stamp_ns=None, out=None):
        self.before_push(self._index)
        self._index += 1
        out = np.empty(frame.shape[:2], np.uint8) if out is None else out
        np.greater(frame[..., 0], 70, out=out.view(bool))
        return out

    def reset(self):
        pass

    def close(self):
        pass


@pytest.fixture
def network(monkeypatch):
    class Network(FakeSegmenter):
        pass

    monkeypatch.setattr("tdnet_runtime.cli.engine.Segmenter", Network)
    return Network


@pytest.fixture
def clip(tmp_path):
    path = tmp_path / "clip.mp4"
    labels = np.zeros(SIZE_HW, np.uint8)
    with OverlayWriter(path, size_hw=SIZE_HW, fps=Fraction(25), colors=COLORS) as writer:
        for _ in range(FRAMES):
            image = np.full((*SIZE_HW, 3), 40, np.uint8)
            image[:, 26:] = 240
            writer.write(SourceFrame(image=image, name="", stamp_ns=0), labels)
    return path


@pytest.fixture
def tdnet_run(monkeypatch, capfd):
    """Run with these arguments: exit code, stdout, stderr."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["tdnet-run", *map(str, arguments)])
        monkeypatch.setenv("COLUMNS", "200")
        with pytest.raises(SystemExit) as caught:
            run_main()
        out, err = capfd.readouterr()
        return caught.value.code, re.sub(" +$", "", out, flags=re.MULTILINE), err

    return run


def frames_in(path):
    with open_source(path) as source:
        return sum(1 for _ in source)


def error_line(code, out, err):
    """The one line that an error prints."""
    assert code == 1
    assert out == ""
    assert re.fullmatch(r"tdnet-run: error: [^\n]+\n", err), err
    return err


def test_video_to_labels_and_overlay(tmp_path, network, clip, tdnet_run):
    labels, overlay = tmp_path / "labels", tmp_path / "overlay.mp4"
    code, out, err = tdnet_run(
        "--engine", "town.plan", "--input", clip, "--labels", labels, "--overlay", overlay
    )
    assert (code, err) == (0, "")
    assert sorted(path.name for path in labels.iterdir()) == [f"{i:06d}.png" for i in range(FRAMES)]
    assert frames_in(overlay) == FRAMES
    image = cv2.imread(str(labels / "000003.png"), cv2.IMREAD_UNCHANGED)
    assert image.shape == SIZE_HW
    assert image[10].tolist() == [0] * 26 + [1] * 26
    rows = {line.split("  ")[0]: line for line in out.splitlines()}
    assert rows["input"].split() == f"input video '{clip}', 36x52 (height x width)".split()
    assert rows["frames"].split() == ["frames", str(FRAMES)]
    assert re.search(r"[\d.]+ frames/s", rows["whole loop"])
    assert re.search(r"p50 [\d.]+ ms, p95 [\d.]+ ms, max [\d.]+ ms", rows["latency"])
    assert rows["network"].endswith("td2-fa18, 24x32")
    assert (
        "RGB, (x/255 - mean)/std, mean R 0, G 0.1, B 0.2, std R 1, G 1, B 1; ASSUMED" in rows["preprocessing"]
    )
    assert "a pixel's label" not in rows
    assert "town.plan, digest 0123456789ab" in rows["bundle"]
    assert rows["backend"].endswith("fake: paint")
    assert rows["precision"].endswith("fp32")
    assert rows["labels"].endswith(f"{FRAMES} PNG files in {labels}")
    assert rows["overlay"].endswith(str(overlay))
    assert "APPROXIMATE" not in out


def test_options_reach_the_network_and_a_dry_run_leaves_nothing(tmp_path, network, clip, tdnet_run):
    before = sorted(tmp_path.iterdir())
    code, out, _ = tdnet_run(
        "--engine",
        "x.plan",
        "--input",
        clip,
        "--backend",
        "fake",
        "--precision",
        "fp16",
        "--threads",
        3,
        "--max-frames",
        5,
    )
    assert code == 0
    assert network.opened_with == {
        "path": Path("x.plan"),
        "backend": "fake",
        "precision": "fp16",
        "threads": 3,
        "sha256": None,
    }
    assert re.search(r"^frames +5$", out, re.MULTILINE)
    assert "PNG" not in out
    assert sorted(tmp_path.iterdir()) == before


def test_folder_of_images_keeps_the_stems(tmp_path, network, tdnet_run):
    folder = tmp_path / "in"
    folder.mkdir()
    for stem in ("a_10", "a_9"):
        cv2.imwrite(str(folder / f"{stem}.jpg"), np.zeros((20, 30, 3), np.uint8))
    code, _, _ = tdnet_run(
        "--engine", "x", "--input", folder, "--labels", tmp_path / "out", "--overlay", tmp_path / "o.mp4"
    )
    assert code == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"a_9.png", "a_10.png"}
    assert frames_in(tmp_path / "o.mp4") == 2


def test_a_resampled_bundle_is_called_approximate(network, clip, tdnet_run):
    network.size_resampled = True
    code, out, _ = tdnet_run("--engine", "x", "--input", clip)
    assert code == 0
    assert "td2-fa18, 24x32 (APPROXIMATE)" in out
    assert "APPROXIMATE: the LayerNorm maps of this bundle were resampled" in out


def test_a_sigmoid_heads_rule_is_shown(network, clip, tdnet_run):
    network.threshold = 0.3
    code, out, _ = tdnet_run("--engine", "town.plan", "--input", clip)
    assert code == 0
    assert "rail where the one logit's sigmoid is above 0.3, else rest" in out


def test_an_assumed_size_is_told(network, clip, tdnet_run):
    network.size_from = "assumed"
    code, out, _ = tdnet_run("--engine", "x", "--input", clip)
    assert code == 0
    assert "td2-fa18, 24x32 (assumed size: see tdnet-inspect)" in " ".join(out.split())


def test_ctrl_c_finishes_the_files(tmp_path, network, clip, tdnet_run):
    def press(index):
        if index == 4:
            os.kill(os.getpid(), signal.SIGINT)

    network.before_push = staticmethod(press)
    before = signal.getsignal(signal.SIGINT)
    overlay = tmp_path / "o.mp4"
    code, out, err = tdnet_run(
        "--engine", "x", "--input", clip, "--labels", tmp_path / "l", "--overlay", overlay
    )
    assert (code, err) == (130, "tdnet-run: interrupted\n")
    assert re.search(r"^frames +5, then interrupted$", out, re.MULTILINE)
    assert len(list((tmp_path / "l").iterdir())) == 5
    assert frames_in(overlay) == 5
    assert signal.getsignal(signal.SIGINT) is before


def test_ctrl_c_before_the_first_frame(tmp_path, network, clip, tdnet_run, monkeypatch):
    def interrupted(path, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(network, "open", interrupted)
    code, out, err = tdnet_run("--engine", "x", "--input", clip, "--overlay", tmp_path / "o.mp4")
    assert (code, out) == (130, "")
    assert "Traceback" not in err
    assert not (tmp_path / "o.mp4").exists()


def test_an_error_of_the_network_leaves_what_was_done(tmp_path, network, clip, tdnet_run):
    def fail(index):
        if index == 7:
            raise BackendError("the engine is gone")

    network.before_push = staticmethod(fail)
    overlay = tmp_path / "o.mp4"
    line = error_line(
        *tdnet_run("--engine", "x", "--input", clip, "--labels", tmp_path / "l", "--overlay", overlay)
    )
    assert "the engine is gone" in line
    assert len(list((tmp_path / "l").iterdir())) == 7
    assert frames_in(overlay) == 7


def test_an_image_that_breaks_in_mid_run(tmp_path, network, tdnet_run):
    folder = tmp_path / "in"
    folder.mkdir()
    for index in range(4):
        cv2.imwrite(str(folder / f"{index}.png"), np.full((90, 90, 3), index, np.uint8))
    bad = folder / "2.png"
    bad.write_bytes(bad.read_bytes()[:80])
    told = f"reading an image: not an image, damaged or cut short: '{bad}'"
    arguments = ("--engine", "x", "--input", folder, "--labels", tmp_path / "l")
    assert told in error_line(*tdnet_run(*arguments, "--on-damage", "fail"))
    assert sorted(path.name for path in (tmp_path / "l").iterdir()) == ["0.png", "1.png"]
    code, out, err = tdnet_run(*arguments, "--overwrite")
    assert (code, err) == (0, f"tdnet-run: 1 damaged frame left out: {told}\n")
    assert f"1 damaged frame left out: {told}" in out
    assert sorted(path.name for path in (tmp_path / "l").iterdir()) == ["0.png", "1.png", "3.png"]


BAD_INPUTS = {
    "absent": ("no/such.mp4", "there is no such video file or folder of images"),
    "text": ("notes.mp4", "not a video that FFmpeg can read"),
    "empty": ("empty.mp4", "the file is empty (0 bytes)"),
    "cut": ("cut.mp4", "not a single frame"),
    "empty folder": ("folder", "no images (.png"),
    "bad image": ("images", "not an image, damaged or cut short"),
    "no camera": ("4242", "opening camera 4242: there is no /dev/video4242"),
    "no camera by prefix": ("camera:4243", "opening camera 4243: there is no /dev/video4243"),
    "bad camera": ("camera:front", "a camera is named camera:0"),
    "device": ("/dev/null", "neither a file, a folder nor a camera"),
}


@pytest.mark.parametrize(("name", "expected"), BAD_INPUTS.values(), ids=BAD_INPUTS.keys())
def test_bad_input_is_one_line_and_leaves_no_file(
    tmp_path, network, clip, tdnet_run, monkeypatch, name, expected
):
    monkeypatch.chdir(tmp_path)
    Path("notes.mp4").write_text("hello\n" * 50)
    Path("empty.mp4").touch()
    data = clip.read_bytes()
    Path("cut.mp4").write_bytes(data[: data.index(b"moof") - 4])
    Path("folder").mkdir()
    Path("images").mkdir()
    Path("images/a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(20))
    before = sorted(tmp_path.rglob("*"))
    line = error_line(*tdnet_run("--engine", "x", "--input", name, "--labels", "l", "--overlay", "o.mp4"))
    assert expected in line
    assert sorted(tmp_path.rglob("*")) == before


BAD_OUTPUTS = {
    "labels over the input": (("--input", "in", "--labels", "in/."), "--labels is the folder of --input"),
    "labels over the input by a link": (("--input", "in", "--labels", "link"), "--labels is the folder of"),
    "labels in a file": (("--labels", "clip.mp4"), "writing label images to 'clip.mp4': not a folder"),
    "overlay over the input": (("--overlay", "clip.mp4"), "--overlay is the same file as --input"),
    "overlay over the engine": (
        ("--engine", "e.mp4", "--overlay", "e.mp4"),
        "--overlay is the same file as --eng",
    ),
    "overlay of another kind": (
        ("--overlay", "o.avi"),
        "--overlay is always an MP4 video; end its name in .mp4",
    ),
    "overlay in no folder": (("--overlay", "none/o.mp4"), "there is no folder 'none'; make it first"),
    "overlay is a folder": (("--overlay", "dir.mp4"), "a folder has that name: 'dir.mp4'"),
}


@pytest.mark.parametrize(("arguments", "expected"), BAD_OUTPUTS.values(), ids=BAD_OUTPUTS.keys())
def test_bad_output_is_one_line_and_changes_nothing(
    tmp_path, network, clip, tdnet_run, monkeypatch, arguments, expected
):
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    cv2.imwrite("in/a.png", np.zeros((9, 9, 3), np.uint8))
    Path("link").symlink_to("in")
    Path("dir.mp4").mkdir()
    Path("e.mp4").write_text("engine")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    line = error_line(*tdnet_run("--engine", "x", "--input", "clip.mp4", *arguments))
    assert expected in line
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), "--engine"),
        (("--engine", "x"), "--input"),
        (("--engine", "x", "--input", "y", "--max-frames", "0"), "--max-frames"),
        (("--engine", "x", "--input", "y", "--threads", "-1"), "--threads"),
        (("--engine", "x", "--input", "y", "--threads", "many"), "--threads"),
        (("--engine", "x", "--input", "y", "--fast"), "--fast"),
    ],
)
def test_wrong_usage(tdnet_run, arguments, expected):
    code, out, err = tdnet_run(*arguments)
    assert (code, out) == (2, "")
    assert expected in err
    assert "Traceback" not in err


def test_options_check_themselves():
    with pytest.raises(OptionError, match="--max-frames is 0; expected 1 or more"):
        RunOptions(engine=Path("x"), inputs={"": "y"}, max_frames=0)
    with pytest.raises(OptionError, match="--threads is -2; expected 1 or more"):
        RunOptions(engine=Path("x"), inputs={"": "y"}, threads=-2)
    with pytest.raises(MediaError, match="there is no folder"):
        RunOptions(engine=Path("x"), inputs={"": "y"}, overlay=Path("/no/such/o.mp4"))


def test_help_shows_examples_that_can_be_copied(tdnet_run, monkeypatch):
    code, out, _ = tdnet_run("--help")
    assert code == 0
    for option in ("engine", "input", "labels", "overlay", "max-frames", "backend", "threads"):
        assert f"--{option}" in out
    assert len(re.findall(r"^ +tdnet-run --engine \S+ --input .*$", out, re.MULTILINE)) == 4


def test_as_a_process_an_absent_bundle_is_one_line(tmp_path, clip):
    code = "from tdnet_runtime.cli import run_main; run_main()"
    arguments = ["--engine", "absent.plan", "--input", clip, "--overlay", "o.mp4", "--labels", "l"]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=tmp_path, capture_output=True, text=True
    )
    assert "absent.plan" in error_line(done.returncode, done.stdout, done.stderr)
    assert list(tmp_path.iterdir()) == [clip]


def test_progress_as_lines_where_there_is_no_terminal(capsys, monkeypatch):
    clock = iter([100.0, 102.0, 106.0, 108.0])
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    with FrameProgress(Console(stderr=True), total=30) as progress:
        for frames in (4, 12, 16):
            progress.update(frames)
    assert capsys.readouterr().err == "12 of 30 frames, 2.0 frames/s, 9 s left\n"


def test_progress_in_a_terminal():
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    with FrameProgress(console, total=8) as progress:
        progress.update(2)
    shown = console.file.getvalue()
    assert "segmenting" in shown
    assert re.search(r"2 of 8 frames, [\d.]+ frames/s", shown)
    assert "left" in shown
