"""What INT8 may lose in the closed-loop proof, and what a user may allow it."""

from __future__ import annotations

from tdnet_export.parity_report import BOUNDS, UNBOUNDED, ParityBounds

__all__ = ["int8_bounds"]


def int8_bounds(max_loss: float | None) -> ParityBounds:
    """The bounds of INT8's proof.

    Args:
        max_loss: share of the labels that may differ from PyTorch's, over all frames together, 0 to 1: the user's
            own bound, instead of all others; None for `BOUNDS["int8"]`.
    """
    if max_loss is None:
        return BOUNDS["int8"]
    return ParityBounds(
        min_label_agreement=0.0, min_mean_agreement=1 - max_loss, max_class_loss=1.0, max_error=UNBOUNDED
    )
