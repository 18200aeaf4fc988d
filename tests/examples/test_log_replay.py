"""examples/log_replay.py, run as a user runs it."""

import re
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.runtime.sources.logs import IMAGE_TYPE, images, write_mcap

from tdnet_runtime import Segmenter
from tdnet_runtime.errors import MediaError
from tdnet_runtime.sources.log_source import LogSource
from tdnet_runtime.sources.registry import open_source

SCRIPT = Path(__file__).parents[2] / "examples" / "log_replay.py"


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *map(str, arguments)])
    with pytest.raises(SystemExit) as caught:
        runpy.run_path(str(SCRIPT), run_name="__main__")
    return caught.value.code


def test_it_gives_the_labels_of_a_plain_loop(tmp_path, monkeypatch, tiny_bundle, capsys):
    content = [message for i, message in enumerate(images(14)) if i not in (11, 12)]
    log = write_mcap(tmp_path / "drive.mcap", {"/cam": (IMAGE_TYPE, "cdr", content)}, end=False)
    plan, out = tiny_bundle("td2-fa18"), tmp_path / "masks.mcap"
    assert run(monkeypatch, plan, f"{log}?topic=/cam", f"mcap:{out}") == 0
    told = capsys.readouterr().out.splitlines()
    assert "2 frames are missing before 2300000000 ns" in told
    assert told[-2] == f"12 of topic '/cam' of the log '{log}', 0 damaged ones left out"
    assert "it was never ended" in told[-1]
    with (
        open_source(log) as source,
        open_source(f"{out}?topic=/segmentation/camera/mask") as masks,
        Segmenter.open(plan) as segmenter,
        segmenter.stream() as stream,
    ):
        for frame, mask in zip(source, masks, strict=True):
            assert frame.stamp_ns == mask.stamp_ns
            np.testing.assert_array_equal(stream.push(frame.image).labels, mask.image[..., 0])


def test_what_is_wrong_is_said_in_one_line(tmp_path, monkeypatch, tiny_bundle):
    told = run(monkeypatch, tiny_bundle("td2-fa18"), tmp_path / "none.mcap", "mcap:out.mcap")
    assert re.fullmatch(
        r"log_replay: opening the log: there is no such file or folder: '.*none\.mcap'[^\n]*", told
    )
    assert "python examples/log_replay.py" in run(monkeypatch)


class Failing:
    """A sink that takes some results, then fails at each."""

    name = "failing"

    def __init__(self, takes):
        self.takes = takes

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def write(self, result):
        self.takes -= 1
        if self.takes < 0:
            raise MediaError("the disk is full")


@pytest.mark.parametrize("takes", [0, 5])  # at once, and at the last result, when the loop may be over
def test_an_output_that_fails(tmp_path, monkeypatch, tiny_bundle, takes):
    monkeypatch.setattr("tdnet_runtime.sinks.registry.open_sink", lambda spec, network: Failing(takes))
    log = write_mcap(tmp_path / "drive.mcap", {"/cam": (IMAGE_TYPE, "cdr", images(6))})
    assert run(monkeypatch, tiny_bundle("td2-fa18"), log, "mcap:o.mcap") == "log_replay: the disk is full"


def test_a_log_that_fails(tmp_path, monkeypatch, tiny_bundle, capsys):
    read = LogSource.__iter__

    def dying(source):
        frames = read(source)
        yield next(frames)
        raise MediaError("the disk is gone")

    monkeypatch.setattr(LogSource, "__iter__", dying)
    log = write_mcap(tmp_path / "drive.mcap", {"/cam": (IMAGE_TYPE, "cdr", images(6))})
    assert run(monkeypatch, tiny_bundle("td2-fa18"), log, f"mcap:{tmp_path / 'o.mcap'}") == 1
    told = capsys.readouterr()
    assert told.out.splitlines()[-1].startswith("1 of topic '/cam'")
    assert told.err == "log_replay: camera: the disk is gone\n"
