"""The tests of the exporter need what it needs, and share fixtures with those of the networks."""

import importlib.util
import os

from tests.models.conftest import all_threads, one_thread, saved

__all__ = ["all_threads", "one_thread", "saved"]

# Without PyTorch there is nothing to test here; in CI it must not be absent, so there the imports fail.
collect_ignore_glob = (
    [] if importlib.util.find_spec("torch") or os.environ.get("CI") == "true" else ["test_*.py"]
)
