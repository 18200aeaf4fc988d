"""Names of outputs, which follow from how the inputs were named: another one for each input and topic, and UTF-8."""

from __future__ import annotations

import os
import re
from urllib.parse import quote

from tdnet_runtime.file_names import as_utf8
from tdnet_runtime.sources.source_url import without_login

__all__ = ["OUTPUT_SUFFIX", "name_as_written", "output_name", "split_topic"]

OUTPUT_SUFFIX = ".labels"
"""Of the folder that one input's outputs go to."""

_ENDING = re.compile(rf"{re.escape(OUTPUT_SUFFIX)}_*$")
_TOPIC = re.compile(r"\?topic=([^?]*)$")
_USUAL = re.compile(r"(?<![^/])image/(raw|rect)(?![^/])")


def split_topic(text: str) -> tuple[str, str | None]:
    """`drive.mcap?topic=/front` → `drive.mcap` and `/front`; None without a topic."""
    match = _TOPIC.search(text)
    return (text, None) if match is None else (text[: match.start()], match[1])


def name_as_written(name: str) -> str:
    """The path of a single file as a name below the output: without what leads out of it, and without a login."""
    path = without_login(name).partition("://")[2] if "://" in name else os.path.normpath(name)
    return "/".join(part for part in path.split("/") if part not in ("", ".", ".."))


def output_name(name: str, topic: str) -> str:
    """Of the input `name`, which is relative, and its `topic`, which may be empty."""
    # A folder called like an output must not take an output's place: one more underscore keeps all names apart.
    *parents, leaf = as_utf8(name).split("/")
    parents = [f"{part}_" if _ENDING.search(part) else part for part in parents]
    marked = f"{leaf}@{_topic_name(as_utf8(topic))}" if topic else leaf
    return "/".join([*parents, f"{marked}{OUTPUT_SUFFIX}"])


def _topic_name(topic: str) -> str:
    """`/camera/image_raw` → `camera_image_raw`; topics that would have the name of such a one have another, with `%`."""
    bare = topic.strip("/")
    name = bare.replace("/", "_")
    if _USUAL.sub(r"image_\1", name.replace("_", "/")) == bare and "%" not in bare:
        return name
    return quote(bare, safe="").replace("_", "%5F")
