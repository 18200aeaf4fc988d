"""The TensorRT adapter: against stand-ins of several versions, and against the real RTX module's names.

Nothing here computes: what a GPU run proves is listed in docs/tensorrt.md.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tdnet_runtime.errors import BackendError
from tdnet_runtime.gpu.engine import EngineTensor
from tdnet_runtime.gpu.trt_engine import TrtRuntime


class BaseLogger:
    """As TensorRT's ILogger: refuses to work unless its constructor was called."""

    Severity = SimpleNamespace(INTERNAL_ERROR=0, ERROR=1, WARNING=2, INFO=3)

    def __init__(self) -> None:
        self.ready = True


class Context:
    """IExecutionContext, as all versions have it."""

    def __init__(self, module: Module) -> None:
        self.module = module
        self.addresses: dict[str, int] = {}
        self.streams: list[int] = []

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.addresses[name] = address
        return name in ("image", "labels")

    def execute_async_v3(self, stream: int) -> bool:
        self.streams.append(stream)
        if self.module.enqueue_says:
            self.module.logger.log(1, self.module.enqueue_says)
        return self.module.enqueue_says is None


class NewContext(Context):
    """10.3 and later."""

    memory: tuple[int, int]

    def set_device_memory(self, address: int, nbytes: int) -> None:
        self.memory = (address, nbytes)


class RtxContext(NewContext):
    """TensorRT-RTX."""

    def is_stream_capturable(self, stream: int) -> bool:
        return stream != 13


class Engine:
    """ICudaEngine with two tensors."""

    num_io_tensors = 2
    device_memory_size = 100
    kinds = ("UINT8", "UINT8")

    def __init__(self, module: Module) -> None:
        self.module = module

    def get_tensor_name(self, index: int) -> str:
        return ("image", "labels")[index]

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return (1, 4, 8, 3) if name == "image" else (1, 4, 8)

    def get_tensor_dtype(self, name: str) -> str:
        return self.kinds[name == "labels"]

    def get_tensor_mode(self, name: str) -> str:
        return "IN" if name == "image" else "OUT"

    def create_execution_context(self, strategy: str) -> Context | None:
        assert strategy == "user managed"
        return self.module.make_context(self.module)


class NewEngine(Engine):
    """Where the first-generation size is gone (11)."""

    device_memory_size_v2 = 5_000_000_000

    @property
    def device_memory_size(self) -> int:  # type: ignore[override]
        raise AssertionError("not to be read where there is a newer one")


class Module:
    """What the adapter uses of the module."""

    ILogger = BaseLogger
    ExecutionContextAllocationStrategy = SimpleNamespace(USER_MANAGED="user managed")
    TensorIOMode = SimpleNamespace(INPUT="IN", OUTPUT="OUT")

    def __init__(self, engine: type[Engine] | None, make_context: Callable[[Any], Context | None]) -> None:
        self.engine = engine
        self.make_context = make_context
        self.enqueue_says: str | None = None
        self.logger: Any = None

    def Runtime(self, logger: Any) -> Any:  # noqa: N802  # TensorRT's own name
        assert logger.ready
        self.logger = logger
        return SimpleNamespace(deserialize_cuda_engine=self._deserialize)

    def _deserialize(self, data: bytes) -> Engine | None:
        self.logger.log(3, "information")
        if self.engine is None:
            self.logger.log(1, " magicTag does not match ")
            self.logger.log(0, "at runtime.cpp:48")
            return None
        return self.engine(self)

    def nptype(self, kind: str) -> type:
        if kind == "BF16":
            raise TypeError("no NumPy type")
        return {"UINT8": np.uint8, "HALF": np.float16}[kind]


VERSIONS = {"10.0": (Engine, Context), "11": (NewEngine, NewContext), "RTX": (NewEngine, RtxContext)}


@pytest.mark.parametrize("version", VERSIONS)
def test_one_path_for_all_versions(version: str) -> None:
    engine_kind, context_kind = VERSIONS[version]
    module = Module(engine_kind, context_kind)
    engine = TrtRuntime(module, "TensorRT").load("subnet1", b"data")
    assert engine.tensors == (
        EngineTensor("image", (1, 4, 8, 3), "uint8", True),
        EngineTensor("labels", (1, 4, 8), "uint8", False),
    )
    assert engine.activation_bytes == (100 if version == "10.0" else 5_000_000_000)
    context = engine.create_context()
    context.set_activation_memory(4096, 777)
    context.set_address("image", 1)
    assert (context.obstacle_to_capture(13) is None) == (version != "RTX")
    assert context.obstacle_to_capture(14) is None
    inner = context._context  # type: ignore[attr-defined]
    if version == "10.0":
        assert inner.device_memory == 4096
    else:
        assert inner.memory == (4096, 777)
    context.enqueue(42)
    assert inner.streams == [42]
    context.close()
    context.close()
    engine.close()
    engine.close()


def test_an_engine_that_does_not_load_says_why() -> None:
    runtime = TrtRuntime(Module(None, Context), "TensorRT 10.3")
    with pytest.raises(
        BackendError,
        match=r"^TensorRT 10.3 cannot load the engine of graph 'apm1': magicTag does not match; at runtime.cpp:48$",
    ):
        runtime.load("apm1", b"")


def test_statuses_are_checked() -> None:
    module = Module(Engine, Context)
    context = TrtRuntime(module, "TensorRT").load("subnet1", b"").create_context()
    with pytest.raises(BackendError, match="setting the address of 'other' in graph 'subnet1': it logged no"):
        context.set_address("other", 1)
    module.enqueue_says = "illegal memory access"
    for _ in range(2):  # what was logged for the first one is not said again for the second
        with pytest.raises(
            BackendError, match=r"^TensorRT failed in graph 'subnet1': illegal memory access$"
        ):
            context.enqueue(1)


def test_no_context() -> None:
    def none(module: Module) -> None:
        module.logger.log(1, "out of memory")

    def raising(module: Module) -> Context:
        raise RuntimeError("CUDA is gone")

    engine = TrtRuntime(Module(Engine, none), "TensorRT").load("subnet1", b"")
    with pytest.raises(BackendError, match="cannot make a context of graph 'subnet1': out of memory"):
        engine.create_context()
    engine = TrtRuntime(Module(Engine, raising), "TensorRT").load("subnet1", b"")
    with pytest.raises(BackendError, match=r"a context of graph 'subnet1' \(CUDA is gone\)"):
        engine.create_context()


def test_warnings_are_passed_on(caplog: pytest.LogCaptureFixture) -> None:
    module = Module(Engine, Context)
    TrtRuntime(module, "TensorRT")
    with caplog.at_level(logging.WARNING):
        module.logger.log(2, "the engine was built on another device")
        module.logger.log(3, "information")
    assert [record.message for record in caplog.records] == ["the engine was built on another device"]


def test_a_type_that_numpy_does_not_have(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Engine, "kinds", ("UINT8", "BF16"))
    engine = TrtRuntime(Module(Engine, Context), "TensorRT").load("subnet1", b"")
    assert engine.tensors[1].dtype == "BF16"  # and so differs from the manifest's


# The real module of TensorRT-RTX, which imports without a GPU


def test_the_names_that_are_used_exist() -> None:
    rtx = pytest.importorskip("tensorrt_rtx")
    for owner, names in {
        rtx: ("Builder", "Runtime", "nptype", "__version__"),
        rtx.ExecutionContextAllocationStrategy: ("USER_MANAGED",),
        rtx.TensorIOMode: ("INPUT",),
        rtx.ILogger.Severity: ("INTERNAL_ERROR", "ERROR", "WARNING"),
        rtx.ICudaEngine: (
            "num_io_tensors",
            "get_tensor_name",
            "get_tensor_shape",
            "get_tensor_dtype",
            "get_tensor_mode",
            "device_memory_size_v2",
            "create_execution_context",
        ),
        rtx.IExecutionContext: (
            "set_device_memory",
            "set_tensor_address",
            "is_stream_capturable",
            "execute_async_v3",
        ),
    }.items():
        assert [name for name in names if not hasattr(owner, name)] == []
    assert np.dtype(rtx.nptype(rtx.DataType.UINT8)) == np.uint8
    assert np.dtype(rtx.nptype(rtx.DataType.HALF)) == np.float16


def test_the_real_logger_collects() -> None:
    """Junk does not load, and TensorRT-RTX's own words are in the message."""
    rtx = pytest.importorskip("tensorrt_rtx")
    with pytest.raises(BackendError, match=r"^RTX cannot load the engine of graph 'apm1': .*magicTag"):
        TrtRuntime(rtx, "RTX").load("apm1", b"junk" * 100)


# TensorRT keeps the first logger that it is given, and only that


def test_all_runtimes_of_a_product_share_a_logger() -> None:
    """The first one's would be used, and freed, while the second one still runs."""
    module = Module(Engine, Context)
    first = TrtRuntime(module, "TensorRT")
    logger = module.logger
    second = TrtRuntime(module, "TensorRT")
    assert module.logger is logger
    assert TrtRuntime(Module(Engine, Context), "TensorRT")._log is not logger
    assert first is not second


def test_the_real_product_says_nothing_of_a_second_runtime(caplog: pytest.LogCaptureFixture) -> None:
    rtx = pytest.importorskip("tensorrt_rtx")
    with caplog.at_level(logging.WARNING):
        runtimes = [TrtRuntime(rtx, "RTX") for _ in range(2)]
    assert caplog.text == ""
    del runtimes


def test_errors_that_nobody_asks_for_do_not_pile_up() -> None:
    module = Module(Engine, Context)
    runtime = TrtRuntime(module, "TensorRT")
    for number in range(10_000):
        module.logger.log(1, f"word {number};")
    message = str(runtime.error("failed"))
    assert "word 9999" in message
    assert len(message) < 1000
