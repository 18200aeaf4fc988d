"""The first 28 bytes of an engine."""

import struct

import pytest

from tdnet_runtime.engine_header import HEADER_BYTES, EngineHeader, parse_engine_header
from tdnet_runtime.errors import BackendError


def header(magic: bytes, *version: int, kind: int = 0) -> bytes:
    return magic + struct.pack("<LQQ", kind, 2, 5_100_260) + bytes(version)


def test_both_products() -> None:
    tensorrt = parse_engine_header(header(b"ftrt", 10, 3, 0, 26) + b"the rest")
    assert tensorrt == EngineHeader("tensorrt", "10.3.0.26")
    assert str(tensorrt) == "TensorRT 10.3.0.26"
    # As TensorRT-RTX 1.7.1.116 wrote it.
    rtx = parse_engine_header(bytes.fromhex("76747274000000000200000000000000e4d24d000000000001070174"))
    assert str(rtx) == "TensorRT-RTX 1.7.1.116"


@pytest.mark.parametrize("length", [0, 4, HEADER_BYTES - 1])
def test_truncated(length: int) -> None:
    with pytest.raises(BackendError, match=f"ends after {length} bytes, its header alone has 28"):
        parse_engine_header(header(b"ftrt", 10, 3, 0, 26)[:length])


@pytest.mark.parametrize(
    "data",
    [
        header(b"ptrt", 8, 0, 0, 1),
        header(b"ftrt", 10, 3, 0, 26, kind=1),
        bytes(28),
        b"PK\x03\x04" + bytes(24),
    ],
)
def test_neither_product(data: bytes) -> None:
    with pytest.raises(BackendError, match="expected one of TensorRT"):
        parse_engine_header(data)


@pytest.mark.parametrize(
    ("version", "same"),
    [
        ("10.3.0.26", True),
        ("10.3.0", True),  # Debian's packages leave out the build number
        ("10.3.0.post1", True),
        ("10.3.0.282", True),  # 26 modulo 256
        ("10.3.0.27", False),
        ("10.3.1", False),
        ("11.3.0.26", False),
        ("10.3", False),
        ("", False),
    ],
)
def test_which_version_wrote_it(version: str, same: bool) -> None:
    assert EngineHeader("tensorrt", "10.3.0.26").built_by(version) is same
