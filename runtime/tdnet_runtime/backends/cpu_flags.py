"""Instruction sets of the processor, as Linux lists them."""

from __future__ import annotations

import re

__all__ = ["cpu_flags"]


def cpu_flags(cpuinfo: str) -> frozenset[str]:
    """All that the text of `/proc/cpuinfo` names (`flags` on x86, `Features` on ARM); none where it names none."""
    found = re.search(r"^(?:flags|Features)\s*:\s*(.+)$", cpuinfo, re.MULTILINE)
    return frozenset(found[1].split()) if found else frozenset()
