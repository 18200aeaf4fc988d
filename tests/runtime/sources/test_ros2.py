"""The source alone, behind a graph that gives what a test says; tests/runtime/transports has it behind both transports."""

import contextlib

import numpy as np
import pytest

from tdnet_runtime.errors import MediaError
from tdnet_runtime.ros.messages import CompressedImage, RawImage
from tdnet_runtime.sources.registry import open_source
from tdnet_runtime.transports.address import RosAddress
from tdnet_runtime.transports.node import Arrival

PERIOD_NS = 33_333_333


def raw(index, *, short=False):
    data = np.zeros(20 if short else 48, np.uint8)
    stamp_ns = 10**18 + index * PERIOD_NS
    return RawImage(
        stamp_ns=stamp_ns,
        frame_id="c",
        height=4,
        width=4,
        encoding="rgb8",
        is_bigendian=False,
        step=12,
        data=data,
    ).to_cdr()


def compressed(index, data):
    return CompressedImage(
        stamp_ns=10**18 + index * PERIOD_NS, frame_id="c", format="png", data=data
    ).to_cdr()


class GivingNode:
    description, warning = "a graph", ""

    def __init__(self, messages, *, numbered):
        self.arrivals = [
            Arrival(
                data=np.frombuffer(message, np.uint8), arrival_ns=index, lost_before=0 if numbered else None
            )
            for index, message in enumerate(messages)
        ]

    def reader(self, topic, kind, **options):
        return self

    def read(self, timeout_s):
        return self.arrivals.pop(0) if self.arrivals else None

    def close(self):
        pass


@pytest.fixture(params=[True, False], ids=["numbered", "by stamps"])
def lost_before(request, monkeypatch):
    """lost_before(messages): of each frame."""

    def read(messages, kind="Image"):
        node = GivingNode(messages, numbered=request.param)
        monkeypatch.setattr(RosAddress, "open", lambda self: node)
        frames = []
        with open_source(f"ros2:///c?rmw=zenoh&type={kind}&timeout=0.01") as source:
            with contextlib.suppress(MediaError):  # the silence after the last one
                frames.extend(source)
            assert source.damage.skipped == 1
        return [frame.lost_before for frame in frames]

    return read


def test_a_picture_that_is_too_short_is_one_that_is_lost(lost_before):
    messages = [raw(index, short=index == 10) for index in range(15)]
    assert lost_before(messages) == [0] * 10 + [1] + [0] * 3


def test_a_message_that_cannot_be_read_is_one_that_is_lost(lost_before):
    messages = [raw(index) for index in range(15)]
    messages[10] = messages[10][:10]
    assert lost_before(messages) == [0] * 10 + [1] + [0] * 3


def test_a_compressed_picture_that_is_none_is_one_that_is_lost(lost_before):
    cv2 = pytest.importorskip("cv2")
    whole = cv2.imencode(".png", np.zeros((4, 4, 3), np.uint8))[1].reshape(-1)
    messages = [compressed(index, np.zeros(9, np.uint8) if index == 10 else whole) for index in range(15)]
    assert lost_before(messages, "CompressedImage") == [0] * 10 + [1] + [0] * 3
