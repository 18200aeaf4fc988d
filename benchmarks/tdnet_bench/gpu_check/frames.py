"""The rendered scene as image files, made once on all cores: every run of a check reads them.

python -m tdnet_bench.gpu_check.frames FOLDER HEIGHT WIDTH PICTURES NAMES
"""

from __future__ import annotations

import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import cv2

from tdnet_bench.inputs.footage import to_and_fro
from tdnet_bench.machine.environment import usable_cores
from tdnet_runtime.media.scene import render

__all__ = ["write_frames"]


def write_frames(folder: Path, *, height: int, width: int, pictures: int, names: int) -> None:
    """PNGs, and links to them as if they were played to and fro."""
    picture = partial(render, height=height, width=width)
    workers = min(usable_cores(), pictures)
    folder.mkdir(parents=True)
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        for index, image in enumerate(pool.map(picture, range(pictures))):
            cv2.imwrite(str(folder / f"{index:06d}.png"), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    for index in range(pictures, names):
        (folder / f"{index:06d}.png").symlink_to(f"{to_and_fro(index, pictures):06d}.png")


if __name__ == "__main__":
    _folder, *_numbers = sys.argv[1:]
    _height, _width, _pictures, _names = map(int, _numbers)
    write_frames(Path(_folder), height=_height, width=_width, pictures=_pictures, names=_names)
