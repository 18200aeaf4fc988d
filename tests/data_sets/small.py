"""Small data sets, generated: two clips of three frames, 24x32, of three classes."""

from pathlib import Path

import cv2
import numpy as np

SIZE_HW = (24, 32)
NAMES = "road 128 64 128\nsky 70 130 180\ncar 0 0 142\n"
COLORS = ((128, 64, 128), (70, 130, 180), (0, 0, 142))
FRAMES = ("drive1_8", "drive1_9", "drive1_10", "drive2_1", "drive2_2", "drive2_3")
LABELLED = ("drive1_10", "drive2_2", "drive2_3")


def picture(seed, size_hw=SIZE_HW):
    return np.random.default_rng(seed).integers(0, 256, (*size_hw, 3), np.uint8)


def truth(seed, size_hw=SIZE_HW, classes=3):
    """Stripes of all classes, and one ignored corner."""
    labels = (np.arange(size_hw[1]) + seed) // 4 % classes * np.ones((size_hw[0], 1), int)
    labels[0, 0] = 255
    return labels.astype(np.uint8)


def write(path, image):
    """Grey, or RGB."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image if image.ndim == 2 else image[..., ::-1])
    return path


def mask(labels, void=(255, 255, 255)):
    """Colours of labels."""
    colors = np.full((256, 3), void, np.uint8)
    colors[: len(COLORS)] = COLORS
    return colors[labels]


def write_folder(root, *, split="train", masks=False, names=NAMES):
    """`images/{split}`, `labels/{split}` or `masks/{split}`, and `names.txt`."""
    root = Path(root)
    for seed, name in enumerate(FRAMES):
        write(root / "images" / split / f"{name}.png", picture(seed))
        if name in LABELLED:
            labels = truth(seed)
            folder = root / ("masks" if masks else "labels") / split
            write(folder / f"{name}.png", mask(labels) if masks else labels)
    (root / "names.txt").write_text(names)
    return root
