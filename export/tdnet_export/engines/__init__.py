"""TensorRT and TensorRT-RTX engines from a bundle's graphs.

Importing this package needs none of its extras; the products and Polygraphy are imported in a child
process only (`child`), by `builder`.
"""

from __future__ import annotations

from tdnet_export.engines.build import build_engines, require_builder, require_engine_precision
from tdnet_export.engines.gate import gated
from tdnet_export.engines.options import BuildEvent, BuildOptions, OnBuild
from tdnet_export.engines.products import ENGINE_BACKENDS
from tdnet_export.engines.rebuilding import RebuildSummary, add_engines, rebuild
from tdnet_export.engines.verifying import VerifySummary, verify

__all__ = [
    "ENGINE_BACKENDS",
    "BuildEvent",
    "BuildOptions",
    "OnBuild",
    "RebuildSummary",
    "VerifySummary",
    "add_engines",
    "build_engines",
    "gated",
    "rebuild",
    "require_builder",
    "require_engine_precision",
    "verify",
]
