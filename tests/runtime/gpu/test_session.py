"""Schedule, ring, capture and memory of streams on the fake GPU."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import msgspec
import numpy as np
import pytest
from tests.runtime.gpu.conftest import SIZE_HW, device_stream, frame, host_stream, made_backend
from tests.runtime.gpu.fake_device import (
    FakeDevice,
    FakeMemory,
    FakeStream,
    WrongDeviceError,
    WrongOrderError,
)
from tests.runtime.gpu.fake_engine import expected_labels, fake_engines
from tests.runtime.test_stream import hand_made

from tdnet_runtime.errors import BackendError, StreamError
from tdnet_runtime.gpu.backend import GpuBackend
from tdnet_runtime.manifest import Manifest
from tdnet_runtime.stream import Stream, StreamState

BYTES = [3, 200, 7, 90, 41, 250, 1, 77, 130, 18, 99, 5, 64, 222]  # more than 3m + 1 images


@pytest.fixture
def stream(backend: GpuBackend, manifest: Manifest) -> Stream:
    return host_stream(backend, manifest)


def assert_right(labels: np.ndarray, images: Sequence[int], paths: int) -> None:
    assert np.array_equal(labels, expected_labels(images, paths, SIZE_HW))


def test_paths_cold_frames_and_labels(stream: Stream, paths: int) -> None:
    for index, byte in enumerate(BYTES):
        result = stream.push(frame(byte))
        assert (result.frame_index, result.path) == (index, index % paths + 1)
        assert result.cold == (index < paths - 1)
        assert result.captured is True
        assert_right(result.labels, BYTES[: index + 1], paths)


def test_half_precision_tensors(tiny_manifest: Manifest, device: FakeDevice, paths: int) -> None:
    """As in FP16 graphs: everything but `warm`. The buffers follow the manifest at that precision."""
    half = {
        tensor.name: "float16"
        for graph in hand_made(tiny_manifest, paths).graphs
        for tensor in (*graph.inputs, *graph.outputs)
        if tensor.dtype == "float32" and tensor.name != "warm"
    }
    full = hand_made(tiny_manifest, paths)
    both = tuple(
        msgspec.structs.replace(graph, members={**graph.members, "fp16": f"graphs/fp16/{graph.name}.onnx"})
        for graph in full.graphs
    )
    manifest = msgspec.structs.replace(full, graphs=both, dtypes={"fp16": half} if half else {}).at("fp16")
    stream = host_stream(made_backend(device, manifest), manifest)
    for index, byte in enumerate(BYTES[:9]):
        assert_right(stream.push(frame(byte)).labels, BYTES[: index + 1], paths)
    assert {values.dtype.name for values in stream.snapshot().slots.values()} <= {"float16"}


def test_the_expected_labels_by_hand() -> None:
    """Frame 3 of four paths, images 1, 2, 3, 4: path 4 reads paths 1, 2, 3, the oldest first."""
    first = (4 + 8 * 4) + (1 + 8 * 1) + 3 * (2 + 8 * 2) + 9 * (3 + 8 * 3)
    assert expected_labels([1, 2, 3, 4], 4, (2,)).tolist() == [first % 251, (first + 1) % 251]
    assert expected_labels([1, 2], 4, (1,)).tolist() == [2 + 8 * 2]  # cold


def test_what_opening_left_behind_is_not_seen(device: FakeDevice, stream: Stream) -> None:
    """Warm-up and capture ran on the stream's own buffers."""
    assert all(not values.any() for values in stream.snapshot().slots.values())


def test_reset_snapshot_and_restore(stream: Stream, paths: int) -> None:
    for byte in BYTES[:5]:
        stream.push(frame(byte))
    before = stream.snapshot()
    for byte in (11, 12, 13):
        stream.push(frame(byte))
    stream.restore(before)
    assert_right(stream.push(frame(BYTES[5])).labels, BYTES[:6], paths)
    stream.reset()
    for index in range(5):
        assert_right(stream.push(frame(BYTES[index])).labels, BYTES[: index + 1], paths)


def test_there_is_nothing_to_prepare(device: FakeDevice, stream: Stream, paths: int) -> None:
    """A frame is one piece of work here."""
    for index, byte in enumerate(BYTES[:9]):
        spent = device.calls, device.works
        stream.prepare()
        assert (device.calls, device.works) == spent
        assert_right(stream.push(frame(byte)).labels, BYTES[: index + 1], paths)


def test_frames_of_another_size_are_resized_on_the_host(stream: Stream, paths: int) -> None:
    pytest.importorskip("cv2")
    labels = stream.push(np.full((8, 16, 3), 9, np.uint8)).labels
    assert labels.shape == (8, 16)
    assert labels[0, 0] == expected_labels([9], paths, (1,))[0]


def test_tensors_can_be_looked_at(stream: Stream, paths: int) -> None:
    stream.push(frame(10))
    assert stream.tensor("image")[0, 0, 0, 0] == 10
    if paths > 1:
        assert (stream.tensor("slot1_v") == 1 + 80).all()
    with pytest.raises(StreamError, match="'absent'"):
        stream.tensor("absent")


def test_logits_are_the_callers_own(tiny_manifest: Manifest, device: FakeDevice, paths: int) -> None:
    manifest = hand_made(tiny_manifest, paths, logits=True)
    stream = host_stream(made_backend(device, manifest), manifest)
    first = stream.push(frame(1)).logits
    assert first is not None
    second = stream.push(frame(2)).logits
    assert (first == 1 + 8).all()
    assert second is not None
    assert not np.shares_memory(first, second)


def test_a_network_that_is_sure_of_all_pixels_opens(
    tiny_manifest: Manifest, device: FakeDevice, paths: int
) -> None:
    """Its confidence is 255 on the probe, too: that is no output which nothing was written to."""
    manifest = hand_made(tiny_manifest, paths, confidence=True)
    stream = host_stream(made_backend(device, manifest), manifest)
    first, second = (stream.push(frame(index)).confidence for index in (1, 2))
    assert first is not None
    assert (first == 255).all()
    assert second is not None
    assert not np.shares_memory(first, second)


def test_a_frame_allocates_and_makes_nothing(device: FakeDevice, stream: Stream, paths: int) -> None:
    """And is one launch between two copies, with one wait at its end."""
    stream.push(frame(0))
    alive = set(device.alive)
    for index in range(1, 3 * paths + 1):
        before = len(device.log)
        stream.push(frame(index))
        calls = device.log[before:]
        warm_changes = paths > 1 and index == paths - 1
        assert calls == (["copy warm to warm", "stream sync"] if warm_changes else []) + [
            "copy image to image",
            "launch",
            "copy labels to labels",
            "stream sync",
        ]
    assert device.alive == alive


def test_one_scratch_block_for_all_graphs(
    device: FakeDevice, backend: GpuBackend, manifest: Manifest, stream: Stream
) -> None:
    needs = [engine.activation_bytes for engine in fake_engines(FakeDevice(), manifest)]
    assert device.memory_called("activations").nbytes == max(needs)
    use = stream.memory_use
    assert use is not None
    assert use.scratch_bytes == max(needs)
    assert use.device_bytes == device.bytes_alive(pinned=False)
    assert use.pinned_bytes == device.bytes_alive(pinned=True)
    before = device.bytes_alive(pinned=False)
    other = host_stream(backend, manifest)
    assert device.bytes_alive(pinned=False) == before + use.device_bytes  # the engines are shared
    other.close()
    assert device.bytes_alive(pinned=False) == before


def test_streams_do_not_mix(backend: GpuBackend, manifest: Manifest, paths: int) -> None:
    one, other = host_stream(backend, manifest), host_stream(backend, manifest)
    for index in range(8):
        assert_right(one.push(frame(BYTES[index])).labels, BYTES[: index + 1], paths)
        assert_right(other.push(frame(250 - index)).labels, [250 - i for i in range(index + 1)], paths)


def test_closing_leaves_nothing(device: FakeDevice, backend: GpuBackend, stream: Stream) -> None:
    stream.push(frame(1))
    stream.close()
    stream.close()
    backend.close()
    backend.close()
    assert device.alive == set()


def test_the_callers_stream_is_used_and_not_closed(
    device: FakeDevice, backend: GpuBackend, manifest: Manifest, paths: int
) -> None:
    mine = device.foreign_stream()
    stream = host_stream(backend, manifest, cuda_stream=mine.handle)
    count = mine.count
    assert_right(stream.push(frame(6)).labels, [6], paths)
    assert mine.count > count
    (other,) = (each for each in device.alive - {mine} if isinstance(each, FakeStream))
    assert other.count == 0  # it was captured on, and does no work


# Capturing


def test_each_path_is_captured_once(device: FakeDevice, stream: Stream, paths: int) -> None:
    assert device.log.count("begin capture") == device.log.count("instantiate") == paths
    first_launch = device.log.index("launch")
    assert "stream sync" in device.log[: device.log.index("begin capture")]  # after a plain run
    assert device.log[first_launch - 1].startswith("fill")  # tested on poisoned outputs


def test_an_application_that_wants_no_graphs(
    device: FakeDevice, backend: GpuBackend, manifest: Manifest, paths: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Streams that are open stay as they are; nothing is warned of, since it was asked for."""
    before = host_stream(backend, manifest)
    device.log.clear()
    backend.use_graphs = False
    stream = host_stream(backend, manifest)
    for index, byte in enumerate(BYTES[:5]):
        result = stream.push(frame(byte))
        assert result.captured is False
        assert_right(result.labels, BYTES[: index + 1], paths)
    assert not {"begin capture", "launch"} & set(device.log)
    assert caplog.records == []
    assert before.push(frame(1)).captured is True


@pytest.mark.parametrize("flaw", ["empty_graphs", "stale_graphs"])
def test_a_graph_that_gives_other_results_is_not_used(
    device: FakeDevice,
    backend: GpuBackend,
    manifest: Manifest,
    paths: int,
    flaw: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    setattr(device, flaw, True)
    with caplog.at_level(logging.WARNING):
        stream = host_stream(backend, manifest)
    (record,) = caplog.records  # once, for all paths
    assert "running without CUDA graphs" in record.message
    assert "gave other results than the plain run: " in record.message
    assert "labels in " in record.message
    launches = device.log.count("launch")
    for index in range(3 * paths):
        result = stream.push(frame(BYTES[index]))
        assert result.captured is False
        assert_right(result.labels, BYTES[: index + 1], paths)
    assert device.log.count("launch") == launches


def test_an_engine_that_cannot_be_captured(
    device: FakeDevice, manifest: Manifest, paths: int, caplog: pytest.LogCaptureFixture
) -> None:
    engines = fake_engines(device, manifest)
    engines[0].obstacle = "it allocates while it runs"
    backend = GpuBackend(device, engines, manifest, name="tensorrt", precision="fp32", description="fake")
    with caplog.at_level(logging.WARNING):
        stream = host_stream(backend, manifest)
    assert "graph 'subnet1': it allocates while it runs" in caplog.text
    captured = [stream.push(frame(byte)).captured for byte in BYTES[:4]]
    assert captured == [index % paths != 0 for index in range(4)]  # the other paths are


def test_an_engine_that_writes_nothing_does_not_open(
    device: FakeDevice, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    engines = fake_engines(device, manifest)
    backend = GpuBackend(device, engines, manifest, name="tensorrt", precision="fp32", description="")
    monkeypatch.setattr(engines[0], "law", lambda: lambda arrays: None)
    with pytest.raises(BackendError, match=r"'subnet1'.* ran without an error and wrote nothing to '"):
        host_stream(backend, manifest)
    backend.close()
    assert device.alive == set()


# The engines and the manifest


def test_an_engine_with_other_tensors_is_refused(device: FakeDevice, manifest: Manifest) -> None:
    engines = fake_engines(device, manifest)
    _, *rest = engines[0].tensors
    engines[0].tensors = tuple(rest)
    with pytest.raises(
        BackendError, match=r"engine of graph 'subnet1' does not have .*: image: engine None, .*--rebuild"
    ):
        GpuBackend(device, engines, manifest, name="tensorrt", precision="fp32", description="")


# The fake itself: does it notice?


def test_two_streams_in_one_buffer_are_noticed(device: FakeDevice) -> None:
    with device.current():
        one, other = device.create_stream(), device.create_stream()
        memory = device.allocate(4, name="x", stream=one)
        one.fill(memory, 1)
        with pytest.raises(WrongOrderError, match="uses 'x' and nothing orders it"):
            other.fill(memory, 2)
        other.wait_for(one)
        other.fill(memory, 2)
        with pytest.raises(WrongOrderError):
            one.fill(memory, 3)
        other.sync()
        one.fill(memory, 3)


def test_work_is_late_and_memory_is_poisoned(device: FakeDevice) -> None:
    with device.current():
        stream = device.create_stream()
        memory: FakeMemory = device.allocate(4, name="x", stream=stream)
        pinned = device.allocate_pinned(4, name="p")
        assert (memory.data == 255).all()
        stream.fill(memory, 7)
        stream.copy(pinned, memory)
        assert (memory.data == 255).all()
        with pytest.raises(WrongOrderError, match="the host touches pinned memory 'p'"):
            _ = pinned.array
        stream.sync()
        assert (pinned.array == 7).all()
        memory.close()
        with pytest.raises(WrongOrderError, match="after it was closed"):
            stream.fill(memory, 1)


def test_a_thread_without_the_device_is_noticed(device: FakeDevice) -> None:
    with pytest.raises(WrongDeviceError):
        device.create_stream()


def test_a_failed_stream_is_failed(device: FakeDevice, stream: Stream) -> None:
    device.fail_at_work = device.works + 2
    with pytest.raises(BackendError, match=r"failed as work .* \(frame 0, path 1\); call reset\(\)"):
        stream.push(frame(1))
    assert stream.state is StreamState.FAILED


def test_nothing_waits_with_labels_on_the_device(
    device: FakeDevice, backend: GpuBackend, manifest: Manifest, paths: int
) -> None:
    stream = device_stream(backend, manifest)
    stream.push(frame(1))
    works = device.works
    before = len(device.log)
    stream.push(frame(2))
    if paths != 2:  # there it becomes warm, which waits once
        assert device.works == works
        assert device.log[before:] == ["event sync", "copy image to image", "launch", "record"]
