"""What of a checkpoint became a network: data, and one line of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["SHOWN", "TOP", "Provenance", "shown"]

_LONGEST = 80
SHOWN = 8
"""How many keys a message names."""

TOP = "."
"""What the weights are called that lie in no wrapper and have no prefix."""


@dataclass(frozen=True, slots=True)
class Provenance:
    """What of a checkpoint became the network, and what did not.

    Attributes:
        key: where in the file it was: names of wrappers and prefix, joined by dots; `TOP` where there are none.
        prefixes: that were taken off the names, as they were.
        tensors: how many were taken.
        left: other entries by name, with the number of their tensors (0 for what is no tensor).
    """

    key: str
    prefixes: tuple[str, ...]
    tensors: int
    left: tuple[tuple[str, int], ...]

    def __str__(self) -> str:
        where = "the file itself" if self.key == TOP else shown([repr(self.key)])
        off = f", prefix {shown(map(repr, self.prefixes))} taken off" if self.prefixes else ""
        left = shown(
            f"{name} ({count} tensor{'s' * (count > 1)})" if count else name for name, count in self.left
        )
        return f"{self.tensors} tensors of {where}{off}; left: {left or 'nothing'}"


def shown(names: Iterable[str], *, most: int = SHOWN) -> str:
    """The first names and how many more there are, on one line: names come from strangers."""
    printable = ("".join(c if c.isprintable() else "?" for c in name) for name in names)
    first = [name if len(name) <= _LONGEST else f"{name[: _LONGEST - 3]}..." for name in printable]
    return ", ".join(first[:most]) + (f" and {len(first) - most} more" if len(first) > most else "")
