"""NVIDIA GPUs as `nvidia-smi` tells; no GPUs where it is absent or fails."""

from __future__ import annotations

import csv
import os

from tdnet_bench.records import Record
from tdnet_runtime.doctor.host import Host

__all__ = ["Gpu", "gpus_now", "process_gpu_memory_mib"]

_FIELDS = (
    "name", "driver_version", "memory.total", "clocks.sm", "clocks.max.sm", "clocks.mem", "power.limit",
)  # fmt: skip


class Gpu(Record, frozen=True, kw_only=True):
    """One GPU, right after the last timed frame; None where it does not tell.

    `throttle_reasons` is NVML's bit mask of what held the clocks down, hexadecimal.
    """

    name: str
    driver: str
    memory_mib: float | None
    sm_clock_mhz: float | None
    sm_clock_max_mhz: float | None
    memory_clock_mhz: float | None
    power_limit_w: float | None
    throttle_reasons: str | None


def gpus_now() -> tuple[Gpu, ...]:
    """The machine's GPUs and their clocks at this moment."""
    rows = _query("--query-gpu", _FIELDS)
    if not rows:
        return ()
    reasons = _query("--query-gpu", ("clocks_throttle_reasons.active",))
    masks = [row[0] for row in reasons] if len(reasons) == len(rows) else [None] * len(rows)
    numbers = Gpu.__struct_fields__[2:-1]  # in the order of the fields
    return tuple(
        Gpu(
            name=name,
            driver=driver,
            throttle_reasons=mask,
            **dict(zip(numbers, map(_number, rest), strict=True)),
        )
        for (name, driver, *rest), mask in zip(rows, masks, strict=True)
    )


def process_gpu_memory_mib() -> float | None:
    """GPU memory that this process holds, on all GPUs; None where the driver does not name it.

    In a container with process numbers of its own the driver's are others.
    """
    rows = _query("--query-compute-apps", ("pid", "used_memory"))
    own = [_number(memory) for pid, memory in rows if pid == str(os.getpid())]
    known = [memory for memory in own if memory is not None]
    return sum(known) if known else None


def _query(what: str, fields: tuple[str, ...]) -> list[list[str]]:
    """Rows of one answer, a cell for each field; none where there is no answer."""
    command = ["nvidia-smi", f"{what}={','.join(fields)}", "--format=csv,noheader,nounits"]
    answer = Host().ask(command)
    if answer is None or answer.code != 0:
        return []
    rows = list(csv.reader(answer.words.splitlines(), skipinitialspace=True))
    return [row for row in rows if len(row) == len(fields)]


def _number(text: str) -> float | None:
    """A cell as a number; None for `[N/A]` and its like."""
    try:
        return float(text)
    except ValueError:
        return None
