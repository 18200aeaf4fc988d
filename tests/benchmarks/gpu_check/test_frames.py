from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np

from tdnet_runtime.media.scene import render


def test_the_scene_to_and_fro(tmp_path: Path) -> None:
    folder = tmp_path / "more" / "frames"
    words = [str(folder), "48", "64", "3", "6"]
    subprocess.run([sys.executable, "-m", "tdnet_bench.gpu_check.frames", *words], check=True)
    images = [cv2.imread(str(path))[..., ::-1] for path in sorted(folder.iterdir())]
    for image, t in zip(images, (0, 1, 2, 1, 0, 1), strict=True):
        np.testing.assert_array_equal(image, render(t, height=48, width=64))
