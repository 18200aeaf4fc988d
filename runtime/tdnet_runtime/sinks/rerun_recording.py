"""Results as Rerun's entities, wherever they go."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import rerun
import rerun_bindings

from tdnet_runtime.closeable import Output
from tdnet_runtime.errors import MediaError, OptionError
from tdnet_runtime.forks import ForkBound
from tdnet_runtime.sinks.day_stamps import DayStamps
from tdnet_runtime.sinks.pictures import jpeg
from tdnet_runtime.sinks.sink import SinkNetwork, topic_of
from tdnet_runtime.sinks.source_names import SourceNames
from tdnet_runtime.sources.source_url import SourceUrl

if TYPE_CHECKING:
    from tdnet_runtime.live.result import LiveResult

__all__ = ["APPLICATION", "RerunRecording"]

logger = logging.getLogger(__name__)

APPLICATION = "tdnet"
_FRAMES = ("jpeg", "raw", "none")
_EPOCH_NS = 10**17  # stamps from 1973 on are dates; below, they are spans since a file's or a machine's start


class RerunRecording(Output, ForkBound):
    """Frame, labels with names and colours, confidence, and latencies, by the frames' own stamps.

    For one thread: Rerun's time is each thread's own. Entities are `frame`, `mask`, `confidence`, `latency/…`, `dropped`,
    below the source's name where it has one.
    """

    fork_error = MediaError

    def __init__(self, name: str, url: SourceUrl, network: SinkNetwork) -> None:
        self.name = name
        self._frames = url.params.get("frames", "jpeg")
        if self._frames not in _FRAMES:
            raise OptionError(
                f"--output {url.text!r}: frames is {self._frames!r}; expected {', '.join(_FRAMES)}"
            )
        self.source_names = SourceNames(f"writing the {name}")
        self._classes = [(index, *spec) for index, spec in enumerate(network.classes)]
        self._described: set[str] = set()
        self._stamps = DayStamps()
        self._thread: int | None = None
        self._recording: Any = None
        self._stream: Any = None

    def _let_go(self) -> None:
        """End the recording and its two threads, which Rerun would keep until the process ends (0.41); twice is once."""
        if self._recording is not None:
            self._recording.disconnect()
            self._recording = self._stream = None
            _end_threads()

    def _log(self, result: LiveResult) -> None:
        """Hand one result to Rerun."""
        recording, base = self._recording, result.source
        self.source_names.of(base)
        if self._thread not in (None, threading.get_ident()):
            raise MediaError(f"writing the {self.name}: write() came from two threads; use one sink in each")
        self._thread = threading.get_ident()
        if base not in self._described:
            recording.log(topic_of("", base, ""), rerun.AnnotationContext(self._classes), static=True)
            self._described.add(base)
        stamp_ns = self._stamps.of(result)
        if abs(stamp_ns) >= _EPOCH_NS:
            recording.set_time("stamp", timestamp=np.datetime64(stamp_ns, "ns"))
        else:
            recording.set_time("stamp", duration=np.timedelta64(stamp_ns, "ns"))
        recording.set_time("frame", sequence=result.frame_index)
        if self._frames == "jpeg":
            picture = rerun.EncodedImage(contents=jpeg(result.frame.image), media_type="image/jpeg")
            recording.log(topic_of("", base, "frame"), picture)
        elif self._frames == "raw":
            recording.log(topic_of("", base, "frame"), rerun.Image(result.frame.image))
        recording.log(topic_of("", base, "mask"), rerun.SegmentationImage(result.labels))
        if result.confidence is not None:
            recording.log(topic_of("", base, "confidence"), rerun.Image(result.confidence))
        for stage, ms in result.stage_ms.items():
            recording.log(topic_of("", base, f"latency/{stage}"), rerun.Scalars([ms]))
        recording.log(topic_of("", base, "dropped"), rerun.Scalars([result.dropped]))


def _end_threads() -> None:
    """End those of recordings that nobody has any more. The application's own one stays, which Rerun would drop (0.41)."""
    own = rerun.get_global_data_recording()
    try:
        rerun_bindings.flush_and_cleanup_orphaned_recordings()
    except RuntimeError as error:  # of another recording, whose viewer has gone
        logger.info("ending a Rerun recording: %s", error)
    finally:
        if own is not None:
            rerun.set_global_data_recording(own)
