"""How many workers with how many threads pay: each placement against a plain loop over the same videos, in turns.

    python tests/batch/measure_placement.py --engine X.plan --video demo/bikes.mp4 --videos 4 --frames 100 --json out.json

The plain loop is what one writes without this package: one process, no Ray, `Segmenter` with all cores, PNGs. Each round
runs it and all placements once, in an order that turns, so that a machine that is busy for a while is so for all of them.
Clocks run from the first video handed out to the last one done, with networks open on both sides: of a long run that is
all but the start, which is told beside it. All sides must leave the same bytes.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import math
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import partial
from pathlib import Path

import av
from rich.console import Console

from tdnet_batch.job import Job, Order
from tdnet_batch.options import BatchOptions, Cluster
from tdnet_batch.progress import BatchProgress
from tdnet_batch.ray_pool import RayPool
from tdnet_batch.ray_session import ray_session
from tdnet_batch.run import Crew, run_batch
from tdnet_batch.settings import Settings
from tdnet_batch.worker import BatchWorker
from tdnet_runtime import Segmenter
from tdnet_runtime.backends.cpu_count import usable_cpus
from tdnet_runtime.media.png import encoded_png
from tdnet_runtime.sources.registry import open_source

Figures = dict[str, float]
_LOOK_S = 0.5


class ReadyWorker(BatchWorker):
    """Opens its network before the first video comes."""

    def __init__(self, order: Order) -> None:
        super().__init__(order)
        self._network()


class TimedPool(RayPool):  # type: ignore[type-arg]
    """Waits until all workers are there, and takes note of when."""

    begun_s = 0.0

    def submit(self, job: Job) -> None:
        if not TimedPool.begun_s:
            TimedPool.begun_s = time.monotonic()
        super().submit(job)

    @property
    def free(self) -> int:
        return 0 if self._starting else super().free


class Memory(threading.Thread):
    """The largest sum of some processes' memory (PSS, MiB), until the block ends."""

    def __init__(self, processes: Callable[[], list[int]]) -> None:
        super().__init__(daemon=True)
        self._processes, self._ended = processes, threading.Event()
        self.most_mib = 0.0

    def run(self) -> None:
        while not self._ended.wait(_LOOK_S):
            self.most_mib = max(self.most_mib, sum(map(pss_mib, self._processes())))

    def __enter__(self) -> Memory:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self.join()


def pss_mib(pid: int) -> float:
    """Memory of a process, what it shares with others in parts."""
    with contextlib.suppress(OSError):
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


def make_videos(source: Path, folder: Path, *, videos: int, frames: int) -> None:
    """Parts of a video, each with so many frames, as a camera's H.264; where it is too short, from its beginning again."""
    with av.open(str(source)) as container:
        pictures = [frame.reformat(format="yuv420p") for frame in container.decode(video=0)]
    folder.mkdir()
    for number in range(videos):
        with av.open(str(folder / f"drive{number:03d}.mp4"), "w") as target:
            stream = target.add_stream("libx264", rate=25, options={"preset": "veryfast"})
            stream.height, stream.width, stream.pix_fmt = pictures[0].height, pictures[0].width, "yuv420p"
            for index in range(frames):
                picture = pictures[(number * frames + index) % len(pictures)]
                picture.pts, picture.time_base = index, Fraction(1, 25)
                picture.pict_type = 0
                target.mux(stream.encode(picture))
            target.mux(stream.encode(None))


def digest_of(folder: Path) -> str:
    """Of all label images below a folder, by name."""
    whole = hashlib.sha256()
    for path in sorted(folder.rglob("*.labels/*.png")):
        whole.update(str(path.relative_to(folder)).encode() + path.read_bytes())
    return whole.hexdigest()


def plain_loop(engine: Path, videos: Path, output: Path, backend: str) -> Figures:
    """One process, one network, all cores; run in a process of its own."""
    start_s = time.monotonic()
    with Segmenter.open(engine, backend=backend, threads=usable_cpus()) as segmenter:
        begin_s, frames = time.monotonic(), 0
        for video in sorted(videos.iterdir()):
            folder = output / f"{video.name}.labels"
            folder.mkdir(parents=True)
            with open_source(video) as source, segmenter.stream() as stream:
                for frame in source:
                    labels = stream.push(frame.image).labels
                    (folder / f"{frame.name}.png").write_bytes(encoded_png(labels))
                    frames += 1
        end_s = time.monotonic()
    return {"frames": frames, "wall_s": end_s - begin_s, "start_s": begin_s - start_s}


def plain(given: argparse.Namespace, videos: Path, output: Path) -> Figures:
    words = ["--engine", given.engine, "--backend", given.backend, "--plain", videos, output]
    begin_s = time.monotonic()
    with subprocess.Popen([sys.executable, __file__, *map(str, words)], stdout=subprocess.PIPE) as process:
        with Memory(lambda: [process.pid]) as memory:
            said, _ = process.communicate()
        assert process.returncode == 0
    figures: Figures = json.loads(said)
    whole_s = time.monotonic() - begin_s
    return figures | {"start_s": whole_s - figures["wall_s"], "workers_mib": memory.most_mib}


def placed(given: argparse.Namespace, videos: Path, output: Path, workers: int, threads: int) -> Figures:
    options = BatchOptions(
        engine=given.engine,
        inputs=(str(videos),),
        output=output,
        settings=Settings(backend=given.backend),
        cluster=Cluster(workers=workers, threads=threads),
    )

    @contextlib.contextmanager
    def crew() -> Iterator[Crew]:
        with ray_session(address=None, cpus=max(usable_cpus(), workers * threads), dashboard=False) as ray:
            yield Crew(
                nodes=[node["Resources"] for node in ray.nodes() if node["Alive"]],
                open_pool=lambda order, placement: TimedPool(ray, partial(ReadyWorker, order), placement),
            )
            ended.append(time.monotonic())

    ended: list[float] = []
    TimedPool.begun_s = 0.0
    start_s = time.monotonic()
    with Memory(actors) as memory:
        summary = run_batch(
            options,
            open_crew=crew,
            progress=lambda inputs, size: BatchProgress(Console(quiet=True), inputs=inputs, size_bytes=size),
        )
    assert not summary.failed, summary.failed[0].error
    assert not summary.lost, "a worker was lost"
    wall_s = ended[0] - TimedPool.begun_s
    busy_s = sum(record.seconds for record in summary.made)
    return {
        "frames": sum(record.frames for record in summary.made),
        "wall_s": wall_s,
        "start_s": TimedPool.begun_s - start_s,
        "idle_share": 1 - busy_s / (workers * wall_s),
        "workers_mib": memory.most_mib,
    }


def ratio_of(mine: list[Figures], loop: list[Figures]) -> dict[str, float | list[float] | None]:
    """Throughput as a multiple of the loop's: the rounds' geometric mean, and its 95 % interval (t of the logarithms)."""
    logs = [math.log(b["wall_s"] / a["wall_s"]) for a, b in zip(mine, loop, strict=True)]
    mean, half = statistics.fmean(logs), None
    if len(logs) > 1:
        from scipy.stats import t

        half = float(t.ppf(0.975, len(logs) - 1)) * statistics.stdev(logs) / math.sqrt(len(logs))
    interval = None if half is None else [math.exp(mean - half), math.exp(mean + half)]
    return {"times": math.exp(mean), "interval_95": interval}


def measure(given: argparse.Namespace, names: list[str], folder: Path) -> dict[str, list[Figures]]:
    videos = folder / "videos"
    make_videos(given.video, videos, videos=given.videos, frames=given.frames)
    measured: dict[str, list[Figures]] = {name: [] for name in names}
    digests = set()
    for turn in range(given.rounds):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            output = folder / "out"
            if name == "plain":
                figures = plain(given, videos, output)
            else:
                figures = placed(given, videos, output, *map(int, name.split("x")))
            digests.add(digest_of(output))
            shutil.rmtree(output)
            figures["videos_per_hour"] = 3600 * given.videos / figures["wall_s"]
            measured[name].append(figures)
            print(name, {key: round(value, 3) for key, value in figures.items()}, flush=True)  # noqa: T201
    assert len(digests) == 1, "the labels are not the same"
    return measured


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engine", type=Path, required=True)
    parser.add_argument("--video", type=Path, help="a video to make the others from")
    parser.add_argument("--videos", type=int, default=4, help="a multiple of the workers")
    parser.add_argument("--frames", type=int, default=100, help="of each video")
    parser.add_argument("--backend", default="onnxruntime")
    parser.add_argument("--placement", action="append", help="WORKERSxTHREADS; 1x2, 2x1 and 2x2 if not given")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--note", default="", help="of the machine's state, for the document")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plain", type=Path, nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.plain:
        print(json.dumps(plain_loop(given.engine, *given.plain, given.backend)))  # noqa: T201
        return
    names = ["plain", *(given.placement or ("1x2", "2x1", "2x2"))]
    with tempfile.TemporaryDirectory(prefix="tdnet-placement-") as folder:
        measured = measure(given, names, Path(folder))
    most_mib = {name: max(each["workers_mib"] for each in measured[name]) for name in names}
    single = next((name for name in names if name.startswith("1x")), "plain")
    document = {
        "kind": "batch_placement",
        "what": "tests/batch/measure_placement.py: placements of tdnet-batch against a plain loop over Segmenter",
        "engine": given.engine.name,
        "backend": given.backend,
        "videos": given.videos,
        "frames_each": given.frames,
        "cores": usable_cpus(),
        "note": given.note,
        "times_the_plain_loop": {name: ratio_of(measured[name], measured["plain"]) for name in names[1:]},
        "extra_worker_times_one_process": {
            name: (most_mib[name] - most_mib[single]) / (int(name.split("x")[0]) - 1) / most_mib["plain"]
            for name in names[1:]
            if not name.startswith("1x")
        },
        "measured": measured,
    }
    text = json.dumps(document, indent=1)
    print(text)  # noqa: T201
    if given.json is not None:
        given.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
