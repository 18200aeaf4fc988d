"""What a user writes to name an input or an output: a path, or `scheme:rest?name=value&…`."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, unquote

from tdnet_runtime.errors import OptionError
from tdnet_runtime.passwords import hide_password

__all__ = ["SourceUrl", "parse_params", "scheme_of", "source_name"]

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceUrl:
    """A URL, taken apart.

    Attributes:
        text: as the user wrote it.
        scheme: before the first colon, in lower case; empty for a plain path.
        rest: between `scheme:` and `?`, percent-decoded; a plain path as it is.
        params: what follows `?`.
    """

    text: str
    scheme: str = ""
    rest: str = ""
    params: Mapping[str, str] = field(default_factory=dict)

    @property
    def shown(self) -> str:
        """`text` for messages and documents: without a password."""
        return hide_password(self.text)

    @property
    def topic(self) -> str:
        """The topic that `ros2:///camera/image_raw` names: `/camera/image_raw`."""
        return "/" + self.rest.strip("/")

    @classmethod
    def parse(cls, text: str, *, known: frozenset[str] | None, plain: bool = False) -> SourceUrl:
        """Take `scheme:rest?name=value` or a path apart.

        Args:
            text: as the user wrote it.
            known: names that may follow `?`; None for an address that goes to another program as it is.
            plain: it is a path, though it may look as if it began with a scheme (`run:1.mcap`).

        Raises:
            OptionError: a parameter that is not known, has no value, or comes twice; or a null character.
        """
        scheme = "" if plain else scheme_of(text)
        rest = text[len(scheme) + 1 :] if scheme else text
        if known is None:
            return cls(text=text, scheme=scheme, rest=rest)
        rest, _, query = rest.partition("?")
        params = parse_params(query, known=known, text=text)
        if scheme:
            rest = unquote(rest, errors="surrogateescape")  # as names of files that are not UTF-8
            if "\0" in rest:
                raise OptionError(f"{hide_password(text)!r}: %00 is a null character, which no name holds")
        return cls(text=text, scheme=scheme, rest=rest, params=params)


def parse_params(query: str, *, known: frozenset[str], text: str) -> dict[str, str]:
    """The parameters of `name=value&…`, percent-decoded.

    Args:
        query: what follows `?`; may be empty.
        known: their names.
        text: all that the user wrote, for messages.

    Raises:
        OptionError: one that is not known, has no value, or comes twice.
    """
    params: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        expected = ", ".join(sorted(known)) or "none"
        if name not in known:
            raise OptionError(
                f"{hide_password(text)!r}: the parameter {name!r} is not known here; expected: {expected}"
            )
        if name in params:
            raise OptionError(f"{hide_password(text)!r}: the parameter {name!r} is given twice")
        if not value.strip():
            raise OptionError(f"{hide_password(text)!r}: the parameter {name!r} is empty; give it a value")
        params[name] = value
    return params


def scheme_of(text: str) -> str:
    """What stands before the first colon where it looks like a scheme, in lower case; else empty."""
    match = _SCHEME.match(text)
    return match[1].lower() if match else ""


def source_name(text: str) -> str:
    """What documents that others may read call an input: without its folder, user, password and query.

    >>> source_name("drives/front.mp4"), source_name("mcap:drives/x.mcap?topic=/camera/image_raw")
    ('front.mp4', 'mcap:x.mcap')
    >>> source_name("rtsp://admin:secret@cam:8554/live?password=secret")
    'rtsp://cam:8554'
    """
    scheme = scheme_of(text)
    if not scheme:
        text = text if os.path.lexists(text) else text.partition("?")[0]  # of a log: its topic
        plain = Path(text)
        return (plain.resolve() if plain.name in ("", "..") else plain).name or text
    path = re.split("[?#]", text[len(scheme) + 1 :])[0]
    if not path.startswith("//") or path.startswith("///"):
        return f"{scheme}:{Path(path).name}"
    authority = path[2:].partition("/")[0]
    if "@" not in authority and "@" in text:  # a password with one of /, ? and # in it
        return f"{scheme}://"
    return f"{scheme}://{authority.rpartition('@')[2]}"
