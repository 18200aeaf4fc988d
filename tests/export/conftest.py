"""The tests of the exporter need what it needs, and share fixtures with those of the networks."""

import importlib.util
import os

import pytest
from tests.conftest import sigmoid_state
from tests.models.conftest import all_threads, one_thread, saved

__all__ = ["all_threads", "one_thread", "saved"]

# Without PyTorch there is nothing to test here; in CI it must not be absent, so there the imports fail.
collect_ignore_glob = (
    [] if importlib.util.find_spec("torch") or os.environ.get("CI") == "true" else ["test_*.py"]
)


@pytest.fixture(scope="session")
def checkpoint_of(tiny_checkpoint, tmp_path_factory):
    """checkpoint_of(name, threshold=None): a tiny network's file, with a threshold of a sigmoid head's; made once."""
    import torch

    folder = tmp_path_factory.mktemp("sigmoid-heads")

    def make(name, threshold=None):
        if threshold is None:
            return tiny_checkpoint(name)
        path = folder / f"{name}.pth"
        if not path.exists():
            torch.save(sigmoid_state(name), path)
        return path

    return make
