"""The digest of an input, by which a changed one is known whatever its name and times say."""

from __future__ import annotations

import hashlib
from pathlib import Path

from tdnet_runtime.errors import MediaError
from tdnet_runtime.media.frames import reason
from tdnet_runtime.media.images import IMAGE_SUFFIXES, natural_key
from tdnet_runtime.sources.log_folder import is_log

__all__ = ["input_sha256"]

_CHUNK_BYTES = 1 << 20


def input_sha256(path: Path) -> str:
    """SHA-256 of a file; of a folder, over the names and digests of its files, or of its images in a folder of these.

    Hidden files and folders in it are left out.

    Raises:
        MediaError: it cannot be read, or is neither a file nor a folder.
    """
    try:
        if not path.is_dir():
            if path.exists() and not path.is_file():  # a pipe would have us wait
                raise MediaError(f"opening the input: neither a file nor a folder: '{path}'")
            return _file_sha256(path)
        whole = hashlib.sha256()
        files = [file for file in path.iterdir() if not file.name.startswith(".") and file.is_file()]
        if not is_log(path):
            files = [file for file in files if file.suffix.lower() in IMAGE_SUFFIXES] or files
        for file in sorted(files, key=lambda file: natural_key(file.name)):
            whole.update(f"{_file_sha256(file)}  {file.name}\n".encode("utf-8", "surrogateescape"))
        return whole.hexdigest()
    except OSError as error:
        raise MediaError(f"opening the input: {reason(error)}: '{error.filename or path}'") from error


def _file_sha256(path: Path) -> str:
    digest = hashlib.sha256()
    buffer = memoryview(bytearray(_CHUNK_BYTES))
    with path.open("rb", buffering=0) as file:
        while size := file.readinto(buffer):
            digest.update(buffer[:size])
    return digest.hexdigest()
