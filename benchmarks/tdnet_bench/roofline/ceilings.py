"""What this machine can do at best, measured through the libraries that run the graphs.

Compute: the best of several probes, each timed at its fastest repeat, so that a share of it that is above 100 % is an
error of the ceiling. Copying: bytes read plus bytes written, per second, at several sizes, since what fits into
a cache is not bound by the memory.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np

from tdnet_bench.roofline.libraries import LIBRARIES, Library, Run
from tdnet_bench.roofline.model import Ceilings, ComputeCeiling, CopyRate, ProbeRate
from tdnet_bench.roofline.probes import PROBES, Probe, copy_model, probe_model
from tdnet_runtime.errors import MissingExtraError, OptionError
from tdnet_runtime.extras import require

__all__ = ["BUDGET_S", "COPY_MIB", "best_seconds", "measure_ceilings"]

BUDGET_S = 2.0
"""Timed seconds for each library and precision; loading the probes is not in it."""
COPY_MIB = (2, 16, 64, 256)
"""Bytes read plus bytes written by one copy; the largest is beyond usual caches."""
_MIN_REPEATS = 3
_ROWS = 64  # of a copy, for the threads to share


def measure_ceilings(
    libraries: Sequence[str],
    *,
    threads: int,
    budget_s: float = BUDGET_S,
    probes: Sequence[Probe] = PROBES,
    copy_mib: Sequence[float] = COPY_MIB,
) -> Ceilings:
    """Measure all that the named libraries offer, and copying; what is not installed, or fails, ends up in the notes.

    `budget_s` is timed for each library and precision, a quarter of it for all copies, of `copy_mib` read plus
    written. Memory grows by up to 3/4 GiB meanwhile, so read peaks before.

    Raises:
        OptionError: an unknown library.
        MissingExtraError: `onnx` is not installed, so that no probe can be written.
    """
    if unknown := [name for name in libraries if name not in LIBRARIES]:
        raise OptionError(
            f"measuring what this machine can do: there is no library {unknown[0]!r}; known are: "
            f"{', '.join(LIBRARIES)}"
        )
    require("onnx", extra="bench")
    notes: list[str] = []
    compute: list[ComputeCeiling] = []
    present: list[Library] = []
    for name in libraries:
        try:
            library = LIBRARIES[name](threads)
        except MissingExtraError as error:
            notes.append(f"ceilings of {name} were NOT measured: {error}")
            continue
        present.append(library)
        for precision in library.precisions:
            with _noted(f"the ceiling of {name} in {precision}", notes):
                compute.append(_compute_ceiling(library, precision, probes, budget_s))
    copies: list[CopyRate] = []
    for mib in sorted(copy_mib):
        with _noted(f"copying {mib} MiB", notes):
            copies.append(_copy_rate(present, mib, threads=threads, budget_s=budget_s / 4 / len(copy_mib)))
    return Ceilings(threads=threads, compute=tuple(compute), copies=tuple(copies), notes=tuple(notes))


def best_seconds(
    run: Run, *, budget_s: float, clock: Callable[[], float] = time.perf_counter
) -> tuple[float, int]:
    """Seconds of the fastest run, and how many were timed: at least three, and more until `budget_s` is spent.

    One more comes before them, untimed.
    """
    run()
    best, repeats, spent = math.inf, 0, 0.0
    while repeats < _MIN_REPEATS or spent < budget_s:
        started = clock()
        run()
        took = clock() - started
        best, repeats, spent = min(best, took), repeats + 1, spent + took
    return best, repeats


def _compute_ceiling(
    library: Library, precision: str, probes: Sequence[Probe], budget_s: float
) -> ComputeCeiling:
    rates = []
    for probe in probes:
        x = np.random.default_rng(1).standard_normal(probe.shape, dtype=np.float32)
        run = library.load(probe_model(probe, quantised=precision == "int8"), x, precision=precision)
        seconds, repeats = best_seconds(run, budget_s=budget_s / len(probes))
        rates.append(ProbeRate(probe=probe.name, gflop_per_s=probe.flops / seconds / 1e9, repeats=repeats))
    return ComputeCeiling.of(library.name, precision, rates)


def _copy_rate(libraries: Sequence[Library], mib: float, *, threads: int, budget_s: float) -> CopyRate:
    """The fastest way to copy so much: through each library, and NumPy where one of them is on the host."""
    x = np.ones((_ROWS, max(int(mib * 2**20) // (8 * _ROWS), 1)), np.float32)
    model = copy_model(x.shape)
    ways = {library.name: library.load(model, x, precision="fp32") for library in libraries}
    with ThreadPoolExecutor(threads) as pool:
        if all(library.host_memory for library in libraries):
            parts = list(
                zip(np.array_split(np.empty_like(x), threads), np.array_split(x, threads), strict=True)
            )
            ways["numpy"] = lambda: list(pool.map(lambda part: np.copyto(*part), parts))
        seconds, method = min(
            (best_seconds(run, budget_s=budget_s / len(ways))[0], name) for name, run in ways.items()
        )
    return CopyRate(footprint_bytes=2 * x.nbytes, gb_per_s=2 * x.nbytes / seconds / 1e9, method=method)


@contextmanager
def _noted(what: str, notes: list[str]) -> Iterator[None]:
    """Turn a library's failure into a note: the benchmark itself does not depend on it."""
    try:
        yield
    except Exception as error:  # the libraries' errors have no public base class
        notes.append(f"{what} was NOT measured: {error}")
