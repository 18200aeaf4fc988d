"""One source's stream: from a waiting frame to its result. Knows no threads; its worker calls it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from tdnet_runtime.backends.base import MemoryUse
from tdnet_runtime.errors import FrameError, TdnetError
from tdnet_runtime.live.deadline import FULL, HOLD, NO_ATTENTION, SMALLER, Deadline, Ladder
from tdnet_runtime.live.events import EventLog, log_defect
from tdnet_runtime.live.gap import GapPolicy
from tdnet_runtime.live.held import HeldLabels
from tdnet_runtime.live.histogram import Histogram
from tdnet_runtime.live.lane import Waiting
from tdnet_runtime.live.network import LiveEngine, networks_of
from tdnet_runtime.live.rates import Rates
from tdnet_runtime.live.result import LiveResult
from tdnet_runtime.live.starts import AFTER_OUTAGES, Starts

__all__ = ["StreamRunner"]

logger = logging.getLogger(__name__)

_REOPEN_AFTER = 3  # failures in a row, after which a stream is replaced by a new one


class StreamRunner:
    """Segments the frames of one source, and decides when its mode changes.

    Args:
        name: of the source.
        engine: whose stream it opens.
        smaller: the network of the mode `smaller`; None for none.
        gap: when to start cold.
        deadline: None for none.
        events: where to tell what happens.
        on_mode: called with the new mode and the inferences a second that it allows; 0 for no limit.
        clock: monotonic, ns.

    Attributes:
        results: given so far.
        held: those of them that came without an inference.
        labels: that such frames are answered with.
        late: results.
        skipped: late ones that were not given.
        refused: frames that are none.
        failures: frames that the engine failed at.
        failures_in_a_row: those since it last did not.
        starts: its cold starts.
        rates: of its inferences.
        latency: arrival to labels.
        inference: of each frame.

    Raises:
        OptionError: the smaller network is absent where a mode needs it, or has other classes; or a bundle has no graphs
            for the mode `no_attention`.
    """

    def __init__(
        self,
        name: str,
        engine: LiveEngine,
        *,
        smaller: LiveEngine | None = None,
        gap: GapPolicy,
        deadline: Deadline | None,
        events: EventLog,
        on_mode: Callable[[str, float], None] = lambda mode, hz: None,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.name = name
        self.results = self.held = self.late = self.skipped = self.refused = self.failures = 0
        self.starts, self.rates = Starts(name, gap, events), Rates()
        self.labels = HeldLabels(0 if deadline is None else deadline.hold_ms)
        self.latency, self.inference = Histogram(), Histogram()
        self._deadline = deadline
        self._ladder = None if deadline is None else Ladder(deadline)
        self._modes = () if deadline is None else deadline.degrade
        self._events = events
        self._on_mode = on_mode
        self._clock = clock
        self._networks = networks_of(name, engine, smaller if SMALLER in self._modes else None, self._modes)
        self._network = self._networks[0]
        self.failures_in_a_row = 0
        self._dropped = 0  # frames since the last result

    @property
    def mode(self) -> str:
        """That it is in."""
        return FULL if self._ladder is None else self._ladder.mode

    @property
    def _modes_in_force(self) -> tuple[str, ...]:
        return () if self._ladder is None else self._modes[: self._ladder.step]

    @property
    def memory_use(self) -> list[MemoryUse]:
        """Of its streams, on a GPU."""
        return [use for network in self._networks if (use := network.memory_use) is not None]

    def open(self) -> None:
        """Open the streams, in the thread that is to `run`; the first frame would wait for it else.

        Raises:
            BackendError: an engine cannot make a stream.
        """
        for network in self._networks:
            network.open()

    def run(self, item: Waiting) -> LiveResult | None:
        """The frame's result; None where it has none. Raises nothing that the engine or the frame can cause."""
        taken_ns = self._clock()
        dropped, self._dropped = self._dropped + item.before.dropped, 0
        self.starts.lose(item.before.lost)
        hold = item.hold and self.labels.fit(item) and not self.starts.end_holding(item)
        result = self._hold(item, taken_ns, dropped) if hold else self._segment(item, dropped)
        if result is None:
            self._dropped = dropped + 1
            return None
        self.latency.add(result.latency_ms)
        if result.late:
            self.late += 1
            if self._deadline is not None and self._deadline.late == "skip":
                self.skipped += 1
                self._dropped = dropped + 1
                return None
        self.results += 1
        return result

    def close(self) -> None:
        """Release the streams. Safe to call twice."""
        for network in self._networks:
            network.close()

    def _hold(self, item: Waiting, taken_ns: int, dropped: int) -> LiveResult | None:
        stage_ms = self._stages(item, taken_ns, taken_ns)
        late = self._is_late(stage_ms)
        result = self.labels.answer(item, dropped=dropped, late=late, stage_ms=stage_ms)
        self.held += result is not None
        return result

    def _segment(self, item: Waiting, dropped: int) -> LiveResult | None:
        frame = item.frame
        try:
            now_ns = self.starts.look_at(item)
            if self.starts.due:
                self.labels.forget()
            stream = self._network.ready(empty=bool(self.starts.due))
            started_ns = self._clock()
            alone = {"attention": False} if NO_ATTENTION in self._modes_in_force else {}
            out = stream.push(frame.image, stamp_ns=frame.stamp_ns, **alone)
        except FrameError as error:
            self.refused += 1
            self._events.tell("frame_refused", self.name, f"frame {frame.name!r} is left out: {error}")
            return None
        except Exception as error:
            self._failed(error)
            return None
        done_ns = self._clock()
        reason = self.starts.segmented(item, now_ns)
        self.failures_in_a_row = 0
        ages_ms = (
            () if out.cold else tuple((now_ns - then_ns) / 1e6 for then_ns in self._network.remembered_ns)
        )
        self._network.remembered_ns.append(now_ns)
        self.rates.note(started_ns, done_ns, anew=reason in AFTER_OUTAGES)
        self.inference.add((done_ns - started_ns) / 1e6)
        stage_ms = self._stages(item, started_ns, done_ns)
        mode = self.mode
        late = self._is_late(stage_ms)
        self._climb(stage_ms["wait"] + stage_ms["infer"], done_ns)
        result = LiveResult(
            source=self.name,
            frame=frame,
            labels=_read_only(out.labels),
            confidence=None if out.confidence is None else _read_only(out.confidence),
            path=out.path,
            cold=out.cold,
            frame_index=out.frame_index,
            stamp_ns=frame.stamp_ns,
            memory_age_ms=ages_ms,
            dropped=dropped,
            late=late,
            mode=mode,
            stage_ms=stage_ms,
            cold_start=reason,
        )
        if HOLD in self._modes:
            self.labels.keep(result, arrival_ns=item.arrival_ns)
        return result

    def _failed(self, error: Exception) -> None:
        self.failures += 1
        self.failures_in_a_row += 1
        self.starts.due = "failure"
        self.labels.forget()
        message = f"a frame is left out, and the next one starts cold: {error or type(error).__name__}"
        self._events.tell("backend_failed", self.name, message, level=logging.ERROR)
        if not isinstance(error, TdnetError):
            log_defect(logger, self.name, error)
        if self.failures_in_a_row % _REOPEN_AFTER == 0:
            try:
                self._network.close()
            except Exception as again:
                self._events.tell("backend_failed", self.name, f"its stream cannot be closed: {again}")

    def _climb(self, latency_ms: float, now_ns: int) -> None:
        """Change the mode where it is time."""
        if self._ladder is None:
            return
        before = self._ladder.mode
        if not self._ladder.note(latency_ms):
            return
        mode, step = self._ladder.mode, self._ladder.step
        hz = self.rates.allowed_hz(step, halves=mode not in (NO_ATTENTION, SMALLER), now_ns=now_ns)
        network = self._networks[SMALLER in self._modes_in_force]
        if network is not self._network:
            self._network, self.starts.due = network, self.starts.due or "network"
        self._events.tell(
            "mode",
            self.name,
            f"is in mode {mode} now, from {before}; the last frame took {latency_ms:.0f} ms",
        )
        self._on_mode(mode, hz)

    def _is_late(self, stage_ms: dict[str, float]) -> bool:
        return self._deadline is not None and stage_ms["wait"] + stage_ms["infer"] > self._deadline.ms

    def _stages(self, item: Waiting, started_ns: int, done_ns: int) -> dict[str, float]:
        stage_ms = {"wait": (started_ns - item.arrival_ns) / 1e6, "infer": (done_ns - started_ns) / 1e6}
        if item.decode_ms is not None:
            stage_ms["decode"] = item.decode_ms
        return stage_ms


def _read_only(array: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    array.flags.writeable = False
    return array
