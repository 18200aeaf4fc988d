"""The sources of a live run: opened before the engine is loaded, so that what is wrong with them is told at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from tdnet_runtime.closeable import Closeable
from tdnet_runtime.errors import MediaError
from tdnet_runtime.live import Feed
from tdnet_runtime.media.frames import Fact, FrameSource, SourceFrame

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
        self._facts: Mapping[str, Fact] | None = None
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
    def facts(self) -> Mapping[str, Fact]:
        """Of `source`; where it is closed, as they were then: a closed decoder is not to be asked."""
        if self._facts is not None or self.source is None:
            return self._facts or {}
        return self.source.facts

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
            return _Taken(opened, self._keep, after_ns=time.monotonic_ns())
        opened = self._open()
        if self.source is not None:
            self._earlier = [self.skipped, self.used]
        self.source, self._facts = opened, None
        return _Taken(opened, self._keep, after_ns=None)

    def _keep(self, facts: Mapping[str, Fact]) -> None:
        self._facts = facts


class _Taken(Closeable):
    """A source on its way to the live layer; see `FrameSource`.

    Args:
        source: it.
        on_close: given its facts before it is closed.
        after_ns: frames that arrived before, while the engine was being loaded, are passed over; None: none are.
    """

    def __init__(
        self, source: FrameSource, on_close: Callable[[Mapping[str, Fact]], None], *, after_ns: int | None
    ) -> None:
        self._source = source
        self._on_close = on_close
        self._after_ns = after_ns
        self._closed = False
        self.live = source.live
        self.description = source.description
        self.size_hw = source.size_hw
        self.fps = source.fps
        self.frame_count = source.frame_count
        self.damage = source.damage
        self.stop = source.stop

    @property
    def facts(self) -> Mapping[str, Fact]:
        """See `FrameSource`."""
        return self._source.facts

    def close(self) -> None:
        """Safe to call twice."""
        if not self._closed:
            self._closed = True
            self._on_close(dict(self._source.facts))
            self._source.__exit__(None, None, None)

    def __iter__(self) -> Iterator[SourceFrame]:
        """See `FrameSource`."""
        after_ns = self._after_ns
        for frame in self._source:
            if after_ns is None or frame.arrival_ns is None:
                yield frame
            elif frame.arrival_ns >= after_ns:
                after_ns = None
                yield replace(frame, lost_before=0)  # what was lost before, nobody has asked for
