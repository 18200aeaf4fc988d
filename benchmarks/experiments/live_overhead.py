"""What the live layer costs over a bare push loop: frames back to back, and one at a time, of both in turn by blocks.

    python benchmarks/experiments/live_overhead.py X.plan OUT.json [BLOCKS]

Both sides are a loop in its own thread over a source that waits for frames, as a camera's would: `stream.push` of each, or
results of a `LiveSegmenter`. Back to back: from mask to mask, where the source always has a frame. Single: from a frame's
coming, 5 ms after the last mask, to its mask; the bare loop, too, wakes from its wait. Masks must be the same. Differences
of percentiles have 95 % intervals, by drawing pairs of blocks anew.

At first it was unfair: the bare loop gave itself the frames and never waited for one, single frames followed the other
side's without a pause, and a copy was made of each mask while the live side's network, and only that, ran.
"""

from __future__ import annotations

import json
import queue
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tdnet_runtime import Segmenter
from tdnet_runtime.backends.cpu_count import usable_cpus
from tdnet_runtime.live import LiveSegmenter
from tdnet_runtime.media.frames import SourceFrame
from tdnet_runtime.media.scene import render

BLOCK = 12  # frames of each way and side
WAYS = {"back to back": [BLOCK + 1], "single": [1] * BLOCK}  # frames that are given together
PAUSE_S = 0.005  # before them

Mask = npt.NDArray[np.uint8]


class Source:
    """Gives as many frames as it is asked for."""

    live, description = False, "frames in memory"

    def __init__(self, images: list[Mask]) -> None:
        self.images = images
        self.asked: queue.SimpleQueue[int] = queue.SimpleQueue()

    def stop(self) -> None:
        """See `FrameSource`."""
        self.asked.put(0)

    def __iter__(self) -> Iterator[SourceFrame]:
        index = 0
        while count := self.asked.get():
            for _ in range(count):
                yield SourceFrame(image=self.images[index % BLOCK], name=str(index), stamp_ns=index)
                index += 1


class Side:
    """A loop over masks, in a thread of its own, and when each of them came."""

    def __init__(self, source: Source, masks: Iterable[Mask]) -> None:
        self._source, self._masks, self._wanted = source, masks, 0
        self._found: queue.SimpleQueue[list[tuple[float, Mask]]] = queue.SimpleQueue()
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        found: list[tuple[float, Mask]] = []
        for mask in self._masks:
            found.append((1e3 * time.perf_counter(), mask))
            if len(found) == self._wanted:
                self._found.put(found)
                found = []

    def block(self, counts: list[int]) -> tuple[list[float], list[Mask]]:
        """Milliseconds from a single frame to its mask, or from mask to mask of several; and the masks."""
        spans, masks = [], []
        for count in counts:
            time.sleep(PAUSE_S)
            self._wanted, begun = count, 1e3 * time.perf_counter()
            self._source.asked.put(count)
            times, own = zip(*self._found.get(timeout=600), strict=True)
            spans += np.diff([begun, *times])[count > 1 :].tolist()
            masks += own
        return spans, masks


def measure(plan: str, blocks: int) -> dict[str, object]:
    """Milliseconds of each frame, by how it was given and by whom."""
    with Segmenter.open(plan, backend="onnxruntime") as segmenter:
        size = segmenter.manifest.input
        images = [render(t, height=size.height, width=size.width) for t in range(BLOCK)]
        given, fed = Source(images), Source(images)
        rows: dict[str, list[list[float]]] = {f"{way} {who}": [] for way in WAYS for who in ("push", "live")}
        with segmenter.stream() as stream, LiveSegmenter(segmenter, {"memory": fed}) as live:
            pushed = (stream.push(frame.image, stamp_ns=frame.stamp_ns).labels for frame in given)
            sides = {"push": Side(given, pushed), "live": Side(fed, (each.labels for each in live.results()))}
            for block in range(-1, blocks):
                for way, counts in WAYS.items():
                    masks = {}
                    for who in ("push", "live") if block % 2 else ("live", "push"):
                        found, masks[who] = sides[who].block(counts)
                        rows[f"{way} {who}"] += [found] if block >= 0 else []
                    assert all(map(np.array_equal, masks["push"], masks["live"]))
        times = {name: np.array(each) for name, each in rows.items()}
        return {
            "kind": "live_overhead",
            "plan": Path(plan).name,
            "backend": segmenter.backend.description,
            "cpus": usable_cpus(),
            "date": time.strftime("%Y-%m-%d"),
            "frames of each": blocks * BLOCK,
            "ways": {way: summary(times[f"{way} push"], times[f"{way} live"]) for way in WAYS},
            "times_ms": {name: " ".join(f"{ms:.3f}" for ms in each.flat) for name, each in times.items()},
        }


def summary(push: npt.NDArray[np.float64], live: npt.NDArray[np.float64]) -> dict[str, object]:
    """Percentiles of both and what is between them, with its interval, of milliseconds [blocks, frames]."""
    random, shares, count = np.random.default_rng(0), (50, 95, 99), len(push)
    draws = [random.integers(count, size=count) for _ in range(1000)]
    more = [np.percentile(live[drawn], shares) - np.percentile(push[drawn], shares) for drawn in draws]
    p, m = np.percentile(push, shares), np.percentile(live, shares)
    found = np.array([p, m, m - p, *np.percentile(more, (2.5, 97.5), axis=0), 100 * (m / p - 1)]).round(3)
    names = ("push_ms", "live_ms", "more_ms", "at_least_ms", "at_most_ms", "more_percent")
    return {
        f"p{share}": dict(zip(names, row, strict=True))
        for share, row in zip(shares, found.T.tolist(), strict=True)
    }


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit("usage: python benchmarks/experiments/live_overhead.py X.plan OUT.json [BLOCKS]")
    found = measure(sys.argv[1], int(sys.argv[3]) if len(sys.argv) > 3 else 250)
    Path(sys.argv[2]).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(json.dumps(found["ways"], indent=1) + "\n")
