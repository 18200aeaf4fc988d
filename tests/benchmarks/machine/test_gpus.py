from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from tdnet_bench.machine.gpus import gpus_now, process_gpu_memory_mib

SMI = """#!/bin/sh
case "$1" in
*throttle*) echo "0x0000000000000004"; echo "0x0000000000000000" ;;
--query-gpu*)
  echo "Some GPU, 550.90, 143771, 1980, 1980, 2619, 700.00"
  echo "Other, 550.90, [N/A], 300, [N/A], 405, [Not Supported]" ;;
--query-compute-apps*) echo "1, 5000"; echo "$PPID, 812"; echo "$PPID, 100" ;;
esac
"""


@pytest.fixture
def nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "nvidia-smi"
    path.write_text(SMI)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    return path


@pytest.mark.usefixtures("nvidia_smi")
def test_gpus_and_their_clocks_are_read() -> None:
    first, second = gpus_now()
    assert (first.name, first.driver, first.memory_mib) == ("Some GPU", "550.90", 143771.0)
    assert (first.sm_clock_mhz, first.sm_clock_max_mhz, first.memory_clock_mhz) == (1980.0, 1980.0, 2619.0)
    assert (first.power_limit_w, first.throttle_reasons) == (700.0, "0x0000000000000004")
    assert (second.name, second.memory_mib, second.sm_clock_max_mhz, second.power_limit_w) == (
        "Other",
        None,
        None,
        None,
    )


@pytest.mark.usefixtures("nvidia_smi")
def test_memory_is_that_of_this_process() -> None:
    assert process_gpu_memory_mib() == 912.0


def test_a_driver_that_fails_is_no_gpu(nvidia_smi: Path) -> None:
    nvidia_smi.write_text("#!/bin/sh\necho NVIDIA-SMI has failed\nexit 9\n")
    assert gpus_now() == ()
    assert process_gpu_memory_mib() is None


def test_without_a_driver_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert gpus_now() == ()
    assert process_gpu_memory_mib() is None
