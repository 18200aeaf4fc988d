"""Which precision of a bundle's graphs a backend runs, for the precision that a user asks for."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from tdnet_runtime.bundle import Bundle
from tdnet_runtime.preflight import SIGNED_INT8

__all__ = ["IN_BF16", "graph_precision", "graphs_of", "no_graphs", "unsound_optimizers"]

IN_BF16 = {"bf16": "fp32", "int8-bf16": "int8"}
"""By precision that no graph has: that of the graphs which are run for it, with BF16 in place of their FP32."""


def graphs_of(precision: str) -> str:
    """The precision of the graphs that are run for `precision`."""
    return IN_BF16.get(precision, precision)


def unsound_optimizers(precision: str) -> list[str]:
    """ONNX Runtime's own optimizers that must not touch graphs in `precision`.

    With FP16 scales `WeightBiasQuantization` (1.32) computes a bias's scale in FP16, as the product of two that are
    small: it is subnormal or 0, and the bias is off.
    """
    return ["WeightBiasQuantization"] if precision == SIGNED_INT8 else []


def graph_precision(bundle: Bundle, asked: str | None, *, preferred: Sequence[str]) -> str | None:
    """The precision to run; None where the bundle's graphs are in none that may be run.

    Args:
        bundle: verified.
        asked: by the user; None for the first of `preferred` that the bundle has.
        preferred: what the backend runs unasked, best first.
    """
    wanted = preferred if asked is None else (asked,)
    return next((precision for precision in wanted if precision in bundle.manifest.precisions), None)


def no_graphs(
    bundle: Bundle, asked: str | None, *, preferred: Sequence[str], refused: Collection[str] = ()
) -> str | None:
    """What to tell the user where `graph_precision` gives None, and the fix; None where it gives one.

    `refused`: what the backend does not run, even if it is asked for by name.
    """
    if graph_precision(bundle, asked, preferred=preferred) is not None:
        return None
    present = bundle.manifest.precisions
    wanted = " or ".join(preferred) if asked is None else asked
    advice = f"export it again with --precision {preferred[0] if asked is None else asked}"
    other = next((precision for precision in present if precision not in refused), None)
    if asked is None and other is not None:
        advice += f", or ask for {other} by name (precision={other!r}, --precision {other})"
    return f"it runs {wanted} graphs, {str(bundle.path)!r} has only {', '.join(present)}: {advice}"
