"""Making things ahead of their use, in threads."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch

from tdnet_runtime.errors import OptionError

__all__ = ["made_ahead"]

Made = TypeVar("Made")
Item = TypeVar("Item")

_NO_THREAD = "can't start new thread"  # Python's own words (3.10 to 3.13)


def made_ahead(make: Callable[[Item], Made], items: Iterable[Item], *, workers: int) -> Iterator[Made]:
    """`make` of each item, in order, while `workers` threads make the next ones; 0 to make each when it is asked for.

    Raises:
        OptionError: the system gives no thread more.
        Exception: what `make` raises, in its place.
    """
    if not workers:
        yield from map(make, items)
        return
    pool = _pool(workers)
    ahead: deque[Future[Made]] = deque()
    try:
        for item in items:
            ahead.append(pool.submit(make, item))
            if len(ahead) > workers:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _pool(workers: int) -> ThreadPoolExecutor:
    """Threads in which PyTorch runs on one core each, so that they do not wait for the training's.

    PyTorch 2.13: `set_num_threads` counts for the thread that calls it, and for those that come to PyTorch later.
    """
    before = torch.get_num_threads()
    all_started = threading.Barrier(workers + 1)
    pool = ThreadPoolExecutor(workers, thread_name_prefix="clips", initializer=_use_one_core)
    try:
        for _ in range(workers):
            pool.submit(all_started.wait)
        all_started.wait()
    except BaseException as error:
        all_started.abort()  # those that have started wait for the others
        pool.shutdown(cancel_futures=True)
        if isinstance(error, RuntimeError) and str(error) == _NO_THREAD:
            raise OptionError(
                f"run.workers is {workers}, and the system has not so many threads left ({error}); set fewer, or raise "
                "its limit (ulimit -u, a container's pids limit) or memory"
            ) from error
        raise
    finally:
        torch.set_num_threads(before)
    return pool


def _use_one_core() -> None:
    torch.set_num_threads(1)
    torch.get_num_threads()  # a thread's first look takes what was set last, by whichever thread
