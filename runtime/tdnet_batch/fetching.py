"""An input as a file or folder of the machine that reads it."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tdnet_batch.inputs import BatchInput
from tdnet_batch.places import file_system
from tdnet_runtime.errors import MediaError, TdnetError
from tdnet_runtime.extras import one_line
from tdnet_runtime.sources.source_url import hide_password
from tdnet_runtime.temporary_folder import temporary_folder

__all__ = ["key_of", "local_copy"]

_WEB = re.compile(r"\bhttps?://")
_VALIDATORS = ("ETag", "Content-MD5", "Digest")  # of HTTP; times are of whole seconds


def key_of(video: BatchInput) -> str | None:
    """What its file system says of it (size, time, checksum), in one word; None for a file or folder of this machine.

    None as well where a web server says nothing by which any change would show: then it is to be fetched.

    Raises:
        MediaError: it is not there any more, or the file system does not answer.
    """
    if not video.remote:
        return None
    with _answers(video):
        fs, path = file_system(video.path)
        paths = sorted(fs.find(path, maxdepth=1)) if fs.isdir(path) else [path]
        keys = [_key(fs, each, web=_WEB.search(video.path) is not None) for each in paths]
        return None if None in keys else " ".join(map(str, keys))


@contextlib.contextmanager
def local_copy(video: BatchInput) -> Iterator[Path]:
    """The path of an input; what lies elsewhere is fetched into a temporary folder (`TMPDIR`), and goes with the block.

    Raises:
        MediaError: it cannot be fetched.
    """
    if not video.remote:
        yield Path(video.path)
        return
    with contextlib.ExitStack() as stack:
        try:
            folder = stack.enter_context(temporary_folder("tdnet-batch-"))
        except OSError as error:
            raise MediaError(f"fetching {video.shown!r}: {error.strerror or error}") from error
        with _answers(video):
            fs, path = file_system(video.path)
            copy = folder / (path.rstrip("/").rpartition("/")[2] or "input")
            if fs.isdir(path):
                copy.mkdir()
                for each in fs.find(path, maxdepth=1):
                    fs.get_file(each, str(copy / each.rpartition("/")[2]))
            else:
                fs.get_file(path, str(copy))
        yield copy


def _key(fs: Any, path: str, *, web: bool) -> str | None:
    """Of one file. fsspec takes files of the web for such as never change, and makes a key of their address alone."""
    if not web:
        return str(fs.ukey(path))
    info = fs.info(path)
    found = [str(info[name]) for name in _VALIDATORS if info.get(name)]
    strong = [value for value in found if not value.startswith("W/")]
    return "|".join([str(info["size"]), *strong]) if strong else None


@contextlib.contextmanager
def _answers(video: BatchInput) -> Iterator[None]:
    try:
        yield
    except TdnetError:
        raise
    except Exception as error:  # each kind of file system has its own
        why = hide_password(one_line(str(error))) or type(error).__name__
        raise MediaError(f"fetching {hide_password(video.shown)!r}: {why}") from error
