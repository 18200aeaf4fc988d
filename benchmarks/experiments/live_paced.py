"""A camera that is faster than the network, for minutes: how old are results, and is anything lost that may not be?

    python benchmarks/experiments/live_paced.py X.plan OUT.json [SECONDS [HZ]]

First as a live source, of which the newest frame wins, then as a log of which every frame counts; HZ is 1.6 times what the
network holds if not given. The age of a result is from its frame's arrival to the moment when a loop has it; what it may be
is 1.5 frame times and that frame's inference. Exit code 1: one in a hundred is older, or a frame of the log was lost.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tdnet_runtime import Segmenter
from tdnet_runtime.live import LiveSegmenter
from tdnet_runtime.media.frames import SourceFrame
from tdnet_runtime.media.scene import render

IMAGES = 16


class Camera:
    """Frames by the clock."""

    description = "frames in memory, by the clock"

    def __init__(self, images: list[np.ndarray], hz: float, seconds: float, *, live: bool) -> None:
        self.images, self.hz, self.count, self.live = images, hz, round(hz * seconds), live
        self.ending = threading.Event()

    def stop(self) -> None:
        """See `FrameSource`."""
        self.ending.set()

    def __iter__(self) -> Iterator[SourceFrame]:
        began = time.monotonic()
        for index in range(self.count):
            self.ending.wait(max(began + index / self.hz - time.monotonic(), 0))
            if self.ending.is_set():
                return
            stamp_ns = round(index * 1e9 / self.hz)
            yield SourceFrame(
                image=self.images[index % IMAGES],
                name=str(index),
                stamp_ns=stamp_ns,
                arrival_ns=time.monotonic_ns() if self.live else None,
            )


def watch(segmenter: Segmenter, camera: Camera) -> dict[str, object]:
    """Run it to its end; gives what came of it."""
    ages_ms, over_ms, inferences_ms, names, dropped = [], [], [], [], 0
    began = time.monotonic()
    with LiveSegmenter(segmenter, {"camera": camera}) as live:
        for result in live:
            age_ms = result.latency_ms + result.stage_ms["deliver"]
            ages_ms.append(age_ms)
            inferences_ms.append(result.stage_ms["infer"])
            over_ms.append(age_ms - 1.5e3 / camera.hz - result.stage_ms["infer"])
            names.append(int(result.frame.name))
            dropped += result.dropped
        source = live.health().sources["camera"]
    shares = (50, 95, 99, 100)
    inference_ms, age_ms = (
        dict(zip(map(str, shares), np.percentile(each, shares).round(2).tolist(), strict=True))
        for each in (inferences_ms, ages_ms)
    )
    return {
        "policy": source.policy,
        "frames": camera.count,
        "results": len(names),
        "dropped": dropped,
        "in_order": names == sorted(names),
        "fps": round(len(names) / (time.monotonic() - began), 2),
        "inference_ms": inference_ms,
        "age_ms": age_ms,
        "older_than_1.5_frame_times_and_their_inference": sum(ms > 0 for ms in over_ms),
        "by_at_most_ms": round(max(0.0, *over_ms), 2),
    }


def main(plan: str, seconds: float = 300.0, hz: float | None = None) -> dict[str, object]:
    """Both; gives the document."""
    with Segmenter.open(plan, backend="onnxruntime") as segmenter:
        size = segmenter.manifest.input
        images = [render(t, height=size.height, width=size.width) for t in range(IMAGES)]
        if hz is None:
            with segmenter.stream() as stream:
                times = []
                for image in images:
                    began = time.perf_counter()
                    stream.push(image)
                    times.append(time.perf_counter() - began)
            hz = round(1.6 / float(np.median(times)), 1)
        return {
            "kind": "live_paced",
            "plan": Path(plan).name,
            "backend": segmenter.backend.description,
            "date": time.strftime("%Y-%m-%d"),
            "hz": hz,
            "live": watch(segmenter, Camera(images, hz, seconds, live=True)),
            "log": watch(segmenter, Camera(images, hz, seconds / 5, live=False)),
        }


if __name__ == "__main__":
    if not 3 <= len(sys.argv) <= 5:
        sys.exit("usage: python benchmarks/experiments/live_paced.py X.plan OUT.json [SECONDS [HZ]]")
    document = main(sys.argv[1], *map(float, sys.argv[3:]))
    Path(sys.argv[2]).write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(json.dumps(document, indent=1) + "\n")
    live, log = document["live"], document["log"]
    too_old = live["older_than_1.5_frame_times_and_their_inference"] > live["results"] / 100
    sys.exit(1 if too_old or log["results"] != log["frames"] or log["dropped"] else 0)
