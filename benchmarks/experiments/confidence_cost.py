"""What `--confidence` costs: frames of a bundle without it and of one with it, in turn, in one process on ONNX Runtime.

Or what attention costs, where both are one bundle of `--own-labels`: frames without it and with it.

    python benchmarks/experiments/confidence_cost.py WITHOUT.plan WITH.plan OUT.json [ROUNDS]

Both have the same weights, size and precision. A round is one frame of each for every path; who comes first changes from
round to round. Wall time is what a robot waits; processor time, of all threads, is what other programs' load moves less.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import numpy as np

from tdnet_runtime import Segmenter
from tdnet_runtime.backends.cpu_count import usable_cpus
from tdnet_runtime.media.scene import render

SCRIPT = "benchmarks/experiments/confidence_cost.py"
WARM_UP = 2  # rounds
SIDES = ("without", "with")
Pairs = dict[str, dict[str, list[float]]]


def measure(plans: tuple[str, str], rounds: int) -> dict[str, object]:
    """Milliseconds of each frame, by side and clock."""
    load, one_bundle = os.getloadavg()[0], plans[0] == plans[1]
    with (
        Segmenter.open(plans[0], backend="onnxruntime") as plain,
        Segmenter.open(plans[1], backend="onnxruntime") as sure,
        plain.stream() as bare,
        sure.stream() as full,
    ):
        streams = dict(zip(SIDES, (bare, full), strict=True))
        size, paths = sure.manifest.input, len(sure.manifest.paths)
        frames = [render(t, height=size.height, width=size.width) for t in range(3 * paths)]
        times: Pairs = {side: {"wall_ms": [], "cpu_ms": []} for side in SIDES}
        for count in range((WARM_UP + rounds) * paths):
            results = {}
            for side in SIDES if count // paths % 2 else reversed(SIDES):
                wall, cpu = time.perf_counter(), time.process_time()
                full_frame = not one_bundle or side == "with"
                results[side] = streams[side].push(frames[count % len(frames)], attention=full_frame)
                wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
                if count >= WARM_UP * paths:
                    times[side]["wall_ms"].append(round(1e3 * wall, 3))
                    times[side]["cpu_ms"].append(round(1e3 * cpu, 3))
            sure_of = [results[side].confidence is not None for side in SIDES]
            assert one_bundle or sure_of == [False, True]
            assert one_bundle or np.array_equal(results["without"].labels, results["with"].labels)
        return {
            "kind": "attention_cost" if one_bundle else "confidence_cost",
            "network": f"{sure.manifest.network}, {sure.manifest.channels} logits, {size.height}x{size.width}",
            "backend": sure.backend.description,
            "cpus": usable_cpus(),
            "load before, of other programs too": round(load, 1),
            "date": time.strftime("%Y-%m-%d"),
            "frames of each": len(times["with"]["wall_ms"]),
            "summary": {clock: summary(times, clock) for clock in ("wall_ms", "cpu_ms")},
            "times": times,
        }


def summary(times: Pairs, clock: str) -> dict[str, float]:
    """Medians and the quickest of both, and the median of the differences frame by frame."""
    without, with_it = (np.array(times[side][clock]) for side in SIDES)
    found = {
        "median_without": np.median(without),
        "median_with": np.median(with_it),
        "least_without": without.min(),
        "least_with": with_it.min(),
        "median_of_differences": np.median(with_it - without),
        "share_of_the_median_percent": 100 * np.median(with_it - without) / np.median(without),
    }
    return {name: round(float(value), 3) for name, value in found.items()}


if __name__ == "__main__":
    if len(sys.argv) not in (4, 5):
        sys.exit(f"usage: python {SCRIPT} WITHOUT.plan WITH.plan OUT.json [ROUNDS]")
    found = measure((sys.argv[1], sys.argv[2]), int((*sys.argv, 20)[4]))
    Path(sys.argv[3]).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(json.dumps(found["summary"], indent=1) + "\n")
