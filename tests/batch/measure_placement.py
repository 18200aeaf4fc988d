"""How many workers with how many threads pay: each placement against a plain loop over the same videos, in turns.

    python tests/batch/measure_placement.py --engine X.plan --input videos/ --rounds 3 --json out.json

The plain loop is one process without Ray that reads, segments and writes with all cores. Each round runs the loop and all
placements once, in an order that turns, so that a machine that is busy for a while is so for all of them.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from rich.console import Console

from tdnet_batch.inputs import find_inputs
from tdnet_batch.job import Job, JobKind, Order
from tdnet_batch.options import BatchOptions, Cluster
from tdnet_batch.output_tree import OutputLock
from tdnet_batch.progress import BatchProgress
from tdnet_batch.ray_pool import RayPool
from tdnet_batch.ray_session import ray_session
from tdnet_batch.run import Crew, run_batch
from tdnet_batch.settings import Settings
from tdnet_batch.worker import BatchWorker
from tdnet_runtime.backends.cpu_count import usable_cpus
from tdnet_runtime.bundle import Bundle

Figures = dict[str, float]


def pss_mib(pid: int) -> float:
    """Memory of a process, what it shares with others in parts."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    return 0.0


def actors() -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if path.read_bytes().startswith(b"ray::_Actor"):
                found.append(int(path.parent.name))
    return found


class Watched(BatchProgress):
    """Takes note of the largest memory of a worker meanwhile."""

    worker_mib = 0.0

    def update(self, *, at_hand: int, workers: int) -> None:
        with contextlib.suppress(OSError):
            Watched.worker_mib = max([Watched.worker_mib, *map(pss_mib, actors())])
        super().update(at_hand=at_hand, workers=workers)


def plain(given: argparse.Namespace, folder: Path) -> Figures:
    """One process, one network, all cores."""
    with Bundle.open(given.engine) as bundle:
        digest = bundle.digest
    with OutputLock(folder) as lock:
        order = Order(
            engine=str(given.engine.absolute()), sha256=None, bundle=digest, threads=usable_cpus(),
            settings=Settings(backend=given.backend), tree=lock.tree,
        )  # fmt: skip
        worker = BatchWorker(order)
        begin_s, frames = time.monotonic(), 0
        for video in find_inputs([str(given.input)], output=folder).inputs:
            record = worker.do(Job(input=video, kind=JobKind.WHOLE)).record
            assert record is not None, "no record"
            assert record.done, record.error
            frames += record.frames
        wall_s = time.monotonic() - begin_s
        mib = pss_mib(os.getpid())
        worker.close()
    return {"frames": frames, "wall_s": wall_s, "frames_per_s": frames / wall_s, "worker_mib": mib}


def placed(given: argparse.Namespace, folder: Path, workers: int, threads: int) -> Figures:
    cluster = Cluster(workers=workers, threads=threads)
    options = BatchOptions(
        engine=given.engine, inputs=(str(given.input),), output=folder, cluster=cluster,
        settings=Settings(backend=given.backend),
    )  # fmt: skip

    @contextlib.contextmanager
    def crew() -> Iterator[Crew]:
        with ray_session(address=None, cpus=max(usable_cpus(), workers * threads), dashboard=False) as ray:
            yield Crew(
                nodes=[node["Resources"] for node in ray.nodes() if node["Alive"]],
                open_pool=lambda order, placement: RayPool(ray, partial(BatchWorker, order), placement),
            )

    Watched.worker_mib = 0.0
    begin_s = time.monotonic()
    summary = run_batch(
        options,
        open_crew=crew,
        progress=lambda inputs, size: Watched(Console(stderr=True), inputs=inputs, size_bytes=size),
    )
    assert not summary.failed, summary.failed[0].error
    frames = sum(record.frames for record in summary.made)
    busy_s = sum(record.seconds for record in summary.made)
    return {
        "frames": frames,
        "wall_s": summary.wall_s,
        "frames_per_s": frames / summary.wall_s,
        "with_start_s": time.monotonic() - begin_s,
        "overhead_share": 1 - busy_s / (workers * summary.wall_s),
        "worker_mib": Watched.worker_mib,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engine", type=Path, required=True)
    parser.add_argument(
        "--input", type=Path, required=True, help="a folder of videos, at least as many as workers"
    )
    parser.add_argument("--backend", default="onnxruntime")
    parser.add_argument("--placement", action="append", help="WORKERSxTHREADS; 1x2, 2x1 and 2x2 if not given")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    names = ["plain", *(given.placement or ("1x2", "2x1", "2x2"))]
    measured: dict[str, list[Figures]] = {name: [] for name in names}
    for turn in range(given.rounds):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            folder = Path(tempfile.mkdtemp(prefix="tdnet-placement-"))
            try:
                if name == "plain":
                    figures = plain(given, folder / "out")
                else:
                    figures = placed(given, folder / "out", *map(int, name.split("x")))
            finally:
                shutil.rmtree(folder, ignore_errors=True)
            measured[name].append(figures)
            print(name, {key: round(value, 3) for key, value in figures.items()}, flush=True)  # noqa: T201
    ratios = {
        name: statistics.median(
            mine["frames_per_s"] / loop["frames_per_s"]
            for mine, loop in zip(measured[name], measured["plain"], strict=True)
        )
        for name in names[1:]
    }
    document = {
        "engine": given.engine.name,
        "cores": usable_cpus(),
        "measured": measured,
        "times_the_plain_loop": ratios,
    }
    text = json.dumps(document, indent=1)
    print(text)  # noqa: T201
    if given.json is not None:
        given.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
