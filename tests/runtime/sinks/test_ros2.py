"""The sink alone, before a graph that only takes note."""

import pytest
from tests.runtime.sinks.conftest import make_result

from tdnet_runtime.errors import MediaError
from tdnet_runtime.ros.messages import LabelInfo, RawImage
from tdnet_runtime.sinks.registry import open_sink
from tdnet_runtime.transports.address import RosAddress

FAR_NS = 2**62


class NotingNode:
    """Its writers tell what they were given; `failing` makes the latched ones fail so often, `dropping` drop."""

    description, warning = "a graph", ""

    def __init__(self, *, failing=0, dropping=0):
        self.made, self.written = [], []
        self.failing, self.dropping = failing, dropping

    def writer(self, topic, kind, *, reliable=True, latched=False):
        self.made.append((topic, reliable, latched))
        return NotingWriter(self, topic, latched)

    def close(self):
        pass


class NotingWriter:
    matched = False

    def __init__(self, node, topic, latched):
        self.node, self.topic, self.latched = node, topic, latched

    def write(self, message):
        if self.latched and self.node.failing:
            self.node.failing -= 1
            raise MediaError("the transport failed")
        if self.latched and self.node.dropping:
            self.node.dropping -= 1
            return False
        self.node.written.append((self.topic, message))
        return True


@pytest.fixture
def opened(monkeypatch, network):
    """opened(**options): a sink, and the node before it."""

    def open(**options):
        node = NotingNode(**options)
        monkeypatch.setattr(RosAddress, "open", lambda self: node)
        return open_sink("ros2:///segmentation?rmw=zenoh", network), node

    return open


def topics(node):
    return [topic for topic, _ in node.written]


def test_what_is_made_and_published(opened):
    sink, node = opened()
    for index in range(3):
        sink.write(make_result(index, source="front"))
    assert sorted(node.made) == [
        ("/segmentation/front/colors", True, False),
        ("/segmentation/front/label_info", True, True),
        ("/segmentation/front/mask", True, False),
        ("/segmentation/front/mask/compressed", True, False),
    ]
    assert topics(node) == ["/segmentation/front/label_info", *["/segmentation/front/mask"] * 3]


def test_stamps_that_no_message_holds(opened):
    """Nothing is made anew for each of them, and the labels are told with the first one that fits."""
    sink, node = opened()
    for index in range(5):
        with pytest.raises(MediaError, match="does not fit its field"):
            sink.write(make_result(index, stamp_ns=FAR_NS))
    assert topics(node) == []
    sink.write(make_result(5))
    sink.write(make_result(6))
    assert len(node.made) == len(set(node.made)) == 4
    assert topics(node) == ["/segmentation/label_info", "/segmentation/mask", "/segmentation/mask"]
    assert len(LabelInfo.from_cdr(node.written[0][1]).classes) == 3
    assert RawImage.from_cdr(node.written[1][1]).stamp_ns == make_result(5).stamp_ns


def test_labels_that_cannot_be_told_at_first(opened):
    sink, node = opened(failing=3)
    for index in range(3):
        with pytest.raises(MediaError, match="the transport failed"):
            sink.write(make_result(index))
    sink.write(make_result(3))
    assert len(node.made) == len(set(node.made)) == 4
    assert topics(node) == ["/segmentation/label_info", "/segmentation/mask"]


def test_labels_that_were_dropped_are_told_again(opened):
    sink, node = opened(dropping=2)
    for index in range(4):
        sink.write(make_result(index))
    assert topics(node).count("/segmentation/label_info") == 1
    assert topics(node).count("/segmentation/mask") == 4
    assert sink.dropped == 2
    assert len(node.made) == 4
