"""How `tdnet-run` ends where stderr or stdout cannot be written, and where an output is slow or stuck."""

import contextlib
import json
import os
import re
import sys
import threading
from types import SimpleNamespace

import pytest
from tests.runtime import test_run, test_run_results
from tests.runtime.test_run import FRAMES, frames_in

from tdnet_runtime.cli import live_run, progress_line
from tdnet_runtime.cli.notices import notice_console
from tdnet_runtime.errors import MediaError
from tdnet_runtime.live import LiveSegmenter
from tdnet_runtime.media.overlay import OverlayWriter

LIMIT_S = 60  # far above what anything here takes
clip, tdnet_run, network = test_run.clip, test_run.tdnet_run, test_run_results.network


def full():
    return open("/dev/full", "w", buffering=1)  # noqa: PTH123


def left():
    """A pipe whose reader has gone."""
    reader, writer = os.pipe()
    os.close(reader)
    return os.fdopen(writer, "w", buffering=1)


@pytest.fixture(params=[full, left])
def unwritable(request):
    if request.param is full and not os.path.exists("/dev/full"):  # noqa: PTH110
        pytest.skip("this system has no /dev/full")
    file = request.param()
    yield file
    with contextlib.suppress(OSError):
        file.close()


def outcome(tmp_path):
    return json.loads((tmp_path / "s.json").read_text())


@pytest.mark.parametrize("live", [(), ("--policy", "every")])
def test_stderr_that_cannot_be_written_costs_nothing(
    tmp_path, monkeypatch, network, tdnet_run, clip, unwritable, live
):
    monkeypatch.setattr(progress_line, "_LINE_EVERY_S", 0.0)  # a line for each frame
    monkeypatch.setattr(sys, "stderr", unwritable)
    outputs = ("--labels", tmp_path / "l", "--json", tmp_path / "s.json")
    code, out, _ = tdnet_run("--engine", "x.plan", "--input", clip, *outputs, *live)
    assert (code, len(list((tmp_path / "l").iterdir())), outcome(tmp_path)["frames"]) == (0, FRAMES, FRAMES)
    assert f"{FRAMES}" in out


def test_an_output_that_fails_while_stderr_cannot_be_written(
    tmp_path, monkeypatch, network, tdnet_run, clip, unwritable
):
    """Telling of it must not end the thread that takes its results: the others would wait for ever."""
    monkeypatch.setattr(sys, "stderr", unwritable)
    outputs = ("--output", "mcap:/dev/full", "--labels", tmp_path / "l", "--json", tmp_path / "s.json")
    code, *_ = tdnet_run("--engine", "x.plan", "--input", clip, "--policy", "every", *outputs)
    assert (code, len(list((tmp_path / "l").iterdir()))) == (1, FRAMES)
    assert outcome(tmp_path)["live"]["health"]["sinks"]["log '/dev/full'"]["failures"] == FRAMES


@pytest.mark.parametrize("live", [(), ("--policy", "every")])
def test_stdout_that_cannot_be_written_does_not_cost_the_summary(
    tmp_path, monkeypatch, network, tdnet_run, clip, unwritable, live
):
    monkeypatch.setattr(sys, "stdout", unwritable)
    code, *_ = tdnet_run("--engine", "x.plan", "--input", clip, "--json", tmp_path / "s.json", *live)
    assert (code, outcome(tmp_path)["frames"]) == (1, FRAMES)


@pytest.mark.parametrize("live", [(), ("--policy", "every")])
def test_a_summary_that_cannot_be_written_is_shown_nevertheless(
    tmp_path, monkeypatch, network, tdnet_run, clip, live
):
    def fail(document, path):
        raise MediaError("the disk is full")

    monkeypatch.setattr("tdnet_runtime.cli.run_telling.write_run_document", fail)
    code, out, err = tdnet_run("--engine", "x.plan", "--input", clip, "--json", tmp_path / "s.json", *live)
    assert (code, err) == (1, "tdnet-run: error: the disk is full\n")
    assert re.search(rf"^frames +{FRAMES}\b", out, re.MULTILINE)


def test_what_is_told_behind_a_bar(monkeypatch, unwritable):
    """The console goes to stderr itself, not by way of the bar that stands for it meanwhile."""
    monkeypatch.setattr(sys, "stderr", SimpleNamespace(rich_proxied_file=unwritable))
    notice_console().print("hello")
    monkeypatch.setattr(sys, "stderr", None)
    notice_console().print("hello")


@pytest.fixture
def slow(monkeypatch):
    """An overlay that writes nothing before the run ends, which has no time of its own; `closed`: whether in mid-write."""
    ends, busy, closed, writers = threading.Event(), threading.Event(), [], set()
    write, close, end = OverlayWriter.write, OverlayWriter.close, LiveSegmenter.close

    def slowly(writer, *arguments):
        writers.add(writer)
        busy.set()
        assert ends.wait(LIMIT_S)
        write(writer, *arguments)
        busy.clear()

    def watched(writer):
        closed.append(busy.is_set())
        close(writer)

    def hasty(live, timeout_s=5.0, **options):
        if not slow.stuck:
            ends.set()
        if slow.signals:
            slow.signals -= 1
            raise KeyboardInterrupt
        end(live, 0.02, **options)

    monkeypatch.setattr(OverlayWriter, "write", slowly)
    monkeypatch.setattr(OverlayWriter, "close", watched)
    monkeypatch.setattr(LiveSegmenter, "close", hasty)
    slow = SimpleNamespace(stuck=False, signals=0, closed=closed)
    yield slow
    ends.set()
    for thread in threading.enumerate():
        if thread.name.startswith("sink overlay"):
            thread.join()
    for writer in writers:
        close(writer)


def test_a_slow_output_gets_all_results_and_is_closed_then(tmp_path, network, tdnet_run, clip, slow):
    outputs = ("--overlay", tmp_path / "o.mp4", "--json", tmp_path / "s.json")
    code, *_ = tdnet_run(
        "--engine", "x.plan", "--input", clip, "--policy", "every", "--max-frames", 8, *outputs
    )
    (sink,) = outcome(tmp_path)["live"]["health"]["sinks"].values()
    assert (code, slow.closed, frames_in(tmp_path / "o.mp4")) == (0, [False], 8)
    assert (sink["written"], sink["queue_depth"]) == (8, 0)


@pytest.mark.parametrize("signals", [0, 1])
def test_an_output_that_is_stuck_is_left_behind_and_said_to_be(
    tmp_path, monkeypatch, network, tdnet_run, clip, slow, signals
):
    """Where it is at one result for too long, or (1) a second signal comes while it is waited for."""
    slow.stuck, slow.signals = True, signals
    monkeypatch.setattr(live_run, "_SINK_PATIENCE_S", LIMIT_S if signals else 0.05)
    path = tmp_path / "o.mp4"
    outputs = ("--overlay", path, "--labels", tmp_path / "l", "--json", tmp_path / "s.json")
    code, _, err = tdnet_run(
        "--engine", "x.plan", "--input", clip, "--policy", "every", "--max-frames", 5, *outputs
    )
    assert (code, slow.closed, len(list((tmp_path / "l").iterdir()))) == (1, [], 5)
    assert f"tdnet-run: error: overlay '{path}': it was still writing when the run was over" in err
    assert list(outcome(tmp_path)["live"]["errors"]) == [f"overlay '{path}'"]


def results(*infer_ms):
    return [SimpleNamespace(stage_ms={"wait": 1.0, "infer": ms}) for ms in infer_ms]


def test_latencies_are_of_inferences_alone_and_take_no_more_memory_for_more_of_them(monkeypatch):
    monkeypatch.setattr(live_run, "_KEPT", 4)
    inferences = live_run._Inferences()
    assert inferences.latency_ms() is None
    for result in results(90.0, 0.0, 0.0, 0.0):  # three have the labels of the first: `--degrade hold`
        inferences.add(result)
    assert inferences.latency_ms() == {"p50": 90.0, "p95": 90.0, "max": 90.0}
    for result in results(1.0, 1.0, 2.0, 3.0, 4.0):
        inferences.add(result)
    told = inferences.latency_ms()
    assert (told["p50"], told["max"], len(inferences._last_ns)) == (2.5, 90.0, 4)
