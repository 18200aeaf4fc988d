"""A camera's newest frame, segmented again and again: all that a robot's perception loop needs.

    python examples/camera_loop.py tdnet50.plan camera:0
    python examples/camera_loop.py tdnet50.plan street.mp4

A camera that is unplugged is waited for. A file is segmented frame by frame. Ctrl-C ends it.
"""

from __future__ import annotations

import logging
import sys

import numpy as np

from tdnet_runtime import Segmenter, TdnetError
from tdnet_runtime.live import Feed, GapPolicy, LiveSegmenter
from tdnet_runtime.media.camera_name import camera_from_name
from tdnet_runtime.media.sources import open_source


def main(plan: str, camera: str) -> int:
    """Run until the source ends; gives the exit code."""
    feed = Feed(
        open=lambda: open_source(camera),
        live=camera_from_name(camera) is not None or None,  # a camera that is not there yet is waited for
        gap=GapPolicy(
            after_ms=1000, on_lost=True
        ),  # after a second without frames the memory shows another place
    )
    with Segmenter.open(plan) as segmenter, LiveSegmenter(segmenter, {"camera": feed}) as live:
        names = [each.name for each in segmenter.manifest.classes]
        try:
            for result in live:
                if result.cold:
                    continue  # this robot does not act on masks without attention
                shares = np.bincount(result.labels.ravel(), minlength=len(names)) / result.labels.size
                largest = names[int(shares.argmax())]
                sys.stdout.write(
                    f"frame {result.frame.name}: {shares.max():.0%} {largest}, {result.latency_ms:.0f} ms after it came, "
                    f"{result.dropped} dropped before it\n"
                )
        except KeyboardInterrupt:
            pass
        for error in live.errors.values():
            sys.stderr.write(f"{error}\n")
        return 1 if live.errors else 0


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    if len(sys.argv) != 3:
        sys.exit("usage: python examples/camera_loop.py X.plan CAMERA|VIDEO|FOLDER")
    try:
        sys.exit(main(*sys.argv[1:]))
    except TdnetError as error:
        sys.exit(f"{error}")
