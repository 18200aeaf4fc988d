"""Which source a URL names: one table, one line for each kind, whose module is imported when it is asked for.

A new source touches this table and its own module. Its class or function is called with a `SourceUrl` and the
`SourceOptions` of the run, and gives a `FrameSource` whose first frame has been decoded.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, cast

from tdnet_runtime.errors import MediaError, OptionError
from tdnet_runtime.extras import require
from tdnet_runtime.media.camera_name import camera_from_name
from tdnet_runtime.media.damage import OnDamage
from tdnet_runtime.media.frames import FrameSource
from tdnet_runtime.passwords import hide_password
from tdnet_runtime.sources.log_folder import is_log
from tdnet_runtime.sources.source_url import SourceUrl, scheme_of

if TYPE_CHECKING:
    from tdnet_runtime.media.camera import CameraRequest  # which imports OpenCV

__all__ = ["SourceEntry", "SourceOptions", "entries", "is_live", "open_source", "register", "schemes"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceOptions:
    """What a run asks of its source, whatever that is.

    Attributes:
        on_damage: what becomes of damaged frames.
        bit_depth: of images' 16-bit samples; None to detect it.
        camera: what a camera is asked to give; None for what it gives unasked.
    """

    on_damage: OnDamage = OnDamage.SKIP
    bit_depth: int | None = None
    camera: CameraRequest | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceEntry:
    """One line of the table.

    Attributes:
        opener: "package.module:name".
        extra: of setup.cfg, that installs what the module imports.
        params: names that may follow `?`; None: the address goes to a library as it is.
        live: see `FrameSource`; of plain paths that lead to files.
    """

    opener: str
    extra: str
    params: frozenset[str] | None
    live: bool

    def open(self, url: SourceUrl, options: SourceOptions) -> FrameSource:
        """Import the module and open the source.

        Raises:
            MissingExtraError: a package of the extra is missing.
            MediaError: there is nothing to read, or it cannot be read.
        """
        module, _, name = self.opener.partition(":")
        opener = cast(
            Callable[[SourceUrl, SourceOptions], FrameSource],
            getattr(require(module, extra=self.extra), name),
        )
        return opener(url, options)


_MEDIA = "tdnet_runtime.sources.media_files:open_media"
_TABLE: dict[str, SourceEntry] = {}


def register(
    scheme: str, opener: str, *, extra: str, params: tuple[str, ...] | None = (), live: bool = False
) -> None:
    """Add a kind of source, or replace one, such as `register("lidar", "my_robot.lidar:LidarSource", extra="cli")`.

    Args:
        scheme: before the colon of its URLs.
        opener: see `SourceEntry`, as are the others.
        extra: where a package is missing.
        params: names that may follow `?`; None: the address goes to a library as it is.
        live: its frames come by the clock.
    """
    names = None if params is None else frozenset(params)
    _TABLE[scheme] = SourceEntry(opener=opener, extra=extra, params=names, live=live)


def entries() -> Mapping[str, SourceEntry]:
    """The table, by scheme; not to be changed."""
    return MappingProxyType(_TABLE)


def schemes() -> list[str]:
    """The schemes that can be opened, sorted; `file` and `camera` stand for plain paths as well."""
    return sorted(_TABLE)


def is_live(spec: str | os.PathLike[str]) -> bool:
    """Whether frames of what `spec` names come by the clock, without opening it: it may be absent as yet.

    Raises:
        MediaError: nothing of that kind is opened.
    """
    entry = _entry(os.fspath(spec))
    return entry.live or (entry.opener == _MEDIA and camera_from_name(os.fspath(spec)) is not None)


def open_source(
    spec: str | os.PathLike[str],
    *,
    on_damage: OnDamage = OnDamage.SKIP,
    bit_depth: int | None = None,
    camera: CameraRequest | None = None,
) -> FrameSource:
    """Open what `spec` names; the first frame has been decoded when this returns.

    Args:
        spec: a path of a video, a folder of images, a log (MCAP, or a rosbag2 folder or `.db3`); a camera (`0`,
            `camera:0`, `/dev/video0`); or a URL whose scheme is one of `schemes()`, such as `rtsp://…` or
            `mcap:drive.mcap?topic=/camera/image_raw`. A path that looks like a URL is written `./…`.
        on_damage: what becomes of damaged frames.
        bit_depth: of images' 16-bit samples; None to detect it.
        camera: what a camera is asked to give; None for what it gives unasked.

    Raises:
        MediaError: nothing there, unreadable, or without a single frame.
        OptionError: an option or parameter for another kind of source.
        MissingExtraError: a package is missing; the message says how to install it.
    """
    text = os.fspath(spec)
    options = SourceOptions(on_damage=on_damage, bit_depth=bit_depth, camera=camera)
    entry = _entry(text)
    if entry.opener != _MEDIA:  # which looks closer at what it opens
        if bit_depth is not None:
            raise OptionError(
                f"--bit-depth goes with a folder of images; leave it out for {hide_password(text)!r}"
            )
        if camera is not None and camera != type(camera)():
            raise OptionError(
                "--camera-size, --camera-format and --camera-fps go with a camera; leave them out for "
                f"{hide_password(text)!r}"
            )
    if scheme_of(text) not in _TABLE and os.path.lexists(text):
        url = SourceUrl(text=text, rest=text)  # whatever characters are in its name
    else:
        url = SourceUrl.parse(text, known=entry.params, plain=scheme_of(text) not in _TABLE)
        if not url.rest.strip():
            raise MediaError(f"opening the input: {text!r} names nothing; is a variable unset?")
    return entry.open(url, options)


def _entry(text: str) -> SourceEntry:
    """The line that `text` means."""
    scheme = scheme_of(text)
    if scheme in _TABLE:
        return _TABLE[scheme]
    if "://" in text and scheme and not os.path.lexists(text):
        raise MediaError(
            f"opening the input: addresses of the kind {scheme}:// are not opened; expected one of "
            f"{', '.join(schemes())}, a file or a folder; or push frames yourself (docs/streaming.md): "
            f"{hide_password(text)!r}"
        )
    return _TABLE["mcap" if _is_log(text) else "file"]


def _is_log(text: str) -> bool:
    """A plain path, perhaps with `?topic=…`, leads to a log."""
    return is_log(Path(text)) or ("?" in text and is_log(Path(text.partition("?")[0])))


register("file", _MEDIA, extra="cli", params=None)
register("camera", _MEDIA, extra="cli", params=None, live=True)
for _scheme in ("rtsp", "rtsps", "http", "https", "udp"):
    register(_scheme, "tdnet_runtime.sources.network:NetworkSource", extra="cli", params=None, live=True)
for _scheme in ("mcap", "rosbag2"):
    register(_scheme, "tdnet_runtime.sources.log_source:LogSource", extra="cli", params=("topic",))
register(
    "ros2",
    "tdnet_runtime.sources.ros2:Ros2Source",
    extra="cli",
    params=("rmw", "domain", "router", "interface", "datagram", "type", "wait", "timeout", "reliability"),
    live=True,
)
