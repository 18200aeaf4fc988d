"""The tests of the exporter need what it needs, and share fixtures with those of the networks."""

import importlib.util
import os

import pytest
from tests.conftest import tiny_state
from tests.models.conftest import all_threads, one_thread, saved

__all__ = ["all_threads", "one_thread", "saved"]

# Without PyTorch there is nothing to test here; in CI it must not be absent, so there the imports fail.
collect_ignore_glob = (
    [] if importlib.util.find_spec("torch") or os.environ.get("CI") == "true" else ["test_*.py"]
)


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory):
    """tiny_checkpoint(name, threshold): the file of a tiny network, with a threshold one of a sigmoid head; made once."""
    folder = tmp_path_factory.mktemp("weights")

    def make(name, threshold=None):
        path = folder / f"{name}-{'softmax' if threshold is None else 'sigmoid'}.pth"
        if not path.exists():
            torch = pytest.importorskip("torch")
            from tests.export.test_sigmoid_head import sigmoid_state

            torch.save(tiny_state(name) if threshold is None else sigmoid_state(name), path)
        return path

    return make
