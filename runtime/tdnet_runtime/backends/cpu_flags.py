"""The processor as Linux describes it: its model and its instruction sets."""

from __future__ import annotations

import re

__all__ = ["cpu_flags", "cpu_model"]


def cpu_flags(cpuinfo: str) -> frozenset[str]:
    """All that the text of `/proc/cpuinfo` names (`flags` on x86, `Features` on ARM); none where it names none."""
    found = re.search(r"^(?:flags|Features)\s*:\s*(.+)$", cpuinfo, re.MULTILINE)
    return frozenset(found[1].split()) if found else frozenset()


def cpu_model(cpuinfo: str) -> str | None:
    """Its name in the text of `/proc/cpuinfo` (`Model` on boards with ARM cores); None where it names none."""
    found = re.search(r"^(?:model name|Model|Hardware)\s*:\s*(.+)$", cpuinfo, re.MULTILINE)
    return found[1].strip() if found else None
