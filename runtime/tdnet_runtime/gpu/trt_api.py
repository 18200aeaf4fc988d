"""The part of TensorRT's and TensorRT-RTX's Python modules that the runtime uses, as protocols.

What only some versions have is not here: `trt_engine.py` looks for it with `hasattr`.
"""

from __future__ import annotations

from typing import Any, Protocol

__all__ = ["Api", "CudaEngine", "ExecutionContext", "Runtime"]


class ExecutionContext(Protocol):
    """Of `IExecutionContext`."""

    def set_tensor_address(self, name: str, memory: int) -> bool:
        """False where there is no such tensor."""

    def execute_async_v3(self, stream_handle: int) -> bool:
        """False where it failed; the reason is logged."""


class CudaEngine(Protocol):
    """Of `ICudaEngine`."""

    @property
    def num_io_tensors(self) -> int:
        """Inputs and outputs."""

    def get_tensor_name(self, index: int) -> str:
        """Of the tensor."""

    def get_tensor_shape(self, name: str) -> Any:
        """A `Dims`: a sequence of integers."""

    def get_tensor_dtype(self, name: str) -> Any:
        """A `DataType`."""

    def get_tensor_mode(self, name: str) -> Any:
        """A `TensorIOMode`."""

    def create_execution_context(self, strategy: Any, /) -> ExecutionContext | None:
        """None where it failed; the reason is logged."""


class Runtime(Protocol):
    """Of `Runtime`."""

    def deserialize_cuda_engine(self, serialized_engine: bytes, /) -> CudaEngine | None:
        """None where it failed; the reason is logged."""


class Api(Protocol):
    """Of the module."""

    ILogger: Any
    ExecutionContextAllocationStrategy: Any
    TensorIOMode: Any

    def Runtime(self, logger: Any, /) -> Runtime:  # noqa: N802  # the module's own name
        """A runtime that logs to `logger`."""

    def nptype(self, trt_type: Any, /) -> type:
        """NumPy's type for an engine's; TypeError where there is none."""
