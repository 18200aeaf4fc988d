"""How many threads an engine gets, and that they can be had before it starts them.

ONNX Runtime 1.32 waits for ever inside of the session's constructor where the system refuses it a thread.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from pathlib import Path

from tdnet_runtime.backends.cpu_count import usable_cpus
from tdnet_runtime.errors import BackendError

__all__ = ["require_threads", "thread_count"]

logger = logging.getLogger(__name__)

_TASKS = Path("/proc/self/task")
_SETTLED_S = 1.0


def thread_count(asked: int | None) -> int:
    """Threads for an engine: `usable_cpus`, or as many as are asked for; never more than can compute at once.

    ONNX Runtime has a pool for each graph: threads beyond that would be hundreds, which only wait for each other.
    """
    usable = usable_cpus()
    if asked is None:
        return usable
    if asked > usable:
        logger.warning(
            "threads is %d, and %d can compute at once here (the cores that this process may use, and the CPU quota "
            "of its container): %d are used",
            asked,
            usable,
            usable,
        )
    return min(asked, usable)


def require_threads(count: int, *, engine: str, purpose: str) -> None:
    """Start `count` threads and end them again.

    Args:
        count: that the engine is about to start.
        engine: for the message.
        purpose: what it needs them for, for the message.

    Raises:
        BackendError: the system does not give as many.
    """
    before = _tasks()
    release = threading.Event()
    started: list[threading.Thread] = []
    try:
        for _ in range(count):
            thread = threading.Thread(target=release.wait, name="tdnet-thread-supply", daemon=True)
            thread.start()
            started.append(thread)
    except (RuntimeError, MemoryError) as error:
        raise BackendError(
            f"{engine} needs {count} threads ({purpose}), and the system starts {len(started)}: it limits processes "
            "and threads (ulimit -u, a container's pids limit) or memory. Ask for fewer threads (threads=N, "
            "--threads N), or raise the limit."
        ) from error
    finally:
        release.set()
        for thread in started:
            thread.join()
        _wait_for(before)


def _wait_for(tasks: int) -> None:
    """Until the system, too, has no more threads of this process than `tasks`: it counts them a while longer."""
    end = time.monotonic() + _SETTLED_S
    while _tasks() > tasks and time.monotonic() < end:
        time.sleep(0.001)


def _tasks() -> int:
    with contextlib.suppress(OSError):  # not Linux
        return sum(1 for _ in _TASKS.iterdir())
    return 0
