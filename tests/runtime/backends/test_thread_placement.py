"""Which cores an engine's own threads are kept to, and that they are."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from tdnet_runtime.backends import cpu_flags
from tdnet_runtime.backends.ort_options import session_options
from tdnet_runtime.backends.thread_placement import cores_beside_the_caller
from tdnet_runtime.segmenter import Segmenter

pytestmark = pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity"), reason="only Linux tells a thread's cores"
)

GUEST = "processor\t: 0\nflags\t\t: fpu sse2 hypervisor avx2\n"
REAL = "processor\t: 0\nflags\t\t: fpu sse2 avx2\n"


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str, set[int] | None], None]:
    """A machine with this `/proc/cpuinfo`, and with these cores (None: those that there are)."""

    def set_up(cpuinfo: str, cores: set[int] | None = None) -> None:
        (tmp_path / "cpuinfo").write_text(cpuinfo)
        monkeypatch.setattr(cpu_flags, "_CPUINFO", tmp_path / "cpuinfo")
        if cores is not None:
            monkeypatch.setattr(os, "sched_getaffinity", lambda _: cores)

    return set_up


@pytest.mark.parametrize(
    ("cpuinfo", "cores", "threads", "named"),
    [
        (GUEST, {0, 1}, 2, (1,)),
        (GUEST, {6, 2, 4}, 3, (4, 6)),
        (GUEST, {0, 1, 2, 3}, 2, ()),  # two engines would be sent to the same cores
        (GUEST, {0, 1}, 1, ()),
        (GUEST, {3}, 1, ()),
        (REAL, {0, 1}, 2, ()),
        ("Features\t: fp asimd\n", {0, 1}, 2, ()),
        ("", {0, 1}, 2, ()),
    ],
)
def test_cores_are_named_on_a_virtual_machine_to_an_engine_that_has_them_all(
    cpuinfo: str, cores: set[int], threads: int, named: tuple[int, ...], machine: Callable[..., None]
) -> None:
    machine(cpuinfo, cores)
    assert cores_beside_the_caller(threads) == named


def test_a_processor_whose_name_is_not_utf_8(machine: Callable[..., None], tmp_path: Path) -> None:
    machine(GUEST, {0, 1})
    (tmp_path / "cpuinfo").write_bytes(b"model name\t: \xffCPU\n" + GUEST.encode())
    assert cores_beside_the_caller(2) == (1,)


def test_a_system_that_does_not_tell_is_left_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(cpu_flags, "_CPUINFO", tmp_path / "none")
    assert cores_beside_the_caller(len(os.sched_getaffinity(0))) == ()


@pytest.mark.parametrize(
    ("cores", "said"),
    [
        ({0, 1}, "2-2"),
        ({0, 1, 2}, "2-3;2-3"),
        ({1, 4, 6}, "5,7;5,7"),
        (set(range(256)), ";".join(["2-256"] * 255)),
        (set(range(0, 256, 2)), ""),  # more than ONNX Runtime takes for one entry
    ],
)
def test_onnx_runtime_takes_what_it_is_told_of_many_cores(
    cores: set[int], said: str, machine: Callable[..., None]
) -> None:
    machine(GUEST, cores)
    options = session_options(onnxruntime, len(cores))
    key = "session.intra_op_thread_affinities"
    if said:
        assert options.get_session_config_entry(key) == said
    else:
        with pytest.raises(RuntimeError):
            options.get_session_config_entry(key)


def _tasks() -> set[int]:
    return {int(task.name) for task in Path("/proc/self/task").iterdir()}


@pytest.mark.parametrize(("cpuinfo", "kept"), [(GUEST, True), (REAL, False)])
def test_onnx_runtime_keeps_its_threads_there(
    cpuinfo: str, kept: bool, machine: Callable[..., None], tiny_bundle: Callable[[str], Path]
) -> None:
    cores = set(os.sched_getaffinity(0))
    if len(cores) < 2:
        pytest.skip("one core: no engine has a second thread")
    machine(cpuinfo)
    before = _tasks()
    with Segmenter.open(tiny_bundle("td2-fa18"), backend="onnxruntime") as segmenter:
        size = segmenter.manifest.input
        segmenter.stream().push(np.zeros((size.height, size.width, 3), np.uint8))
        found = [set(os.sched_getaffinity(task)) for task in _tasks() - before]
        graphs = len(segmenter.manifest.graphs)
    kept_back = [cores_of for cores_of in found if cores_of != cores]
    assert kept_back == [cores - {min(cores)}] * (graphs * (len(cores) - 1) if kept else 0), found
    assert set(os.sched_getaffinity(0)) == cores, "the caller may run where it could before"
