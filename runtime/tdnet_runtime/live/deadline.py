"""How long a result may take, and what a stream does when it keeps taking longer."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Literal

from tdnet_runtime.errors import OptionError

__all__ = [
    "DEGRADED_MODES",
    "FULL",
    "HALF_RATE",
    "HOLD",
    "NO_ATTENTION",
    "SMALLER",
    "Deadline",
    "Ladder",
]

FULL = "full"
HALF_RATE = "half_rate"
HOLD = "hold"
NO_ATTENTION = "no_attention"
SMALLER = "smaller"
DEGRADED_MODES = (NO_ATTENTION, SMALLER, HALF_RATE, HOLD)
_HARDEST = 16  # times as many results in time as at first, before a mode is left again


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadline:
    """From a frame's arrival to its labels.

    Degraded modes, each on top of those before it in `degrade`:

    * `no_attention`: the memory is written and not read: labels are those of each sub-network alone, as on cold frames,
      of a bundle that was exported with `--own-labels`. It takes the attention's time off each inference and is left
      again without a cold start.
    * `smaller`: frames go to a second network of the same classes (`smaller=`): one of fewer channels or, simplest, the
      same one exported at a smaller size. It saves the most of an inference. It starts cold, and so does the first network
      when its turn comes again.
    * `half_rate`: half as many frames are segmented as in the time before; the others are dropped. It takes half of
      the load off the device, for the other streams, and off the waiting for them. One inference takes as long as before.
    * `hold`: the same, and the others are answered at once with the labels of the last one, whose age the result tells
      (`labels_age_ms`). None is held for longer than `hold_ms`, nor after a failure of the engine: such frames have no
      result until another one was segmented. Nor over a cut (`GapPolicy.on_cut`): that frame is segmented.

    The next mode begins after `misses` late results among the last 2·`misses`. It ends, and the one before it comes back,
    after `recovery` results in a row that took less than `margin` of the deadline; where that turned out to be too early,
    it takes twice as many the next time, 16 times as many at most.

    Attributes:
        ms: longer is late.
        late: what becomes of a late result: `deliver` it, marked, or `skip` it. Both are counted.
        degrade: modes, the mildest first; none to stay in full.
        misses: see above.
        recovery: see above.
        margin: see above.
        hold_ms: labels of frames that are older are not given again; see `hold`.
    """

    ms: float
    late: Literal["deliver", "skip"] = "deliver"
    degrade: tuple[str, ...] = ()
    misses: int = 5
    recovery: int = 50
    margin: float = 0.8
    hold_ms: float = 1000.0

    def __post_init__(self) -> None:
        if not self.ms > 0:
            raise OptionError(f"a deadline of {self.ms:g} ms: expected more than 0")
        if self.late not in ("deliver", "skip"):
            raise OptionError(f"Deadline(late={self.late!r}): expected 'deliver' or 'skip'")
        if not isinstance(self.degrade, str):
            object.__setattr__(self, "degrade", tuple(self.degrade))  # what gives them once is read once
        if isinstance(self.degrade, str) or not set(self.degrade) <= set(DEGRADED_MODES):
            raise OptionError(
                f"Deadline(degrade={self.degrade!r}): expected a tuple of {', '.join(DEGRADED_MODES)}"
            )
        if len(set(self.degrade)) != len(self.degrade):
            raise OptionError(f"Deadline(degrade={self.degrade!r}): a mode is named twice")
        if self.misses < 1 or self.recovery < 1 or not 0 < self.margin <= 1:
            raise OptionError(
                f"Deadline(misses={self.misses}, recovery={self.recovery}, margin={self.margin:g}): expected 1 or more of "
                "each, and a margin above 0, 1 at most"
            )
        if not self.hold_ms > 0:
            raise OptionError(f"Deadline(hold_ms={self.hold_ms:g}): expected more than 0")


class Ladder:
    """From full to the hardest degraded mode and back, with hysteresis: see `Deadline`.

    Attributes:
        step: how many modes it is away from full.
        mode: that the stream is in.
    """

    def __init__(self, deadline: Deadline) -> None:
        self.step = 0
        self._deadline = deadline
        self._modes = (FULL, *deadline.degrade)
        self._recent: deque[bool] = deque(maxlen=2 * deadline.misses)
        self._quick = 0
        self._needed = deadline.recovery
        self._since_relief = self._needed * _HARDEST

    @property
    def mode(self) -> str:
        """See the class."""
        return self._modes[self.step]

    def note(self, latency_ms: float) -> bool:
        """Take note of a result; True where the mode is another one now."""
        deadline = self._deadline
        self._recent.append(latency_ms > deadline.ms)
        self._quick = self._quick + 1 if latency_ms < deadline.margin * deadline.ms else 0
        self._since_relief += 1
        if sum(self._recent) >= deadline.misses and self.step + 1 < len(self._modes):
            too_early = self._since_relief <= self._needed
            self._needed = (
                min(2 * self._needed, deadline.recovery * _HARDEST) if too_early else deadline.recovery
            )
            self._move(1)
            return True
        if self.step and self._quick >= self._needed:
            self._since_relief = 0
            self._move(-1)
            return True
        return False

    def _move(self, by: int) -> None:
        self.step += by
        self._quick = 0
        self._recent.clear()
