"""Frames that lie on the GPU already, and labels that stay there."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tests.runtime.gpu.conftest import SIZE_HW, device_stream, frame, hand_made, host_stream, made_backend
from tests.runtime.gpu.fake_device import FakeArray, FakeDevice, FakeMemory, FakeStream, Work, WrongOrderError
from tests.runtime.gpu.fake_engine import expected_labels

from tdnet_runtime.errors import FrameError, OptionError, StreamError
from tdnet_runtime.gpu.backend import GpuBackend
from tdnet_runtime.gpu.foreign_stream import stream_handle
from tdnet_runtime.manifest import Manifest


def on_device(device: FakeDevice, producer: FakeStream, byte: int, *, says_stream: bool = True) -> FakeArray:
    """A frame that `producer` is still to write."""
    values = frame(byte)
    memory = device.foreign_memory(values.nbytes)
    action = Work("producer", [], [memory], lambda: np.copyto(memory.data, values.reshape(-1)))
    producer.put(action)
    return FakeArray(memory, values.shape, producer.handle if says_stream else None)


def read(device: FakeDevice, stream: FakeStream, memory: FakeMemory) -> np.ndarray:
    """What a consumer on `stream` sees."""
    result = np.zeros(memory.nbytes, np.uint8)
    stream.put(Work("consumer", [memory], [], lambda: np.copyto(result, memory.data)))
    with device.current():
        stream.sync()
    return result.reshape(SIZE_HW)


@pytest.fixture
def producer(device: FakeDevice) -> FakeStream:
    return device.foreign_stream()


# Frames


def test_frames_on_the_device_give_the_same_labels(
    device: FakeDevice, backend: GpuBackend, manifest: Manifest, producer: FakeStream, paths: int
) -> None:
    """Mixed with frames on the host; nothing of the first kind passes through the host."""
    stream = host_stream(backend, manifest)
    images = list(range(10, 10 + 2 * paths + 2))
    for index, byte in enumerate(images):
        before = len(device.log)
        result = stream.push(on_device(device, producer, byte) if index % 3 else frame(byte))
        assert np.array_equal(result.labels, expected_labels(images[: index + 1], paths, SIZE_HW))
        assert ("copy frame to image" in device.log[before:]) == bool(index % 3)
        assert ("copy image to image" in device.log[before:]) != bool(index % 3)


def test_a_frame_without_its_stream_must_be_ready(
    device: FakeDevice, backend: GpuBackend, manifest: Manifest, producer: FakeStream
) -> None:
    """The fake notices what would be a race on a GPU; with the producer waited for, all is well."""
    stream = host_stream(backend, manifest)
    with pytest.raises(WrongOrderError):
        stream.push(on_device(device, producer, 1, says_stream=False))
    stream.reset()
    ready = on_device(device, producer, 1, says_stream=False)
    with device.current():
        producer.sync()
    assert stream.push(ready).frame_index == 0


def test_a_frame_on_the_streams_own_cuda_stream_needs_no_order(
    device: FakeDevice, backend: GpuBackend, manifest: Manifest, producer: FakeStream
) -> None:
    stream = host_stream(backend, manifest, cuda_stream=producer.handle)
    stream.push(on_device(device, producer, 1, says_stream=False))


def array(device: FakeDevice, shape: tuple[int, ...], **options: object) -> FakeArray:
    memory = device.foreign_memory(int(np.prod(shape)) * 4)
    return FakeArray(memory, shape, **options)


class Deleted:
    """As a jax.Array whose memory was donated."""

    def __dlpack_device__(self) -> tuple[int, int]:
        raise RuntimeError("Array has been deleted")


class Lost:
    """Not even whether it offers anything can be asked."""

    @property
    def __dlpack_device__(self) -> object:
        raise RuntimeError("Array has been lost")


def test_what_a_frame_on_the_device_must_be(
    device: FakeDevice, backend: GpuBackend, manifest: Manifest, paths: int
) -> None:
    stream = host_stream(backend, manifest)
    twin = host_stream(backend, manifest)
    images = []
    for bad, message in [
        (array(device, (8, 16, 3)), r"shape \[8, 16, 3\] on the GPU; expected \[4, 8, 3\].*not resized"),
        (array(device, (3, 4, 8)), r"shape \[3, 4, 8\]"),
        (array(device, (4, 8)), r"shape \[4, 8\]"),
        (array(device, (4, 8, 3), typestr="<f4"), "dtype float32 on the GPU; expected uint8"),
        (array(device, (4, 8, 3), strides=(1, 4, 32)), r"non-contiguous .* \[1, 4, 32\] elements"),
        (array(device, (4, 8, 3), device_id=1), "on GPU 1; the stream runs on GPU 0"),
        (array(device, (4, 8, 3), device_id=-1), "that no GPU can read"),
        *(
            (
                SimpleNamespace(__dlpack_device__=lambda kind=kind: (kind, 0)),
                "in the CPU's memory; .*numpy.asarray",
            )
            for kind in (1, 3, 11)  # the last two are page-locked
        ),
        (SimpleNamespace(__dlpack_device__=lambda: (2, 0)), "no interface"),
        (SimpleNamespace(__dlpack_device__=lambda: ()), "does not say where it lies: tuple index"),
        (Deleted(), "given a Deleted that does not say where it lies: Array has been deleted; expected"),
        (Lost(), "given a Lost that does not say where it lies: Array has been lost"),
        ([1, 2], "given a list; expected a NumPy array"),
    ]:
        with pytest.raises(FrameError, match=message):
            stream.push(bad)
        images.append(len(images) + 20)
        for one in (stream, twin):  # nothing has changed
            labels = one.push(frame(images[-1])).labels
            assert np.array_equal(labels, expected_labels(images, paths, SIZE_HW))


def test_contiguous_strides_may_be_said(
    device: FakeDevice, backend: GpuBackend, manifest: Manifest, producer: FakeStream
) -> None:
    said = on_device(device, producer, 5)
    said.strides = (24, 3, 1)
    host_stream(backend, manifest).push(said)


def test_a_cpu_tensor_is_told_what_to_do(backend: GpuBackend, manifest: Manifest) -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises(FrameError, match=r"given a Tensor in the CPU's memory"):
        host_stream(backend, manifest).push(torch.zeros(4, 8, 3, dtype=torch.uint8))


def test_one_size_in_one_stream(
    device: FakeDevice, backend: GpuBackend, manifest: Manifest, producer: FakeStream
) -> None:
    pytest.importorskip("cv2")
    stream = host_stream(backend, manifest)
    stream.push(np.zeros((8, 16, 3), np.uint8))
    with pytest.raises(FrameError, match="a frame of 4x8 in a stream of 8x16 frames"):
        stream.push(on_device(device, producer, 5))


# Labels


def test_labels_on_the_device(
    device: FakeDevice, backend: GpuBackend, manifest: Manifest, producer: FakeStream, paths: int
) -> None:
    """Many frames ahead of any wait: each image has its own place until it was copied."""
    mine = device.foreign_stream()
    stream = device_stream(backend, manifest, cuda_stream=mine.handle)
    images = list(range(10, 10 + 3 * paths + 2))
    seen = []
    opened = len(device.log)
    for index, byte in enumerate(images):
        given = on_device(device, producer, byte) if index % 3 == 2 else frame(byte)
        result = stream.push(given, stamp_ns=index)
        assert (result.frame_index, result.stamp_ns, result.captured) == (index, index, True)
        assert result.cold == (index < paths - 1)
        copy = device.foreign_memory(SIZE_HW[0] * SIZE_HW[1])
        with device.current():
            mine.copy(copy, device.memory_at(result.labels.address))  # on the same stream: in order
        seen.append(copy)
    stream.synchronize()
    for index, copy in enumerate(seen):
        expected = expected_labels(images[: index + 1], paths, SIZE_HW)
        assert np.array_equal(copy.data.reshape(SIZE_HW), expected)
    assert "copy labels to labels" not in device.log[opened:]  # nothing went to the host


def test_confidence_on_the_device(tiny_manifest: Manifest, device: FakeDevice, paths: int) -> None:
    """Beside the labels, in memory of its own, for as long; None where the bundle has none."""
    manifest = hand_made(tiny_manifest, paths, confidence=True)
    mine = device.foreign_stream()
    stream = device_stream(made_backend(device, manifest), manifest, cuda_stream=mine.handle)
    result = stream.push(frame(3))
    assert result.confidence is not None
    assert (result.confidence.name, result.confidence.shape, result.confidence.dtype) == (
        "confidence",
        SIZE_HW,
        np.uint8,
    )
    assert result.confidence.address != result.labels.address
    assert (read(device, mine, device.memory_at(result.confidence.address)) == 255).all()
    stream.push(frame(4))
    with pytest.raises(StreamError, match="confidence of frame 0: no longer there"):
        result.confidence.__dlpack__(stream=1)
    plain = hand_made(tiny_manifest, paths)
    assert device_stream(made_backend(device, plain), plain).push(frame(3)).confidence is None


def test_frames_without_attention_on_the_device(tiny_manifest: Manifest, device: FakeDevice) -> None:
    """One launch of a captured graph as well; the frames after them are as if attention had never been left out."""
    manifest = hand_made(tiny_manifest, 2, own=True)
    mine, images = device.foreign_stream(), [3, 4, 5, 6]
    stream = device_stream(made_backend(device, manifest), manifest, cuda_stream=mine.handle)
    for index, attention in enumerate((True, False, False, True)):
        result = stream.push(frame(images[index]), attention=attention)
        expected = expected_labels(images[: index + 1], 2, SIZE_HW)
        if not attention:
            expected = (((index % 2 + 1) + 8 * images[index] + np.arange(expected.size)) % 251).reshape(
                SIZE_HW
            )
        assert np.array_equal(
            read(device, mine, device.memory_at(result.labels.address)).reshape(SIZE_HW), expected
        )
        assert (result.cold, result.captured) == (index == 0 or not attention, True)
    plain = hand_made(tiny_manifest, 2)
    with pytest.raises(OptionError, match="--own-labels"):
        device_stream(made_backend(device, plain), plain).push(frame(3), attention=False)


def test_labels_through_dlpack_are_ordered(
    device: FakeDevice, backend: GpuBackend, manifest: Manifest, paths: int
) -> None:
    stream, consumer = device_stream(backend, manifest), device.foreign_stream()
    labels = stream.push(frame(3)).labels
    assert (labels.shape, labels.dtype) == (SIZE_HW, np.uint8)
    assert labels.__dlpack_device__() == (2, 0)
    memory, shape, owner = labels.__dlpack__(stream=consumer.handle)
    assert shape == SIZE_HW
    assert owner is labels  # keeps the window alive
    assert np.array_equal(read(device, consumer, memory), expected_labels([3], paths, SIZE_HW))


def test_labels_without_order_are_the_callers_business(
    device: FakeDevice, backend: GpuBackend, manifest: Manifest
) -> None:
    stream, consumer = device_stream(backend, manifest), device.foreign_stream()
    memory, _, _ = stream.push(frame(3)).labels.__dlpack__(stream=-1)
    with pytest.raises(WrongOrderError):
        read(device, consumer, memory)


def test_a_consumer_that_is_not_done_before_the_next_push_is_noticed(
    device: FakeDevice, backend: GpuBackend, manifest: Manifest
) -> None:
    """What the documentation forbids; the fake shows why."""
    stream, consumer = device_stream(backend, manifest), device.foreign_stream()
    memory, _, _ = stream.push(frame(3)).labels.__dlpack__(stream=consumer.handle)
    consumer.put(Work("consumer", [memory], [], lambda: None))
    with pytest.raises(WrongOrderError, match="'labels'"):
        stream.push(frame(4))


def test_the_array_interface(device: FakeDevice, backend: GpuBackend, manifest: Manifest, paths: int) -> None:
    """The consumer is on another stream and, as torch, never looks at `stream`."""
    labels = device_stream(backend, manifest).push(frame(3)).labels
    address, _ = labels.__cuda_array_interface__["data"]
    seen = read(device, device.foreign_stream(), device.memory_at(address))
    assert np.array_equal(seen, expected_labels([3], paths, SIZE_HW))
    assert labels.__cuda_array_interface__ == {
        "version": 3,
        "shape": SIZE_HW,
        "typestr": "|u1",
        "data": (labels.address, False),
        "strides": None,
        "stream": None,
    }


@pytest.mark.parametrize("end", ["push", "close"])
def test_labels_end_with_the_next_push(backend: GpuBackend, manifest: Manifest, end: str) -> None:
    stream = device_stream(backend, manifest)
    labels = stream.push(frame(3)).labels
    stream.reset()
    assert labels.address  # still there
    if end == "push":
        stream.push(frame(4))
    else:
        stream.close()
    for access in (
        lambda: labels.address,
        lambda: labels.__cuda_array_interface__,
        lambda: labels.__dlpack__(stream=1),
    ):
        with pytest.raises(StreamError, match=r"labels of frame 0: no longer there, .*copy what is to"):
            access()


def test_the_frame_is_alive_until_it_was_copied(
    device: FakeDevice, backend: GpuBackend, manifest: Manifest, producer: FakeStream
) -> None:
    import weakref

    stream = device_stream(backend, manifest)
    given = on_device(device, producer, 1)
    gone = weakref.ref(given)
    stream.push(given)
    del given
    assert gone() is not None
    stream.synchronize()
    assert gone() is None


def test_host_frames_must_have_the_networks_size(backend: GpuBackend, manifest: Manifest) -> None:
    with pytest.raises(FrameError, match="with labels on the GPU only the network's size, 4x8, can be taken"):
        device_stream(backend, manifest).push(np.zeros((8, 16, 3), np.uint8))


# The caller's stream


@pytest.mark.parametrize("opened", [host_stream, device_stream])
def test_its_graphs_are_captured_elsewhere_and_launched_on_it(
    device: FakeDevice, backend: GpuBackend, manifest: Manifest, paths: int, opened: Callable[..., Any]
) -> None:
    """Nothing else orders the frames before the work, and the work before who reads the labels."""
    mine = device.foreign_stream()
    stream = opened(backend, manifest, cuda_stream=mine.handle)
    for index in range(2 * paths + 1):
        result = stream.push(on_device(device, mine, index, says_stream=False))
        assert result.captured is True
        labels = result.labels
        if opened is device_stream:
            labels = read(device, mine, device.memory_at(labels.address))
        assert np.array_equal(labels, expected_labels(list(range(index + 1)), paths, SIZE_HW))
    stream.close()
    assert {thing for thing in device.alive if isinstance(thing, FakeStream)} == set()


class WithProtocol:
    def __cuda_stream__(self) -> tuple[int, int]:
        return (0, 42)


@pytest.mark.parametrize(
    "stream",
    [
        42,
        WithProtocol(),
        SimpleNamespace(__cuda_stream__=(0, 42)),  # as some libraries had it
        SimpleNamespace(cuda_stream=42),  # torch
        SimpleNamespace(ptr=42),  # CuPy
        SimpleNamespace(handle=42),  # PyCUDA
    ],
)
def test_streams_of_many_libraries(stream: object) -> None:
    assert stream_handle(stream) == 42


@pytest.mark.parametrize("stream", [True, "42", object(), SimpleNamespace(handle="42")])
def test_what_is_no_stream(stream: object, device: FakeDevice, backend: GpuBackend) -> None:
    alive = set(device.alive)
    with pytest.raises(OptionError, match=r"cuda_stream is a .*; expected an object with __cuda_stream__"):
        backend.device_session(cuda_stream=stream)
    assert device.alive == alive
