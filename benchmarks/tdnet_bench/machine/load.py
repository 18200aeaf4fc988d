"""How busy other programs kept the cores during a run: figures from a busy machine mislead."""

from __future__ import annotations

import time

import psutil

__all__ = ["BUSY_SHARE", "OtherLoad"]

BUSY_SHARE = 0.05
"""Share of the usable cores from which on other programs are worth a warning.

Seen with a load of 2 to 4 on 2 cores: PyTorch 2.13's p95 was 10 times its p50 (the threads of OpenMP spin
while they wait for the slower one), ONNX Runtime's 1.7 times. So ratios mislead as well.
"""


class OtherLoad:
    """Counts from its creation on; only the cores that this process may run on."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._cores = _usable_cores(self._process)
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


def _usable_cores(process: psutil.Process) -> list[int]:
    present = range(len(psutil.cpu_times(percpu=True)))
    if not hasattr(process, "cpu_affinity"):  # macOS
        return list(present)
    return [core for core in process.cpu_affinity() if core in present] or list(present)
