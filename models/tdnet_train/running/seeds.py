"""One seed for each purpose, from the run's: nothing random has a state that a resumed run would have to find again."""

from __future__ import annotations

import hashlib

__all__ = ["derived_seed"]


def derived_seed(*parts: object) -> int:
    """A seed below 2⁶³ that follows from `parts`: the same in every process, on every machine."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1
