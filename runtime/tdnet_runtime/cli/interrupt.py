"""A signal as a request to finish: the current frame is completed and the files are closed."""

from __future__ import annotations

import queue
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tdnet_runtime.media.frames import FrameSource, SourceFrame
from tdnet_runtime.signals import Ended, Ending, current_ending

__all__ = ["StopRequest", "stop_on_interrupt"]

_STUCK_S = 1.0
_LOOK_S = 0.2


class StopRequest:
    """Whether the run was asked to stop; calling it says so.

    Attributes:
        stuck: a source was asked for a frame and does not come back: it must not be closed.
    """

    def __init__(self, ending: Ending) -> None:
        self._ending = ending
        self.stuck = False

    def __call__(self) -> bool:
        """A signal came."""
        return self._ending.number is not None

    def frames(self, source: FrameSource) -> Iterator[SourceFrame]:
        """The frames of `source`; ends when asked, also while it waits for one.

        A source without an end, a camera, is read in a thread of its own, one frame at a time and when asked for it:
        its driver may wait for ever.
        """
        frames = iter(source) if source.frame_count is not None else self._in_a_thread(source)
        with suppress(Ended):
            while True:
                with self._ending.waiting():
                    frame = next(frames, None)
                if frame is None:
                    return
                yield frame

    def leave_stuck(self) -> None:
        """Where a source is stuck, end the process here and now."""
        if self.stuck:
            with suppress(OSError):
                sys.stdout.flush()
            self._ending.exit_now()

    def _in_a_thread(self, source: FrameSource) -> Iterator[SourceFrame]:
        asked: queue.SimpleQueue[bool] = queue.SimpleQueue()
        got: queue.SimpleQueue[SourceFrame | BaseException | None] = queue.SimpleQueue()

        def read() -> None:
            frames = iter(source)
            while asked.get():
                try:
                    got.put(next(frames, None))
                except BaseException as error:
                    got.put(error)

        thread = threading.Thread(target=read, daemon=True, name="camera")
        thread.start()
        try:
            while True:
                asked.put(True)
                frame = _patiently(got)
                if isinstance(frame, BaseException):
                    raise frame
                if frame is None:
                    return
                yield frame
        finally:
            asked.put(False)
            thread.join(_STUCK_S)
            self.stuck = thread.is_alive()


def _patiently(
    got: queue.SimpleQueue[SourceFrame | BaseException | None],
) -> SourceFrame | BaseException | None:
    """What comes next; looks up now and then, for a signal right before `get` blocks would not be seen by it."""
    while True:
        with suppress(queue.Empty):
            return got.get(timeout=_LOOK_S)


@contextmanager
def stop_on_interrupt() -> Iterator[StopRequest]:
    """Give a function that says whether a signal asked to end; a second signal is a KeyboardInterrupt.

    For the main thread only.
    """
    with current_ending() as ending, ending.finishing():
        yield StopRequest(ending)
