"""An input as a file or folder of the machine that reads it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fsspec.archive import AbstractArchiveFileSystem
from fsspec.implementations.cached import CachingFileSystem
from fsspec.spec import AbstractFileSystem

from tdnet_batch.inputs import BatchInput
from tdnet_batch.places import file_system
from tdnet_runtime.errors import MediaError, TdnetError
from tdnet_runtime.extras import one_line
from tdnet_runtime.passwords import hide_password, without_login
from tdnet_runtime.temporary_folder import temporary_folder

__all__ = ["key_of", "local_copy"]

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
        if fs.isdir(path):
            return _key(fs, sorted(fs.find(path, maxdepth=1)), video.path, named=True)
        return _key(fs, [path], video.path, named=False)


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


def _key(fs: Any, paths: list[str], address: str, *, named: bool) -> str | None:
    """Of files, with their names or without. For fsspec itself, those of the web and in archives never change."""
    while isinstance(fs, CachingFileSystem):
        fs, address = fs.fs, address.partition("::")[2]
    if isinstance(fs, AbstractArchiveFileSystem):
        keys = [_checksum(fs.info(each)) for each in paths]
        if None in keys:
            address = address.partition("::")[2]
            fs, path = file_system(address)
            return _key(fs, [path], address, named=False)
    elif _is_web(fs):
        keys = [_validators(fs.info(each)) for each in paths]
    else:
        return " ".join(str(fs.ukey(each)) for each in paths)
    if named:
        keys = [
            key and f"{without_login(each).rpartition('/')[2]}|{key}"
            for each, key in zip(paths, keys, strict=True)
        ]
    return None if None in keys else " ".join(map(str, keys))


def _checksum(info: Mapping[str, Any]) -> str | None:
    """Of an archive that has one of each file, as ZIP."""
    return f"{info['size']}|{info['CRC']}" if "CRC" in info else None


def _validators(info: Mapping[str, Any]) -> str | None:
    found = [str(info[name]) for name in _VALIDATORS if info.get(name)]
    strong = [value for value in found if not value.startswith("W/")]
    return "|".join([str(info["size"]), *strong]) if strong else None


def _is_web(fs: Any) -> bool:
    """Below a folder that is taken for a file system as well."""
    while isinstance(getattr(fs, "fs", None), AbstractFileSystem):
        fs = fs.fs
    return "https" in fs.protocol


@contextlib.contextmanager
def _answers(video: BatchInput) -> Iterator[None]:
    try:
        yield
    except TdnetError:
        raise
    except Exception as error:  # each kind of file system has its own
        why = hide_password(one_line(str(error))) or type(error).__name__
        raise MediaError(f"fetching {hide_password(video.shown)!r}: {why}") from error
