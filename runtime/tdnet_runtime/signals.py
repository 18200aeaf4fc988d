"""Ctrl-C, SIGTERM and SIGHUP end a command: also as PID 1, and in the midst of a library's call."""

from __future__ import annotations

import _thread
import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from tdnet_runtime.closeable import Closeable

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["EXIT_WORDS", "INTERRUPTED", "Ended", "Ending", "command_runs", "current_ending", "importing"]

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
INTERRUPTED = 128 + signal.SIGINT
"""An exit code, as shells have it; Typer gives it after any KeyboardInterrupt, silently."""
EXIT_WORDS = {
    INTERRUPTED: "interrupted",
    128 + signal.SIGTERM: "terminated",
    128 + signal.SIGHUP: "terminated",
}
"""What a command says when it ends with one of these codes."""

_ONE_S = 0.3  # `timeout` sends its signal twice, a terminal and what started the command (its shell, a launcher) one each
_UNWIND_S = 1.0
_NOTICE_S = 2.0
_AGAIN_S = 0.01

_current: Ending | None = None


class Ended(KeyboardInterrupt):
    """One of the signals, for all that know what to do on Ctrl-C."""


class Ending(Closeable):
    """Until the block's end the signals raise `Ended`, or ask to finish; a context manager.

    Signals that are ignored stay so: SIGHUP below nohup, SIGINT in a shell's background job. Since there are handlers,
    PID 1 gets them as well. Handlers belong to the main thread; in others nothing is changed.

    Python's handlers wait until a library's call returns, which may take as long as it likes. So a thread looks on, and
    ends the process where a second signal (or, if `abrupt`, the first one outside of `finishing`) is not answered. Where
    the system gives no thread, nobody does.

    Where Python drops what is raised (in `__del__`, in a weak reference's callback), `Ended` comes again right after it.

    Args:
        program: that the thread ends; None for no such thread.
        abrupt: nothing is lost when the process ends outside of `finishing`.

    Attributes:
        number: of the first signal; None before it.
        cut_off: something was left half done, so that an error that comes after it is the signal's doing: a library whose
            import is interrupted seems to be broken.
    """

    def __init__(self, program: str | None = None, *, abrupt: bool = False) -> None:
        self.number: int | None = None
        self.cut_off = False
        self._program = program
        self._abrupt = abrupt
        self._finishing = self._waiting = self._held = self._late = False
        self._first = True  # that which raised `Ended` last
        self._dropped = False
        self._again = 0  # signals of our own that the thread has not seen yet
        self._sending = threading.Lock()
        self._main_thread = threading.main_thread().ident or 0
        self._last_s = -_ONE_S
        self._before: dict[int, object] = {}
        self._noticed = threading.Event()
        self._left = threading.Event()
        self._pipe: tuple[int, int] | None = None

    def __enter__(self) -> Self:
        global _current
        if threading.current_thread() is threading.main_thread():
            if self._program is not None:
                self._start_to_look_on()
            for number in _ENDING:
                before = signal.getsignal(number)
                if before not in (signal.SIG_IGN, None):
                    self._before[number] = signal.signal(number, self._handle)
            self._hook, sys.unraisablehook = sys.unraisablehook, self._unraised
            self._outer, _current = _current, self
        return self

    def close(self) -> None:
        """Put back the handlers that were there before; the block's end does."""
        global _current
        if threading.current_thread() is not threading.main_thread():
            return
        with self._sending:
            self._left.set()
        sys.unraisablehook = self._hook
        _current = self._outer
        for number, before in self._before.items():
            signal.signal(number, before)  # type: ignore[arg-type]  # what `signal` gave
        if self._pipe is not None:
            signal.set_wakeup_fd(self._wakeup)
            os.close(self._pipe[1])
            self._thread.join()
            os.close(self._pipe[0])

    def _start_to_look_on(self) -> None:
        pipe = os.pipe()
        os.set_blocking(pipe[1], False)
        self._thread = threading.Thread(target=self._look_on, args=(pipe[0],), daemon=True, name="signals")
        try:
            self._thread.start()
        except RuntimeError:
            for end in pipe:
                os.close(end)
        else:
            self._pipe = pipe
            self._wakeup = signal.set_wakeup_fd(pipe[1], warn_on_full_buffer=False)

    @contextlib.contextmanager
    def finishing(self) -> Iterator[None]:
        """In here the first signal only leaves its number."""
        self._finishing = True
        try:
            yield
        finally:
            self._finishing = False

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Inside `finishing`: nothing is half done in here, so that any signal raises `Ended`."""
        self._waiting = True
        try:
            if self.number is not None:
                raise Ended
            yield
        finally:
            self._waiting = False

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """In here the first signal raises nothing; where it would have, `Ended` is raised at the block's end."""
        outer, self._held = self._held, True
        try:
            yield
        finally:
            self._held = outer
            if self._late and not outer:
                self._raise(first=True)

    def exit_now(self) -> None:
        """End the process, without any clearing up, with the signal's exit code and word."""
        code = 128 + (self.number or signal.SIGINT)
        with contextlib.suppress(OSError):
            os.write(2, f"{self._program}: {EXIT_WORDS[code]}\n".encode())
        os._exit(code)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        again, self._dropped = self._dropped, False
        now_s, first = time.monotonic(), self._first if again else self.number is None
        if not (first or again) and now_s - self._last_s < _ONE_S:
            return
        self._last_s = now_s
        self.number = self.number or number
        self._noticed.set()
        if first and self._finishing and not self._waiting:
            return
        if first and self._held:
            self._late = True
        else:
            self._raise(first=first)

    def _raise(self, *, first: bool) -> NoReturn:
        self.cut_off = not (first and self._finishing)
        self._first, self._late = first, False
        raise Ended

    def _unraised(self, dropped: sys.UnraisableHookArgs) -> None:
        """Send the signal again where its `Ended` was dropped; not from here, where it would be dropped as well."""
        if isinstance(dropped.exc_value, Ended):
            self._dropped = True
            _thread.start_new_thread(self._send_again, ())  # unlike `Thread.start`, whatever is being locked
        else:
            self._hook(dropped)

    def _send_again(self) -> None:
        time.sleep(_AGAIN_S)
        with self._sending:
            if not self._left.is_set():
                self._again += 1
                signal.pthread_kill(self._main_thread, self.number or signal.SIGINT)

    def _look_on(self, pipe: int) -> None:
        came, last_s = 0, -_ONE_S
        while got := os.read(pipe, 1):
            number, now_s = got[0], time.monotonic()
            if self._again:
                self._again -= 1
                continue
            if number not in self._before or now_s - last_s < _ONE_S:
                continue
            came, last_s = came + 1, now_s
            if came > 1:
                answered = self._left.wait(_UNWIND_S)
            else:
                answered = not self._abrupt or self._finishing or self._noticed.wait(_NOTICE_S)
            if not answered:
                self.number = self.number or number
                self.exit_now()


def command_runs() -> bool:
    """Signals are a command's business already."""
    return _current is not None


@contextlib.contextmanager
def importing() -> Iterator[None]:
    """Native packages are imported in here: what a signal's handler raises in the midst of it may crash the process.

    So it is `held` by the command that runs, if there is one.
    """
    if _current is None or threading.current_thread() is not threading.main_thread():
        yield
    else:
        with _current.held():
            yield


@contextlib.contextmanager
def current_ending() -> Iterator[Ending]:
    """That of the command that runs, or one for the block."""
    if _current is not None:
        yield _current
    else:
        with Ending() as ending:
            yield ending
