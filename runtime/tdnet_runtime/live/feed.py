"""A source as the live layer is given it: how to open it, and what becomes of its frames and of itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, cast

from tdnet_runtime.errors import OptionError
from tdnet_runtime.live.deadline import Deadline
from tdnet_runtime.live.gap import GapPolicy
from tdnet_runtime.live.network import LiveEngine
from tdnet_runtime.live.policy import Policy
from tdnet_runtime.media.frames import FrameSource

__all__ = ["Feed", "Restart", "feed_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Restart:
    """What happens to a live source that died: its iteration ended or raised, or no frame came for too long.

    It is closed and opened again after a pause that doubles from `first_s` to `most_s`. Sources that are not live (files)
    are not opened again, nor those that were given open.

    Attributes:
        first_s: the first pause.
        most_s: the longest.
        limit: how often in a row, before it is given up; None for ever.
        settled_s: after so long with frames, from the first to the last one, pauses and the limit begin anew.
        stalled_after_s: without a frame for so long, it counts as dead; None: never. One that takes longer to open
            or close, and a file that takes longer for a read, is told, and waited for.
    """

    first_s: float = 0.5
    most_s: float = 30.0
    limit: int | None = None
    settled_s: float = 30.0
    stalled_after_s: float | None = 5.0

    def __post_init__(self) -> None:
        numbers = (self.first_s, self.most_s, self.settled_s)
        if not min(numbers) >= 0 or self.most_s < self.first_s:
            raise OptionError(f"{self}: expected times of 0 or more, and most_s of at least first_s")
        if (self.limit is not None and self.limit < 0) or (
            self.stalled_after_s is not None and not self.stalled_after_s > 0
        ):
            raise OptionError(f"{self}: expected a limit of 0 or more and stalled_after_s above 0, or None")

    def pause_s(self, attempt: int) -> float:
        """Before the n-th attempt in a row, from 1."""
        return float(min(self.first_s * 2 ** min(attempt - 1, 60), self.most_s))


@dataclass(frozen=True, slots=True, kw_only=True)
class Feed:
    """One source. None stands for what the `LiveSegmenter` was given for all.

    Attributes:
        open: gives the source, opened; called in the reader's thread, again after each death.
        live: it is a live one; only needed where it may be absent at the start and is to be waited for.
        policy: which of its frames are segmented.
        gap: when its memory is emptied.
        deadline: of its results.
        restart: what happens when it dies.
        segmenter: another one than the others', for instance on another GPU.
        smaller: the network of the mode `smaller`; see `Deadline`.
    """

    open: Callable[[], FrameSource]
    live: bool | None = None
    policy: Policy | None = None
    gap: GapPolicy | None = None
    deadline: Deadline | None = None
    restart: Restart | None = None
    segmenter: LiveEngine | None = None
    smaller: LiveEngine | None = None

    def with_defaults(self, **defaults: Any) -> Feed:
        """The feed, with these attributes where it has none."""
        return replace(
            self, **{name: value for name, value in defaults.items() if getattr(self, name) is None}
        )


def feed_of(given: Feed | Callable[[], FrameSource] | FrameSource) -> tuple[Feed, bool]:
    """A feed, and whether its source can be opened again: not where an open one was given, which its owner closes."""
    if isinstance(given, Feed):
        return given, True
    if callable(given) and not hasattr(given, "__iter__"):
        return Feed(open=given), True
    if hasattr(given, "__iter__") and hasattr(given, "live") and hasattr(given, "stop"):
        source = cast("FrameSource", given)
        return Feed(open=lambda: source), False
    raise OptionError(
        f"a source is given as {type(given).__name__}; expected a function that opens one, a FrameSource or a Feed"
    )
