"""How the process that quantises ends, and what is said where it is not NNCF's fault; NNCF itself is not needed."""

import errno
import sys

import numpy as np
import pytest

from tdnet_export.int8 import process, quantised_graphs
from tdnet_runtime.errors import ExportError


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (
            "kill -9 $$",
            "was killed by SIGKILL, probably since memory ran out: it said nothing. Export with --precision fp32, or where "
            "there is more memory.",
        ),
        (
            "echo 'OSError: 9 requested and 3 written' >&2; exit 1",
            "ended with exit code 1: OSError: 9 requested and 3 written. The temporary folder needs room for graphs and "
            "their values: set TMPDIR to one that has it.",
        ),
        ("echo no. >&2; exit 3", "ended with exit code 3: no. Export with --precision fp32."),
    ],
    ids=["killed", "full", "failed"],
)
def test_how_it_ended(script, message, monkeypatch, tmp_path):
    program = tmp_path / "python"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    monkeypatch.setattr(process, "tool", lambda: "nncf 3")
    with pytest.raises(ExportError) as caught:
        list(process.quantise({}, {}, tmp_path, stays_single=lambda node: False))
    assert str(caught.value) == f"quantising the graphs: nncf 3 {message}"


def full(*_, **__):
    raise OSError(errno.EDQUOT, "Disk quota exceeded")


def test_samples_that_there_is_no_room_for(tiny_graphs, tiny_clips, monkeypatch):
    models, contract, manifest = tiny_graphs("td2-fa18")
    monkeypatch.setattr(np, "save", full)
    with pytest.raises(
        ExportError, match=r"^calibrating failed: Disk quota exceeded; .* set TMPDIR to one that"
    ):
        quantised_graphs(models, contract, tiny_clips(manifest, 1))


def test_graphs_that_there_is_no_room_for(tiny_graphs, tiny_clips, monkeypatch):
    models, contract, manifest = tiny_graphs("td2-fa18")
    monkeypatch.setattr(process.onnx, "save", full)
    with pytest.raises(
        ExportError, match=r"^quantising the graphs failed: Disk quota exceeded; .* set TMPDIR to"
    ):
        quantised_graphs(models, contract, tiny_clips(manifest, 1))
