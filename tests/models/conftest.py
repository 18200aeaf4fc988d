"""What the tests of networks and of their exported graphs share: weights as files, full-size references."""

import importlib.util
import os
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from tests.conftest import _recipe, published_shapes

from tdnet_runtime.media.scene import render

# Without PyTorch there is nothing to test here; in CI it must not be absent, so there the imports fail.
collect_ignore_glob = (
    [] if importlib.util.find_spec("torch") or os.environ.get("CI") == "true" else ["test_*.py"]
)

NETWORKS = ("td2-psp50", "td4-psp18", "td2-fa18", "psp101")
SHARED = Path(__file__).parents[2].parent / "shared"
FULL_SIZE = {
    "td2-psp50": (769, 1537),
    "td4-psp18": (769, 1537),
    "td2-fa18": (768, 1536),
    "psp101": (769, 1537),
}
FULL_SIZE_FRAMES = {"td2-psp50": 3, "td4-psp18": 6, "td2-fa18": 6, "psp101": 1}
"""How many of the reference's frames are compared: all cold ones, and each path warm where it is quick."""


def full_size_state(name):
    """The deterministic weights behind the full-size outputs: the key table as it is."""
    return _recipe().make_state_dict(published_shapes(name))


def full_size_reference(name):
    """The public code's outputs at full size, and the frames as uint8 RGB; skips where they are absent."""
    import cv2

    height, width = FULL_SIZE[name]
    folder = SHARED / "reference"
    path = folder / f"{name}_{height}x{width}_seed0.npz"
    if not path.is_file():
        pytest.skip(f"the full-size outputs are not part of the repository: no {path.name} beside it")
    count = FULL_SIZE_FRAMES[name]
    with np.load(path) as archive:
        names = archive["frames"][:count]
        result = {key: archive[key][:count] for key in ("labels", "logits_stride8")}
    frames = [cv2.imread(str(folder / "frames" / f"{height}x{width}" / frame)) for frame in names]
    return result | {"frames": [cv2.cvtColor(frame, cv2.COLOR_BGR2RGB) for frame in frames]}


OTHER_SIZES = ((256, 512), (200, 383))
"""Sizes that are not 8k+1, at which there are outputs for `OTHER_SIZED`."""
OTHER_SIZED = ("td4-psp18", "td2-psp50")


def other_size_reference(name, size_hw):
    """The public code's outputs at one of `OTHER_SIZES`, and the frames as uint8 RGB; skips where they are absent."""
    height, width = size_hw
    path = SHARED / "reference" / f"{name}_{height}x{width}_seed0.npz"
    if not path.is_file():
        pytest.skip(f"the outputs at other sizes are not part of the repository: no {path.name} beside it")
    with np.load(path) as archive:
        result = {key: archive[key] for key in ("labels", "logits_stride8", "frames")}
    return result | {"frames": [render(int(t), height=height, width=width) for t in result["frames"]]}


@pytest.fixture
def all_threads():
    """For the few large networks."""


@pytest.fixture(autouse=True)
def one_thread(request):
    """Tiny networks are quicker so: two threads would wait for each other on a busy machine."""
    import torch

    before = torch.get_num_threads()
    if "all_threads" not in request.fixturenames:
        torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def saved(tmp_path):
    """saved(content): a checkpoint file with it, removed after the test (the largest have 300 MB)."""
    import torch

    paths = []

    def save(content, **options):
        paths.append(tmp_path / f"checkpoint{len(paths)}.pth")
        torch.save(content, paths[-1], **options)
        return paths[-1]

    yield save
    for path in paths:
        path.unlink(missing_ok=True)


@contextmanager
def unchanged(folder):
    """What is in `folder`, names and bytes, must be the same after the block."""
    before = {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
    yield
    assert {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()} == before
