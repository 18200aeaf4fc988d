"""Names of outputs, which follow from how the inputs were named, and are UTF-8."""

from __future__ import annotations

import os
import re

from tdnet_runtime.file_names import as_utf8
from tdnet_runtime.passwords import without_login

__all__ = ["OUTPUT_SUFFIX", "name_as_written", "output_name", "split_topic"]

OUTPUT_SUFFIX = ".labels"
"""Of the folder that one input's outputs go to."""

_ENDING = re.compile(rf"{re.escape(OUTPUT_SUFFIX)}_*$")
_TOPIC = re.compile(r"\?topic=([^?]*)$")


def split_topic(text: str) -> tuple[str, str | None]:
    """`drive.mcap?topic=/front` → `drive.mcap` and `/front`; None without a topic."""
    match = _TOPIC.search(text)
    return (text, None) if match is None else (text[: match.start()], match[1])


def name_as_written(name: str, *, remote: bool) -> str:
    """The path of a single file as a name below the output: without what leads out of it, and an address's login."""
    name = without_login(name) if remote else name
    path = name.partition("://")[2] if "://" in name else os.path.normpath(name)
    return "/".join(part for part in path.split("/") if part not in ("", ".", ".."))


def output_name(name: str, topic: str) -> str:
    """Of the input `name`, which is relative, and its `topic`, which may be empty."""
    # A folder called like an output must not take an output's place: one more underscore keeps all names apart.
    *parents, leaf = as_utf8(name).split("/")
    parents = [f"{part}_" if _ENDING.search(part) else part for part in parents]
    marked = f"{leaf}@{as_utf8(topic).strip('/').replace('/', '_')}" if topic else leaf
    return "/".join([*parents, f"{marked}{OUTPUT_SUFFIX}"])
