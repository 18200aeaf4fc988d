"""Where a served bundle is: `triton://HOST[:PORT]/MODEL[?timeout=SECONDS]`.

>>> TritonAddress.parse("triton://10.0.0.5/td2-fa18")
TritonAddress(host='10.0.0.5', port=8000, model='td2-fa18', timeout_s=30.0)
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

from tdnet_runtime.errors import OptionError
from tdnet_runtime.passwords import hide_password

__all__ = ["TritonAddress", "is_triton"]

_SCHEME = "triton:"
_MODEL = re.compile(r"/([A-Za-z0-9][A-Za-z0-9_.-]*)/?")
_FORM = "triton://HOST[:PORT]/MODEL, for instance triton://127.0.0.1:8000/td2-fa18"
_LONGEST_S = 86_400.0


@dataclass(frozen=True, slots=True)
class TritonAddress:
    """A model on a server.

    Attributes:
        host: name or address.
        port: of the server's HTTP interface; Triton's own default is 8000.
        model: its name there.
        timeout_s: for each answer; a sequence that waits for a free place waits that long as well.
    """

    host: str
    port: int
    model: str
    timeout_s: float

    @classmethod
    def parse(cls, text: str) -> TritonAddress:
        """Read an address.

        Raises:
            OptionError: not of that form.
        """
        shown = hide_password(text)
        try:
            url = urlsplit(text)
            host, port = url.hostname, url.port
            (host or "").encode("idna")  # as it is looked up: no part of it is empty or too long
        except ValueError as error:
            raise OptionError(f"{shown!r} is no address of a model ({error}); expected {_FORM}") from error
        model = _MODEL.fullmatch(url.path)
        if url.scheme != "triton" or not host or url.username is not None or url.fragment or port == 0:
            raise OptionError(f"{shown!r} is no address of a model; expected {_FORM}")
        if model is None:
            raise OptionError(f"{shown!r} names no model; expected {_FORM}")
        params = dict(parse_qsl(url.query, keep_blank_values=True))
        if other := sorted(params.keys() - {"timeout"}):
            raise OptionError(f"{shown!r}: there is no {other[0]!r}; expected ?timeout=SECONDS or nothing")
        return cls(host, port or 8000, model[1], _seconds(shown, params.get("timeout", "30")))

    @property
    def server(self) -> str:
        """Host and port."""
        return f"{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"


def is_triton(text: object) -> bool:
    """It is meant as an address of a model, be it one or not."""
    return isinstance(text, str) and text.lower().startswith(_SCHEME)


def _seconds(shown: str, value: str) -> float:
    try:
        seconds = float(value)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= _LONGEST_S:
        raise OptionError(f"{shown!r}: timeout is {value!r}; expected seconds, more than 0")
    return seconds
