"""Files in safetensors' format: 8 bytes of length, a header in JSON, and the tensors' bytes."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import torch

from tdnet_runtime.errors import CheckpointError

__all__ = ["is_safetensors", "read_safetensors"]

_LARGEST_HEADER = 100_000_000  # bytes; the format's own limit
_ODD = {
    "U16": "uint16",
    "U32": "uint32",
    "U64": "uint64",
    "C64": "complex64",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
    "F8_E8M0": "float8_e8m0fnu",
    "F8_E4M3FNUZ": "float8_e4m3fnuz",
    "F8_E5M2FNUZ": "float8_e5m2fnuz",
}
"""By PyTorch's names, which not every version has: nothing but what lies beside the weights is expected in them."""
_DTYPES: dict[str, torch.dtype] = {
    name: getattr(torch, dtype) for name, dtype in _ODD.items() if hasattr(torch, dtype)
} | {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


def is_safetensors(head: bytes) -> bool:
    """True where a file that begins with `head` is one."""
    return len(head) > 8 and head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= _LARGEST_HEADER


def read_safetensors(path: Path) -> dict[str, torch.Tensor]:
    """The tensors by name, on the CPU.

    Raises:
        CheckpointError: damaged, or a dtype that no weights here have.
        OSError: it cannot be read.
    """
    data = bytearray(path.read_bytes())
    start = 8 + int.from_bytes(data[:8], "little")
    try:
        if start > len(data):
            raise ValueError("it ends within its header")
        header = json.loads(data[8:start].decode())
        return {name: _tensor(data, start, entry) for name, entry in header.items() if name != "__metadata__"}
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise CheckpointError(
            f"cannot read the checkpoint {str(path)!r}: it is a damaged safetensors file ({error}); "
            "copy or download it again"
        ) from error


def _tensor(data: bytearray, start: int, entry: Any) -> torch.Tensor:
    dtype, shape = _DTYPES[entry["dtype"]], [int(side) for side in entry["shape"]]
    first, last = entry["data_offsets"]
    if (
        min([first, *shape]) < 0
        or start + last > len(data)
        or last - first != math.prod(shape) * dtype.itemsize
    ):
        raise ValueError(f"data_offsets {first} to {last} for {shape} of {entry['dtype']}")
    if first == last:
        return torch.empty(shape, dtype=dtype)
    return (
        torch.frombuffer(data, dtype=dtype, count=math.prod(shape), offset=start + first)
        .reshape(shape)
        .clone()
    )
