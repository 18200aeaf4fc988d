"""The sources of a live run: opened before the engine is loaded, so that what is wrong with them is told at once."""

from __future__ import annotations

from collections.abc import Callable

from tdnet_runtime.closeable import Closeable
from tdnet_runtime.errors import MediaError
from tdnet_runtime.live import Feed
from tdnet_runtime.media.frames import FrameSource

__all__ = ["LiveInput"]


class LiveInput(Closeable):
    """One input of a live run; a context manager.

    Args:
        name: of the source; empty for a single one that was given none.
        spec: as the user wrote it.
        open: opens it; called here, and again each time that it has died.
        live: its frames come by the clock.
        wait: where it is absent, it is waited for by the live layer.

    Attributes:
        source: that was opened last; None where none was.
        skipped: damaged frames left out, of all that were opened.
        used: damaged frames that were given all the same.

    Raises:
        TdnetError: it cannot be opened, and is not to be waited for.
    """

    def __init__(
        self, name: str, spec: str, *, open: Callable[[], FrameSource], live: bool, wait: bool
    ) -> None:
        self.name = name
        self.spec = spec
        self.source: FrameSource | None = None
        self._open = open
        self._wait = live and wait
        self._earlier = [0, 0]
        self._opened: FrameSource | None = None  # nobody has taken it yet
        try:
            self._opened = self.source = open()
        except MediaError:
            if not self._wait:
                raise

    @property
    def label(self) -> str:
        """Its name in messages, health and metrics."""
        return self.name or "input"

    @property
    def feed(self) -> Feed:
        """It, for the live layer, which closes what it opens."""
        return Feed(open=self._next, live=True if self._wait else None)

    @property
    def skipped(self) -> int:
        """See the class."""
        return self._earlier[0] + (self.source.damage.skipped if self.source else 0)

    @property
    def used(self) -> int:
        """See the class."""
        return self._earlier[1] + (self.source.damage.used if self.source else 0)

    def close(self) -> None:
        """Close what the live layer has not taken. Safe to call twice."""
        opened, self._opened = self._opened, None
        if opened is not None:
            opened.__exit__(None, None, None)

    def _next(self) -> FrameSource:
        opened, self._opened = self._opened, None
        if opened is not None:
            return opened
        opened = self._open()
        if self.source is not None:
            self._earlier = [self.skipped, self.used]
        self.source = opened
        return opened
