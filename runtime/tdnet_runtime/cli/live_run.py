"""`tdnet-run` live: cameras, topics and whatever else is asked for, through `LiveSegmenter`."""

from __future__ import annotations

import logging
import time
from array import array
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from rich.console import Console

from tdnet_runtime.cli.engine import AnySegmenter
from tdnet_runtime.cli.frame_progress import FrameProgress
from tdnet_runtime.cli.interrupt import StopRequest, stop_on_interrupt
from tdnet_runtime.cli.live_inputs import LiveInput
from tdnet_runtime.cli.live_sinks import RunSink, open_live_sinks
from tdnet_runtime.cli.run_document import forget_run_document
from tdnet_runtime.cli.run_options import STDOUT, RunOptions
from tdnet_runtime.errors import MediaError, TdnetError
from tdnet_runtime.extras import one_line
from tdnet_runtime.live import LiveSegmenter
from tdnet_runtime.live.deadline import NO_ATTENTION
from tdnet_runtime.live.health import LiveHealth
from tdnet_runtime.media.pipeline import RunSummary, latency_ms_of
from tdnet_runtime.memory import require_own_labels

__all__ = ["LiveRun", "run_live"]

_LOOK_S = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveRun:
    """What a live run did.

    Attributes:
        summary: as of any run; the latency is that of the inferences.
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
    console, asked = Console(stderr=True), options.live
    infer_ns = array("q")
    if NO_ATTENTION in asked.modes:
        require_own_labels(segmenter.manifest, asked=f"--degrade {NO_ATTENTION}")
    with ExitStack() as stack:
        should_stop = stack.enter_context(stop_on_interrupt())
        sinks = open_live_sinks(stack, options, inputs, segmenter)
        if options.json is not None and options.json != STDOUT:
            forget_run_document(options.json)
        progress = stack.enter_context(FrameProgress(console, total=options.max_frames))
        stack.enter_context(_told_on(console))
        live = stack.enter_context(
            LiveSegmenter(
                segmenter,
                {each.label: each.feed for each in inputs},
                asked.policy,
                gap=asked.gap,
                deadline=asked.deadline,
                restart=asked.restart(options.on_damage),
                sinks=sinks,
            )
        )
        metrics = _serve_metrics(stack, live, options, console)
        begin_s = time.monotonic()
        ended_by = _until_over(live, options, sinks, should_stop, progress, infer_ns)
        if ended_by == "inputs":
            live.run()  # which waits for the sinks, however long they take
        live.close()
        health = live.health()
        failures: dict[str, Exception] = {**live.errors}
    failures |= {sink.name: sink.error for sink in sinks if sink.error is not None}
    results = sum(source.results for source in health.sources.values())
    summary = RunSummary(
        frames=results if options.max_frames is None else min(results, options.max_frames),
        wall_s=time.monotonic() - begin_s,
        latency_ms=latency_ms_of(infer_ns),
        interrupted=ended_by == "signal",
    )
    should_stop.stuck = should_stop() and bool(health.event_counts.get("left_behind"))
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
    infer_ns: array[int],
) -> str:
    """Take note of the results; gives why the run ends."""
    limit_s, most = options.live.max_seconds, options.max_frames
    until_s = None if limit_s is None else time.monotonic() + limit_s
    with live.results() as results:
        while True:
            result = results.take(_LOOK_S)
            if should_stop():
                return "signal"
            if result is not None:
                infer_ns.append(round(result.stage_ms.get("infer", 0.0) * 1e6))
                progress.update(len(infer_ns))
            if most is not None and len(infer_ns) >= most:
                return "max_frames"
            if until_s is not None and time.monotonic() >= until_s:
                return "max_seconds"
            if len(sinks) == 1 and sinks[0].error is not None:
                return "output"
            if result is None and all(device.state == "over" for device in live.health().devices.values()):
                if len(results):  # they came between the two looks
                    continue
                return "inputs"


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
