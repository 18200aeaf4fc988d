"""After each build: is the engine of the precision that was asked?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tdnet_export.engines.layers import EngineLayer, half_share, int8_share
from tdnet_runtime.errors import ExportError

__all__ = ["MIN_HALF_SHARE", "MIN_INT8_SHARE", "Shares", "checked_shares"]

MIN_HALF_SHARE = 0.9
"""Of an FP16 engine's multiplications. Graphs have 0.95 or more; what fusing and padding shift is far less
than the rest, and an engine of another precision has 0. Of an INT8 engine's: what FP16 and INT8 have together."""
MIN_INT8_SHARE = 0.45
"""Of an INT8 engine's multiplications. Graphs have 0.5 or more, except what follows a sub-network, most of which may
be left in FP16."""
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Shares:
    """Of an engine's multiplications, 0 to 1: how many are FP16, and how many INT8."""

    half: float
    int8: float


def checked_shares(layers: Sequence[EngineLayer], *, graph: str, precision: str) -> Shares:
    """The engine's shares of FP16 and INT8.

    Args:
        layers: of the engine.
        graph: its name.
        precision: `fp16`, `fp32` or `int8_fp16`.

    Raises:
        ExportError: they are not what `precision` means.
    """
    shares = Shares(half_share(layers), int8_share(layers))
    products = [layer for layer in layers if layer.multiplies]
    if precision == "fp16" and shares.half < MIN_HALF_SHARE:
        slow = [layer for layer in products if not layer.is_half]
        raise ExportError(
            f"FP16 was asked, and {shares.half:.1%} of the engine's multiplications are FP16 (expected "
            f"{MIN_HALF_SHARE:.0%} or more){_listed('FP32', slow)}: the graph is not FP16, or the builder ignored its types"
        )
    if precision == "fp32" and shares.half + shares.int8 > 0:
        kind = "FP16" if shares.half else "INT8"
        others = [layer for layer in products if layer.is_half or layer.is_int8]
        raise ExportError(
            f"FP32 was asked, and {shares.half + shares.int8:.1%} of the engine's multiplications are {kind}"
            f"{_listed(kind, others)}: the graph is not FP32, or the builder ignored its types"
        )
    if precision == "int8_fp16":
        _check_int8(products, shares, required=0.0 if graph.startswith(("apm", "own")) else MIN_INT8_SHARE)
    return shares


def _check_int8(products: Sequence[EngineLayer], shares: Shares, *, required: float) -> None:
    if shares.int8 < required:
        others = [layer for layer in products if not layer.is_int8]
        raise ExportError(
            f"INT8 was asked, and {shares.int8:.1%} of the engine's multiplications are INT8 (expected {required:.0%} or "
            f"more){_listed('others', others)}: the graph has no signed quantisers, or the builder did not fuse them"
        )
    if shares.int8 + shares.half < MIN_HALF_SHARE:
        slow = [layer for layer in products if not (layer.is_half or layer.is_int8)]
        raise ExportError(
            f"INT8 with FP16 was asked, and {shares.int8 + shares.half:.1%} of the engine's multiplications are one of "
            f"them (expected {MIN_HALF_SHARE:.0%} or more){_listed('FP32', slow)}: the rest of the graph is not FP16, or "
            "the builder ignored its types"
        )


def _listed(precision: str, layers: Sequence[EngineLayer]) -> str:
    largest = sorted(layers, key=lambda layer: -layer.products)
    names = ", ".join(layer.nodes[0] if layer.nodes else layer.name for layer in largest[:_SHOWN])
    return f"; {precision} are {names}{' …' if len(layers) > _SHOWN else ''}" if names else ""
