from __future__ import annotations

import os
import platform
from pathlib import Path

import msgspec
import psutil  # type: ignore[import-untyped]
import pytest

from tdnet_bench.machine.environment import (
    capture_environment,
    peak_rss_mib,
    relevant_cpu_flags,
)
from tdnet_runtime.backends.cpu_count import usable_cpus
from tdnet_runtime.backends.cpu_flags import cpu_model
from tdnet_runtime.errors import BackendError

X86 = """processor\t: 0
model\t\t: 143
model name\t: Intel(R) Xeon(R) Platinum
flags\t\t: fpu sse avx2 avx512f avx512_bf16 amx_tile fma hypervisor
"""
JETSON = """processor\t: 0
model name\t: ARMv8 Processor rev 1 (v8l)
Features\t: fp asimd evtstrm aes asimdhp asimddp
"""
RASPBERRY = """processor\t: 0
Features\t: fp asimd
Model\t\t: Raspberry Pi 5
"""


def test_cpu_model_and_flags_are_read() -> None:
    assert cpu_model(X86) == "Intel(R) Xeon(R) Platinum"
    assert relevant_cpu_flags(X86) == ("amx_tile", "avx2", "avx512_bf16", "avx512f", "fma")
    assert cpu_model(JETSON) == "ARMv8 Processor rev 1 (v8l)"
    assert relevant_cpu_flags(JETSON) == ("asimd", "asimddp", "asimdhp")
    assert cpu_model(RASPBERRY) == "Raspberry Pi 5"
    assert relevant_cpu_flags("") == ()


def test_this_machine_is_described_without_names_and_folders() -> None:
    environment = capture_environment()
    text = msgspec.json.encode(environment).decode()
    assert environment.usable_cores == usable_cpus() >= 1
    assert environment.packages.keys() >= {"numpy"}
    assert environment.started_at.endswith("+00:00")
    assert platform.node() not in text or len(platform.node()) < 4
    assert os.getcwd() not in text  # noqa: PTH109  # a string is wanted
    assert msgspec.json.decode(text, type=type(environment)) == environment


def test_thread_variables_are_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert capture_environment().thread_variables["OMP_NUM_THREADS"] == "3"


def test_peak_memory_is_of_this_process() -> None:
    peak_mib = peak_rss_mib()
    if not Path("/proc/self/status").exists():
        assert peak_mib is None
        return
    assert peak_mib is not None
    process, machine = psutil.Process().memory_info().rss, psutil.virtual_memory().total
    assert process / 2**20 * 0.9 < peak_mib < machine / 2**20


def test_a_system_that_does_not_tell_of_itself_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent() -> None:
        raise FileNotFoundError(2, "No such file or directory", "/proc/meminfo")

    monkeypatch.setattr("psutil.virtual_memory", absent)
    with pytest.raises(BackendError, match=r"No such file or directory: '/proc/meminfo'; .*mount /proc"):
        capture_environment()
