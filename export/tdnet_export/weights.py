"""A network's parameters as float64 arrays, BatchNorms folded: what graphs are written from."""

from __future__ import annotations

from typing import Any

import numpy as np

from tdnet_export.identities import Array, fold_batch_norm

__all__ = ["Weights"]


class Weights:
    """Read access to a state dict (tensors or arrays) by the public parameter names."""

    def __init__(self, state: dict[str, Any]) -> None:
        self._state = state

    def __contains__(self, key: str) -> bool:
        return key in self._state

    def array(self, key: str) -> Array:
        """The parameter as a new float64 array."""
        values: Array = np.asarray(self._state[key]).astype(np.float64)
        return values

    def conv(self, conv: str, norm: str | None = None) -> tuple[Array, Array | None]:
        """Weight [O, I, kh, kw] and bias [O] of the convolution `conv`, with BatchNorm `norm` folded in."""
        weight = self.array(f"{conv}.weight")
        bias = self.array(f"{conv}.bias") if f"{conv}.bias" in self else None
        if norm is None:
            return weight, bias
        return fold_batch_norm(
            weight,
            bias,
            gain=self.array(f"{norm}.weight"),
            shift=self.array(f"{norm}.bias"),
            mean=self.array(f"{norm}.running_mean"),
            variance=self.array(f"{norm}.running_var"),
        )

    def conv_norm(self, module: str) -> tuple[Array, Array]:
        """Weight and bias of a module with children `conv` and `bn`."""
        weight, bias = self.conv(f"{module}.conv", f"{module}.bn")
        assert bias is not None  # a BatchNorm was folded
        return weight, bias
