"""Every call of the driver and of the engines fails once, at every position; so does every piece of work.

Afterwards a stream either works after `reset()`, with the right labels, or it was refused with a
BackendError. Nothing hangs, no label is stale, nothing is left when it is closed.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable

import numpy as np
import pytest
from tests.runtime.gpu.conftest import SIZE_HW, device_stream, frame, host_stream, made_backend
from tests.runtime.gpu.fake_device import FakeArray, FakeDevice, FakeMemory, Work
from tests.runtime.gpu.fake_engine import expected_labels
from tests.runtime.test_stream import hand_made

from tdnet_runtime.device_stream import DeviceStream
from tdnet_runtime.errors import BackendError, StreamError
from tdnet_runtime.gpu.backend import GpuBackend
from tdnet_runtime.gpu.buffers import DeviceBuffer
from tdnet_runtime.gpu.program import PathWork
from tdnet_runtime.manifest import Manifest
from tdnet_runtime.stream import Stream, StreamState

IMAGES = [3, 200, 7, 90, 41, 250, 1]
FRAMES = 3

Opener = Callable[[GpuBackend, Manifest], Stream | DeviceStream]
KINDS: dict[str, Opener] = {"host": host_stream, "device": device_stream}


class Trial:
    """A fresh GPU with one stream, whose labels are checked."""

    def __init__(self, manifest: Manifest, kind: str, *, device_frames: bool = False) -> None:
        self.manifest, self.kind, self.device_frames = manifest, kind, device_frames
        self.paths = len(manifest.paths)
        self.device = FakeDevice()
        self.producer = self.device.foreign_stream()
        self.backend = made_backend(self.device, manifest)
        self.stream: Stream | DeviceStream | None = None

    def open(self) -> Stream | DeviceStream:
        self.stream = KINDS[self.kind](self.backend, self.manifest)
        return self.stream

    def frame(self, byte: int) -> object:
        return self.on_device(byte) if self.device_frames else frame(byte)

    def on_device(self, byte: int) -> FakeArray:
        """A frame that the application's stream is still to write."""
        values = frame(byte)
        memory = self.device.foreign_memory(values.nbytes)
        self.producer.put(_writing(memory, values))
        return FakeArray(memory, values.shape, self.producer.handle)

    def push(self, count: int) -> None:
        """Push the next frames up to `count` and check each one's labels."""
        assert self.stream is not None
        for index in range(self.stream.frame_index, count):
            result = self.stream.push(self.frame(IMAGES[index]))
            if isinstance(self.stream, DeviceStream):
                self.stream.synchronize()
                labels = self.device.memory_at(result.labels.address).data.reshape(SIZE_HW)
            else:
                labels = result.labels
            expected = expected_labels(IMAGES[: index + 1], self.paths, SIZE_HW)
            assert np.array_equal(labels, expected), f"labels of frame {index}"

    def close(self) -> None:
        """Nothing may be left."""
        if self.stream is not None:
            self.stream.close()
        self.backend.close()
        assert self.device.alive == set()


def _writing(memory: FakeMemory, values: np.ndarray) -> Work:
    action = lambda: np.copyto(memory.data, values.reshape(-1))  # noqa: E731
    return Work("the producer's", [], [memory], action, ours=False)


def _spent(trial: Trial) -> tuple[int, int]:
    return trial.device.calls, trial.device.works


def _survives(trial: Trial) -> None:
    """The stream says that it has failed, and works after a reset, from the first frame on."""
    stream = trial.stream
    assert stream is not None
    assert stream.state is StreamState.FAILED
    for refused in (lambda: stream.push(frame(0)), stream.prepare, stream.snapshot):
        with pytest.raises(StreamError, match=r"call reset\(\) first"):
            refused()
    stream.reset()
    assert stream.state is StreamState.READY
    trial.push(len(IMAGES))


@pytest.mark.parametrize("device_frames", [False, True], ids=["host frames", "device frames"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("paths", [1, 2, 4])
@pytest.mark.parametrize("what", ["call", "work"])
def test_at_every_position_in_three_frames(
    tiny_manifest: Manifest, paths: int, kind: str, what: str, device_frames: bool
) -> None:
    manifest = hand_made(tiny_manifest, paths)
    clean = Trial(manifest, kind, device_frames=device_frames)
    clean.open()
    before = _spent(clean)
    clean.push(FRAMES)
    after = _spent(clean)
    clean.close()
    first, last = (before[0], after[0]) if what == "call" else (before[1], after[1])
    assert last - first >= 2 * FRAMES
    for position in range(first + 1, last + 1):
        trial = Trial(manifest, kind, device_frames=device_frames)
        trial.open()
        setattr(trial.device, f"fail_at_{what}", position)
        with pytest.raises(BackendError, match=r"(told to fail|failed as work).*call reset\(\) before"):
            trial.push(FRAMES)
        _survives(trial)
        trial.close()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("paths", [1, 2])
@pytest.mark.parametrize("what", ["call", "work"])
def test_at_every_position_of_opening(
    tiny_manifest: Manifest, paths: int, kind: str, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It does not open, or runs without a graph that could not be captured; then the log says so."""
    manifest = hand_made(tiny_manifest, paths)
    clean = Trial(manifest, kind)
    clean.open()
    calls, works = _spent(clean)
    clean.close()
    outcomes = {"refused": 0, "plain": 0}
    for position in range(1, (calls if what == "call" else works) + 1):
        trial = Trial(manifest, kind)
        setattr(trial.device, f"fail_at_{what}", position)
        caplog.clear()
        try:
            with caplog.at_level(logging.WARNING):
                trial.open()
        except BackendError:
            outcomes["refused"] += 1
        else:
            assert "running without CUDA graphs" in caplog.text
            outcomes["plain"] += 1
            trial.push(len(IMAGES))
        trial.close()
    assert min(outcomes.values()) > 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("what", ["call", "work"])
def test_a_gpu_that_is_gone(tiny_manifest: Manifest, kind: str, what: str) -> None:
    """As after an illegal access: everything fails from then on, and closing still works."""
    manifest = hand_made(tiny_manifest, 2)
    clean = Trial(manifest, kind)
    clean.open()
    before = _spent(clean)
    clean.push(FRAMES)
    after = _spent(clean)
    for position in range(before[what == "work"] + 1, after[what == "work"] + 1):
        trial = Trial(manifest, kind)
        stream = trial.open()
        trial.device.deadly = True
        setattr(trial.device, f"fail_at_{what}", position)
        with pytest.raises(BackendError):
            trial.push(FRAMES)
        for _ in range(2):
            with pytest.raises(BackendError, match=r"the GPU is gone \(in reset\(\)\)"):
                stream.reset()
            assert stream.state is StreamState.FAILED
        trial.close()


@pytest.mark.parametrize("kind", KINDS)
def test_a_gpu_that_cannot_be_made_current_any_more(tiny_manifest: Manifest, kind: str) -> None:
    """Closing works all the same, the engines' too."""
    trial = Trial(hand_made(tiny_manifest, 2), kind)
    stream = trial.open()
    trial.push(2)
    trial.device.unreachable = True
    for call in (lambda: stream.push(frame(0)), stream.reset):
        with pytest.raises(BackendError, match="making the GPU current: it is gone"):
            call()
        assert stream.state is StreamState.FAILED
    trial.close()


@pytest.mark.parametrize("what", ["call", "work"])
@pytest.mark.parametrize("paths", [1, 2])
def test_a_gpu_that_goes_while_a_stream_opens(tiny_manifest: Manifest, paths: int, what: str) -> None:
    """Capturing may fail and the stream open; but not if nothing works any more."""
    manifest = hand_made(tiny_manifest, paths)
    clean = Trial(manifest, "host")
    clean.open()
    total = _spent(clean)[what == "work"]
    for position in range(1, total + 1):
        trial = Trial(manifest, "host")
        trial.device.deadly = True
        setattr(trial.device, f"fail_at_{what}", position)
        with pytest.raises(BackendError):
            trial.open()
        trial.close()


@pytest.mark.parametrize("call", ["reset", "restore", "snapshot", "tensor"])
@pytest.mark.parametrize("kind", KINDS)
def test_at_every_position_of_the_other_calls(tiny_manifest: Manifest, kind: str, call: str) -> None:
    """A half-cleared or half-restored memory is never used (issue: state READY after a failed reset)."""
    manifest = hand_made(tiny_manifest, 2)

    def run(position: int | None, what: str) -> int:
        trial = Trial(manifest, kind)
        stream = trial.open()
        trial.push(3)
        snapshot = stream.snapshot()
        calls = {
            "reset": stream.reset,
            "restore": lambda: stream.restore(snapshot),
            "snapshot": stream.snapshot,
            "tensor": lambda: stream.tensor("value"),
        }
        start = _spent(trial)[what == "work"]
        if position is not None:
            setattr(trial.device, f"fail_at_{what}", start + position)
            with pytest.raises(BackendError, match=rf"\(in {call}\(\)\); call reset\(\)"):
                calls[call]()
            _survives(trial)
        else:
            calls[call]()
        spent = _spent(trial)[what == "work"] - start
        trial.close()
        return spent

    for what in ("call", "work"):
        total = run(None, what)
        assert total > 0
        for position in range(1, total + 1):
            run(position, what)


def test_a_snapshot_mends_a_failed_stream(tiny_manifest: Manifest) -> None:
    trial = Trial(hand_made(tiny_manifest, 4), "host")
    stream = trial.open()
    trial.push(5)
    snapshot = stream.snapshot()
    trial.device.fail_at_work = trial.device.works + 2
    with pytest.raises(BackendError):
        trial.push(6)
    stream.restore(snapshot)
    trial.push(len(IMAGES))
    trial.close()


def test_an_interrupt_in_mid_frame(tiny_manifest: Manifest, monkeypatch: pytest.MonkeyPatch) -> None:
    trial = Trial(hand_made(tiny_manifest, 2), "device")
    stream = trial.open()
    trial.push(2)

    def interrupted(work: PathWork, stream: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(PathWork, "put", interrupted)
        with pytest.raises(KeyboardInterrupt):
            stream.push(frame(1))
    _survives(trial)
    trial.close()


@pytest.mark.parametrize("call", ["reset", "restore"])
def test_an_interrupt_while_the_memory_is_rewritten(
    tiny_manifest: Manifest, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    trial = Trial(hand_made(tiny_manifest, 2), "host")
    stream = trial.open()
    trial.push(3)
    snapshot = stream.snapshot()

    def interrupted(*args: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(DeviceBuffer, {"reset": "zero", "restore": "load"}[call], interrupted)
        with pytest.raises(KeyboardInterrupt):
            stream.reset() if call == "reset" else stream.restore(snapshot)
    _survives(trial)
    trial.close()


def test_a_late_failure_names_the_frames_that_it_can_belong_to(tiny_manifest: Manifest) -> None:
    """Nobody waits for the labels; the failure of frame 3 comes up when frame 5 needs its place."""
    trial = Trial(hand_made(tiny_manifest, 1), "device")
    stream = trial.open()
    trial.push(3)
    trial.device.fail_at_work = trial.device.works + 2
    stream.push(frame(1))
    stream.push(frame(2))
    with pytest.raises(
        BackendError,
        match=r"failed as work \d+ \(came up at frame 5, path 1; it may belong to frames 3 to 4\); call reset\(\)",
    ):
        stream.push(frame(3))
    _survives(trial)
    trial.close()


@pytest.mark.parametrize("by", ["synchronize", "labels"])
def test_waiting_reports_and_fails_the_stream(tiny_manifest: Manifest, by: str) -> None:
    trial = Trial(hand_made(tiny_manifest, 1), "device")
    stream = trial.open()
    assert isinstance(stream, DeviceStream)
    trial.device.fail_at_work = trial.device.works + 2
    labels = stream.push(frame(1)).labels
    with pytest.raises(BackendError, match=r"failed as work \d+ \(frame 0\); call reset\(\)"):
        stream.synchronize() if by == "synchronize" else labels.__cuda_array_interface__
    _survives(trial)
    trial.close()


@pytest.mark.parametrize("call", ["reset", "restore"])
def test_a_late_failure_after_a_new_start(tiny_manifest: Manifest, call: str) -> None:
    """Frames are counted anew; those before the reset are done."""
    trial = Trial(hand_made(tiny_manifest, 1), "device")
    stream = trial.open()
    assert isinstance(stream, DeviceStream)
    start = stream.snapshot()
    trial.push(5)
    stream.reset() if call == "reset" else stream.restore(start)
    trial.device.fail_at_work = trial.device.works + 2
    stream.push(frame(1))
    stream.push(frame(2))
    with pytest.raises(BackendError, match=r"\(frames 0 to 1\); call reset\(\)"):
        stream.synchronize()
    trial.close()


def test_resetting_reports_what_nobody_has_waited_for(tiny_manifest: Manifest) -> None:
    """Once; the frames are gone anyway, and the next reset works."""
    trial = Trial(hand_made(tiny_manifest, 1), "device")
    stream = trial.open()
    trial.device.fail_at_work = trial.device.works + 2
    stream.push(frame(1))
    with pytest.raises(BackendError, match=r"failed as work \d+ \(in reset\(\)\)"):
        stream.reset()
    _survives(trial)
    trial.close()


def test_frames_that_were_given_up_do_not_keep_a_failed_stream_from_its_reset(
    tiny_manifest: Manifest,
) -> None:
    """Frame 0 has failed, and nobody knows yet; frame 1 fails at once. The first reset is enough."""
    trial = Trial(hand_made(tiny_manifest, 1), "device")
    stream = trial.open()
    trial.device.fail_at_work = trial.device.works + 2
    stream.push(frame(1))
    trial.device.fail_at_call = trial.device.calls + 1
    with pytest.raises(BackendError, match="told to fail"):
        stream.push(frame(2))
    _survives(trial)
    trial.close()


def test_closing_a_stream_with_a_failure_under_way(
    tiny_manifest: Manifest, caplog: pytest.LogCaptureFixture
) -> None:
    trial = Trial(hand_made(tiny_manifest, 1), "device")
    stream = trial.open()
    trial.device.fail_at_work = trial.device.works + 2
    with contextlib.suppress(BackendError):
        stream.push(frame(1))
    with caplog.at_level(logging.WARNING):
        trial.close()
    assert "closing a stream: subnet1: failed" in caplog.text


def test_another_stream_goes_on(tiny_manifest: Manifest) -> None:
    trial = Trial(hand_made(tiny_manifest, 2), "host")
    trial.open()
    other = host_stream(trial.backend, trial.manifest)
    trial.push(3)
    other.push(frame(9))
    trial.device.fail_at_work = trial.device.works + 1
    with pytest.raises(BackendError):
        trial.push(4)
    expected = expected_labels([9, 8], 2, SIZE_HW)
    assert np.array_equal(other.push(frame(8)).labels, expected)
    _survives(trial)
    other.close()
    trial.close()
