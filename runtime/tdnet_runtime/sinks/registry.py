"""Which sink a URL names: one table, one line for each kind, whose module is imported when it is asked for.

A new sink touches this table and its own module. Its class is called with a `SourceUrl` and the `SinkNetwork`, and gives a
`LiveSink`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import cast

from tdnet_runtime.errors import OptionError
from tdnet_runtime.extras import require
from tdnet_runtime.sinks.sink import LiveSink, SinkNetwork
from tdnet_runtime.sources.source_url import SourceUrl, parse_params, scheme_of

__all__ = ["SinkEntry", "check_sink", "entries", "open_sink", "register", "schemes", "sink_url"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkEntry:
    """One line of the table.

    Attributes:
        opener: "package.module:name".
        extra: of setup.cfg, that installs what the module imports.
        params: names that may follow `?`.
        writes_file: what follows the colon is the path of a file or folder.
    """

    opener: str
    extra: str
    params: frozenset[str]
    writes_file: bool


_TABLE: dict[str, SinkEntry] = {}
_BY_SUFFIX = {".mcap": "mcap", ".rrd": "rerun", ".mp4": "overlay"}
_PLAIN = re.compile(
    r"(?P<path>.*?[^/](?P<suffix>\.mcap|\.rrd|\.mp4))(?:\?(?P<query>.*))?", re.IGNORECASE | re.DOTALL
)


def register(
    scheme: str, opener: str, *, extra: str, params: tuple[str, ...] = (), writes_file: bool = False
) -> None:
    """Add a kind of sink, or replace one; see `SinkEntry`."""
    _TABLE[scheme] = SinkEntry(opener=opener, extra=extra, params=frozenset(params), writes_file=writes_file)


def entries() -> Mapping[str, SinkEntry]:
    """The table, by scheme; not to be changed."""
    return MappingProxyType(_TABLE)


def schemes() -> list[str]:
    """The schemes that can be opened, sorted."""
    return sorted(_TABLE)


def sink_url(spec: str | os.PathLike[str]) -> tuple[SourceUrl, Path | None]:
    """A sink's URL, taken apart, and the file or folder that it writes, if it does.

    Args:
        spec: `scheme:…`, percent-decoded, or a path ending in .mcap, .rrd or .mp4, taken as it is.

    Raises:
        OptionError: no such kind of sink, or a parameter that is not known.
    """
    text = os.fspath(spec)
    scheme = scheme_of(text)
    if scheme not in _TABLE:
        url = _plain_file(text)
        return url, Path(url.rest)
    entry = _TABLE[scheme]
    url = SourceUrl.parse(text, known=entry.params)
    if entry.writes_file and not url.rest.strip():
        raise OptionError(f"--output {text!r}: it names no file; write {scheme}:PATH")
    return url, Path(url.rest) if entry.writes_file else None


def _plain_file(text: str) -> SourceUrl:
    """A path without a scheme, whose characters all are its own; `?topic=…` may follow its suffix."""
    match = _PLAIN.fullmatch(text)
    if match is None or "://" in text:
        raise OptionError(
            f"--output {text!r}: no such kind of output; expected {', '.join(f'{s}:' for s in schemes())} or a file "
            f"ending in {', '.join(_BY_SUFFIX)}"
        )
    scheme = _BY_SUFFIX[match["suffix"].lower()]
    params = parse_params(match["query"] or "", known=_TABLE[scheme].params, text=text)
    return SourceUrl(text=text, scheme=scheme, rest=match["path"], params=params)


def check_sink(spec: str | os.PathLike[str]) -> None:
    """What can be known of `open_sink` before there is a network.

    Raises:
        OptionError: see `sink_url`.
        MissingExtraError: a package is missing; the message says how to install it.
    """
    entry = _TABLE[sink_url(spec)[0].scheme]
    require(entry.opener.partition(":")[0], extra=entry.extra)


def open_sink(spec: str | os.PathLike[str], network: SinkNetwork) -> LiveSink:
    """Open what `spec` names; see `sink_url`. Files are begun with the first result.

    Raises:
        OptionError: see `sink_url`, or a parameter's value cannot be meant.
        MediaError: it cannot be written to.
        MissingExtraError: a package is missing; the message says how to install it.
    """
    url, _ = sink_url(spec)
    entry = _TABLE[url.scheme]
    module, _, name = entry.opener.partition(":")
    opener = cast(
        Callable[[SourceUrl, SinkNetwork], LiveSink], getattr(require(module, extra=entry.extra), name)
    )
    return opener(url, network)


_MEDIA = "tdnet_runtime.sinks.media_files"
register("labels", f"{_MEDIA}:labels_sink", extra="cli", params=("form", "overwrite"), writes_file=True)
register("colors", f"{_MEDIA}:colors_sink", extra="cli", params=("overwrite",), writes_file=True)
register("overlay", f"{_MEDIA}:overlay_sink", extra="cli", writes_file=True)
register("mcap", "tdnet_runtime.sinks.mcap_log:McapSink", extra="mcap", params=("topic",), writes_file=True)
register(
    "rerun",
    "tdnet_runtime.sinks.rerun_file:RerunFileSink",
    extra="rerun",
    params=("frames",),
    writes_file=True,
)
register(
    "rerun+serve",
    "tdnet_runtime.sinks.rerun_viewers:RerunServerSink",
    extra="rerun",
    params=("frames", "memory"),
)
register("foxglove", "tdnet_runtime.sinks.foxglove_view:FoxgloveSink", extra="foxglove", params=("topic",))
register(
    "ros2",
    "tdnet_runtime.sinks.ros2:Ros2Sink",
    extra="cli",
    params=("rmw", "domain", "router", "interface", "datagram", "reliability", "frame_id"),
)
