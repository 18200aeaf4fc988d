"""Image files with an orientation mark, by every way that there is to write one."""

import struct
import zlib

import cv2
import numpy as np


def exif(number, *, order="<", kind=3):
    """A TIFF header with one entry, tag 274."""
    value = struct.pack(order + {1: "B3x", 3: "H2x", 4: "I"}[kind], number)
    return (
        {"<": b"II*\0", ">": b"MM\0*"}[order]
        + struct.pack(order + "IH", 8, 2)
        + struct.pack(order + "HHIHH", 256, 3, 1, 9, 0)  # another tag before it
        + struct.pack(order + "HHI", 274, kind, 1)
        + value
        + bytes(4)
    )


def encoded(suffix, image, *parameters):
    ok, data = cv2.imencode(suffix, image[..., ::-1], list(parameters))
    assert ok
    return data.tobytes()


def jpeg(image, block, *, after=b""):
    """`after`: segments between the start and the EXIF segment."""
    data = encoded(".jpg", image, cv2.IMWRITE_JPEG_QUALITY, 100)
    payload = b"Exif\0\0" + block
    return data[:2] + after + b"\xff\xe1" + struct.pack(">H", len(payload) + 2) + payload + data[2:]


def segment(marker, payload):
    return b"\xff" + bytes((marker,)) + struct.pack(">H", len(payload) + 2) + payload


def png_chunk(kind, payload):
    return struct.pack(">I", len(payload)) + kind + payload + struct.pack(">I", zlib.crc32(kind + payload))


def png(image, block, *, last=False):
    """`last`: the mark comes after the pixels."""
    data = encoded(".png", image)
    place = len(data) - 12 if last else 33
    return data[:place] + png_chunk(b"eXIf", block) + data[place:]


def webp(image, block):
    """The extended form, lossless."""
    data = encoded(".webp", image, cv2.IMWRITE_WEBP_QUALITY, 101)
    height, width = image.shape[:2]
    size = struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]
    extended = b"VP8X" + struct.pack("<I", 10) + bytes((8, 0, 0, 0)) + size
    chunk = b"EXIF" + struct.pack("<I", len(block)) + block + b"\0" * (len(block) % 2)
    picture = data[data.index(b"VP8L") :]
    picture = picture[: 8 + int.from_bytes(picture[4:8], "little")]
    body = b"WEBP" + extended + picture + b"\0" * (len(picture) % 2) + chunk
    return b"RIFF" + struct.pack("<I", len(body)) + body


def tiff(image, number, *, order="<", big=False):
    """Uncompressed, one strip, uint8 or uint16 RGB, or RGB and a sample that is not explained."""
    height, width, channels = image.shape
    data = image.astype(image.dtype.newbyteorder(order)).tobytes()
    bits = image.dtype.itemsize * 8
    start = 16 if big else 8
    entries = {
        256: (3, 1, width),
        257: (3, 1, height),
        258: (3, channels, None),
        259: (3, 1, 1),
        262: (3, 1, 2),
    }
    entries |= {273: (4, 1, None), 274: (3, 1, number), 277: (3, 1, channels), 278: (3, 1, height)}
    entries |= {279: (4, 1, len(data))}
    if channels > 3:
        entries |= {338: (3, 1, 0)}
    entry, word, count = (20, "Q", "Q") if big else (12, "I", "H")
    end = start + struct.calcsize("<" + count) + entry * len(entries) + struct.calcsize("<" + word)
    out = {"<": b"II", ">": b"MM"}[order]
    out += struct.pack(order + "HHHQ", 43, 8, 0, start) if big else struct.pack(order + "HI", 42, start)
    out += struct.pack(order + count, len(entries))
    depths = struct.pack(order + "4H", *[bits] * 4)
    for tag, (kind, number_of, value) in sorted(entries.items()):
        out += struct.pack(order + "HH" + word, tag, kind, number_of)
        if tag == 258:
            field = depths[: 2 * channels] if big else struct.pack(order + "I", end)
        elif kind == 3:
            field = struct.pack(order + "H", value)
        else:
            field = struct.pack(order + "I", end + 8 if tag == 273 else value)
        out += field.ljust(8 if big else 4, b"\0")
    out += struct.pack(order + word, 0)
    return out + depths.ljust(8, b"\0") + data


def stored(orientation, upright):
    """`upright` as a camera with that mark stores it."""
    return np.ascontiguousarray(orientation.inverse.apply(upright))
