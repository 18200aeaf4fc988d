"""How ONNX Runtime's sessions on the CPU are set up: threads, memory, optimisations (why: see `onnxruntime`)."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from tdnet_runtime.backends.thread_placement import cores_beside_the_caller

__all__ = ["session_options"]

_ENTRIES = {"session.intra_op.allow_spinning": "0", "session.use_env_allocators": "1"}
_LONGEST_ENTRY = 8192  # characters: ONNX Runtime refuses more
_arena_lock = threading.Lock()
_arena_registered = False


def _register_shared_arena(ort: Any) -> None:
    """Once for each process: the arena that all sessions with `use_env_allocators` share."""
    global _arena_registered
    with _arena_lock:
        if not _arena_registered:
            memory = ort.OrtMemoryInfo(
                "Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT
            )
            ort.create_and_register_allocator(memory, ort.OrtArenaCfg(0, 0, -1, -1))  # grow by doubling
            _arena_registered = True


def session_options(ort: Any, threads: int, *, entries: Mapping[str, str] | None = None) -> Any:
    """How every session is set up; the arena that they share is there on return.

    Args:
        ort: the module `onnxruntime`.
        threads: of the session.
        entries: of the session's configuration, to measure others beside the ones that are used.

    Returns:
        A new `onnxruntime.SessionOptions`, the caller's own.
    """
    _register_shared_arena(ort)
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.enable_mem_pattern = False  # one block for each graph's plan: too large to be shared
    options.log_severity_level = 4  # fatal ones; errors are raised, and need not be printed too
    every = {**_ENTRIES, **_affinities(threads), **(entries or {})}
    for key, value in every.items():  # each once: a second time is a warning
        options.add_session_config_entry(key, value)
    return options


def _affinities(threads: int) -> dict[str, str]:
    """The entry that keeps each of a session's own threads on some cores, which ONNX Runtime counts from 1.

    Neighbours are a range, which is short; where many cores with gaps between them would be too much for an entry, none.
    """
    cores = [core + 1 for core in cores_beside_the_caller(threads)]
    if not cores:
        return {}
    neighbours = cores[-1] - cores[0] == len(cores) - 1
    of_each = f"{cores[0]}-{cores[-1]}" if neighbours else ",".join(map(str, cores))
    value = ";".join([of_each] * (threads - 1))
    return {"session.intra_op_thread_affinities": value} if len(value) <= _LONGEST_ENTRY else {}
