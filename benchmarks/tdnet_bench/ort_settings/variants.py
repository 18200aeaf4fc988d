"""The settings that are measured: what the runtime does, and each other way by itself."""

from __future__ import annotations

from typing import Any

import msgspec

from tdnet_bench.records.record import Record
from tdnet_runtime.backends.onnxruntime import session_options

__all__ = ["BASE", "Variant", "variant_options", "variants_for"]

BASE = "base"
_ENABLE_ALL = "ORT_ENABLE_ALL"
_OWN_ALLOCATOR = {"session.use_env_allocators": "0"}


class Variant(Record, frozen=True, kw_only=True):
    """Settings of a session: the runtime's own, and what is changed of them.

    Attributes:
        name: of the variant.
        why: what it is, or why one might want it.
        threads: of the session.
        optimisation: a name of `onnxruntime.GraphOptimizationLevel`.
        attributes: of `onnxruntime.SessionOptions`, those that are changed.
        entries: of its session configuration, those that are changed.
    """

    name: str
    why: str
    threads: int
    optimisation: str = _ENABLE_ALL
    attributes: dict[str, bool] = msgspec.field(default_factory=dict)
    entries: dict[str, str] = msgspec.field(default_factory=dict)


def variants_for(threads: int) -> tuple[Variant, ...]:
    """All variants of a run with so many threads, `BASE` first; those that would be the same as it are left out."""
    more = f"{threads + 1} threads"
    return (
        Variant(name=BASE, why="what the runtime does", threads=threads),
        *(_of_workers(threads) if threads > 1 else ()),
        Variant(name=more, why="work for a core that would idle", threads=threads + 1),
        Variant(
            name="basic optimisation",
            why="graphs that could be kept for any engine",
            threads=threads,
            optimisation="ORT_ENABLE_BASIC",
        ),
        Variant(
            name="extended optimisation",
            why="graphs that could be kept for any processor: fused, not in its layout",
            threads=threads,
            optimisation="ORT_ENABLE_EXTENDED",
        ),
        Variant(
            name="no arena",
            why="memory that is given back at once",
            threads=threads,
            attributes={"enable_cpu_mem_arena": False},
            entries=_OWN_ALLOCATOR,
        ),
        Variant(
            name="own arena, patterns",
            why="ONNX Runtime's default: each session plans one block for a run",
            threads=threads,
            attributes={"enable_mem_pattern": True},
            entries=_OWN_ALLOCATOR,
        ),
        Variant(
            name="no prepacking",
            why="weights in memory once, loaded sooner",
            threads=threads,
            entries={"session.disable_prepacking": "1"},
        ),
    )


def _of_workers(threads: int) -> tuple[Variant, ...]:
    """What makes a difference only where the calling thread has others to help it."""
    return (
        Variant(name="1 thread", why="nobody to wait for", threads=1),
        Variant(
            name="spinning",
            why="threads that need not be woken for the next operation",
            threads=threads,
            entries={"session.intra_op.allow_spinning": "1"},
        ),
        Variant(
            name="denormals as zero",
            why="numbers near zero are slow on many processors; worker threads alone, since the calling one is as "
            "the process's first session had it",
            threads=threads,
            entries={"session.set_denormal_as_zero": "1"},
        ),
    )


def variant_options(variant: Variant, ort: Any) -> Any:
    """The variant as a new `onnxruntime.SessionOptions`; `ort` is the module."""
    options = session_options(ort, variant.threads, entries=variant.entries)
    options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, variant.optimisation)
    for name, value in variant.attributes.items():
        setattr(options, name, value)
    return options
