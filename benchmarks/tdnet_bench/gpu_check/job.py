"""What a part is told: one file of JSON, since each part is a process of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from tdnet_bench.records.record import Record

__all__ = ["Job"]


class Job(Record, frozen=True, kw_only=True):
    """A part's orders.

    Attributes:
        part: its name.
        name: of the bundle; None for parts that need none.
        plan: the bundle.
        ckpt: weights of PyTorch; None for made-up ones.
        work: folder for what parts leave one another, and for scratch files.
        size_hw: (H, W) of the frames.
        pictures: different frames, played to and fro.
        rounds: timed frames of each path.
        backends: that were measured before, for the benchmark.
        limit_s: after which the part is ended.
    """

    part: str
    work: str
    rounds: int
    pictures: int
    limit_s: float
    name: str | None = None
    plan: str | None = None
    ckpt: str | None = None
    size_hw: tuple[int, int] | None = None
    backends: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        """`work`, as a path."""
        return Path(self.work)

    @property
    def bundle_path(self) -> Path:
        """`plan`, as a path, for parts that need one."""
        assert self.plan is not None  # see `schedule.py`
        return Path(self.plan)

    @property
    def frames_path(self) -> Path:
        """Where the frames of this size are: uint8 [pictures, H, W, 3], RGB, as `.npy`."""
        assert self.size_hw is not None  # see `schedule.py`
        return self.folder / f"frames-{self.size_hw[0]}x{self.size_hw[1]}.npy"

    @property
    def images_path(self) -> Path:
        """Where the same frames are as image files, for the benchmark."""
        return self.frames_path.with_suffix("")

    def frames(self) -> list[npt.NDArray[np.uint8]]:
        """The frames, in memory."""
        return list(np.load(self.frames_path))

    @property
    def labels_folder(self) -> Path:
        """Where sides leave the labels of this bundle: `SIDE.npy` each, uint8 [frames, H, W]."""
        return self.folder / "labels" / str(self.name)
