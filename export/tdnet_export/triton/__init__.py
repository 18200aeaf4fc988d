"""Model repositories for a Triton Inference Server, from a bundle.

Importing this package needs none of its extras; `onnx` is imported where graphs are joined.
"""

from __future__ import annotations

from tdnet_export.triton.options import TRITON_BACKENDS, TritonOptions
from tdnet_export.triton.repository import TritonModel, TritonSummary, write_models

__all__ = ["TRITON_BACKENDS", "TritonModel", "TritonOptions", "TritonSummary", "write_models"]
