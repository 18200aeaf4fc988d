"""Results as ROS 2 topics: `ros2:///segmentation?rmw=zenoh`, with pip alone."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from tdnet_runtime.closeable import Closeable
from tdnet_runtime.errors import MediaError
from tdnet_runtime.forks import ForkBound
from tdnet_runtime.media.blend import color_table
from tdnet_runtime.ros.messages import CompressedImage, LabelInfo, RawImage
from tdnet_runtime.ros.types import COMPRESSED_IMAGE, IMAGE, LABEL_INFO, MessageType
from tdnet_runtime.sinks.day_stamps import DayStamps
from tdnet_runtime.sinks.pictures import png
from tdnet_runtime.sinks.sink import SinkNetwork, topic_of
from tdnet_runtime.sinks.source_names import SourceNames
from tdnet_runtime.sources.source_url import SourceUrl
from tdnet_runtime.transports.address import RosAddress, asked_reliability, check_topic
from tdnet_runtime.transports.node import Writer

if TYPE_CHECKING:
    from tdnet_runtime.live.result import LiveResult

__all__ = ["Ros2Sink"]

_DIGIT = re.compile(r"/(?=[0-9])")  # with which no part of a topic's name may begin
_PNG = "mono8; png compressed "  # as image_transport writes it


class Ros2Sink(Closeable, ForkBound):
    """Publishes for each source, with stamp and frame_id of its frames.

    - `<topic>/mask`: sensor_msgs/msg/Image, mono8, the grey value being the class index;
    - `<topic>/mask/compressed`: the same as a PNG in a sensor_msgs/msg/CompressedImage, while somebody reads it;
    - `<topic>/colors`: rgb8, the classes' colours, while somebody reads it;
    - `<topic>/confidence`: mono8, where the bundle has one;
    - `<topic>/label_info`: vision_msgs/msg/LabelInfo, latched, once; where that fails, with the next result. With `mask`
      and `confidence` it is what Nav2's semantic segmentation layer asks for.

    Sources that have a name get a level of their own: `/segmentation/front/mask`. Stamps of cameras, which are of this
    machine's monotonic clock, become its time of day.

    Args:
        url: `ros2:///<topic>`, `/segmentation` if none is named; `reliability=reliable` (which serves readers of both
            kinds) or `best_effort`, `frame_id=` for frames without one, and what `RosAddress` takes.
        network: whose labels they are.

    Attributes:
        dropped: messages that were given up since a reader that asked for reliability does not keep up.

    Raises:
        MediaError: the graph cannot be joined.
        OptionError: a parameter that cannot be meant.
        MissingExtraError: the transport's package is not installed.
    """

    fork_error = MediaError

    def __init__(self, url: SourceUrl, network: SinkNetwork) -> None:
        base = "/segmentation" if url.topic == "/" else check_topic(url.topic)
        address = RosAddress.from_params(url.params)
        self.name = f"ROS 2 topics {base} by {address.rmw}, domain {address.domain}"
        self.source_names = SourceNames(
            f"writing the {self.name}", lambda source: _topic(base, source, "").strip("/")
        )
        self.dropped = 0
        self._reliable = asked_reliability(url.params) is not False
        self._frame_id = url.params.get("frame_id", "")
        self._base = base
        self._network = network
        self._palette = color_table([color for _, color in network.classes])[:, np.newaxis]
        self._writers: dict[tuple[str, str], Writer] = {}
        self._announced: set[str] = set()
        self._stamps = DayStamps()
        self._node = address.open()
        self.description = self._node.description
        self.warning = self._node.warning

    def write(self, result: LiveResult) -> None:
        """See `LiveSink`."""
        self.require_own_process("publishing a result")
        self.source_names.of(result.source)
        if result.source not in self._announced:
            self._announce(result)
        stamp_ns, frame_id = self._header(result)
        labels = np.ascontiguousarray(result.labels)
        self._publish(result, "mask", self._image(result, labels, "mono8"))
        if self._writer(result, "mask/compressed", COMPRESSED_IMAGE).matched:
            data = np.frombuffer(png(labels), dtype=np.uint8)
            packed = CompressedImage(stamp_ns=stamp_ns, frame_id=frame_id, format=_PNG, data=data)
            self._publish(result, "mask/compressed", packed)
        if self._writer(result, "colors", IMAGE).matched:
            rgb = np.asarray(cv2.applyColorMap(labels, self._palette), dtype=np.uint8)
            self._publish(result, "colors", self._image(result, rgb, "rgb8"))
        if result.confidence is not None:
            share = np.ascontiguousarray(result.confidence)
            self._publish(result, "confidence", self._image(result, share, "mono8"))

    def close(self) -> None:
        """Leave the graph. Safe to call twice."""
        if not self.stranded:
            self._node.close()

    def _announce(self, result: LiveResult) -> None:
        """Make a source's topics, and say what its labels mean."""
        for leaf, kind in (("mask", IMAGE), ("mask/compressed", COMPRESSED_IMAGE), ("colors", IMAGE)):
            self._writer(result, leaf, kind)
        stamp_ns, frame_id = self._header(result)
        names = tuple((index, name) for index, (name, _) in enumerate(self._network.classes))
        message = LabelInfo(stamp_ns=stamp_ns, frame_id=frame_id, classes=names).to_cdr()
        if self._writer(result, "label_info", LABEL_INFO, latched=True).write(message):
            self._announced.add(result.source)
        else:
            self.dropped += 1

    def _writer(self, result: LiveResult, leaf: str, kind: MessageType, *, latched: bool = False) -> Writer:
        """Made when it is first needed."""
        key = result.source, leaf
        if key not in self._writers:
            self._writers[key] = self._node.writer(
                self._topic(result, leaf), kind, reliable=latched or self._reliable, latched=latched
            )
        return self._writers[key]

    def _topic(self, result: LiveResult, leaf: str) -> str:
        return _topic(self._base, result.source, leaf)

    def _publish(self, result: LiveResult, leaf: str, message: RawImage | CompressedImage) -> None:
        kind = IMAGE if isinstance(message, RawImage) else COMPRESSED_IMAGE
        if not self._writer(result, leaf, kind).write(message.to_cdr()):
            self.dropped += 1

    def _image(self, result: LiveResult, pixels: npt.NDArray[np.uint8], encoding: str) -> RawImage:
        stamp_ns, frame_id = self._header(result)
        return RawImage.from_pixels(pixels, encoding=encoding, stamp_ns=stamp_ns, frame_id=frame_id)

    def _header(self, result: LiveResult) -> tuple[int, str]:
        """(stamp_ns, frame_id) of a result's messages."""
        return self._stamps.of(result), result.frame.frame_id or self._frame_id


def _topic(base: str, source: str, leaf: str) -> str:
    return _DIGIT.sub("/_", topic_of(base, source, leaf))
