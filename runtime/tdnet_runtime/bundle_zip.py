"""The outside of a bundle: is this file an uncompressed zip whose members may be read at all?

Python's zipfile reads the directory; it was not made for hostile files and raises
whatever goes wrong inside it. Everything it raises is translated here; members are read without it.
"""

from __future__ import annotations

import stat
import struct
import zipfile
import zlib
from io import BufferedReader
from pathlib import Path

from tdnet_runtime.errors import BundleError, BundleFormatError
from tdnet_runtime.member_names import MANIFEST_NAME, check_member_names

__all__ = ["data_offset", "open_file", "read_directory", "read_manifest"]

_MAX_MANIFEST_BYTES = 16 << 20
_MAX_DIRECTORY_BYTES = 16 << 20  # about 200,000 members; zipfile holds all of it in memory
_LOCAL_MAGIC = b"PK\x03\x04"
_LOCAL = struct.Struct("<4s22xHH")  # then the name and an extra field of these lengths
_END = struct.Struct("<4s8xLL2x")  # size and offset of the directory
_END64 = struct.Struct("<4s36xQQ")
_LOCATOR64 = struct.Struct("<4s4xQ4x")
_ENCRYPTED = 0x1 | 0x40 | 0x2000

_LOOKS_LIKE = (
    ((b"ftrt", b"ptrt", b"vtrt"), "a TensorRT engine"),
    ((b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"), "a Python pickle, perhaps a PyTorch checkpoint"),
    ((b"version https://git-lfs",), "a Git LFS pointer, whose file was never fetched"),
    ((b"<!DOCTYPE", b"<!doctype", b"<html", b"<?xml"), "a web page, perhaps a download's error message"),
    ((b"{",), "a JSON file"),
    ((b"\x1f\x8b",), "a gzip file"),
    ((b"7z\xbc\xaf", b"Rar!", b"\xfd7zXZ"), "an archive of another kind than zip"),
)
_MAKE_ONE = "make a bundle from a checkpoint with tdnet-export"
_COPY_AGAIN = "copy it again, or export it again"


def open_file(path: Path) -> BufferedReader:
    """The regular file at `path`, open for reading.

    Raises:
        BundleError: there is none, or it may not be read.
    """
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise BundleError(f"this is a folder, expected a bundle (one *.plan file): {str(path)!r}")
        if not stat.S_ISREG(mode):
            raise BundleError(f"this is a device or pipe, expected a bundle (one *.plan file): {str(path)!r}")
        return path.open("rb")
    except (FileNotFoundError, NotADirectoryError) as error:
        raise BundleError(
            f"there is no such bundle; check the path, or {_MAKE_ONE}: {str(path)!r}"
        ) from error
    except PermissionError as error:
        raise BundleError(
            f"the bundle may not be read; change its permissions or its owner: {str(path)!r}"
        ) from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = getattr(error, "strerror", None) or error
        raise BundleError(f"the bundle cannot be opened: {reason}; check the path: {str(path)!r}") from error


def read_directory(file: BufferedReader, path: Path) -> dict[str, zipfile.ZipInfo]:
    """The zip's members by name, the manifest among them, each one stored, plain and inside the file.

    Raises:
        BundleFormatError: not a zip, not whole, not a bundle, or a member that must not be read.
    """
    size = file.seek(0, 2)
    if size == 0:
        raise BundleFormatError(f"the bundle is an empty file; {_COPY_AGAIN}: {str(path)!r}")
    file.seek(0)
    start = file.read(32)
    if not start.startswith(_LOCAL_MAGIC):
        raise BundleFormatError(
            f"this is not a TDNet bundle but {_description(start)}; {_MAKE_ONE}: {str(path)!r}"
        )
    if not _has_sound_end(file, size):
        raise BundleFormatError(
            f"the bundle is truncated, or something was appended to it; {_COPY_AGAIN}: {str(path)!r}"
        )
    entries = _entries(file, path)
    names = [entry.orig_filename for entry in entries]  # `filename` ends at the first NUL
    if any(name.rpartition("/")[2] == "data.pkl" for name in names):
        raise BundleFormatError(
            f"this is not a TDNet bundle but a PyTorch checkpoint; {_MAKE_ONE}: {str(path)!r}"
        )
    if MANIFEST_NAME not in names:
        raise BundleFormatError(
            f"this is a zip without a {MANIFEST_NAME}, no TDNet bundle; {_MAKE_ONE}: {str(path)!r}"
        )
    _check_entries(entries, size, path)
    return dict(zip(names, entries, strict=True))


def read_manifest(file: BufferedReader, entry: zipfile.ZipInfo, path: Path) -> bytes:
    """The manifest's bytes, whose checksum was compared: nothing else says that they are undamaged.

    Raises:
        BundleFormatError: damaged, or absurdly large.
    """
    if entry.file_size > _MAX_MANIFEST_BYTES:
        raise BundleFormatError(
            f"{MANIFEST_NAME} has {entry.file_size} bytes, expected at most {_MAX_MANIFEST_BYTES}; "
            f"export the bundle again: {str(path)!r}"
        )
    file.seek(data_offset(file, entry, path))
    data = file.read(entry.file_size)
    if len(data) != entry.file_size or zlib.crc32(data) != entry.CRC:
        raise BundleFormatError(f"{MANIFEST_NAME} is damaged: wrong checksum; {_COPY_AGAIN}: {str(path)!r}")
    return data


def data_offset(file: BufferedReader, entry: zipfile.ZipInfo, path: Path) -> int:
    """Where the bytes of a stored member start.

    Raises:
        BundleFormatError: the member's own header contradicts the directory.
    """
    file.seek(entry.header_offset)
    header = file.read(_LOCAL.size)
    if len(header) == _LOCAL.size:
        magic, name_length, extra_length = _LOCAL.unpack(header)
        if magic == _LOCAL_MAGIC and file.read(name_length) == entry.orig_filename.encode():
            return entry.header_offset + _LOCAL.size + int(name_length) + int(extra_length)
    name = entry.orig_filename
    raise BundleFormatError(f"the header of member {name!r} is damaged; {_COPY_AGAIN}: {str(path)!r}")


def _entries(file: BufferedReader, path: Path) -> list[zipfile.ZipInfo]:
    try:
        with zipfile.ZipFile(file) as archive:
            return archive.infolist()
    # zipfile promises BadZipFile; damaged files were seen to give NotImplementedError, RuntimeError,
    # struct.error, EOFError, ValueError, UnicodeDecodeError and OSError too.
    except Exception as error:
        reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        raise BundleFormatError(
            f"the bundle is damaged: its directory cannot be read ({reason}); {_COPY_AGAIN}: {str(path)!r}"
        ) from error


def _description(start: bytes) -> str:
    for magics, description in _LOOKS_LIKE:
        if start.startswith(magics):
            return description
    # Protobuf: field 1 is the IR version, then the opset or the producer's name follows.
    if len(start) > 2 and start[0] == 0x08 and 1 <= start[1] <= 32 and start[2] in (0x12, 0x1A, 0x3A, 0x42):
        return "an ONNX graph"
    return f"a file that starts with {start[:8]!r}, no zip"


def _has_sound_end(file: BufferedReader, size: int) -> bool:
    """Whether the end records close the file, right after a directory of sensible size."""
    length = min(size, _END64.size + _LOCATOR64.size + _END.size)
    file.seek(size - length)
    tail = file.read(length)
    if len(tail) != length or length < _END.size or not tail.endswith(b"\0\0"):  # no comment after it
        return False
    magic, directory_size, offset = _END.unpack(tail[-_END.size :])
    if magic != b"PK\x05\x06":
        return False
    end_of_directory = size - _END.size
    locator = tail[-_END.size - _LOCATOR64.size : -_END.size]
    if locator.startswith(b"PK\x06\x07"):
        end_of_directory = size - _END64.size - _LOCATOR64.size - _END.size
        if _LOCATOR64.unpack(locator)[1] != end_of_directory:
            return False
        magic, directory_size, offset = _END64.unpack(tail[: _END64.size])
        if magic != b"PK\x06\x06":
            return False
    return bool(directory_size <= _MAX_DIRECTORY_BYTES and offset + directory_size == end_of_directory)


def _check_entries(entries: list[zipfile.ZipInfo], size: int, path: Path) -> None:
    """Raise BundleFormatError at the first member that must not be read."""
    try:
        check_member_names(entry.orig_filename for entry in entries)
    except ValueError as error:
        raise BundleFormatError(
            f"unsafe bundle: {error}; do not use it, export it again: {str(path)!r}"
        ) from error
    seen: set[str] = set()
    for entry in entries:
        name = entry.orig_filename
        wrong = None
        if name in seen:
            wrong = "is there twice, expected once"
        elif entry.flag_bits & _ENCRYPTED:
            wrong = "is encrypted, expected plain"
        elif entry.compress_type != zipfile.ZIP_STORED:
            wrong = "is compressed, expected stored (zip -0)"
        elif entry.compress_size != entry.file_size:
            wrong = f"has the two sizes {entry.compress_size} and {entry.file_size}, expected one"
        elif not 0 <= entry.header_offset <= size or entry.file_size > size - entry.header_offset:
            wrong = f"claims {entry.file_size} bytes at {entry.header_offset}, but the file has {size}"
        if wrong:
            raise BundleFormatError(f"member {name!r} {wrong}; export the bundle again: {str(path)!r}")
        seen.add(name)
    total = sum(entry.file_size for entry in entries)
    if total > size:
        raise BundleFormatError(
            f"the members claim {total} bytes together, but the file has {size}; {_COPY_AGAIN}: {str(path)!r}"
        )
