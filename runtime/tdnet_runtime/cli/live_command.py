"""The live half of `tdnet-run`: its inputs, engine and outputs opened in order, its end told."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

from tdnet_runtime.cli.engine import AnySegmenter
from tdnet_runtime.cli.live_document import live_document, show_live_run
from tdnet_runtime.cli.live_inputs import LiveInput
from tdnet_runtime.cli.live_run import run_live
from tdnet_runtime.cli.live_sinks import check_live_outputs
from tdnet_runtime.cli.run_options import RunOptions
from tdnet_runtime.cli.run_telling import tell_damage, tell_summary, tell_warning
from tdnet_runtime.media.frames import FrameSource
from tdnet_runtime.sources.registry import is_live

__all__ = ["run_live_command"]


def run_live_command(
    options: RunOptions,
    *,
    open_source: Callable[..., FrameSource],
    open_segmenter: Callable[..., AnySegmenter],
) -> None:
    """Run, and tell of it.

    Raises:
        TdnetError: something cannot be opened, or an input or output failed for good; what was written stays, and the
            summary tells of the rest.
    """
    with ExitStack() as stack:
        inputs = []
        for name, spec in options.inputs.items():
            opener = partial(
                open_source,
                spec,
                on_damage=options.on_damage,
                bit_depth=options.bit_depth,
                camera=options.camera,
            )
            given = LiveInput(name, spec, open=opener, live=is_live(spec), wait=options.live.wait)
            inputs.append(stack.enter_context(given))
        check_live_outputs(options, inputs)
        segmenter = open_segmenter(
            options.engine,
            backend=options.backend,
            precision=options.precision,
            threads=options.threads,
            sha256=options.sha256,
        )
        stack.enter_context(segmenter)
        run, stop = run_live(options, inputs, segmenter)
        for each in inputs:
            if each.source is not None:
                tell_damage(each.source.damage, each.facts, each.name)
        for warning in dict.fromkeys(run.warnings):
            tell_warning(warning)
        try:
            tell_summary(
                options,
                live_document(options, inputs, segmenter, run),
                show=lambda: show_live_run(options, inputs, segmenter, run),
            )
        finally:
            stop.leave_stuck()
        if run.error is not None:
            raise run.error
