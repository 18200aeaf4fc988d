"""`Stream.prepare`: results are those of a stream that never heard of it, whatever comes between it and the next push."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.runtime.test_stream import (
    PATHS,
    assert_continues_as,
    assert_same_state,
    foretold,
    frame,
    hand_made,
    opened,
    push,
)

from tdnet_runtime.backends.base import SplitProgram
from tdnet_runtime.backends.fake import FakeBackend, FakeProgram
from tdnet_runtime.errors import BackendError, FrameError, StreamError
from tdnet_runtime.manifest import Manifest
from tdnet_runtime.media.scene import render
from tdnet_runtime.segmenter import Segmenter
from tdnet_runtime.stream import Result, Stream, StreamSnapshot, StreamState

# On the fake backend: what is run, and when it fails


@pytest.fixture
def backend(tiny_manifest: Manifest) -> FakeBackend:
    """Of four paths, with graphs for frames without attention."""
    return FakeBackend(hand_made(tiny_manifest, 4, own=True))


@pytest.fixture
def stream(backend: FakeBackend) -> Stream:
    return opened(backend)


@pytest.fixture
def twin(backend: FakeBackend) -> Stream:
    return opened(FakeBackend(backend.manifest))


def runs_of(backend: FakeBackend, call: Callable[[], object]) -> int:
    """How many graphs the call runs."""
    before = backend.calls
    call()
    return backend.calls - before


@pytest.mark.parametrize("paths", PATHS)
def test_what_it_does_and_when(tiny_manifest: Manifest, paths: int) -> None:
    """One graph of three, once for each warm frame, of networks whose past frames attend to each other."""
    backend = FakeBackend(hand_made(tiny_manifest, paths))
    stream = opened(backend)
    for index in range(3 * paths + 2):
        before = stream.frame_index, stream.state
        done = runs_of(backend, stream.prepare)
        assert done == (paths == 4 and index >= 3)
        assert (stream.frame_index, stream.state) == before
        assert runs_of(backend, stream.prepare) == 0  # again
        calls = backend.calls
        (result,) = push(stream, [index])
        assert backend.calls - calls == min(paths, 3) - done
        assert (result.labels == foretold(index, paths)).all()


def test_nothing_after_a_frame_without_attention(backend: FakeBackend, stream: Stream, twin: Stream) -> None:
    push(stream, range(5))
    push(twin, range(5))
    for index in (5, 6):
        stream.push(frame(index), attention=False)
        twin.push(frame(index), attention=False)
        assert runs_of(backend, stream.prepare) == 0
    assert_continues_as(stream, twin)
    assert runs_of(backend, stream.prepare) == 1  # with attention again


def test_nothing_of_it_is_to_be_seen(stream: Stream, twin: Stream) -> None:
    push(stream, range(6))
    push(twin, range(6))
    names = stream.tensor_names
    stream.prepare()
    assert_same_state(stream, twin)
    assert stream.tensor_names == names == twin.tensor_names


def other_memory(stream: Stream, value: int) -> StreamSnapshot:
    """A snapshot of the same frame with a memory full of another number."""
    snapshot = stream.snapshot()
    slots = {name: np.full_like(values, value) for name, values in snapshot.slots.items()}
    return replace(snapshot, slots=slots)


def test_another_memory_undoes_it(stream: Stream) -> None:
    """Of the same frame and path, so that nothing else tells them apart."""
    push(stream, range(3))
    stream.prepare()
    stream.restore(other_memory(stream, 2))
    assert (stream.push(frame(3)).labels == 4 + 2 * (1 + 3 + 9)).all()


def test_it_can_be_done_anew_for_another_memory(stream: Stream) -> None:
    push(stream, range(3))
    stream.prepare()
    stream.restore(other_memory(stream, 2))
    stream.prepare()
    assert (stream.push(frame(3)).labels == 4 + 2 * (1 + 3 + 9)).all()


def test_the_engine_fails(backend: FakeBackend, stream: Stream, twin: Stream) -> None:
    push(stream, range(5))
    before = stream.snapshot()
    backend.fail_at_call = backend.calls + 1
    with pytest.raises(
        BackendError,
        match=r"told to fail at call \d+ \(in prepare\(\)\); call reset\(\) before the next frame$",
    ):
        stream.prepare()
    assert stream.state is StreamState.FAILED
    for call in (stream.prepare, lambda: stream.push(frame(5))):
        with pytest.raises(
            StreamError, match=r"after a frame that failed or was interrupted.*reset\(\) first"
        ):
            call()
    stream.restore(before)
    push(twin, range(5))
    assert_continues_as(stream, twin)


@pytest.mark.parametrize("call", [1, 2], ids=["sub-network", "attention"])
def test_a_push_that_fails_afterwards(backend: FakeBackend, stream: Stream, twin: Stream, call: int) -> None:
    """What was prepared went with it: the memory is another one after `reset`, and after `restore`."""
    push(stream, range(3))
    before = other_memory(stream, 2)
    stream.prepare()
    backend.fail_at_call = backend.calls + call
    with pytest.raises(BackendError, match="frame 3, path 4"):
        push(stream, [3])
    stream.restore(before)
    assert (stream.push(frame(3)).labels == 4 + 2 * (1 + 3 + 9)).all()
    stream.reset()
    assert_continues_as(stream, twin)


def test_it_is_interrupted(stream: Stream, twin: Stream, monkeypatch: pytest.MonkeyPatch) -> None:
    """The memory is whole, and nothing half done is used."""
    push(stream, range(5))
    push(twin, range(5))
    with monkeypatch.context() as patch:

        def interrupted(program: FakeProgram) -> None:
            raise KeyboardInterrupt

        patch.setattr(FakeProgram, "run", interrupted)
        with pytest.raises(KeyboardInterrupt):
            stream.prepare()
    assert stream.state is StreamState.READY
    assert_continues_as(stream, twin)


def test_bad_frames_leave_it_as_it_is(backend: FakeBackend, stream: Stream, twin: Stream) -> None:
    push(stream, range(5))
    push(twin, range(5))
    stream.prepare()
    for bad in (frame(5) / 255, frame(5, (6, 7))):
        with pytest.raises(FrameError):
            stream.push(bad)
    assert runs_of(backend, lambda: push(stream, [5])) == 2
    push(twin, [5])
    assert_continues_as(stream, twin)


def test_a_closed_stream(stream: Stream) -> None:
    push(stream, range(5))
    stream.prepare()
    stream.close()
    with pytest.raises(StreamError, match=r"^prepare\(\) was called on a closed stream"):
        stream.prepare()


# On CPU engines: every number is the same


@pytest.fixture(scope="module")
def plan(tiny_checkpoint: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny td4-psp18 with logits and graphs for frames without attention."""
    torch = pytest.importorskip("torch")
    from tdnet_export.options import ExportOptions
    from tdnet_export.pipeline import bundle_from_checkpoint

    out = tmp_path_factory.mktemp("prepare") / "td4-psp18.plan"
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # several wait for each other, and long so on a busy machine
    bundle_from_checkpoint(
        ExportOptions(
            checkpoint=tiny_checkpoint("td4-psp18"),
            out=out,
            precisions=("fp32", "fp16"),
            logits=True,
            own_labels=True,
        )
    )
    torch.set_num_threads(threads)
    return out


@pytest.fixture(scope="module", params=["onnxruntime", "onnxruntime fp16", "openvino"])
def segmenter(request: pytest.FixtureRequest, plan: Path) -> Iterator[Segmenter]:
    backend, _, precision = request.param.partition(" ")
    pytest.importorskip(backend)
    with Segmenter.open(plan, backend=backend, precision=precision or "fp32", threads=1) as segmenter:
        yield segmenter


def scene(t: int) -> np.ndarray:
    return render(t, height=65, width=97)


class Script:
    """Calls of one stream; those that change no result can be left out."""

    def __init__(self, segmenter: Segmenter, *, prepare: bool) -> None:
        self.stream = segmenter.stream()
        self.results: list[Result] = []
        self._prepare = prepare

    def push(self, *times: int, attention: bool = True) -> None:
        self.results += [self.stream.push(scene(t), attention=attention) for t in times]

    def prepare(self) -> None:
        if self._prepare:
            self.stream.prepare()


def between_all(script: Script) -> None:
    for t in range(14):
        script.push(t)
        script.prepare()


def every_third(script: Script) -> None:
    for t in range(14):
        if t % 3 == 0:
            script.prepare()
        script.push(t)


def twice(script: Script) -> None:
    script.push(*range(5))
    script.prepare()
    script.prepare()
    script.push(5, 6)


def reset_between(script: Script) -> None:
    script.push(*range(4))
    script.prepare()  # for path 1, which is the first one of the new video, too
    script.stream.reset()
    script.push(*range(30, 36))


def restored_between(script: Script) -> None:
    script.push(*range(5))
    before = script.stream.snapshot()
    script.push(40, 41, 42, 43)
    script.prepare()  # for the same path
    script.stream.restore(before)
    script.push(5, 6)


def restored_to_what_was_prepared(script: Script) -> None:
    script.push(*range(5))
    before = script.stream.snapshot()
    script.prepare()
    script.push(5, 6, 7)
    script.stream.restore(before)
    script.push(60, 61)


def without_attention_between(script: Script) -> None:
    script.push(*range(5))
    script.prepare()
    script.push(5, attention=False)
    script.push(6)
    script.prepare()
    script.push(7)


def without_attention_for_a_round(script: Script) -> None:
    """The next frame with attention is of the path for which was prepared."""
    script.push(*range(5))
    script.prepare()
    script.push(50, 51, 52, 53, attention=False)
    script.prepare()
    script.push(5, 6)


def a_bad_frame_between(script: Script) -> None:
    script.push(*range(5))
    script.prepare()
    with pytest.raises(FrameError):
        script.stream.push(scene(5)[..., 0])
    script.push(5, 6)


def in_other_threads(script: Script) -> None:
    for t in range(8):
        for call in (script.prepare, lambda t=t: script.push(t)):
            thread = threading.Thread(target=call)
            thread.start()
            thread.join(timeout=60)


SCRIPTS: Sequence[Callable[[Script], None]] = (
    between_all,
    every_third,
    twice,
    reset_between,
    restored_between,
    restored_to_what_was_prepared,
    without_attention_between,
    without_attention_for_a_round,
    a_bad_frame_between,
    in_other_threads,
)


def assert_same(found: Script, expected: Script) -> None:
    assert len(found.results) == len(expected.results) > 0
    for one, other in zip(found.results, expected.results, strict=True):
        assert (one.path, one.cold, one.frame_index) == (other.path, other.cold, other.frame_index)
        assert np.array_equal(one.labels, other.labels)
        assert np.array_equal(one.logits, other.logits)
    assert_same_state(found.stream, expected.stream)


@pytest.mark.parametrize("run", SCRIPTS, ids=[run.__name__ for run in SCRIPTS])
def test_the_same_to_the_bit(segmenter: Segmenter, run: Callable[[Script], None]) -> None:
    scripts = [Script(segmenter, prepare=prepare) for prepare in (True, False)]
    for script in scripts:
        run(script)
    assert_same(*scripts)
    for script in scripts:
        script.stream.close()


def test_streams_of_one_segmenter_do_not_meet(segmenter: Segmenter) -> None:
    one, two = (Script(segmenter, prepare=True) for _ in range(2))
    alone, also = (Script(segmenter, prepare=False) for _ in range(2))
    for t in range(9):
        one.prepare()
        two.prepare()
        one.push(t)
        two.push(70 + t)
    alone.push(*range(9))
    also.push(*range(70, 79))
    assert_same(one, alone)
    assert_same(two, also)
    for script in (one, two, alone, also):
        script.stream.close()


def test_what_was_prepared_is_not_done_again(segmenter: Segmenter, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(program: SplitProgram) -> None:
        raise AssertionError("both parts were run")

    with segmenter.stream() as stream:
        for t in range(3):
            stream.push(scene(t))
        monkeypatch.setattr(SplitProgram, "run", refuse)
        for t in range(3, 8):
            stream.prepare()
            stream.push(scene(t))
        with pytest.raises(AssertionError, match="both parts"):
            stream.push(scene(8))


def test_a_segmenter_closes_prepared_streams(plan: Path) -> None:
    with Segmenter.open(plan, backend="onnxruntime", threads=1) as segmenter:
        stream = segmenter.stream()
        for t in range(4):
            stream.push(scene(t))
        stream.prepare()
    assert stream.state is StreamState.CLOSED
