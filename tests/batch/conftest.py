"""Batches without Ray: the driver, a worker in this process, and a network whose labels tell what its memory held."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import pytest
from rich.console import Console
from tests.runtime.conftest import made_up_bundle, tiny_manifest, tiny_members, write_tiny

from tdnet_batch.job import Job, Order, Outcome
from tdnet_batch.options import BatchOptions, Cluster
from tdnet_batch.placement import Placement
from tdnet_batch.pool import Answer
from tdnet_batch.progress import BatchProgress
from tdnet_batch.run import BatchSummary, Crew, run_batch
from tdnet_batch.settings import Settings
from tdnet_batch.worker import BatchWorker
from tdnet_runtime.backends import fake
from tdnet_runtime.bundle import write_bundle
from tdnet_runtime.closeable import Closeable
from tdnet_runtime.manifest import ClassSpec, Manifest, PathSpec

__all__ = ["made_up_bundle", "tiny_manifest", "tiny_members", "write_tiny"]

CLASSES = 17


def _grey_subnet(path: PathSpec, arrays: dict[str, Any], classes: int) -> None:
    for name, array in arrays.items():
        if name not in ("image", "labels"):
            array[...] = path.index + int(arrays["image"].mean())


class InlinePool(Closeable):
    """Does each job when it is waited for; `before(job)` may do it instead, and give the answer."""

    def __init__(
        self,
        order: Order,
        placement: Placement,
        before: Callable[[Job], Answer[Job, Outcome] | None] = lambda job: None,
    ) -> None:
        self.workers = placement.workers
        self.worker = BatchWorker(order)
        self.done: list[Job] = []
        self._before = before
        self._jobs: deque[Job] = deque()

    @property
    def free(self) -> int:
        return self.workers - len(self._jobs)

    def submit(self, job: Job) -> None:
        assert self.free
        self._jobs.append(job)

    def wait(self, timeout_s: float) -> list[Answer[Job, Outcome]]:
        job = self._jobs.popleft()
        self.done.append(job)
        return [self._before(job) or Answer(job=job, outcome=self.worker.do(job))]

    def frames(self) -> int:
        return self.worker.progress()

    def close(self) -> None:
        self.worker.close()


@pytest.fixture
def bundle(
    tmp_path: Path,
    tiny_manifest: Manifest,
    tiny_members: Mapping[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """Two paths, 4x8; on the backend `fake` its labels follow from the frame's grey, its path and the memory."""
    monkeypatch.setattr(fake, "_run_subnet", _grey_subnet)
    classes = tuple(ClassSpec(name=f"class {i}", color=(i, i, i)) for i in range(CLASSES))
    path = tmp_path / "tiny.plan"
    write_bundle(path, msgspec.structs.replace(tiny_manifest, classes=classes), tiny_members)
    return path


@pytest.fixture
def images() -> Callable[..., Path]:
    """images(folder, frames, seed): a folder of images of 4x8, each of one grey."""
    return make_images


def make_images(folder: Path, frames: int = 6, seed: int = 0) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    greys = np.random.default_rng(seed).integers(0, 256, frames)
    for index, grey in enumerate(greys):
        assert cv2.imwrite(str(folder / f"{index:03d}.png"), np.full((4, 8, 3), grey, np.uint8))
    return folder


def make_video(path: Path, frames: int = 7, seed: int = 0) -> Path:
    """A video of 16x32, in shades of grey."""
    import av

    path.parent.mkdir(parents=True, exist_ok=True)
    greys = np.random.default_rng(seed).integers(0, 256, frames)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=Fraction(10))
        stream.height, stream.width, stream.pix_fmt = 16, 32, "gray"
        for index, grey in enumerate(greys):
            picture = av.VideoFrame.from_ndarray(np.full((16, 32), grey, np.uint8), format="gray")
            picture.pts, picture.time_base = index, Fraction(1, 10)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return path


class Batch:
    """batch(*inputs, …): runs them in this process; `pool` is the last one's."""

    def __init__(self, engine: Path, output: Path) -> None:
        self.engine, self.output = engine, output
        self.pool: InlinePool

    def __call__(
        self,
        *inputs: object,
        before: Callable[[Job], Answer[Job, Outcome] | None] = lambda job: None,
        retries: int = 2,
        workers: int = 1,
        output: Path | None = None,
        **settings: Any,
    ) -> BatchSummary:
        @contextlib.contextmanager
        def crew() -> Iterator[Crew]:
            def open_pool(order: Order, placement: Placement) -> InlinePool:
                self.pool = InlinePool(order, placement, before)
                return self.pool

            yield Crew(nodes=[{"CPU": 2}], open_pool=open_pool)

        options = BatchOptions(
            engine=self.engine,
            inputs=tuple(map(str, inputs)),
            output=output or self.output,
            settings=Settings(**{"backend": "fake", **settings}),
            cluster=Cluster(workers=workers, threads=1),
            retries=retries,
        )
        return run_batch(
            options,
            open_crew=crew,
            progress=lambda inputs, size: BatchProgress(Console(quiet=True), inputs=inputs, size_bytes=size),
        )


@pytest.fixture
def batch(bundle: Path, tmp_path: Path) -> Batch:
    return Batch(bundle, tmp_path / "out")


def labels_in(folder: Path) -> dict[str, bytes]:
    """Label images by name."""
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.png"))}


def tree_of(folder: Path) -> dict[str, bytes]:
    """All files of outputs by their paths, but records and what is not for users."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and ".labels" in str(path)
        and path.name != "record.json"
        and ".tdnet" not in str(path)
    }
