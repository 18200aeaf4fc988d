"""cuda-core's names and the little that the adapter decides by itself; cuda-core imports without a driver."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tdnet_runtime.errors import BackendError, FrameError
from tdnet_runtime.gpu.device import ForeignArray

pytest.importorskip("cuda.core")
adapter = pytest.importorskip("tdnet_runtime.gpu.cuda_device")


def test_the_names_that_are_used_exist() -> None:
    from cuda import core
    from cuda.bindings import driver
    from cuda.core import utils

    used: dict[Any, tuple[str, ...]] = {
        driver: (
            "cuInit",
            "cuCtxGetCurrent",
            "cuCtxSetCurrent",
            "cuDriverGetVersion",
            "cuStreamBeginCapture",
            "cuStreamEndCapture",
            "cuGraphInstantiate",
            "cuGraphLaunch",
            "cuGraphDestroy",
            "cuGraphExecDestroy",
        ),
        core.Device: (
            "set_current",
            "create_stream",
            "create_event",
            "allocate",
            "compute_capability",
            "device_id",
            "name",
        ),
        core.Stream: (
            "handle",
            "device",
            "record",
            "wait",
            "sync",
            "from_handle",
            "close",
        ),
        core.Event: ("sync", "close"),
        core.Buffer: ("from_handle", "copy_to", "fill", "handle", "size", "close"),
        core.LegacyPinnedMemoryResource: ("allocate",),
        utils.StridedMemoryView: (
            "from_any_interface",
            "from_buffer",
            "__dlpack__",
            "ptr",
            "shape",
            "strides",
            "dtype",
            "device_id",
            "is_device_accessible",
        ),
    }
    assert [(o, n) for o, names in used.items() for n in names if not hasattr(o, n)] == []
    assert core.StreamOptions().nonblocking is True  # as `create_stream` makes them, to capture on


class Recorded:
    """Notes what is called; raises where told to."""

    handle = 7

    def __init__(self, calls: list[str], *, fail: str = "") -> None:
        self.calls = calls
        self.fail = fail

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            said = ",".join(f"{key}={value}" for key, value in kwargs.items() if key == "mode")
            self.calls.append(f"{name}({said})")
            if name == self.fail:
                raise RuntimeError(f"{name} went wrong")
            return self

        return call


class FakeDriver:
    """The driver's functions for graphs: notes what is called, and fails at `fail`. As cuda.bindings gives results."""

    CUresult = adapter.driver.CUresult

    def __init__(self, calls: list[str], *, fail: str = "", invalidated: bool = False) -> None:
        self.calls, self.fail, self.invalidated = calls, fail, invalidated

    def __getattr__(self, name: str) -> Callable[..., tuple[Any, ...]]:
        def call(*args: Any) -> tuple[Any, ...]:
            given = ",".join(getattr(arg, "name", str(arg)) for arg in args)
            self.calls.append(f"{name}({given})")
            values = {"cuStreamEndCapture": ("graph",), "cuGraphInstantiate": ("executable",)}.get(name, ())
            if name == "cuStreamEndCapture" and self.invalidated:
                return self.CUresult.CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, None
            if name == self.fail:
                return self.CUresult.CUDA_ERROR_UNKNOWN, *(None for _ in values)
            return self.CUresult.CUDA_SUCCESS, *values

        return call


BEGIN = "cuStreamBeginCapture(7,CU_STREAM_CAPTURE_MODE_THREAD_LOCAL)"
END, FREE = "cuStreamEndCapture(7)", "cuGraphDestroy(graph)"


def test_capturing_is_thread_local_and_always_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    stream = adapter._CudaStream(Recorded([]))
    monkeypatch.setattr(adapter, "driver", FakeDriver(calls))
    graph = stream.capture(lambda: calls.append("work"))
    assert calls == [BEGIN, "work", END, "cuGraphInstantiate(graph,0)", FREE]
    calls.clear()
    stream.launch(graph)
    graph.close()
    graph.close()
    assert calls == ["cuGraphLaunch(executable,7)", "cuGraphExecDestroy(executable)"]

    def fails() -> None:
        raise BackendError("the engine says no")

    calls.clear()
    with pytest.raises(BackendError, match=r"^the engine says no$"):
        stream.capture(fails)
    assert calls == [BEGIN, END, FREE]


@pytest.mark.parametrize("step", ["cuStreamBeginCapture", "cuStreamEndCapture", "cuGraphInstantiate"])
def test_a_capture_that_fails(monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    calls: list[str] = []
    stream = adapter._CudaStream(Recorded([]))
    monkeypatch.setattr(adapter, "driver", FakeDriver(calls, fail=step))
    with pytest.raises(
        BackendError, match=r"^capturing a CUDA graph: the CUDA driver reports CUDA_ERROR_UNKNOWN$"
    ):
        stream.capture(lambda: None)
    expected = [BEGIN, END, "cuGraphInstantiate(graph,0)", FREE]
    assert (
        calls
        == {
            "cuStreamBeginCapture": expected[:1],
            "cuStreamEndCapture": expected[:2],
            "cuGraphInstantiate": expected,
        }[step]
    )


@pytest.mark.parametrize("noticed", [True, False])
def test_a_capture_that_was_invalidated_leaves_no_graph_to_destroy(
    monkeypatch: pytest.MonkeyPatch, noticed: bool
) -> None:
    """The driver has freed it: destroying it again, as cuda-core 1.2's GraphBuilder does, ends the process."""
    calls: list[str] = []
    stream = adapter._CudaStream(Recorded([]))
    monkeypatch.setattr(adapter, "driver", FakeDriver(calls, invalidated=True))

    def work() -> None:
        if noticed:
            raise BackendError("the engine says no")

    with pytest.raises(BackendError, match="the engine says no" if noticed else "STREAM_CAPTURE_INVALIDATED"):
        stream.capture(work)
    assert calls == [BEGIN, END]


def test_failures_say_what_was_being_done() -> None:
    stream = adapter._CudaStream(Recorded([], fail="sync"))
    with pytest.raises(BackendError, match=r"^waiting for the GPU: sync went wrong$"):
        stream.sync()


def test_statuses_of_the_driver_are_checked() -> None:
    from cuda.bindings.driver import CUresult

    assert adapter._done((CUresult.CUDA_SUCCESS, 13000)) == 13000
    assert adapter._done((CUresult.CUDA_SUCCESS,)) is None
    with (
        pytest.raises(BackendError, match=r"^asking: the CUDA driver reports CUDA_ERROR_ILLEGAL_ADDRESS$"),
        adapter._checked("asking"),
    ):
        adapter._done((CUresult.CUDA_ERROR_ILLEGAL_ADDRESS, None))


def test_pinned_memory_is_seen_as_an_array() -> None:
    memory = np.arange(5, dtype=np.uint8)

    class Buffer:
        handle, size = memory.ctypes.data, memory.nbytes

    block = adapter._Block(Buffer(), "image")
    block.array[2] = 77
    assert memory.tolist() == [0, 1, 77, 3, 4]


def test_unreadable_frames_are_the_frames_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    class View:
        @staticmethod
        def from_any_interface(array: object, *, stream_ptr: int) -> object:
            raise array  # type: ignore[misc]

    monkeypatch.setattr(adapter, "StridedMemoryView", View)
    device = object.__new__(adapter.CudaDevice)
    stream = adapter._CudaStream(Recorded([]))
    for error in (BufferError, RuntimeError, OSError):
        with pytest.raises(
            FrameError, match=rf"a {error.__name__} that cannot be read where it lies: a mask"
        ):
            device.view(error("a mask"), name="frame", stream=stream)
    own = type("CUDAError", (Exception,), {"__module__": "cuda.core._utils.cuda_utils"})
    with pytest.raises(BackendError, match=r"^taking over the frame: gone$"):
        device.view(own("gone"), name="frame", stream=stream)


def test_frames_are_viewed_for_the_streams_handle(monkeypatch: pytest.MonkeyPatch) -> None:
    class View:
        ptr, shape, strides, dtype = 5, (1, 2), None, np.dtype(np.uint8)
        device_id, is_device_accessible = 3, True

        @classmethod
        def from_any_interface(cls, array: object, *, stream_ptr: int) -> object:
            assert stream_ptr == Recorded.handle
            return cls

    monkeypatch.setattr(adapter, "StridedMemoryView", View)
    device = object.__new__(adapter.CudaDevice)
    view = device.view("an array", name="frame", stream=adapter._CudaStream(Recorded([])))
    assert isinstance(view, ForeignArray)
    assert (view.address, view.shape, view.device_id, view.owner) == (5, (1, 2), 3, View)
    View.is_device_accessible = False
    assert device.view("an array", name="frame", stream=adapter._CudaStream(Recorded([]))).device_id == -1


def test_without_a_driver_the_error_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(flags: int) -> None:
        raise RuntimeError("no driver")

    monkeypatch.setattr(adapter.driver, "cuInit", absent)
    with pytest.raises(BackendError, match=r"^looking for a GPU: no driver$"):
        adapter.CudaDevice()


def test_the_callers_context_comes_back_where_looking_for_a_gpu_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    success = adapter.driver.CUresult.CUDA_SUCCESS
    current = ["the caller's"]

    class Device:
        def set_current(self) -> None:
            current[:] = ["ours"]

        @property
        def compute_capability(self) -> tuple[int, int]:
            raise RuntimeError("gone")

    def set_context(context: str) -> tuple[Any, ...]:
        current[:] = [context]
        return (success,)

    monkeypatch.setattr(adapter.driver, "cuInit", lambda flags: (success,))
    monkeypatch.setattr(adapter.driver, "cuCtxGetCurrent", lambda: (success, current[0]))
    monkeypatch.setattr(adapter.driver, "cuCtxSetCurrent", set_context)
    monkeypatch.setattr(adapter, "CoreDevice", Device)
    with pytest.raises(BackendError, match=r"^looking for a GPU: gone$"):
        adapter.CudaDevice()
    assert current == ["the caller's"]
