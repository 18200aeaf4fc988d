"""Results to look at in Foxglove, in a browser or its program, by a WebSocket."""

from __future__ import annotations

import json
import re
import time
from typing import TYPE_CHECKING, Any

import foxglove
import foxglove.channels
import foxglove.messages

from tdnet_runtime.closeable import Closeable
from tdnet_runtime.errors import MediaError, OptionError
from tdnet_runtime.forks import ForkBound
from tdnet_runtime.media.blend import blend, color_table
from tdnet_runtime.sinks.day_stamps import DayStamps
from tdnet_runtime.sinks.listening import wait_for_silence
from tdnet_runtime.sinks.pictures import jpeg, png
from tdnet_runtime.sinks.sink import SinkNetwork, topic_of
from tdnet_runtime.sinks.source_names import SourceNames
from tdnet_runtime.sinks.timing import timing_of
from tdnet_runtime.sources.source_url import SourceUrl

if TYPE_CHECKING:
    from tdnet_runtime.live.result import LiveResult

__all__ = ["FoxgloveSink"]

_ADDRESS = re.compile(r"//(?P<host>[^:/]*)(?::(?P<port>[0-9]{1,5}))?/?")
_NS = 1_000_000_000
_END_S = 5.0
_CLASSES_EVERY_S = 1.0  # for viewers that come later: nothing is kept for them
_BACKLOG = 32  # messages for each viewer; the oldest are dropped for one that is slow


class FoxgloveSink(Closeable, ForkBound):
    """Serves `<topic>/overlay` (JPEG), `/mask` and perhaps `/confidence` (PNG), `/timing` and `/classes` (JSON).

    On this machine alone unless the URL names another of its addresses. Without a viewer nothing is kept.

    Args:
        url: `foxglove://` or `foxglove://127.0.0.1:8765`; `topic` is `/segmentation` if not given.
        network: whose labels they are.

    Attributes:
        port: that it listens at; a free one where the URL says 0.

    Raises:
        MediaError: the port is in use.
        OptionError: an address that cannot be meant.
    """

    fork_error = MediaError

    def __init__(self, url: SourceUrl, network: SinkNetwork) -> None:
        match = _ADDRESS.fullmatch(url.rest or "//")
        if match is None or int(match["port"] or 0) > 65535:
            raise OptionError(f"--output {url.text!r}: expected foxglove://HOST:PORT, or foxglove://")
        host, port = match["host"] or "127.0.0.1", int(match["port"] or 8765)
        self._base = url.params.get("topic", "/segmentation")
        self._colors = color_table([color for _, color in network.classes])
        self._classes = [
            {"index": index, "name": name, "color": "#{:02x}{:02x}{:02x}".format(*color)}
            for index, (name, color) in enumerate(network.classes)
        ]
        self._classes_s: dict[str, float] = {}
        self._channels: dict[str, Any] = {}
        self._context = foxglove.Context()
        self._stamps = DayStamps()
        try:
            self._server = foxglove.start_server(
                name="tdnet", host=host, port=port, context=self._context, message_backlog_size=_BACKLOG
            )
        except (RuntimeError, OSError, ValueError) as error:
            raise MediaError(
                f"serving to Foxglove at {host}:{port}: {error}; is the port in use? Name another: "
                f"foxglove://{host}:{port + 1}"
            ) from error
        self.port = self._server.port
        self._address = host, self.port
        self.name = f"Foxglove server at {host}:{self.port}"
        self.source_names = SourceNames(f"writing to the {self.name}")
        self._open = True

    def write(self, result: LiveResult) -> None:
        """See `LiveSink`."""
        self.require_own_process("write()")
        if not self._open:
            raise MediaError(f"writing to the {self.name}: it was closed before")
        self.source_names.of(result.source)
        self._picture(result, "overlay", "jpeg", jpeg(blend(result.frame.image, result.labels, self._colors)))
        self._picture(result, "mask", "png", png(result.labels))
        if result.confidence is not None:
            self._picture(result, "confidence", "png", png(result.confidence))
        self._text(result, "timing", timing_of(result))
        now_s = time.monotonic()
        if now_s - self._classes_s.get(result.source, -_CLASSES_EVERY_S) >= _CLASSES_EVERY_S:
            self._classes_s[result.source] = now_s
            self._text(result, "classes", {"classes": self._classes})

    def close(self) -> None:
        """Stop serving. Safe to call twice; nothing in a forked child."""
        if self._open and not self.stranded:
            self._open = False
            self._server.stop()
            wait_for_silence(*self._address, limit_s=_END_S)  # it goes on for a moment (foxglove-sdk 0.30)

    def _picture(self, result: LiveResult, leaf: str, format: str, data: bytes) -> None:
        seconds, nanoseconds = divmod(max(self._stamps.of(result), 0), _NS)
        message = foxglove.messages.CompressedImage(
            timestamp=foxglove.messages.Timestamp(sec=seconds, nsec=nanoseconds),
            frame_id=result.frame.frame_id,
            data=data,
            format=format,
        )
        topic = topic_of(self._base, result.source, leaf)
        channel = self._channels.get(topic)
        if channel is None:
            channel = foxglove.channels.CompressedImageChannel(topic, context=self._context)
            self._channels[topic] = channel
        channel.log(message, log_time=max(self._stamps.of(result), 0))

    def _text(self, result: LiveResult, leaf: str, value: dict[str, object]) -> None:
        topic = topic_of(self._base, result.source, leaf)
        channel = self._channels.get(topic)
        if channel is None:
            channel = foxglove.Channel(topic, message_encoding="json", context=self._context)
            self._channels[topic] = channel
        channel.log(json.dumps(value).encode(), log_time=max(self._stamps.of(result), 0))
