"""The processor and the memory: how much of them this process may use, and how they are clocked."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from tdnet_runtime.backends.cpu_count import cgroups, cpu_quota, usable_cpus
from tdnet_runtime.backends.cpu_flags import cpu_flags, cpu_model
from tdnet_runtime.doctor.findings import Finding, State
from tdnet_runtime.doctor.host import Host

__all__ = ["SECTION", "available_bytes", "check_processor"]

SECTION = "Processor and memory"
_MIB = 1 << 20
_SETS = {
    "AVX2": {"avx2"},
    "AVX-512": {"avx512f"},
    "VNNI": {"avx512_vnni", "avx_vnni", "amx_int8"},
    "BF16": {"avx512_bf16", "amx_bf16", "bf16"},
    "FP16": {"avx512_fp16", "asimdhp"},
    "dot products": {"asimddp", "i8mm"},
}
"""Instruction sets that matter to the engines, and the kernel's names for them."""
_STEADY = ("performance", "schedutil")
_LITTLE_BYTES = 512 * _MIB
_LIMITS = {
    2: ("memory.max", "memory.current", "inactive_file"),
    1: ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),  # a huge number: none
}
"""By version of the cgroups: what holds a cgroup's limit in bytes, what it uses, and the line of memory.stat with that
part of it that the kernel gives back before it lets a process fail: files that were read and lie in memory."""


def check_processor(host: Host) -> Iterator[Finding]:
    """Model, cores, instruction sets, clock and memory."""
    cpuinfo = host.text("/proc/cpuinfo")
    flags = cpu_flags(cpuinfo)
    model = cpu_model(cpuinfo)
    sets = [name for name, names in _SETS.items() if names & flags]
    yield Finding(
        section=SECTION,
        name="processor",
        state=State.NOTE,
        text=f"{model or 'of unknown make'}; {', '.join(sets) or 'no instruction sets told'}",
        facts={"model": model, "instruction_sets": sets},
    )
    if "fpu" in flags and "VNNI" not in sets:
        yield Finding(
            section=SECTION,
            name="INT8",
            state=State.NOTE,
            text="no VNNI: OpenVINO's INT8 sums may saturate here and change labels; the backend onnxruntime's do not",
        )
    yield _cores(host)
    yield from _governor(host)
    yield _memory(host)


def _cores(host: Host) -> Finding:
    present, usable, quota = os.cpu_count() or 1, usable_cpus(host.root), cpu_quota(host.root)
    limited = f", by a quota of {quota:g} of its cgroup" if quota is not None and quota < present else ""
    variables = {
        name: host.environ[name] for name in ("OMP_NUM_THREADS", "OMP_WAIT_POLICY") if host.environ.get(name)
    }
    said = "".join(f"; {name}={value}" for name, value in variables.items())
    return Finding(
        section=SECTION,
        name="cores",
        state=State.OK,
        text=f"{usable} of {present} can be used at once{limited}{said}",
        facts={"present": present, "usable": usable, "quota": quota, "variables": variables},
    )


def _governor(host: Host) -> Iterator[Finding]:
    folder = host.path("/sys/devices/system/cpu")
    governors = sorted(
        {
            governor
            for path in folder.glob("cpu[0-9]*/cpufreq/scaling_governor")
            if (governor := host.text(str(PurePosixPath("/") / path.relative_to(host.root))))
        }
    )
    if not governors:
        return
    steady = set(governors) <= set(_STEADY)
    yield Finding(
        section=SECTION,
        name="clock",
        state=State.OK if steady else State.WARNING,
        text=f"governor {', '.join(governors)}" + ("" if steady else ": frames take longer after each pause"),
        fix="" if steady else "sudo cpupower frequency-set -g performance",
        facts={"governors": governors},
    )


def _memory(host: Host) -> Finding:
    total, available = _meminfo(host, "MemTotal"), available_bytes(host)
    if total is None or available is None:
        return Finding(section=SECTION, name="memory", state=State.NOTE, text="the system does not tell")
    little = available < _LITTLE_BYTES
    return Finding(
        section=SECTION,
        name="memory",
        state=State.WARNING if little else State.OK,
        text=f"{available // _MIB} MiB of {total // _MIB} MiB are available",
        fix="close other programs, or raise the container's limit" if little else "",
        facts={"total_mib": total // _MIB, "available_mib": available // _MIB},
    )


def available_bytes(host: Host) -> int | None:
    """Memory that this process can still get: the machine's, or what its cgroups leave; None where nobody tells."""
    left = [_meminfo(host, "MemAvailable")]
    for path, version in cgroups(host.root, "memory"):
        folder, (*names, idle) = PurePosixPath("/") / path.relative_to(host.root), _LIMITS[version]
        limit, used = (host.number(f"{folder}/{name}") for name in names)
        if limit is not None and used is not None:
            files = re.search(rf"^{idle} (\d+)$", host.text(f"{folder}/memory.stat"), re.MULTILINE)
            left.append(max(0, limit - max(0, used - int(files[1] if files else 0))))
    known = [number for number in left if number is not None]
    return min(known) if known else None


def _meminfo(host: Host, name: str) -> int | None:
    found = re.search(rf"^{name}:\s*(\d+) kB", host.text("/proc/meminfo"), re.MULTILINE)
    return int(found[1]) << 10 if found else None
