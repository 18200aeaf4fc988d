from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tdnet_bench.loops import lineup
from tdnet_bench.loops.lineup import measure_streams
from tdnet_bench.sides.bundle_side import BundleSide
from tdnet_runtime import Segmenter
from tdnet_runtime.stream_base import StreamBase

IMAGES = [np.zeros((48, 48, 3), dtype=np.uint8)] * 4


def test_each_further_stream_by_itself(engine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of streams that take 5, 3 and 2 MiB the first is left out; all are closed in the end."""
    used = iter([0, 5, 5, 8, 8, 10])
    monkeypatch.setattr(lineup, "_used_bytes", lambda side: next(used) * 2**20)
    opened: list[StreamBase] = []
    with Segmenter.open(engine, backend="fake", threads=1) as segmenter:
        real = segmenter.stream
        monkeypatch.setattr(segmenter, "stream", lambda: opened.append(real()) or opened[-1])
        ticks: list[None] = []
        found = measure_streams(BundleSide(segmenter), IMAGES, 2, tick=lambda: ticks.append(None))
        assert (found.on, found.further_mib, found.own_bytes) == ("host", (3.0, 2.0), None)
        assert [stream.frame_index for stream in opened] == [2, 2, 2]  # each path once
        assert {stream.state.value for stream in opened} == {"closed"}
        assert len(ticks) == 3


def test_the_process_tells_its_own_memory(engine: Path) -> None:
    with Segmenter.open(engine, backend="fake", threads=1) as segmenter:
        side = BundleSide(segmenter)
        before = lineup._used_bytes(side)
        kept = np.ones(
            512 << 20, dtype=np.uint8
        )  # far more than what earlier tests' freed memory moves meanwhile
        assert lineup._used_bytes(side) - before > 256 << 20
        assert kept.all()
