"""The frames of all sides: the rendered scene, made once on all cores, as an array and as image files."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from typing import Any

import numpy as np

from tdnet_bench.gpu_check.job import Job
from tdnet_bench.gpu_check.steps import StepLog
from tdnet_bench.inputs.footage import to_and_fro
from tdnet_bench.machine.environment import usable_cores
from tdnet_runtime.media.scene import render

__all__ = ["IMAGES", "run_frames"]

IMAGES = 120
"""Names in the folder of images, which `tdnet-bench` reads to its end."""


def run_frames(job: Job, log: StepLog) -> None:
    """Render the frames of the job's size."""
    log.ask("render", lambda: _render(job))
    log.ask("write images", lambda: _write_images(job))


def _render(job: Job) -> dict[str, Any]:
    assert job.size_hw is not None  # see `schedule.py`
    height, width = job.size_hw
    picture = partial(render, height=height, width=width)
    workers = min(usable_cores(), job.pictures)
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        frames = np.stack(list(pool.map(picture, range(job.pictures))))
    np.save(job.frames_path, frames)
    return {"pictures": len(frames), "height": height, "width": width}


def _write_images(job: Job) -> str:
    """PNGs, and links to them as if they were played to and fro."""
    import cv2  # needed here alone

    job.images_path.mkdir()
    frames = job.frames()
    for index in range(max(IMAGES, len(frames))):
        name = job.images_path / f"{index:06d}.png"
        shown = to_and_fro(index, len(frames))
        if shown == index:
            cv2.imwrite(str(name), cv2.cvtColor(frames[index], cv2.COLOR_RGB2BGR))
        else:
            name.symlink_to(f"{shown:06d}.png")
    return f"{len(frames)} pictures, {index + 1} names"
