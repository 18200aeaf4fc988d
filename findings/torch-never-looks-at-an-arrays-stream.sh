#!/usr/bin/env bash
# PyTorch takes an array on a GPU by __cuda_array_interface__ without looking at the stream that it names.
# Seen with torch 2.13.0 (the CPU build looks up the same keys before it asks for a GPU) on 2026-11-29.
# Expected: a consumer of version 3 of the interface orders its work behind `stream`.
# Comes: shape, typestr, data and strides are looked up, `stream` never: what is still being written is read, silently.
# Here: labels on the GPU wait for their stream where they are taken so, and not where DLPack takes them
# (runtime/tdnet_runtime/gpu/labels.py).
. "$(dirname "$0")/common.bash"
with torch==2.13.0 numpy==2.4.6
"$PYTHON" - <<'PY' >out
import numpy as np
import torch

content = np.zeros((2, 3), np.uint8)
asked = set()


class Key(str):
    __hash__ = str.__hash__

    def __eq__(self, other):
        asked.add(str(self))
        return str.__eq__(self, other)


class Labels:
    @property
    def __cuda_array_interface__(self):
        values = {"shape": (2, 3), "typestr": "|u1", "data": (content.ctypes.data, False), "strides": None}
        return {Key(name): value for name, value in {**values, "version": 3, "stream": 12345}.items()}


try:
    torch.as_tensor(Labels(), device="cuda")
except Exception:
    pass  # there is no GPU
print("looked up:", *sorted(asked))
PY
seen <<'TEXT'
looked up: data shape strides typestr
TEXT
