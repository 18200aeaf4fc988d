"""Which names a bundle's members may have: relative, normalised, portable, harmless to unpack."""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = ["MANIFEST_NAME", "check_member_name", "check_member_names", "some_names"]

MANIFEST_NAME = "manifest.json"

_MAX_LENGTH = 200
_DRIVE = re.compile(r"[A-Za-z]:")
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+=,@-]*")


def check_member_name(name: str) -> None:
    """Raise ValueError, saying what is wrong, unless `name` is safe to use as a path below a folder."""
    if not name or len(name) > _MAX_LENGTH:
        raise ValueError(f"member name {name[:40]!r} has {len(name)} characters, expected 1 to {_MAX_LENGTH}")
    if "\\" in name:
        raise ValueError(f"member name {name!r} has a backslash; parts are separated by '/'")
    if name.startswith("/"):
        raise ValueError(f"member name {name!r} is absolute; names are relative to the bundle")
    if _DRIVE.match(name):
        raise ValueError(f"member name {name!r} starts with a drive letter; names are relative to the bundle")
    parts = name.split("/")
    if ".." in parts:
        raise ValueError(f"member name {name!r} has a '..' part, which would leave the bundle")
    if "" in parts or "." in parts:
        raise ValueError(f"member name {name!r} is not normalised: it has an empty or '.' part")
    if not all(_PART.fullmatch(part) for part in parts):
        raise ValueError(f"member name {name!r} has a part that is not of the form {_PART.pattern}")


def check_member_names(names: Iterable[str]) -> None:
    """Raise ValueError unless all `names` are safe and could be files below one folder together."""
    files = set(names)
    for name in sorted(files):
        check_member_name(name)
        folder = name
        while "/" in folder:
            folder = folder.rpartition("/")[0]
            if folder in files:
                raise ValueError(f"member {folder!r} would be a file and, for {name!r}, a folder")


def some_names(names: list[str]) -> str:
    """The first few of `names`, quoted, and how many more there are."""
    shown = ", ".join(repr(name) for name in names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"
