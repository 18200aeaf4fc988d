"""`tdnet-run` live: cameras, topics and whatever else is asked for, through `LiveSegmenter`."""

from __future__ import annotations

import logging
import time
from array import array
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from msgspec.structs import replace
from rich.console import Console

from tdnet_runtime.cli.engine import AnySegmenter
from tdnet_runtime.cli.frame_progress import FrameProgress
from tdnet_runtime.cli.interrupt import StopRequest, stop_on_interrupt
from tdnet_runtime.cli.live_inputs import LiveInput
from tdnet_runtime.cli.live_sinks import RunSink, open_live_sinks
from tdnet_runtime.cli.notices import notice_console
from tdnet_runtime.cli.run_document import forget_run_document
from tdnet_runtime.cli.run_options import STDOUT, RunOptions
from tdnet_runtime.errors import MediaError, TdnetError
from tdnet_runtime.extras import one_line
from tdnet_runtime.live import LiveResult, LiveSegmenter
from tdnet_runtime.live.deadline import NO_ATTENTION
from tdnet_runtime.live.health import LiveHealth
from tdnet_runtime.media.pipeline import RunSummary, latency_ms_of
from tdnet_runtime.memory import require_own_labels

__all__ = ["LiveRun", "run_live"]

_LOOK_S = 0.2
_SINK_PATIENCE_S = 60.0
_SIGNALLED_PATIENCE_S = 5.0  # who sends signals kills soon: docker stop after 10 s
_KEPT = 65_536  # half an hour at 30 Hz


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveRun:
    """What a live run did.

    Attributes:
        summary: as of any run; the latency is that of the inferences, of the last 65,536 but for the longest.
        ended_by: `inputs` (they ended), `signal`, `max_seconds`, `max_frames` or `output` (the only one failed).
        health: at the end.
        metrics: address of the metrics; empty where they were not served.
        failures: what went wrong for good, by the name of the input or output.
        warnings: of outputs.
    """

    summary: RunSummary
    ended_by: str
    health: LiveHealth
    metrics: str
    failures: dict[str, Exception]
    warnings: list[str]

    @property
    def error(self) -> TdnetError | None:
        """`failures` as one; None where nothing failed."""
        if not self.failures:
            return None
        words = {name: str(error).removeprefix("input: ") for name, error in self.failures.items()}
        return MediaError("; ".join(words.values()))


def run_live(
    options: RunOptions, inputs: Sequence[LiveInput], segmenter: AnySegmenter
) -> tuple[LiveRun, StopRequest]:
    """Run until the inputs end, a signal comes or a limit is reached; outputs are complete on return.

    Raises:
        TdnetError: an output cannot be opened, the bundle has no graphs for `--degrade no_attention`, or nothing can listen
            at the address for metrics.
    """
    console, asked = notice_console(), options.live
    inferences = _Inferences()
    if NO_ATTENTION in asked.modes:
        require_own_labels(segmenter.manifest, asked=f"--degrade {NO_ATTENTION}")
    with ExitStack() as stack:
        should_stop = stack.enter_context(stop_on_interrupt())
        sinks = open_live_sinks(stack, options, inputs, segmenter)
        if options.json is not None and options.json != STDOUT:
            forget_run_document(options.json)
        progress = stack.enter_context(FrameProgress(console, total=options.max_frames))
        stack.enter_context(_told_on(console))
        live = LiveSegmenter(
            segmenter,
            {each.label: each.feed for each in inputs},
            asked.policy,
            gap=asked.gap,
            deadline=asked.deadline,
            restart=asked.restart(options.on_damage),
            sinks=sinks,
        )
        try:
            metrics = _serve_metrics(stack, live, options, console)
            ended_by, begin_s = _until_over(live, options, sinks, should_stop, progress, inferences)
        finally:
            _finish(live, sinks, should_stop)
        health = _without_surplus(live.health(), sinks)
        failures: dict[str, Exception] = {**live.errors}
    failures |= {sink.name: sink.error for sink in sinks if sink.error is not None}
    results = sum(source.results for source in health.sources.values())
    summary = RunSummary(
        frames=results if options.max_frames is None else min(results, options.max_frames),
        wall_s=time.monotonic() - begin_s,
        latency_ms=inferences.latency_ms(),
        interrupted=ended_by == "signal",
    )
    threads = len(live.left_behind) - sum(sink.left for sink in sinks)
    should_stop.stuck = should_stop() and threads > 0
    return LiveRun(
        summary=summary,
        ended_by=ended_by,
        health=health,
        metrics=metrics,
        failures=failures,
        warnings=[sink.warning for sink in sinks if sink.warning],
    ), should_stop


def _until_over(
    live: LiveSegmenter,
    options: RunOptions,
    sinks: Sequence[RunSink],
    should_stop: StopRequest,
    progress: FrameProgress,
    inferences: _Inferences,
) -> tuple[str, float]:
    """Take note of the results; gives why the run ends, and when it began (`time.monotonic`)."""
    limit_s, most = options.live.max_seconds, options.max_frames
    count = 0
    with live.results() as results:
        begin_s = time.monotonic()  # the streams are open
        until_s = None if limit_s is None else begin_s + limit_s
        while True:
            result = results.take(_LOOK_S)
            if should_stop():
                return "signal", begin_s
            if result is not None:
                count += 1
                inferences.add(result)
                progress.update(count)
            if most is not None and count >= most:
                return "max_frames", begin_s
            if until_s is not None and time.monotonic() >= until_s:
                return "max_seconds", begin_s
            if len(sinks) == 1 and sinks[0].error is not None:
                return "output", begin_s
            if result is None and all(device.state == "over" for device in live.health().devices.values()):
                if len(results):  # they came between the two looks
                    continue
                return "inputs", begin_s


def _finish(live: LiveSegmenter, sinks: Sequence[RunSink], should_stop: StopRequest) -> None:
    """End all; the outputs write what waits for them, unless a second signal comes or one is stuck at a single result."""
    try:
        live.close(sink_patience_s=lambda: _SIGNALLED_PATIENCE_S if should_stop() else _SINK_PATIENCE_S)
    except KeyboardInterrupt:
        live.close(0)
    for sink in sinks:
        if f"sink {sink.name}" in live.left_behind:
            sink.leave()


def _without_surplus(health: LiveHealth, sinks: Sequence[RunSink]) -> LiveHealth:
    """What the outputs were spared was not written by them."""
    spared = {sink.name: sink.surplus for sink in sinks}
    told = {
        name: replace(each, written=each.written - spared.get(name, 0)) for name, each in health.sinks.items()
    }
    return replace(health, sinks=told)


class _Inferences:
    """How long they took: the last `_KEPT` of them, and the longest of all."""

    def __init__(self) -> None:
        self._last_ns = array("q")
        self._longest_ns = 0
        self._count = 0

    def add(self, result: LiveResult) -> None:
        """Note the result's, unless it has the labels of another."""
        taken_ns = round(result.stage_ms["infer"] * 1e6)
        if not taken_ns:  # held: see `Deadline`
            return
        if self._count < _KEPT:
            self._last_ns.append(taken_ns)
        else:
            self._last_ns[self._count % _KEPT] = taken_ns
        self._longest_ns = max(self._longest_ns, taken_ns)
        self._count += 1

    def latency_ms(self) -> dict[str, float] | None:
        """See `RunSummary`."""
        told = latency_ms_of(self._last_ns)
        return None if told is None else {**told, "max": self._longest_ns / 1e6}


def _serve_metrics(stack: ExitStack, live: LiveSegmenter, options: RunOptions, console: Console) -> str:
    """Where asked to: the address, told on stderr as well."""
    if options.live.metrics is None:
        return ""
    from tdnet_runtime.live.metrics import MetricsServer  # only here: its package is an extra

    host, port = options.live.metrics
    server = stack.enter_context(MetricsServer(live, port, host=host))
    address = f"http://{f'[{host}]' if ':' in host else host}:{server.port}/metrics"
    console.print(f"tdnet-run: metrics at {address}", soft_wrap=True, markup=False, highlight=False)
    return address


class _OnConsole(logging.Handler):
    """What the live layer tells, a line each."""

    def __init__(self, console: Console) -> None:
        super().__init__(logging.WARNING)
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        """One line."""
        text = one_line(f"tdnet-run: {record.getMessage()}")
        if record.exc_info:
            text += "\n" + logging.Formatter().formatException(record.exc_info)
        self._console.print(text, soft_wrap=True, markup=False, highlight=False)


@contextmanager
def _told_on(console: Console) -> Iterator[None]:
    """The live layer's log goes there, and nowhere else."""
    log = logging.getLogger("tdnet_runtime")
    handler, propagated = _OnConsole(console), log.propagate
    log.addHandler(handler)
    log.propagate = False
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.propagate = propagated
