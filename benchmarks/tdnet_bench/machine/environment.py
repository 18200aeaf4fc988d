"""The machine and software under a run: what a reader needs to judge or repeat its numbers.

Names of hosts, users and folders are left out, so that a document can be shown to anyone.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
import time
from contextlib import suppress
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path

import psutil

import tdnet_runtime
from tdnet_bench.machine.gpus import Gpu
from tdnet_bench.records import Record
from tdnet_runtime.backends.cpu_count import usable_cpus
from tdnet_runtime.backends.cpu_flags import cpu_flags, cpu_model
from tdnet_runtime.errors import BackendError

__all__ = ["BUSY_SHARE", "Environment", "OtherLoad", "capture_environment", "peak_rss_mib"]

_MIB = 1 << 20
_PACKAGES = (
    "numpy", "scipy", "onnxruntime", "onnxruntime-gpu", "openvino", "tensorrt", "tensorrt-rtx", "polygraphy",
    "cuda-core", "cuda-bindings", "torch", "nvidia-cudnn-cu13", "nvidia-cudnn-cu12", "opencv-python-headless", "av",
)  # fmt: skip
_THREAD_VARIABLES = (
    "OMP_NUM_THREADS", "OMP_WAIT_POLICY", "MKL_NUM_THREADS", "GOMP_SPINCOUNT", "KMP_BLOCKTIME",
)  # fmt: skip
_X86_FLAGS = {"avx2", "fma", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16"}
_X86_TILE_FLAGS = {"amx_tile", "amx_int8", "amx_bf16"}
_ARM_FLAGS = {"asimd", "asimdhp", "asimddp", "i8mm", "bf16", "sve", "sve2"}
_FLAGS = _X86_FLAGS | _X86_TILE_FLAGS | _ARM_FLAGS


class Environment(Record, frozen=True, kw_only=True):
    """Facts about the machine at the start of a run; None where the system does not tell.

    Attributes:
        started_at: UTC, ISO 8601.
        cpu_flags: of the instruction sets that matter here, those present.
        usable_cores: that this process may run on (affinity), and no more than its CPU quota.
        governor: of the first core's clock, e.g. `performance`.
        load_1min: average number of running processes in the minute before.
        thread_variables: environment variables set that govern thread pools.
        commit: of the source tree that ran, `+changes` appended where it was edited; None if installed.
    """

    started_at: str
    cpu: str | None
    cpu_flags: tuple[str, ...]
    physical_cores: int | None
    logical_cores: int | None
    usable_cores: int
    governor: str | None
    load_1min: float
    memory_mib: float
    os: str
    python: str
    packages: dict[str, str]
    thread_variables: dict[str, str]
    commit: str | None
    gpus: tuple[Gpu, ...] = ()


def capture_environment() -> Environment:
    """Look at this machine now, but for GPUs (`gpus.py`); BackendError where the system does not tell of itself."""
    cpuinfo = _text(Path("/proc/cpuinfo")) or ""
    return Environment(
        started_at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        cpu=cpu_model(cpuinfo) or platform.processor() or platform.machine() or None,
        cpu_flags=relevant_cpu_flags(cpuinfo),
        physical_cores=psutil.cpu_count(logical=False),
        logical_cores=psutil.cpu_count(),
        usable_cores=usable_cpus(),
        governor=_text(Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")),
        load_1min=round(os.getloadavg()[0], 2),
        memory_mib=_memory_mib(),
        os=_operating_system(),
        python=f"{platform.python_implementation()} {platform.python_version()}",
        packages={"tdnet-deploy": tdnet_runtime.__version__} | _installed(),
        thread_variables={name: os.environ[name] for name in _THREAD_VARIABLES if name in os.environ},
        commit=_commit(Path(__file__).resolve().parents[3]),
    )


def _memory_mib() -> int:
    try:
        return round(psutil.virtual_memory().total / _MIB)
    except OSError as error:
        raise BackendError(
            f"looking at this machine: {error}; measurements need its load: mount /proc"
        ) from error


def peak_rss_mib() -> float | None:
    """Largest resident memory of this process (`getrusage`'s is handed down from the parent); None: not told."""
    found = re.search(r"^VmHWM:\s*(\d+) kB", _text(Path("/proc/self/status")) or "", re.MULTILINE)
    return int(found[1]) / 1024 if found else None


def relevant_cpu_flags(cpuinfo: str) -> tuple[str, ...]:
    """Instruction sets named in the text of `/proc/cpuinfo` that matter for inference, sorted."""
    return tuple(sorted(_FLAGS & cpu_flags(cpuinfo)))


def _operating_system() -> str:
    kernel = f"{platform.system()} {platform.release()} {platform.machine()}"
    name = re.search(r'^PRETTY_NAME="?(.*?)"?$', _text(Path("/etc/os-release")) or "", re.MULTILINE)
    return f"{name[1]}, {kernel}" if name else kernel


def _installed() -> dict[str, str]:
    versions = {}
    for package in _PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            versions[package] = metadata.version(package)
    return versions


def _commit(root: Path) -> str | None:
    """Commit of the source tree at `root`; None where it is no checkout of this project."""
    if not ((root / ".git").exists() and (root / "benchmarks" / "tdnet_bench").is_dir()):
        return None
    try:
        head = _git(root, "rev-parse", "HEAD")
        changes = _git(root, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return None
    return f"{head}+changes" if changes else head


def _git(root: Path, *arguments: str) -> str:
    command = ["git", "--no-optional-locks", "-C", str(root), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip("\0\n ")
    except OSError:
        return None


BUSY_SHARE = 0.05
"""Share of the usable cores from which on other programs are worth a warning.

Seen with a load of 2 to 4 on 2 cores: PyTorch 2.13's p95 was 10 times its p50 (the threads of OpenMP spin
while they wait for the slower one), ONNX Runtime's 1.7 times. So ratios mislead as well.
"""


class OtherLoad:
    """Counts from its creation on; only the cores that this process may run on."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._cores = _cores_of(self._process)
        self._started_s = time.perf_counter()
        self._own_s, self._all_s = self._read()

    @property
    def usable_cores(self) -> int:
        """Number of cores that are looked at."""
        return len(self._cores)

    def busy_cores(self) -> float:
        """Cores that other programs (and, on a virtual machine, its host) kept busy, on average until now."""
        elapsed_s = max(time.perf_counter() - self._started_s, 1e-9)
        own_s, all_s = self._read()
        busy_s = (all_s - self._all_s) - (own_s - self._own_s)
        return float(min(max(busy_s / elapsed_s, 0.0), self.usable_cores))

    def _read(self) -> tuple[float, float]:
        """CPU seconds so far: this process's, and all that was not idle on the usable cores."""
        own = self._process.cpu_times()
        per_core = psutil.cpu_times(percpu=True)
        busy_s = 0.0
        for core in self._cores:
            times = per_core[core]._asdict()
            # Guests' time is part of user and nice already.
            idle_or_twice = ("idle", "iowait", "guest", "guest_nice")
            busy_s += sum(seconds for name, seconds in times.items() if name not in idle_or_twice)
        return own.user + own.system, busy_s


def _cores_of(process: psutil.Process) -> list[int]:
    present = range(len(psutil.cpu_times(percpu=True)))
    if not hasattr(process, "cpu_affinity"):  # macOS
        return list(present)
    return [core for core in process.cpu_affinity() if core in present] or list(present)
