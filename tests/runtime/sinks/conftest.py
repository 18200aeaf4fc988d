"""Results as the live layer makes them."""

import numpy as np
import pytest
from tests.runtime.sources.logs import STEP, S, picture

from tdnet_runtime.live.result import LiveResult
from tdnet_runtime.media.frames import SourceFrame
from tdnet_runtime.sinks.sink import SinkNetwork

CLASSES = [("road", (128, 64, 128)), ("sky", (70, 130, 180)), ("car", (0, 0, 142))]


@pytest.fixture
def network():
    return SinkNetwork(name="td4-psp18", digest="d" * 64, classes=CLASSES)


def make_result(
    index, *, source="", size_hw=(24, 32), confidence=False, stamp_ns=None, live=False, **changes
):
    stamp = S + index * STEP if stamp_ns is None else stamp_ns
    frame = SourceFrame(
        image=picture(index, height=size_hw[0], width=size_hw[1]),
        name=f"{index:06d}",
        stamp_ns=stamp,
        frame_id="cam",
        arrival_ns=stamp if live else None,
    )
    labels = np.full(size_hw, index % 3, np.uint8)
    labels[0] = 2
    labels.flags.writeable = False  # all sinks share it
    values = {
        "source": source,
        "frame": frame,
        "labels": labels,
        "confidence": np.full(size_hw, 200 + index % 50, np.uint8) if confidence else None,
        "path": index % 4 + 1,
        "cold": index < 3,
        "frame_index": index,
        "stamp_ns": stamp,
        "memory_age_ms": () if index < 3 else (300.0, 200.0, 100.0),
        "dropped": index % 2,
        "late": index == 5,
        "mode": "full",
        "stage_ms": {"wait": 1.5, "infer": 20.0 + index},
    }
    return LiveResult(**values | changes)


@pytest.fixture
def result():
    """result(index, source="", size_hw=(24, 32), confidence=False, live=False, ...)."""
    return make_result
