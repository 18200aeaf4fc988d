"""The orientation mark (tag 274) of JPEG, PNG, WebP and TIFF files.

OpenCV 4.8 to 5.0 turn TIFFs even where they are told not to, WebPs only from 4.13 on, and never say what
they did. So the mark is read here, and OpenCV is given pictures that it leaves as they are stored. Of TIFFs it also gives
colours that are darkened by their alpha, where a mark says that they are not yet (2 of tag 338).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from tdnet_runtime.media.orientation import Orientation

__all__ = ["is_cut_jpeg", "jpeg_frame", "jpeg_segments", "orientation_and_unmarked", "png_chunks"]

_ORIENTATION_TAG, _EXTRA_SAMPLES_TAG = 274, 338
_PREMULTIPLIED, _STRAIGHT = 1, 2
_FORMATS = {1: "B", 3: "H", 4: "I"}  # BYTE, SHORT, LONG
_JPEG, _PNG = b"\xff\xd8", b"\x89PNG\r\n\x1a\n"
_TIFF = {b"II*\0": "<", b"MM\0*": ">", b"II+\0": "<", b"MM\0+": ">"}
_EXIF = b"Exif\0"
_APP1, _SOS, _EOI = 0xE1, 0xDA, 0xD9
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_BARE_MARKERS = (0x01, *range(0xD0, 0xD9))


def orientation_and_unmarked(data: bytes) -> tuple[Orientation, bytes]:
    """The mark of an image file, and the file's bytes so that OpenCV leaves its pixels as they are.

    Without a mark, with one that is no number from 1 to 8, or damaged before it: as stored, as viewers do.

    Args:
        data: the whole file. A TIFF with a mark is copied, to be given one that says `as stored`.
    """
    if data[:4] in _TIFF:
        return _of_tiff(data)
    for block in _exif_blocks(data):
        found = _tiff_mark(block, _ORIENTATION_TAG)
        if found is not None:
            return _orientation(found[0]), data
    return Orientation.AS_STORED, data


def _of_tiff(data: bytes) -> tuple[Orientation, bytes]:
    number: int = Orientation.AS_STORED
    unmarked = bytearray()
    turned, extra = (_tiff_mark(data, tag) for tag in (_ORIENTATION_TAG, _EXTRA_SAMPLES_TAG))
    if (
        turned is not None and turned[0] != Orientation.AS_STORED
    ):  # libtiff complains of one that means nothing
        number, place, form = turned
        unmarked = bytearray(data)
        struct.pack_into(form, unmarked, place, Orientation.AS_STORED)
    if extra is not None and extra[0] == _STRAIGHT:
        unmarked = unmarked or bytearray(data)
        struct.pack_into(extra[2], unmarked, extra[1], _PREMULTIPLIED)
    return _orientation(number), bytes(unmarked) or data


def is_cut_jpeg(data: bytes) -> bool:
    """A JPEG whose picture has no end; OpenCV before 4.13 gives what there is of it and does not say so."""
    if not data.startswith(_JPEG):
        return False
    scan = next((start for marker, start, _ in jpeg_segments(data) if marker == _SOS), None)
    return scan is None or data.find(bytes((0xFF, _EOI)), scan) < 0


def _exif_blocks(data: bytes) -> Iterator[bytes]:
    """The EXIF data of a JPEG, PNG or WebP, each from its TIFF header on."""
    if data.startswith(_JPEG):
        blocks = (
            data[start:end]
            for marker, start, end in jpeg_segments(data)
            if marker == _APP1 and data.startswith(_EXIF, start)
        )
    elif data.startswith(_PNG):
        blocks = (data[start:end] for kind, start, end in png_chunks(data) if kind == b"eXIf")
    elif data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        blocks = (data[start:end] for kind, start, end in _riff_chunks(data) if kind == b"EXIF")
    else:
        return
    for block in blocks:
        yield block[6:] if block.startswith(_EXIF) else block


def jpeg_segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """(marker, start, end) of each segment's content, up to the first scan."""
    place = 2
    while place + 4 <= len(data) and data[place] == 0xFF:
        marker = data[place + 1]
        if marker == 0xFF:  # filling
            place += 1
        elif marker in _BARE_MARKERS:
            place += 2
        elif marker == _EOI:
            return
        else:
            end = place + 2 + int.from_bytes(data[place + 2 : place + 4], "big")
            yield marker, place + 4, end
            if marker == _SOS or end < place + 4:
                return
            place = end


def jpeg_frame(data: bytes) -> tuple[int, int, int, int] | None:
    """(marker, height, width, channels) by the head of a JPEG; None where it has no such head."""
    start = next((start for marker, start, _ in jpeg_segments(data) if marker in _FRAMES), len(data))
    if not data.startswith(_JPEG) or start + 6 > len(data):
        return None
    return data[start - 3], *struct.unpack_from(">HHB", data, start + 1)


def png_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """(kind, start, end) of the content of each chunk of a PNG, up to its end; what is behind that is not the PNG's."""
    place, kind = len(_PNG), b""
    while place + 8 <= len(data) and kind != b"IEND":
        kind, end = data[place + 4 : place + 8], place + 8 + int.from_bytes(data[place : place + 4], "big")
        yield kind, place + 8, end
        place = end + 4


def _riff_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    place = 12
    while place + 8 <= len(data):
        end = place + 8 + int.from_bytes(data[place + 4 : place + 8], "little")
        yield data[place : place + 4], place + 8, end
        place = end + end % 2


def _orientation(number: int) -> Orientation:
    return Orientation(number) if 1 <= number <= len(Orientation) else Orientation.AS_STORED


def _tiff_mark(data: bytes, wanted: int) -> tuple[int, int, str] | None:
    """The number of a tag in the first directory, where it lies and its `struct` format; None without one."""
    order = _TIFF.get(data[:4])
    if order is None:
        return None
    big = data[2:4] in (b"+\0", b"\0+")
    count_form, entry_bytes, value_offset = ("Q", 20, 12) if big else ("H", 12, 8)
    try:
        (directory,) = struct.unpack_from(order + "Q" if big else order + "I", data, 8 if big else 4)
        (count,) = struct.unpack_from(order + count_form, data, directory)
        first = directory + struct.calcsize(count_form)
        for entry in range(first, min(first + count * entry_bytes, len(data)), entry_bytes):
            tag, kind = struct.unpack_from(order + "HH", data, entry)
            if tag == wanted and kind in _FORMATS:
                form, place = order + _FORMATS[kind], entry + value_offset
                (value,) = struct.unpack_from(form, data, place)
                return value, place, form
    except (struct.error, OverflowError):
        pass
    return None
