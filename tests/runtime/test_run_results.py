"""`tdnet-run` on logs and with `--output`: what comes in, what goes out, what is said."""

import json
import os
import re
import sys
from dataclasses import replace

import cv2
import numpy as np
import pytest
from tests.runtime import test_run
from tests.runtime.sources import logs, test_network
from tests.runtime.sources.logs import IMAGE_TYPE, STEP, S, images, write_db3, write_mcap
from tests.runtime.test_run import FakeSegmenter, error_line

from tdnet_runtime.sources.registry import open_source
from tdnet_runtime.stream import Result

PATHS = 3
camera, clip, tdnet_run = test_network.camera, test_run.clip, test_run.tdnet_run  # fixtures


@pytest.fixture
def network(monkeypatch):
    """A network that paints, and gives results; its memory holds two frames."""

    class Network(FakeSegmenter):
        def __init__(self):
            super().__init__()
            self.manifest.paths = (None,) * PATHS

        def push(self, frame, *, stamp_ns=None, out=None):
            index = self._index
            labels = super().push(frame, stamp_ns=stamp_ns, out=out)
            return Result(labels, index % PATHS + 1, index < PATHS - 1, index, stamp_ns, None)

        def reset(self):
            self._index = 0

    monkeypatch.setattr("tdnet_runtime.cli.engine.Segmenter", Network)
    return Network


def stamps(path, topic="/segmentation/mask"):
    with open_source(f"{path}?topic={topic}") as source:
        return [round((frame.stamp_ns - S) / STEP) for frame in source]


def test_a_log_in_and_a_log_out(tmp_path, network, tdnet_run):
    path = write_mcap(tmp_path / "drive.mcap", logs.camera() | {"/rear": (IMAGE_TYPE, "cdr", images(3))})
    out, summary = tmp_path / "masks.mcap", tmp_path / "s.json"
    arguments = ("--engine", "x.plan", "--output", f"mcap:{out}", "--json", summary)
    code, told, err = tdnet_run("--input", f"{path}?topic=/cam", *arguments)
    assert (code, err) == (0, "")
    assert re.search(r"^input +topic '/cam' of the log '.*drive.mcap', 24x32", told, re.MULTILINE)
    assert re.search(rf"^output +mcap:{out}$", told, re.MULTILINE)
    assert stamps(out) == list(range(6))
    document = json.loads(summary.read_text())
    assert document["input"]["topic"] == "/cam"
    assert document["outputs"]["urls"] == [f"mcap:{out}"]
    assert "2 topics have pictures: '/cam' (sensor_msgs/msg/Image, 6 messages), '/rear'" in error_line(
        *tdnet_run("--input", path, "--engine", "x.plan")
    )


def test_ages_and_paths_of_a_run_over_files(tmp_path, network, tdnet_run):
    ros2 = pytest.importorskip("mcap_ros2.decoder", reason="mcap-ros2-support is not installed")
    from mcap.reader import make_reader

    content = [message for i, message in enumerate(images(8)) if i != 4]
    path = write_db3(tmp_path / "a.db3", {"/cam": (IMAGE_TYPE, "cdr", content)})
    out = tmp_path / "o.mcap"
    assert tdnet_run("--engine", "x.plan", "--input", path, "--output", out)[0] == 0
    with out.open("rb") as file:
        reader = make_reader(file, decoder_factories=[ros2.DecoderFactory()])
        timing = [message for *_, message in reader.iter_decoded_messages(topics="/segmentation/timing")]
    assert [message.path for message in timing] == [1, 2, 3, 1, 2, 3, 1]
    assert [message.cold for message in timing] == [True, True, *[False] * 5]
    assert [list(message.memory_age_ms) for message in timing] == [
        [],
        [],
        [200, 100],
        [200, 100],
        [300, 200],
        [300, 100],
        [200, 100],
    ]
    assert all(message.stages == ["wait", "infer"] for message in timing)


def test_what_outputs_of_files_are_told(network, tdnet_run, tmp_path, monkeypatch):
    """Confidence where the bundle has it, and why the memory was emptied."""
    push, got = network.push, []

    def certain(self, frame, **options):
        result = push(self, frame, **options)
        return replace(result, confidence=np.full(frame.shape[:2], 200 + result.frame_index, np.uint8))

    class Noting:
        name = "noting"

        def __enter__(self):
            return self

        def __exit__(self, *error):
            pass

        def write(self, result):
            got.append((result.confidence.max(), result.cold_start))

    monkeypatch.setattr(network, "push", certain)
    for sequence in "ab":
        (tmp_path / "in" / sequence).mkdir(parents=True)
        for index in range(2):
            cv2.imwrite(str(tmp_path / "in" / sequence / f"{index}.png"), logs.picture(index))
    out = tmp_path / "o.mcap"
    with monkeypatch.context() as patch:
        patch.setattr("tdnet_runtime.cli.run_outputs.open_sink", lambda spec, network: Noting())
        assert tdnet_run("--engine", "x.plan", "--input", tmp_path / "in", "--output", out)[0] == 0
    assert got == [(200, "start"), (201, ""), (200, "begins"), (201, "")]
    assert tdnet_run("--engine", "x.plan", "--input", tmp_path / "in", "--output", out)[0] == 0
    with open_source(f"{out}?topic=/segmentation/confidence") as source:
        assert [frame.image.max() for frame in source] == [200, 201, 200, 201]


def test_the_memory_begins_anew_with_each_sequence(tmp_path, network, tdnet_run):
    ros2 = pytest.importorskip("mcap_ros2.decoder", reason="mcap-ros2-support is not installed")
    from mcap.reader import make_reader

    for sequence in "ab":
        (tmp_path / "in" / sequence).mkdir(parents=True)
        for index in range(3):
            cv2.imwrite(str(tmp_path / "in" / sequence / f"{index}.png"), logs.picture(index))
    out = tmp_path / "o.mcap"
    assert tdnet_run("--engine", "x.plan", "--input", tmp_path / "in", "--output", out)[0] == 0
    with out.open("rb") as file:
        reader = make_reader(file, decoder_factories=[ros2.DecoderFactory()])
        timing = [message for *_, message in reader.iter_decoded_messages(topics="/segmentation/timing")]
    assert [message.name for message in timing] == [f"{sequence}/{i}" for sequence in "ab" for i in range(3)]
    assert [list(message.memory_age_ms) for message in timing] == [[], [], [80, 40]] * 2


def test_several_outputs_at_once(tmp_path, network, tdnet_run):
    path = write_mcap(tmp_path / "a.mcap", logs.camera())
    specs = (f"{tmp_path}/o.mcap", f"labels:{tmp_path}/l", f"overlay:{tmp_path}/o.mp4")
    outputs = [word for spec in specs for word in ("--output", spec)]
    code, _, err = tdnet_run("--engine", "x.plan", "--input", path, *outputs, "--colors", tmp_path / "c")
    assert (code, err) == (0, "")
    assert len(list((tmp_path / "l").iterdir())) == len(list((tmp_path / "c").iterdir())) == 6
    with open_source(tmp_path / "o.mp4") as source:
        assert len(list(source)) == 6


def test_a_video_to_a_log(tmp_path, network, tdnet_run, clip):
    out = tmp_path / "o.mcap"
    assert tdnet_run("--engine", "x.plan", "--input", clip, "--output", out)[0] == 0
    with open_source(f"{out}?topic=/segmentation/mask") as source:
        frames = list(source)
    assert len(frames) == 12
    assert np.unique(frames[3].image).tolist() == [0, 1]


def test_a_cut_log_is_a_warning_and_no_error(tmp_path, network, tdnet_run):
    path = write_mcap(tmp_path / "a.mcap", logs.camera(12))
    path.write_bytes(path.read_bytes()[:20_000])
    code, told, err = tdnet_run("--engine", "x.plan", "--input", path, "--labels", tmp_path / "l")
    assert code == 0
    assert re.fullmatch(
        r"tdnet-run: warning: the log 'a.mcap': cut short or damaged from byte \d+ of 20000 on\n", err
    )
    assert re.search(r"^frames +8", told, re.MULTILINE)


def test_a_network_camera(tmp_path, network, tdnet_run, camera):
    address, _ = camera
    address = address.replace("//", "//me:secret@")
    out, summary = tmp_path / "o.mcap", tmp_path / "s.json"
    arguments = ("--output", out, "--json", summary, "--max-frames", 3)
    code, told, err = tdnet_run("--engine", "x.plan", "--input", address, *arguments)
    assert (code, err) == (0, "")
    assert "network camera http://me:***@127.0.0.1" in told
    assert "secret" not in told + summary.read_text()
    assert json.loads(summary.read_text())["input"]["spec"].startswith("http://me:***@")
    with open_source(f"{out}?topic=/segmentation/mask") as source:
        assert len(list(source)) == 3


BAD = {
    "its own input": ("--output", "mcap:drive.mcap", "--output is the same file as --input"),
    "its own input by a path": ("--output", "./drive.mcap", "--output is the same file as --input"),
    "its engine": ("--output", "mcap:x.plan", "--output is the same file as --engine"),
    "one file twice": (
        "--output",
        "o.mcap",
        "--output",
        "mcap:./o.mcap",
        "--output and --output are the same file",
    ),
    "the overlay": ("--output", "o.mp4", "--overlay", "o.mp4", "--overlay and --output are the same file"),
    "a folder twice": ("--output", "labels:l", "--labels", "l", "--labels and --output are the same folder"),
    "an unset variable": ("--output", "--overwrite", "--output is '--overwrite'; is a variable unset?"),
    "empty": ("--output", "", "--output was given an empty value"),
    "another kind": ("--output", "o.avi", "no such kind of output"),
    "a log of another's": ("--output", "other.mcap", "was not written by tdnet; name another"),
}


@pytest.mark.parametrize("case", BAD.values(), ids=BAD.keys())
def test_outputs_that_cannot_be_meant(tmp_path, monkeypatch, network, tdnet_run, case):
    monkeypatch.chdir(tmp_path)
    for name in ("drive.mcap", "other.mcap"):
        write_mcap(tmp_path / name, logs.camera(2))
    (tmp_path / "x.plan").write_text("")
    before = sorted(path.name for path in tmp_path.iterdir())
    spec = "mcap:drive.mcap?topic=/cam"
    line = error_line(*tdnet_run("--engine", "x.plan", "--input", spec, *case[:-1]))
    assert case[-1] in line
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_a_missing_package_is_told_before_the_engine_is_loaded(tmp_path, monkeypatch, network, tdnet_run):
    monkeypatch.setattr(network, "open", classmethod(lambda *args, **options: pytest.fail("it was loaded")))
    for name in [
        name for name in sys.modules if name.partition(".")[0] == "rerun" or ".sinks.rerun_" in name
    ]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "rerun", None)
    path = write_mcap(tmp_path / "a.mcap", logs.camera(2))
    line = error_line(*tdnet_run("--engine", "x.plan", "--input", path, "--output", f"{tmp_path}/o.rrd"))
    assert "the package 'rerun', which 'tdnet_runtime.sinks.rerun_file' needs, is not installed" in line
    assert "pip install 'tdnet-deploy[rerun]'" in line


@pytest.mark.skipif(not os.access("/dev", os.W_OK), reason="only root may write in the folder of devices")
def test_a_full_disk(tmp_path, monkeypatch, network, tdnet_run):
    path = write_mcap(tmp_path / "a.mcap", logs.camera(2))
    line = error_line(*tdnet_run("--engine", "x.plan", "--input", path, "--output", "mcap:/dev/full"))
    assert "No space left on device" in line
