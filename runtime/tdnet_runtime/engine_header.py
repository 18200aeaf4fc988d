"""What an engine's first bytes say about its builder, without deserialising it.

Both products start a serialised engine in the same way: four letters of their own, a u32 that is 0
(the header's own version), and in the bytes 24 to 27 major, minor, patch and build number, each modulo
256. TensorRT's is documented by `trtexec --getPlanVersionOnly`, TensorRT-RTX's was read from engines.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from tdnet_runtime.errors import BackendError

__all__ = ["HEADER_BYTES", "PRODUCTS", "EngineHeader", "parse_engine_header"]

HEADER_BYTES = 28
PRODUCTS = {"tensorrt": "TensorRT", "tensorrt-rtx": "TensorRT-RTX"}
"""What a backend's product is called, by backend."""
_TOO_LONG = 10  # digits; Python makes no number of thousands of them
_MAGIC = {b"ftrt": "tensorrt", b"vtrt": "tensorrt-rtx"}


@dataclass(frozen=True, slots=True)
class EngineHeader:
    """Who built an engine.

    Attributes:
        product: the backend that runs it, `tensorrt` or `tensorrt-rtx`.
        version: four numbers, `10.3.0.26`, each modulo 256.
    """

    product: str
    version: str

    def built_by(self, version: str) -> bool:
        """True where the product's version `version` writes this header; 3 numbers of it are enough (10.3.0)."""
        parts = list(itertools.takewhile(str.isdecimal, version.split(".")[:4]))
        return (
            len(parts) >= 3
            and max(map(len, parts)) < _TOO_LONG
            and [str(int(part) % 256) for part in parts] == self.version.split(".")[: len(parts)]
        )

    def __str__(self) -> str:
        return f"{PRODUCTS[self.product]} {self.version}"


def parse_engine_header(head: bytes) -> EngineHeader:
    """Read the header of a serialised engine.

    Args:
        head: at least the first `HEADER_BYTES` bytes of it.

    Raises:
        BackendError: too short, or of neither product.
    """
    if len(head) < HEADER_BYTES:
        raise BackendError(
            f"the engine ends after {len(head)} bytes, its header alone has {HEADER_BYTES}: it was cut off"
        )
    product = _MAGIC.get(bytes(head[:4]))
    if product is None or any(head[4:8]):
        raise BackendError(
            f"the engine starts with {bytes(head[:8])!r}, expected one of TensorRT (b'ftrt') or TensorRT-RTX "
            "(b'vtrt'): it is damaged, or of a version that is not known here"
        )
    return EngineHeader(product, ".".join(str(byte) for byte in head[24:28]))
