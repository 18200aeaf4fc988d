"""examples/log_replay.py, run as a user runs it."""

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.runtime.sources.logs import IMAGE_TYPE, images, write_mcap

from tdnet_runtime import Segmenter
from tdnet_runtime.sources.registry import open_source

SCRIPT = Path(__file__).parents[2] / "examples" / "log_replay.py"


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *map(str, arguments)])
    runpy.run_path(str(SCRIPT), run_name="__main__")


def test_it_gives_the_labels_of_a_plain_loop(tmp_path, monkeypatch, tiny_bundle, capsys):
    content = [message for i, message in enumerate(images(14)) if i not in (11, 12)]
    log = write_mcap(tmp_path / "drive.mcap", {"/cam": (IMAGE_TYPE, "cdr", content)}, end=False)
    plan, out = tiny_bundle("td2-fa18"), tmp_path / "masks.mcap"
    run(monkeypatch, plan, f"{log}?topic=/cam", f"mcap:{out}")
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
    with pytest.raises(
        SystemExit, match=r"log_replay: opening the log: there is no such file or folder: '.*none\.mcap'"
    ):
        run(monkeypatch, tiny_bundle("td2-fa18"), tmp_path / "none.mcap", "mcap:out.mcap")
    with pytest.raises(SystemExit, match=r"python examples/log_replay\.py"):
        run(monkeypatch)
