"""After each build: is the engine of the precision that was asked?"""

from __future__ import annotations

from collections.abc import Sequence

from tdnet_export.engines.layers import EngineLayer, half_share
from tdnet_runtime.errors import ExportError

__all__ = ["MIN_HALF_SHARE", "checked_half_share"]

MIN_HALF_SHARE = 0.9
"""Of an FP16 engine's multiplications. Graphs have 0.95 or more; what fusing and padding shift is far less
than the rest, and an engine of another precision has 0."""
_SHOWN = 3


def checked_half_share(layers: Sequence[EngineLayer], *, precision: str) -> float:
    """The engine's share of half precision, 0 to 1.

    Raises:
        ExportError: it is not what `precision` (`fp16` or `fp32`) means.
    """
    share = half_share(layers)
    products = [layer for layer in layers if layer.multiplies]
    if precision == "fp16" and share < MIN_HALF_SHARE:
        slow = sorted((layer for layer in products if not layer.is_half), key=lambda layer: -layer.products)
        raise ExportError(
            f"FP16 was asked, and {share:.1%} of the engine's multiplications are FP16 (expected "
            f"{MIN_HALF_SHARE:.0%} or more){_listed('FP32', slow)}: the graph is not FP16, or the builder ignored its types"
        )
    if precision == "fp32" and share > 0:
        half = sorted((layer for layer in products if layer.is_half), key=lambda layer: -layer.products)
        raise ExportError(
            f"FP32 was asked, and {share:.1%} of the engine's multiplications are FP16{_listed('FP16', half)}: "
            "the graph is not FP32, or the builder ignored its types"
        )
    return share


def _listed(precision: str, layers: list[EngineLayer]) -> str:
    names = ", ".join(layer.nodes[0] if layer.nodes else layer.name for layer in layers[:_SHOWN])
    return f"; {precision} are {names}{' …' if len(layers) > _SHOWN else ''}" if names else ""
