"""TensorRT and TensorRT-RTX engines: one adapter for 10.3 to 11.4 and RTX 1.7.

What only some versions have is found by `hasattr`; no version is compared. `trt_api.py` states what both
products' modules have of what is used.
"""

from __future__ import annotations

import functools
import logging
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import numpy as np

from tdnet_runtime.errors import BackendError
from tdnet_runtime.gpu.engine import EngineContext, EngineTensor
from tdnet_runtime.gpu.trt_api import Api, CudaEngine, ExecutionContext

__all__ = ["TrtEngine", "TrtRuntime"]

logger = logging.getLogger(__name__)

_KEPT_ERRORS = 32  # of what was logged and nobody asked for: a robot runs for weeks


class TrtRuntime:
    """Deserialises engines on the current device; keeps what TensorRT says of errors.

    Args:
        api: the module.
        product: as messages call it.
    """

    def __init__(self, api: Api, product: str) -> None:
        self.api = api
        self.product = product
        self._log = _collecting_logger(cast(Any, api))  # modules can be hashed; a Protocol does not say so
        with self.asking(f"{product} does not start"):
            self._runtime = api.Runtime(self._log)

    def load(self, graph: str, data: bytes) -> TrtEngine:
        """Deserialise a graph's engine. Only engines that are trusted: a plan holds code.

        Raises:
            BackendError: it does not load; the message holds what TensorRT logged.
        """
        doing = f"{self.product} cannot load the engine of graph {graph!r}"
        with self.asking(doing):
            engine = self._runtime.deserialize_cuda_engine(data)
        if engine is None:
            raise self.error(doing)
        return TrtEngine(self, graph, engine)

    @contextmanager
    def asking(self, doing: str) -> Iterator[None]:
        """What the bindings raise by themselves becomes a BackendError with the log."""
        try:
            yield
        except (
            RuntimeError,
            TypeError,
        ) as error:  # TypeError: pybind11's for a constructor that gave nothing
            raise self.error(f"{doing} ({error})") from error

    def error(self, doing: str) -> BackendError:
        """An error with what was logged since the last one, by any stream of the process."""
        said = "; ".join(self._log.taken())
        return BackendError(f"{doing}: {said or 'it logged no reason'}")


class TrtEngine:
    """See `Engine`."""

    def __init__(self, runtime: TrtRuntime, graph: str, engine: CudaEngine) -> None:
        self.graph = graph
        self.tensors = tuple(
            _tensor(runtime.api, engine, engine.get_tensor_name(index))
            for index in range(engine.num_io_tensors)
        )
        newer = hasattr(engine, "device_memory_size_v2")
        self.activation_bytes = int(
            getattr(engine, "device_memory_size_v2" if newer else "device_memory_size")
        )
        self._runtime = runtime
        self._engine: CudaEngine | None = engine

    def create_context(self) -> EngineContext:
        """See `Engine`."""
        assert self._engine is not None  # not closed
        strategy = self._runtime.api.ExecutionContextAllocationStrategy.USER_MANAGED
        doing = f"{self._runtime.product} cannot make a context of graph {self.graph!r}"
        with self._runtime.asking(doing):
            context = self._engine.create_execution_context(strategy)
        if context is None:
            raise self._runtime.error(doing)
        return TrtContext(self._runtime, self.graph, context)

    def close(self) -> None:
        """See `Engine`; TensorRT's objects go with their last reference."""
        self._engine = None


class TrtContext:
    """See `EngineContext`."""

    def __init__(self, runtime: TrtRuntime, graph: str, context: ExecutionContext) -> None:
        self._runtime = runtime
        self._graph = graph
        self._context: Any = context  # Any: some methods are in some versions only

    def set_activation_memory(self, address: int, nbytes: int) -> None:
        """See `EngineContext`."""
        if hasattr(self._context, "set_device_memory"):
            self._context.set_device_memory(address, nbytes)
        else:
            self._context.device_memory = address

    def set_address(self, tensor: str, address: int) -> None:
        """See `EngineContext`."""
        if not self._context.set_tensor_address(tensor, address):
            raise self._runtime.error(f"setting the address of {tensor!r} in graph {self._graph!r}")

    def obstacle_to_capture(self, stream: int) -> str | None:
        """See `EngineContext`; only TensorRT-RTX says anything."""
        if hasattr(self._context, "is_stream_capturable") and not self._context.is_stream_capturable(stream):
            return f"{self._runtime.product} says that its work cannot be captured"
        return None

    def enqueue(self, stream: int) -> None:
        """See `EngineContext`."""
        if not self._context.execute_async_v3(stream):
            raise self._runtime.error(f"{self._runtime.product} failed in graph {self._graph!r}")

    def close(self) -> None:
        """See `EngineContext`."""
        self._context = None


def _tensor(api: Api, engine: CudaEngine, name: str) -> EngineTensor:
    kind = engine.get_tensor_dtype(name)
    try:
        dtype = np.dtype(api.nptype(kind)).name
    except TypeError:  # bfloat16, fp8
        dtype = str(kind)
    return EngineTensor(
        name,
        tuple(int(side) for side in engine.get_tensor_shape(name)),
        dtype,
        engine.get_tensor_mode(name) == api.TensorIOMode.INPUT,
    )


@functools.cache
def _collecting_logger(api: Api) -> Any:
    """A logger, derived from the product's own base class, that keeps the errors and passes on warnings.

    One for each product and process, never released: TensorRT keeps a pointer to the first one that it was given for
    as long as any runtime is there, and ignores others with a warning.
    """
    severity = api.ILogger.Severity
    errors: deque[str] = deque(maxlen=_KEPT_ERRORS)
    lock = threading.Lock()

    def log(self: Any, level: Any, message: str) -> None:
        if level in (severity.INTERNAL_ERROR, severity.ERROR):
            with lock:
                errors.append(message.strip())
        elif level == severity.WARNING:
            logger.warning("%s", message.strip())

    def taken(self: Any) -> list[str]:
        with lock:
            said = list(errors)
            errors.clear()
            return said

    def init(self: Any) -> None:
        api.ILogger.__init__(self)  # which TensorRT insists on

    kind = type("CollectingLogger", (api.ILogger,), {"__init__": init, "log": log, "taken": taken})
    return kind()
