"""Messages that rosbag2 compressed one by one (`compression_mode: MESSAGE`)."""

from __future__ import annotations

from tdnet_runtime.extras import require

__all__ = ["DamagedMessageError", "unpacked_message"]

_ZSTD = b"\x28\xb5\x2f\xfd"  # CDR begins with a zero
_LARGEST_BYTES = 1 << 30


class DamagedMessageError(Exception):
    """A message does not unpack."""


def unpacked_message(data: bytes) -> bytes:
    """The message's own bytes, which are `data` where it is not compressed.

    Raises:
        DamagedMessageError: it does not unpack.
        MissingExtraError: it is compressed, and the package for that is missing.
    """
    if not data.startswith(_ZSTD):
        return data
    zstandard = require("zstandard", extra="mcap")
    try:
        if zstandard.frame_content_size(data) > _LARGEST_BYTES:
            raise DamagedMessageError("it claims more than 1 GiB")
        unpacked: bytes = zstandard.ZstdDecompressor().decompress(data, max_output_size=_LARGEST_BYTES)
    except zstandard.ZstdError as error:
        raise DamagedMessageError(f"it does not unpack: {error}") from error
    return unpacked
