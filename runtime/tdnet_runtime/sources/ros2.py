"""Frames from a ROS 2 topic: `ros2:///camera/image_raw?rmw=zenoh`, with pip alone."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator, Mapping
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from tdnet_runtime.closeable import Closeable
from tdnet_runtime.errors import MediaError, OptionError
from tdnet_runtime.extras import one_line
from tdnet_runtime.forks import ForkBound
from tdnet_runtime.media.damage import DamageLog
from tdnet_runtime.media.frames import Fact, SourceFrame
from tdnet_runtime.ros.compressed import rgb_from_compressed
from tdnet_runtime.ros.encodings import rgb_from_raw
from tdnet_runtime.ros.messages import CompressedImage, RawImage
from tdnet_runtime.ros.types import COMPRESSED_IMAGE, IMAGE, MessageType
from tdnet_runtime.sources.registry import SourceOptions
from tdnet_runtime.sources.source_url import SourceUrl
from tdnet_runtime.transports.address import RosAddress, asked_reliability, check_topic
from tdnet_runtime.transports.losses import StampGaps
from tdnet_runtime.transports.node import Arrival, Node

__all__ = ["Ros2Source"]

_KINDS = {"Image": IMAGE, "CompressedImage": COMPRESSED_IMAGE}
_WAIT_S = _SILENCE_S = 5.0
_LOOK_S = 0.1
_LISTED = 30


class Ros2Source(Closeable, ForkBound):
    """The newest pictures of a topic of sensor_msgs/msg/Image or CompressedImage, without end; see `FrameSource`.

    `stamp_ns` and `frame_id` are the message's own, whatever they are. `lost_before` counts what the sender's numbers
    (Zenoh) or stamps (DDS) say is missing, and messages that were damaged. A topic that falls silent is an error: whoever
    reads opens it again.

    Args:
        url: `ros2:///<topic>`; `wait=` seconds for the topic and its first picture, `timeout=` seconds of silence that are
            an error, `type=Image` or `CompressedImage` where it cannot be discovered, `reliability=best_effort` not to ask
            for lost pictures again where all who publish the topic offer that, or `reliable` to want no others, and what
            `RosAddress` takes.
        options: `on_damage` counts.

    Raises:
        MediaError: nobody publishes such a topic, or no picture comes; the message lists the topics that there are.
        OptionError: a parameter that cannot be meant.
        MissingExtraError: the transport's package is not installed.
    """

    fork_error = MediaError
    live = True
    fps: Fraction | None = None
    frame_count: int | None = None

    def __init__(self, url: SourceUrl, options: SourceOptions) -> None:
        self._wait_s = _seconds(url.params, "wait", _WAIT_S)
        self._silence_s = _seconds(url.params, "timeout", _SILENCE_S)
        kind = url.params.get("type")
        if kind is not None and kind not in _KINDS:
            raise OptionError(f"ros2: type={kind!r} is not read; expected {' or '.join(_KINDS)}")
        reliable = asked_reliability(url.params)
        named = url.topic != "/"
        topic = check_topic(url.topic) if named else ""
        self.description = f"ROS 2 topic {topic}"
        self.damage = DamageLog(options.on_damage)
        self._stopped = threading.Event()
        self._gaps = StampGaps()
        self._messages = 0
        self._form = ""
        self._hint = ", and reliably" if reliable else ""
        self._node = RosAddress.from_params(url.params).open()
        try:
            if named and kind:
                self._kind, offered = _KINDS[kind], False
            else:
                self._kind, offered = _discovered(self._node, topic, self._wait_s)
            reliable = offered if reliable is None else reliable
            self._reader = self._node.reader(topic, self._kind, reliable=reliable)
            first = self._next(self._wait_s)
            assert first is not None
        except BaseException:
            self._node.close()
            raise
        self._first: SourceFrame | None = first
        self.size_hw: tuple[int, int] = (first.image.shape[0], first.image.shape[1])

    @property
    def facts(self) -> Mapping[str, Fact]:
        """See `FrameSource`."""
        facts: dict[str, Fact] = {
            "reader": self._node.description,
            "orientation": "as stored",
            "message": self._kind.name,
            "encoding": self._form,
        }
        if self._node.warning:
            facts["warning"] = self._node.warning
        return facts

    def stop(self) -> None:
        """See `FrameSource`."""
        self._stopped.set()

    def close(self) -> None:
        """Leave the graph. Safe to call twice."""
        self._stopped.set()
        if not self.stranded:
            self._node.close()

    def __iter__(self) -> Iterator[SourceFrame]:
        """See `FrameSource`."""
        self.require_own_process("reading a topic")
        first, self._first = self._first, None
        if first is not None and not self._stopped.is_set():
            yield first
        while (frame := self._next(self._silence_s)) is not None:
            yield frame

    def _next(self, patience_s: float) -> SourceFrame | None:
        """The next whole picture; None where reading was stopped."""
        deadline_s = time.monotonic() + patience_s
        lost, trouble = 0, ""
        while not self._stopped.is_set():
            left_s = deadline_s - time.monotonic()
            if left_s <= 0:
                came = f"no whole picture came, the last one: {trouble}" if trouble else "no picture came"
                raise MediaError(
                    f"reading the {self.description}: {came}, for {patience_s:g} s; does its publisher run{self._hint}, "
                    f"in {self._node.description}?"
                )
            arrival = self._reader.read(min(left_s, _LOOK_S))
            if arrival is None:
                continue
            number, self._messages = self._messages, self._messages + 1
            lost += arrival.lost_before or 0
            message: RawImage | CompressedImage | None = None
            try:
                message = self._message(arrival)
                if arrival.lost_before is None:
                    lost += self._gaps.before(message.stamp_ns)
                rgb, damage = self._picture(message)
            except MediaError as error:
                if number == 0:
                    raise MediaError(f"reading the {self.description}: {error}") from error
                trouble = str(error)
                self.damage.meet(f"message {number}: {trouble}", usable=False)
                if message is not None or arrival.lost_before is not None:
                    lost += 1  # else the stamps will say that one is missing
                continue
            if damage and not self.damage.meet(f"message {number}: {damage}", usable=rgb is not None):
                trouble = damage
                lost += 1
                continue
            assert rgb is not None
            return SourceFrame(
                image=rgb,
                name=f"{number:06}",
                stamp_ns=message.stamp_ns,
                lost_before=lost,
                frame_id=message.frame_id,
                arrival_ns=arrival.arrival_ns,
            )
        return None

    def _message(self, arrival: Arrival) -> RawImage | CompressedImage:
        if self._kind is IMAGE:
            return RawImage.from_cdr(arrival.data)
        return CompressedImage.from_cdr(arrival.data)

    def _picture(self, message: RawImage | CompressedImage) -> tuple[npt.NDArray[np.uint8] | None, str]:
        """The message's picture, and what is wrong with it."""
        if isinstance(message, RawImage):
            self._form = message.encoding
            return rgb_from_raw(message), ""
        self._form = message.format
        picture = rgb_from_compressed(message)
        return picture.rgb, picture.damage or ""


def _discovered(node: Node, topic: str, wait_s: float) -> tuple[MessageType, bool]:
    """What the topic carries, once somebody publishes it, and whether all who do are reliable.

    Raises:
        MediaError: nobody does, or no picture; with what there is.
    """
    deadline_s = time.monotonic() + wait_s
    while True:
        topics = node.topics()
        for kind in _KINDS.values():
            for each in topics:
                if (each.name, each.type_name) == (topic, kind.name):
                    return kind, each.reliable
        if time.monotonic() >= deadline_s:
            break
        time.sleep(_LOOK_S)
    carries = [each.type_name for each in topics if each.name == topic]
    if carries:
        what = f"the topic {topic} carries {', '.join(carries)}, which is no picture"
    elif topic:
        what = f"nobody publishes the topic {topic} (waited {wait_s:g} s)"
    else:
        what = "no topic is named"
    pictures = {kind.name for kind in _KINDS.values()}
    known = [f"{each.name} ({each.type_name})" for each in topics if each.type_name in pictures]
    others = [each.name for each in topics if each.type_name not in pictures]
    raise MediaError(  # with names that are strangers'
        one_line(
            f"opening a ROS 2 topic by {node.description}: {what}; pictures are on {_list(known)}; "
            f"other topics: {_list(others)}"
        )
    )


def _list(names: list[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more if names else "none"


def _seconds(params: Mapping[str, str], name: str, default: float) -> float:
    text = params.get(name)
    try:
        value = default if text is None else float(text)
    except ValueError:
        value = math.nan
    if not 0 < value <= 86400:
        raise OptionError(f"ros2: {name}={text!r}; expected seconds, more than 0 and at most 86400")
    return value
