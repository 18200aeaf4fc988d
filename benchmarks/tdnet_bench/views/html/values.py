"""Values of the JSON document that know where they stand in it, and become text of the page only together.

Each number on the page is a `<span data-json="..." data-format="...">`: a JSON Pointer (RFC 6901) into the
document, and the key of `FORMATS` that made the text. Whoever holds both files can check one against the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec
from markupsafe import Markup

from tdnet_bench.statistics.latency import Drift
from tdnet_bench.views.formats import (
    ABSENT,
    format_drift,
    format_interval,
    format_mib,
    format_ms,
    format_percent,
    format_ratio,
    format_share,
)

__all__ = ["FORMATS", "Value", "last_token", "span"]

_MIB = 1 << 20


class Value:
    """One value of the document, as `json.loads` gives it, and where it stands.

    Templates reach its members with `.name`, `[name]`, loops and `items()`.
    """

    __slots__ = ("pointer", "raw")

    def __init__(self, raw: Any, pointer: str = "") -> None:
        self.raw = raw
        self.pointer = pointer

    def __getitem__(self, key: str | int) -> Value:
        """The member; numbers are keys of objects, too, as `by_path` has them.

        Raises:
            KeyError: there is none, so that a template's mistake does not become a gap on the page.
        """
        if isinstance(self.raw, Mapping):
            return Value(self.raw[str(key)], f"{self.pointer}/{_escaped(str(key))}")
        if isinstance(self.raw, list):
            return Value(self.raw[int(key)], f"{self.pointer}/{key}")
        raise KeyError(f"{self.pointer or 'the document'} has no member {key!r}")

    def __iter__(self) -> Iterator[Value]:
        """The elements of a list, the members of an object."""
        keys = self.raw if isinstance(self.raw, Mapping) else range(len(self.raw))
        return (self[key] for key in keys)

    def __len__(self) -> int:
        return len(self.raw)

    def __bool__(self) -> bool:
        """False for null, and for a list or an object without members; a zero is a figure."""
        return bool(self.raw) if isinstance(self.raw, (Mapping, list, str)) else self.raw is not None

    def items(self) -> Iterator[tuple[str, Value]]:
        """Keys and members of an object."""
        return ((key, self[key]) for key in self.raw)

    def get(self, key: str) -> Value | None:
        """The member, or None where there is none."""
        return self[key] if key in self.raw else None


def last_token(pointer: str) -> str:
    """The key of what `pointer` points at."""
    return pointer.rpartition("/")[2].replace("~1", "/").replace("~0", "~")


def span(value: Value, name: str) -> Markup:
    """`value` as text for the page, formatted by `FORMATS[name]`; with `key`, its key."""
    text = last_token(value.pointer) if name == "key" else FORMATS[name](value.raw)
    return Markup('<span data-json="{}" data-format="{}">{}</span>').format(value.pointer, name, text)


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")


def _absent_or(make: Callable[[Any], str]) -> Callable[[Any], str]:
    return lambda value: ABSENT if value is None else make(value)


FORMATS: dict[str, Callable[[Any], str]] = {
    "ms": format_ms,
    "ratio": format_ratio,
    "interval": _absent_or(lambda ratio: format_interval(ratio["low"], ratio["high"])),
    "share": format_share,
    "percent": format_percent,
    "mib": format_mib,
    "bytes": lambda value: format_mib(value / _MIB),
    "drift": _absent_or(lambda drift: format_drift(msgspec.convert(drift, Drift))),
    "number": _absent_or(lambda value: f"{value:g}"),
    "tenths": _absent_or(lambda value: f"{value:.1f}"),
    "text": _absent_or(str),
    "joined": lambda values: ", ".join(values) or "nothing",
    "digest": _absent_or(lambda digest: digest[:16]),
}
"""By the name in `data-format`, a value as `json.loads` gives it to text; the terminal's report has the same."""
