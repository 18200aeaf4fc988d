"""A small data set of one's own: two drives of the rendered scene, with label images of five classes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

CLASSES = ("road", "building", "sky", "car", "tree")
SIZE_HW = (60, 84)
DRIVES = {"a": 7, "b": 4}


@pytest.fixture(scope="session")
def drives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`images/val/DRIVE/T.png`, `labels/val/DRIVE/T.png` and `names.txt`; read it only."""
    cv2 = pytest.importorskip("cv2")
    from tdnet_runtime.media.scene import render

    root = tmp_path_factory.mktemp("drives")
    (root / "names.txt").write_text("".join(f"{name}\n" for name in CLASSES))
    for start, (drive, length) in enumerate(DRIVES.items()):
        for part in ("images", "labels"):
            (root / part / "val" / drive).mkdir(parents=True)
        for t in range(length):
            image = render(40 * start + t, height=SIZE_HW[0], width=SIZE_HW[1])
            truth = (image[..., 0] // 52).astype(np.uint8)  # some classes, in no relation to any network
            truth[0] = 255
            assert cv2.imwrite(str(root / "images" / "val" / drive / f"{t}.png"), image[..., ::-1])
            assert cv2.imwrite(str(root / "labels" / "val" / drive / f"{t}.png"), truth)
    return root


@pytest.fixture(scope="session")
def named_bundle(
    tiny_checkpoint: Callable[[str], Path], drives: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A tiny td2-fa18 in FP32 and FP16 that knows the drives' classes by name."""
    pytest.importorskip("torch")
    from tdnet_export.options import ExportOptions
    from tdnet_export.pipeline import bundle_from_checkpoint

    path = tmp_path_factory.mktemp("named") / "named.plan"
    bundle_from_checkpoint(
        ExportOptions(
            checkpoint=tiny_checkpoint("td2-fa18"),
            out=path,
            names=drives / "names.txt",
            precisions=("fp32", "fp16"),
        )
    )
    return path
