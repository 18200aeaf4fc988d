"""Videos, folders of images and cameras, as the registry opens them."""

from __future__ import annotations

from tdnet_runtime.extras import require
from tdnet_runtime.media import sources
from tdnet_runtime.media.frames import FrameSource
from tdnet_runtime.sources.registry import SourceOptions
from tdnet_runtime.sources.source_url import SourceUrl

__all__ = ["open_media"]


def open_media(url: SourceUrl, options: SourceOptions) -> FrameSource:
    """See `tdnet_runtime.media.sources.open_source`; `file:PATH` is PATH, and `file:0` no camera.

    Raises:
        MissingExtraError: it is a video, and PyAV is not installed.
    """
    try:
        return sources.open_source(
            _path(url.rest) if url.scheme == "file" else url.text,
            on_damage=options.on_damage,
            bit_depth=options.bit_depth,
            camera=options.camera,
        )
    except ImportError as error:
        require(error.name or "av", extra="cli")
        raise


def _path(rest: str) -> str:
    """The path of a file, which `0` alone would not be."""
    return rest if rest.startswith("/") else f"./{rest}"
