"""Four live streams in which everything goes wrong at random, for as many results as asked: does anything grow?

    python tests/runtime/live/soak.py X.plan OUT.json [RESULTS [BACKEND [SEED]]]

Sources die, begin new sequences, change size, lose frames, give garbage and stamps that run backwards; the engine fails now
and then; two streams lose frames to the newest-wins policy, two lose none. Each result's labels are compared with those
of a plain stream that was pushed the same frames since the last cold start: a difference ends it with exit code 1.
Memory, threads and open files are written down as it goes.
"""

from __future__ import annotations

import gc
import json
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np

from tdnet_runtime import BackendError, MediaError, Segmenter
from tdnet_runtime.live import Feed, GapPolicy, LiveSegmenter, Restart, SinkOptions, every, newest
from tdnet_runtime.live.health_report import resident_mib
from tdnet_runtime.live.result import LiveResult
from tdnet_runtime.media.frames import SourceFrame
from tdnet_runtime.media.scene import render

MARKS = 40  # times that resources are looked at
IMAGES = 24
DEATH, GARBAGE, BEGINS, LOST, SIZE, BACKWARDS, FAILURE = 0.004, 0.01, 0.005, 0.02, 0.003, 0.002, 0.002


class Source:
    """A camera of random frames and faults."""

    live = True
    description = "random frames"

    def __init__(self, images: list[list[np.ndarray]], seed: int, pause_s: float) -> None:
        self.images, self.random, self.pause_s = images, random.Random(seed), pause_s
        self.ending = threading.Event()

    def stop(self) -> None:
        """See `FrameSource`."""
        self.ending.set()

    def __enter__(self) -> Source:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def __iter__(self) -> Iterator[object]:
        happens = lambda share: self.random.random() < share  # noqa: E731
        index, size, stamp_ns = 0, 0, 10**9
        while not self.ending.is_set():
            if self.pause_s:
                self.ending.wait(self.pause_s * self.random.random())
            if happens(DEATH):
                if happens(0.5):
                    raise MediaError("unplugged")
                return
            if happens(GARBAGE):
                bad = SourceFrame(image=np.zeros((2, 2)), name="bad", stamp_ns=0)
                yield self.random.choice([None, "text", bad])
                continue
            size = 1 - size if happens(SIZE) else size
            stamp_ns += -(10**12) if happens(BACKWARDS) else 33_000_000
            image = self.images[size][self.random.randrange(IMAGES)]
            lost = self.random.randrange(1, 9) if happens(LOST) else 0
            yield SourceFrame(
                image=image, name=str(index), stamp_ns=stamp_ns, begins=happens(BEGINS), lost_before=lost
            )
            index += 1


class Failing:
    """A segmenter that fails now and then."""

    def __init__(self, segmenter: Segmenter, seed: int) -> None:
        self.segmenter, self.manifest, self.backend = segmenter, segmenter.manifest, segmenter.backend
        self.random = random.Random(seed)

    def stream(self) -> object:
        """One of its streams."""
        stream = self.segmenter.stream()
        push = stream.push

        def failing(image: np.ndarray, *, stamp_ns: int | None = None) -> object:
            if self.random.random() < FAILURE:
                raise BackendError("at random")
            return push(image, stamp_ns=stamp_ns)

        stream.push = failing  # type: ignore[method-assign]
        return stream


class Slow:
    """A sink that is late, and fails, now and then."""

    name = "slow"

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def write(self, result: LiveResult) -> None:
        """See `ResultSink`."""
        if self.random.random() < 0.01:
            time.sleep(0.01)
        if self.random.random() < 0.01:
            raise MediaError("disk full, at random")


def resources(results: int) -> dict[str, float]:
    """What the process holds now."""
    gc.collect()
    return {
        "results": results,
        "resident_mib": round(resident_mib() or 0, 2),
        "threads": len(list(Path("/proc/self/task").iterdir())),
        "files": len(list(Path("/proc/self/fd").iterdir())),
        "objects": len(gc.get_objects()),
    }


def soak(plan: str, wanted: int, backend: str, seed: int) -> dict[str, object]:
    """Run it; gives the document."""
    with Segmenter.open(plan, backend=backend) as segmenter:
        height, width = segmenter.manifest.input.height, segmenter.manifest.input.width
        sizes = [(height, width), (height + 7, width + 9)]
        images = [[render(t, height=h, width=w) for t in range(IMAGES)] for h, w in sizes]
        seeds = iter(range(1000 * seed, 1000 * seed + 10**6))
        feeds = {
            name: Feed(
                open=lambda pause_s=pause_s: Source(images, next(seeds), pause_s),
                live=True,
                policy=policy,
                gap=GapPolicy(on_lost=name == "b", on_cut=name == "d"),
                restart=Restart(first_s=0.001, most_s=0.01),
            )
            for name, policy, pause_s in (
                ("a", every(), 0),
                ("b", every(2), 0),
                ("c", newest(), 0.004),
                ("d", newest(), 0.002),
            )
        }
        plain = {name: segmenter.stream() for name in feeds}
        count, wrong, fresh = 0, 0, Counter[str]()
        marks, began_s = [], time.monotonic()
        sinks = [SinkOptions(sink=Slow(seed), when_full="drop", depth=2)]
        with LiveSegmenter(Failing(segmenter, seed), feeds, sinks=sinks) as live:
            for result in live.results(when_full="wait"):  # a result that is lost here would be missed below
                stream = plain[result.source]
                if result.cold_start:
                    stream.reset()
                    fresh[result.cold_start] += 1
                expected = stream.push(result.frame.image)
                same = (expected.path, expected.cold, expected.frame_index) == (
                    result.path,
                    result.cold,
                    result.frame_index,
                )
                wrong += not (same and np.array_equal(expected.labels, result.labels))
                if count % max(wanted // MARKS, 1) == 0:
                    marks.append(resources(count))
                count += 1
                if count >= wanted:
                    break
            health = live.health()
        marks.append(resources(count))
        return {
            "kind": "soak",
            "plan": Path(plan).name,
            "backend": segmenter.backend.description,
            "seed": seed,
            "date": time.strftime("%Y-%m-%d"),
            "seconds": round(time.monotonic() - began_s, 1),
            "results": count,
            "labels_other_than_a_fresh_streams": wrong,
            "cold_starts": dict(fresh),
            "events": health.event_counts,
            "sources": {name: msgspec.to_builtins(source) for name, source in health.sources.items()},
            "growth": growth(marks),
            "marks": marks,
        }


def growth(marks: list[dict[str, float]]) -> dict[str, float]:
    """From the mean of the second quarter of the marks to that of the last one; the first is warming up."""
    quarter = max(len(marks) // 4, 1)
    first, last = marks[quarter : 2 * quarter] or marks[:1], marks[-quarter - 1 : -1] or marks[-1:]
    return {
        name: round(float(np.mean([m[name] for m in last]) - np.mean([m[name] for m in first])), 2)
        for name in ("resident_mib", "threads", "files", "objects")
    }


if __name__ == "__main__":
    if not 3 <= len(sys.argv) <= 6:
        sys.exit("usage: python tests/runtime/live/soak.py X.plan OUT.json [RESULTS [BACKEND [SEED]]]")
    given = [*sys.argv[3:], *("20000", "onnxruntime", "0")[len(sys.argv) - 3 :]]
    document = soak(sys.argv[1], int(given[0]), given[1], int(given[2]))
    Path(sys.argv[2]).write_text(json.dumps(document, indent=1) + "\n")
    shown = ("results", "seconds", "labels_other_than_a_fresh_streams", "cold_starts", "events", "growth")
    sys.stdout.write(json.dumps({name: document[name] for name in shown}, indent=1) + "\n")
    sys.exit(1 if document["labels_other_than_a_fresh_streams"] else 0)
