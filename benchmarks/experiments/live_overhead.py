"""What the live layer costs over a bare push loop: blocks of frames back to back, and single frames, of both in turn.

    python benchmarks/experiments/live_overhead.py X.plan OUT.json [BLOCKS]

Back to back: the time from one result to the next, of a loop over `stream.push` and of one over a `LiveSegmenter` that
reads a source which always has a frame. Single: a frame is given when the result of the one before is there; from then
to its result. Frames are in memory, of the network's size, and the same for both; so must be their labels.
"""

from __future__ import annotations

import json
import queue
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tdnet_runtime import Segmenter
from tdnet_runtime.backends.cpu_count import usable_cpus
from tdnet_runtime.live import LiveSegmenter
from tdnet_runtime.live.outlet import Results
from tdnet_runtime.media.frames import SourceFrame
from tdnet_runtime.media.scene import render

BLOCK = 12
WARM_UP = 8  # frames, for all paths


class Source:
    """Gives as many frames as it is asked for."""

    live = False
    description = "frames in memory"

    def __init__(self, images: list[np.ndarray]) -> None:
        self.images = images
        self.asked: queue.SimpleQueue[int] = queue.SimpleQueue()

    def stop(self) -> None:
        """See `FrameSource`."""
        self.asked.put(0)

    def __iter__(self) -> Iterator[SourceFrame]:
        index = 0
        while count := self.asked.get():
            for _ in range(count):
                image = self.images[index % len(self.images)]
                yield SourceFrame(image=image, name=str(index), stamp_ns=index)
                index += 1


def measure(plan: str, blocks: int) -> dict[str, object]:
    """Milliseconds of each frame, by how it was given and by whom."""
    with Segmenter.open(plan, backend="onnxruntime") as segmenter:
        size = segmenter.manifest.input
        source = Source([render(t, height=size.height, width=size.width) for t in range(BLOCK)])
        ways = ("back to back", "single")
        times: dict[str, list[float]] = {f"{way} {who}": [] for way in ways for who in ("push", "live")}
        labels: dict[str, list[bytes]] = {"push": [], "live": []}
        with segmenter.stream() as stream, LiveSegmenter(segmenter, {"memory": source}) as live:
            pushed, results = 0, live.results()

            def push(count: int) -> Iterator[np.ndarray]:
                nonlocal pushed
                for _ in range(count):
                    yield stream.push(source.images[pushed % BLOCK], stamp_ns=pushed).labels
                    pushed += 1

            def live_results(count: int) -> Iterator[np.ndarray]:
                source.asked.put(count)
                yield from (next(results).labels for _ in range(count))

            for block in range(-1, blocks):
                for way, count in (("back to back", BLOCK), ("single", 1)):
                    for _ in range(BLOCK // count):
                        for who in ("push", "live") if block % 2 else ("live", "push"):
                            last = time.perf_counter()
                            for mask in (push if who == "push" else live_results)(count):
                                now = time.perf_counter()
                                if block >= 0:
                                    times[f"{way} {who}"].append(1e3 * (now - last))
                                labels[who].append(mask.tobytes())
                                last = time.perf_counter()
            assert isinstance(results, Results)
        assert labels["push"] == labels["live"]
        return {
            "kind": "live_overhead",
            "plan": Path(plan).name,
            "backend": segmenter.backend.description,
            "cpus": usable_cpus(),
            "date": time.strftime("%Y-%m-%d"),
            "python": sys.version.split()[0],
            "frames of each": len(times["single push"]),
            "ways": {
                way: summary(times[f"{way} push"], times[f"{way} live"]) for way in ("back to back", "single")
            },
            "times_ms": {name: [round(ms, 3) for ms in values] for name, values in times.items()},
        }


def summary(push: list[float], live: list[float]) -> dict[str, object]:
    """Percentiles of both, and what is between them."""
    shares = (50, 95, 99)
    of_push, of_live = np.percentile(push, shares), np.percentile(live, shares)
    rows = zip(shares, of_push, of_live, strict=True)
    found = {
        f"p{share}": {
            "push_ms": round(p, 3),
            "live_ms": round(m, 3),
            "more_ms": round(m - p, 3),
            "more_percent": round(100 * (m / p - 1), 2),
        }
        for share, p, m in rows
    }
    return found | {
        "mean": {"push_ms": round(float(np.mean(push)), 3), "live_ms": round(float(np.mean(live)), 3)}
    }


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit("usage: python benchmarks/experiments/live_overhead.py X.plan OUT.json [BLOCKS]")
    found = measure(sys.argv[1], int((*sys.argv, 40)[3]))
    Path(sys.argv[2]).write_text(json.dumps(found, indent=1) + "\n")
    sys.stdout.write(json.dumps(found["ways"], indent=1) + "\n")
