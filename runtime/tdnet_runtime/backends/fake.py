"""A backend that computes nothing: for tests of an application, or of this project, without an engine.

Its tensors are filled with one number each, so that a test can foretell every label:

* a sub-network p fills its memory entry, `query` and `value` with s = p + mean(image)/256;
* an APM gives every pixel the label (floor(value) + [Σₐ 3ᵃ·floor(slot v of age a)] if warm) mod K,
  with a = 0 for the oldest slot that it reads; where it reads several, the sum is a graph run of its own, which a stream
  may have done before (`prepare`);
* a path's own graph gives floor(value) mod K;
* a per-frame network gives floor(s) mod K;
* the confidence of a label k is 255 − k, where the bundle has one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tdnet_runtime.backends.base import Binding, Buffer, Program, Session, SplitProgram
from tdnet_runtime.backends.graph_precision import graph_precision, no_graphs
from tdnet_runtime.backends.host import HostBuffer
from tdnet_runtime.bundle import Bundle
from tdnet_runtime.errors import BackendError
from tdnet_runtime.forks import ForkBound
from tdnet_runtime.manifest import CONFIDENCE, IMAGE, LABELS, Manifest, PathSpec, TensorSpec

__all__ = ["PREFERRED", "FakeBackend", "open_bundle", "unavailable", "unsuited"]

PREFERRED = ("fp32", "fp16")


def unavailable() -> None:
    """Always available."""


def unsuited(bundle: Bundle, *, precision: str | None) -> str | None:
    """The bundle has no graphs in the precision that was asked for."""
    return no_graphs(bundle, precision, preferred=PREFERRED)


def open_bundle(bundle: Bundle, *, precision: str | None, threads: int | None) -> FakeBackend:
    """A fake for the bundle's manifest; its graphs are not read."""
    chosen = graph_precision(bundle, precision, preferred=PREFERRED)
    assert chosen is not None  # see `unsuited`
    return FakeBackend(bundle.manifest.at(chosen), precision=chosen)


class FakeProgram:
    """Runs the stand-ins of its graphs; fails before a graph where the backend is told to."""

    def __init__(self, backend: FakeBackend, steps: list[Callable[[], None]]) -> None:
        self._backend = backend
        self._steps = steps

    def run(self) -> None:
        """See `Program.run`."""
        for step in self._steps:
            self._backend.calls += 1
            if self._backend.calls == self._backend.fail_at_call:
                raise BackendError(f"the fake backend was told to fail at call {self._backend.calls}")
            step()


class FakeSession:
    """Buffers and stand-ins of one stream."""

    def __init__(self, backend: FakeBackend) -> None:
        self._backend = backend
        self._past = np.zeros((), np.int64)
        self.closed = False

    def allocate(self, spec: TensorSpec, *, host_visible: bool = False) -> Buffer:
        """See `Session.allocate`."""
        return HostBuffer(spec)

    def prepare(self, bindings: Sequence[Binding]) -> Program:
        """See `Session.prepare`."""
        past, steps = [], []
        for graph, buffers in bindings:
            (path,) = (p for p in self._backend.manifest.paths if graph in (p.subnet, p.apm, p.own))
            arrays = {name: buffer.host for name, buffer in buffers.items() if buffer.host is not None}
            run = {path.apm: _run_apm, path.own: _run_own}.get(graph, _run_subnet)
            classes = len(self._backend.manifest.classes)
            if graph == path.apm and len(path.reads) > 1:
                arrays[_PAST] = self._past
                past.append(_step(_run_past, path, arrays, classes))
            steps.append(_step(run, path, arrays, classes))
        rest = FakeProgram(self._backend, steps)
        return SplitProgram(FakeProgram(self._backend, past), rest) if past else rest

    def close(self) -> None:
        """See `Session.close`."""
        self.closed = True


class FakeBackend(ForkBound):
    """See the module. `fail_at_call` n makes the n-th graph run (from 1, over all streams) fail once."""

    fork_error = BackendError
    name = "fake"
    description = "no engine: labels mean nothing"

    def __init__(self, manifest: Manifest, *, precision: str = "fp32") -> None:
        self.manifest = manifest
        self.precision = precision
        self.calls = 0
        self.fail_at_call: int | None = None

    def session(self) -> Session:
        """See `Backend.session`."""
        self.require_own_process("session()")
        return FakeSession(self)

    def close(self) -> None:
        """See `Backend.close`."""


_Arrays = dict[str, npt.NDArray[Any]]
_PAST = "past"  # the sum over an APM's slots


def _step(
    run: Callable[[PathSpec, _Arrays, int], None], path: PathSpec, arrays: _Arrays, classes: int
) -> Callable[[], None]:
    return lambda: run(path, arrays, classes)


def _run_subnet(path: PathSpec, arrays: _Arrays, classes: int) -> None:
    number = path.index + float(arrays["image"].mean()) / 256
    for name, array in arrays.items():
        if name not in (IMAGE, LABELS, CONFIDENCE):
            array[...] = number
    if LABELS in arrays:
        _label(arrays, int(number) % classes)


def _run_past(path: PathSpec, arrays: _Arrays, classes: int) -> None:
    arrays[_PAST][...] = _sum_of_slots(path, arrays)


def _run_apm(path: PathSpec, arrays: _Arrays, classes: int) -> None:
    try:
        total = int(arrays["value"].flat[0])
        if arrays["warm"][0]:
            total += int(arrays[_PAST]) if _PAST in arrays else _sum_of_slots(path, arrays)
    except KeyError as error:
        raise _missing(path, error) from error
    _label(arrays, total % classes)


def _sum_of_slots(path: PathSpec, arrays: _Arrays) -> int:
    try:
        return sum(3**age * int(arrays[f"slot{read}_v"].flat[0]) for age, read in enumerate(path.reads))
    except KeyError as error:
        raise _missing(path, error) from error


def _missing(path: PathSpec, error: KeyError) -> BackendError:
    return BackendError(
        f"the fake backend computes from value, warm and slots, and graph {path.apm!r} has no {error}"
    )


def _run_own(path: PathSpec, arrays: _Arrays, classes: int) -> None:
    if "value" not in arrays:
        raise BackendError(f"the fake backend computes from value, and graph {path.own!r} has none")
    _label(arrays, int(arrays["value"].flat[0]) % classes)


def _label(arrays: _Arrays, label: int) -> None:
    arrays[LABELS][...] = label
    if CONFIDENCE in arrays:
        arrays[CONFIDENCE][...] = 255 - label
