"""Mixed precision: the forward pass in FP16 or BF16, weights and the loss in FP32."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch

from tdnet_runtime.errors import OptionError

__all__ = ["Precision"]

_DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16}


class Precision:
    """Of a run's steps.

    Args:
        name: `fp32`, `bf16` or `fp16`.
        device: where it computes.

    Attributes:
        scaler: scales the loss so that FP16's gradients do not vanish; does nothing otherwise.

    Raises:
        OptionError: FP16 on a CPU.
    """

    def __init__(self, name: str, device: torch.device) -> None:
        if name == "fp16" and device.type != "cuda":
            raise OptionError("run.precision is fp16, which needs a GPU; on a CPU use bf16 or fp32")
        self._name, self._device = name, device
        self.scaler = torch.amp.GradScaler(device.type, enabled=name == "fp16")

    def forward(self) -> AbstractContextManager[object]:
        """The context of the forward pass."""
        if self._name == "fp32":
            return nullcontext()
        return torch.autocast(self._device.type, dtype=_DTYPES[self._name])
