"""What FFmpeg says about damaged data, which neither an error nor a mark on the frame tells."""

from __future__ import annotations

import logging
import re
import threading

import av.logging

from tdnet_runtime.closeable import Closeable

__all__ = ["DecoderMessages", "first_error"]

# About what is not the picture: such a frame is whole.
_HARMLESS = re.compile(r"\b(SEI|APP fields|AFD|caption|ICC|Exif|metadata|timecode)", re.IGNORECASE)


class DecoderMessages(Closeable):
    """Lets `av.logging.Capture` hear FFmpeg's errors while it is open.

    FFmpeg's logging belongs to the process and PyAV keeps it off, so it is on while one of these is open,
    for errors alone, and afterwards as it was. What no `Capture` hears goes to Python's logger `libav`.
    """

    _lock = threading.Lock()
    _open = 0
    _before: tuple[int | None, bool] = (None, True)

    def __init__(self) -> None:
        with self._lock:
            cls = DecoderMessages
            if cls._open == 0:
                cls._before = av.logging.get_level(), av.logging.get_skip_repeated()
                logger = logging.getLogger("libav")
                if not logger.handlers:
                    logger.addHandler(logging.NullHandler())  # else Python prints them where nobody asks
                av.logging.set_level(max(cls._before[0] or 0, av.logging.ERROR))
                av.logging.set_skip_repeated(False)  # two frames with the same fault are two
            cls._open += 1
        self._closed = False

    def close(self) -> None:
        """Leave FFmpeg's logging as it was before the first was opened. Safe to call twice."""
        with self._lock:
            cls = DecoderMessages
            if not self._closed:
                self._closed = True
                cls._open -= 1
                if cls._open == 0:
                    av.logging.set_level(cls._before[0])
                    av.logging.set_skip_repeated(cls._before[1])


def first_error(messages: list[tuple[int, str, str]]) -> str | None:
    """The first message of a captured list that tells of damage to the picture."""
    for level, _, text in messages:
        if level <= av.logging.ERROR and not _HARMLESS.search(text):
            return " ".join(text.split())
    return None
