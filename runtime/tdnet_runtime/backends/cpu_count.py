"""How many threads can compute at once in this process: its affinity and the CPU quotas of its cgroups.

A container's quota (`docker run --cpus`, Kubernetes' `limits.cpu`, systemd's `CPUQuota`) takes no cores away. A process
with more threads than its quota uses it up early in each period and then stands still for the rest of it.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

__all__ = ["cgroups", "cpu_quota", "usable_cpus"]

_ROOT = Path("/")
_OCTAL = re.compile(r"\\([0-7]{3})")


def usable_cpus(root: Path = _ROOT) -> int:
    """Threads that can compute at once, at least 1: min(affinity, quota), a part of a CPU counted as a whole one.

    Args:
        root: of the file system with `proc` and the cgroups.
    """
    linux = hasattr(os, "sched_getaffinity")
    cores = len(os.sched_getaffinity(0)) if linux else os.cpu_count() or 1
    quota = cpu_quota(root)
    return cores if quota is None else max(1, min(cores, math.ceil(quota)))


def cpu_quota(root: Path = _ROOT) -> float | None:
    """CPUs that the process may use on the average; None where nothing limits it, or the system does not tell.

    The smallest quota of the process's own cgroup and of all above it that can be seen, in version 2's hierarchy
    (`cpu.max`) and in version 1's (`cpu.cfs_quota_us`): a quota holds for everything below it.

    Args:
        root: see `usable_cpus`.
    """
    quotas = [
        quota for folder, version in cgroups(root, "cpu") if (quota := _quota(folder, version)) is not None
    ]
    return min(quotas, default=None)


def cgroups(root: Path, controller: str) -> Iterator[tuple[Path, int]]:
    """Each cgroup that may limit what the process has of `cpu`, or of `memory`, innermost first, and its version."""
    own = _own_paths(root, controller)
    for line in _text(root / "proc/self/mountinfo").splitlines():
        left, _, right = line.partition(" - ")
        fields, kinds = left.split(), right.split()
        if len(fields) < 5 or len(kinds) < 3:
            continue
        if kinds[0] == "cgroup2":
            version = 2
        elif kinds[0] == "cgroup" and controller in kinds[2].split(","):
            version = 1
        else:
            continue
        if version not in own:
            continue
        mounted, at = (PurePosixPath(_OCTAL.sub(_character, field)) for field in fields[3:5])
        path = own[version]
        # What lies outside of the mount cannot be seen: a container's own cgroup is its top then.
        seen = path.is_relative_to(mounted) and ".." not in path.parts
        inside = path.relative_to(mounted) if seen else PurePosixPath()
        for below in (inside, *inside.parents):
            yield root / str(at / below).lstrip("/"), version


def _own_paths(root: Path, controller: str) -> dict[int, PurePosixPath]:
    """The process's cgroup by version, as the kernel names it."""
    found = {}
    for line in _text(root / "proc/self/cgroup").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            found[2] = PurePosixPath(path)
        elif controller in controllers.split(","):
            found[1] = PurePosixPath(path)
    return found


def _quota(folder: Path, version: int) -> float | None:
    """One cgroup's own quota in CPUs; None where it has none, or what stands there is none."""
    if version == 2:
        words = _text(folder / "cpu.max").split()
    else:
        words = [
            *_text(folder / "cpu.cfs_quota_us").split(),  # -1: none
            *_text(folder / "cpu.cfs_period_us").split(),
        ]
    try:
        quota_us, period_us = map(int, words)
    except ValueError:  # `max`, or files that are not there
        return None
    return quota_us / period_us if quota_us > 0 and period_us > 0 else None


def _character(found: re.Match[str]) -> str:
    return chr(int(found[1], 8))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
