"""What the driver and Ray cost with many workers and many videos: real raylets, workers that sleep instead of segmenting.

    python tests/batch/measure_cluster.py --engine X.plan --workers 64 --nodes 4 --videos 10000 --seconds 5 --json out.json

One document: efficiency (the share of the workers' time, from first task to last, that was work), the driver's own
processor time for each video, what a second run over what is done takes, and whether every video was done once. Nothing
of the network is measured.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from rich.console import Console

from tdnet_batch.job import Job, Order, Outcome
from tdnet_batch.options import BatchOptions, Cluster
from tdnet_batch.progress import BatchProgress
from tdnet_batch.ray_pool import RayPool
from tdnet_batch.record import Record, put_record, read_record
from tdnet_batch.run import BatchSummary, Crew, run_batch
from tdnet_batch.settings import Settings


class Sleeper:
    """Takes as long as a worker would, and leaves what a worker leaves."""

    def __init__(self, order: Order, seconds: float) -> None:
        self._order, self._seconds = order, seconds

    def progress(self) -> int:
        return 0

    def do(self, job: Job) -> Outcome:
        tree, video = self._order.tree, job.input
        before = read_record(tree.at(video.output))
        if before is not None:
            return Outcome(record=before, skipped=True)
        time.sleep(self._seconds)
        with tree.partial(video.output) as folder:
            record = Record(
                input=video.shown,
                output=video.output,
                state="done",
                bundle=self._order.bundle,
                settings=self._order.settings,
                worker=f"{os.getpid()}",
                version="",
                finished_at=repr(time.time()),
                frames=1,
                seconds=self._seconds,
            )
            record = put_record(folder, record)
        return Outcome(record=record)


def processor_s() -> float:
    own = resource.getrusage(resource.RUSAGE_SELF)
    return own.ru_utime + own.ru_stime


def _efficiency(rows: list[str], seconds: float) -> float:
    """The share of work in the time between each worker's first task's beginning and its last one's end."""
    ends: dict[str, list[float]] = {}
    for row in map(json.loads, rows):
        ends.setdefault(row["worker"], []).append(float(row["finished_at"]))
    spans = sum(max(each) - min(each) + seconds for each in ends.values())
    return len(rows) * seconds / spans


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engine", type=Path, required=True, help="any bundle")
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--nodes", type=int, default=2)
    parser.add_argument("--videos", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    os.environ |= {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_AUTH_MODE": "disabled",
        "RAY_raylet_start_wait_time_s": "60",
        "RAY_worker_register_timeout_seconds": "300",
    }
    import ray
    from ray.cluster_utils import Cluster as Raylets

    per_node = -(-given.workers // given.nodes)
    raylets = Raylets()
    for _ in range(given.nodes):
        options = {"num_cpus": per_node, "object_store_memory": 80 << 20, "include_dashboard": False}
        raylets.add_node(**options, no_monitor=True)
    ray.init(address=raylets.address, log_to_driver=False)
    try:
        with tempfile.TemporaryDirectory() as name:
            document = measure(ray, Path(name), given)
    finally:
        ray.shutdown()
        raylets.shutdown()
    text = json.dumps(document, indent=1)
    print(text)  # noqa: T201
    if given.json is not None:
        given.json.write_text(text + "\n")


def measure(ray: object, folder: Path, given: argparse.Namespace) -> dict[str, object]:
    videos = folder / "videos"
    videos.mkdir()
    for number in range(given.videos):
        (videos / f"{number:06d}.mp4").write_bytes(b"x")
    options = BatchOptions(
        engine=given.engine,
        inputs=(str(videos),),
        output=folder / "out",
        settings=Settings(),
        cluster=Cluster(workers=given.workers, threads=1),
    )

    @contextlib.contextmanager
    def crew() -> Iterator[Crew]:
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]  # type: ignore[attr-defined]
        yield Crew(
            nodes=nodes,
            open_pool=lambda order, placement: RayPool(
                ray, partial(Sleeper, order, given.seconds), placement
            ),
        )

    def run() -> tuple[BatchSummary, float]:
        before = processor_s()
        summary = run_batch(
            options,
            open_crew=crew,
            progress=lambda inputs, size: BatchProgress(Console(stderr=True), inputs=inputs, size_bytes=size),
        )
        return summary, processor_s() - before

    first, first_cpu_s = run()
    second, second_cpu_s = run()
    rows = (folder / "out" / "manifest.jsonl").read_text().splitlines()
    return {
        "workers": given.workers,
        "nodes": given.nodes,
        "videos": given.videos,
        "task_s": given.seconds,
        "wall_s": first.wall_s,
        "efficiency": _efficiency(rows, given.seconds),
        "efficiency_with_start": given.videos * given.seconds / (first.wall_s * given.workers),
        "driver_processor_ms_per_video": 1000 * first_cpu_s / given.videos,
        "done": len(first.made),
        "rows": len(rows),
        "each_once": len({json.loads(row)["output"] for row in rows}) == len(rows) == given.videos,
        "second_run_wall_s": second.wall_s,
        "second_run_skipped": len(second.skipped),
        "second_run_driver_processor_ms_per_video": 1000 * second_cpu_s / given.videos,
        "simulated": "raylets of one machine; tasks sleep",
    }


if __name__ == "__main__":
    main()
