"""The processor as Linux describes it: its model and its instruction sets."""

from __future__ import annotations

import re
from pathlib import Path

__all__ = ["cpu_flags", "cpu_model", "own_cpuinfo", "sums_int8_exactly"]

_CPUINFO = Path("/proc/cpuinfo")
_X86 = "fpu"  # every x86 processor names it, no other one
_EXACT = {"avx512_vnni", "avx_vnni", "amx_int8"}  # x86's instructions whose INT8 sums do not saturate


def own_cpuinfo() -> str:
    """What Linux says of this machine's processor; "" on other systems."""
    try:
        return _CPUINFO.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def cpu_flags(cpuinfo: str) -> frozenset[str]:
    """All that the text of `/proc/cpuinfo` names (`flags` on x86, `Features` on ARM); none where it names none."""
    found = re.search(r"^(?:flags|Features)\s*:\s*(.+)$", cpuinfo, re.MULTILINE)
    return frozenset(found[1].split()) if found else frozenset()


def sums_int8_exactly(cpuinfo: str) -> bool | None:
    """Whether an x86 processor has VNNI or AMX; None for other processors, and where the text does not tell.

    Engines sum pairs of INT8 products in 16 bits on those that have neither, which may saturate.
    """
    flags = cpu_flags(cpuinfo)
    return bool(_EXACT & flags) if _X86 in flags else None


def cpu_model(cpuinfo: str) -> str | None:
    """Its name in the text of `/proc/cpuinfo` (`Model` on boards with ARM cores); None where it names none."""
    found = re.search(r"^(?:model name|Model|Hardware)\s*:\s*(.+)$", cpuinfo, re.MULTILINE)
    return found[1].strip() if found else None
