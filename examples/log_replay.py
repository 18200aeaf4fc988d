"""A robot's log through a network: masks and timing go into a log beside it, frame for frame.

python examples/log_replay.py td4-psp18.plan "drive.mcap?topic=/camera/image_raw" mcap:masks.mcap
"""

from __future__ import annotations

import sys
from contextlib import ExitStack

from tdnet_runtime import Segmenter, TdnetError
from tdnet_runtime.live import LiveSegmenter, SinkOptions
from tdnet_runtime.media.frames import FrameSource
from tdnet_runtime.sinks.registry import open_sink
from tdnet_runtime.sinks.sink import SinkNetwork
from tdnet_runtime.sources.registry import open_source


def replay(plan: str, log: str, output: str) -> int:
    """Segment all frames of `log`, in order; write them to `output`; say what was lost on the way. Gives the exit code."""
    with Segmenter.open(plan) as segmenter, open_source(log) as source, ExitStack() as outputs:
        sink = outputs.enter_context(open_sink(output, SinkNetwork.of(segmenter)))
        options = SinkOptions(sink=sink, stop_on_failure=True)
        live = LiveSegmenter(segmenter, {"camera": source}, sinks=[options])
        try:
            with live:
                return follow(live, source)
        finally:
            if f"sink {sink.name}" in live.left_behind:
                outputs.pop_all()  # its thread is still at work in it: it must not be closed


def follow(live: LiveSegmenter, source: FrameSource) -> int:
    """Tell of all results."""
    frames = 0
    for result in live:  # a log waits: every frame comes, none is dropped for being late
        frames += 1
        if result.dropped:
            print(f"{result.dropped} frames are missing before {result.stamp_ns} ns")
        if result.cold_start:
            print(f"the memory was emptied before {result.stamp_ns} ns: {result.cold_start}")
    live.run()  # waits for the output; raises what it failed of
    print(f"{frames} of {source.description}, {source.damage.skipped} damaged ones left out")
    if warning := source.facts.get("warning"):
        print(f"warning: {warning}")
    for error in live.errors.values():
        sys.stderr.write(f"log_replay: {error}\n")
    return 1 if live.errors else 0


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit("usage: python examples/log_replay.py X.plan LOG[?topic=/x] OUTPUT")
    try:
        sys.exit(replay(*sys.argv[1:]))
    except TdnetError as error:
        sys.exit(f"log_replay: {error}")
