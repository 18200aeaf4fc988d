"""The tests of the exporter need what it needs, and share fixtures with those of the networks."""

import importlib.util

from tests.models.conftest import all_threads, one_thread, saved

__all__ = ["all_threads", "one_thread", "saved"]

collect_ignore_glob = [] if importlib.util.find_spec("torch") else ["test_*.py"]
