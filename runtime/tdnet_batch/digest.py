"""The digest of an input, by which a changed one is known whatever its name and times say."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path

from tdnet_runtime.errors import MediaError
from tdnet_runtime.media.frames import reason
from tdnet_runtime.media.images import IMAGE_SUFFIXES, natural_key
from tdnet_runtime.sources.log_folder import is_log

__all__ = ["input_sha256", "input_stamp"]

_CHUNK_BYTES = 1 << 20


def input_sha256(path: Path) -> str:
    """SHA-256 of a file; of a folder, over the names and digests of its files, or of its images in a folder of these.

    Hidden files and folders in it are left out.

    Raises:
        MediaError: it cannot be read, or is neither a file nor a folder.
    """
    with _told(path):
        if not path.is_dir():
            return _file_sha256(path)
        whole = hashlib.sha256()
        for file in _files(path):
            whole.update(f"{_file_sha256(file)}  {file.name}\n".encode("utf-8", "surrogateescape"))
        return whole.hexdigest()


def input_stamp(path: Path) -> str:
    """Of names, sizes and times of the files that `input_sha256` reads, without reading them; it changes with them.

    Raises:
        MediaError: as `input_sha256`.
    """
    with _told(path):
        whole = hashlib.sha256()
        for file in _files(path):
            status = file.stat()
            stamp = (file.name, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
            whole.update(f"{stamp}\n".encode("utf-8", "surrogateescape"))
        return whole.hexdigest()


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    files = [file for file in path.iterdir() if not file.name.startswith(".") and file.is_file()]
    if not is_log(path):
        files = [file for file in files if file.suffix.lower() in IMAGE_SUFFIXES] or files
    return sorted(files, key=lambda file: natural_key(file.name))


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        if path.exists() and not path.is_file() and not path.is_dir():  # a pipe would have us wait
            raise MediaError(f"opening the input: neither a file nor a folder: '{path}'")
        yield
    except OSError as error:
        raise MediaError(f"opening the input: {reason(error)}: '{error.filename or path}'") from error


def _file_sha256(path: Path) -> str:
    digest = hashlib.sha256()
    buffer = memoryview(bytearray(_CHUNK_BYTES))
    with path.open("rb", buffering=0) as file:
        while size := file.readinto(buffer):
            digest.update(buffer[:size])
    return digest.hexdigest()
