"""Sizes as all commands take them: `769x1537`, height first."""

from __future__ import annotations

import re

from tdnet_runtime.errors import OptionError

__all__ = ["parse_size"]

_SIZE = re.compile(r"([0-9]{1,5})[x×]([0-9]{1,5})")


def parse_size(text: str, *, option: str = "--size", example: str = "769x1537") -> tuple[int, int]:
    """`769x1537` → (769, 1537), (H, W); whether they can be meant is for others to say.

    Raises:
        OptionError: not of that form, which the message shows by `example`.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise OptionError(f"{option} is {text!r}; expected HEIGHTxWIDTH, for instance {example}")
    return int(match[1]), int(match[2])
