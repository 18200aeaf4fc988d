"""Free domains and ports, other processes, and a router in one of them."""

from __future__ import annotations

import contextlib
import os
import random
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROUTER = Path(__file__).parent / "router.py"


def free_domain() -> int:
    """A domain whose ports nobody has; each of pytest's processes has its own ones. No test seeds these random numbers."""
    first = 100 + 25 * (int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) % 4)
    for domain in random.SystemRandom().sample(range(first, first + 25), 25):
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            for offset in (0, 1, 10, 11, 12, 13):
                held = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
                held.bind(("0.0.0.0", 7400 + 250 * domain + offset))
            return domain
    raise AssertionError("no free domain")


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


def start(*arguments: object) -> subprocess.Popen[str]:
    """Another Python, with pipes."""
    return subprocess.Popen(
        [sys.executable, *map(str, arguments)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def end(process: subprocess.Popen[str]) -> str:
    """Close its input, wait for its end; what it wrote and was not read."""
    try:
        return process.communicate(timeout=60)[0]
    finally:
        process.kill()


@contextlib.contextmanager
def running_router(port: int) -> Iterator[None]:
    process = start(ROUTER, f"tcp/127.0.0.1:{port}")
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield
    finally:
        end(process)
