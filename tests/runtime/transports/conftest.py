"""Graphs of ROS 2 on the loopback that no other test is in: a free domain, a router of its own."""

from __future__ import annotations

import contextlib
import importlib.util
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.runtime.transports.processes import free_domain, free_port, running_router


@pytest.fixture(autouse=True)
def _no_settings_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RMW_IMPLEMENTATION", "ROS_DOMAIN_ID", "CYCLONEDDS_URI"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def graph_of() -> Iterator[Callable[[str], str]]:
    """graph_of("zenoh" or "dds"): parameters of a graph, as in a URL; the router is started once, domains differ."""
    with contextlib.ExitStack() as stack:
        port = 0
        if (
            importlib.util.find_spec("zenoh") is not None
        ):  # here, not in `make`: what a test starts ends with it
            port = free_port()
            stack.enter_context(running_router(port))

        def make(rmw: str) -> str:
            package = {"zenoh": "zenoh", "dds": "cyclonedds"}[rmw]
            if importlib.util.find_spec(package) is None:
                pytest.skip(f"the extra {rmw} is not installed")
            if rmw == "dds":
                return f"rmw=dds&domain={free_domain()}"
            return f"rmw=zenoh&domain={free_domain()}&router=tcp/127.0.0.1:{port}"

        yield make


@pytest.fixture
def child_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """Children import the package under test."""
    import tdnet_runtime

    folder = str(Path(tdnet_runtime.__file__).parents[1])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((folder, os.environ.get("PYTHONPATH", ""))))
