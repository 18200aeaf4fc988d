"""Schedule, state and misuse of one stream, on the fake backend: each label can be foretold."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest

from tdnet_runtime import stream as stream_module
from tdnet_runtime.backends.base import Binding, Program
from tdnet_runtime.backends.fake import FakeBackend, FakeSession
from tdnet_runtime.errors import BackendError, FrameError, OptionError, StreamError
from tdnet_runtime.manifest import ClassSpec, GraphSpec, Manifest, PathSpec, TensorSpec
from tdnet_runtime.stream import Result, Stream, StreamSnapshot, StreamState

DIGEST = "0123456789abcdef" * 4
SIZE_HW = (5, 7)  # not the network's 4x8
PATHS = [1, 2, 4]
LOGITS = TensorSpec(name="logits", shape=(1, 100, 4, 8), dtype="float32")
CONFIDENCE = TensorSpec(name="confidence", shape=(1, 4, 8), dtype="uint8")


def hand_made(
    manifest: Manifest, paths: int, *, logits: bool = False, confidence: bool = False, own: bool = False
) -> Manifest:
    """A manifest of `paths` paths with the tensors of the tiny one, and classes enough for any label."""
    temporal = paths > 1
    subnet, apm = manifest.graph("subnet1"), manifest.graph("apm1")
    outputs = (*apm.outputs, *([LOGITS] if logits else []), *([CONFIDENCE] if confidence else []))
    features = [tensor for tensor in apm.inputs if not tensor.name.startswith("slot")]
    graphs, specs = [], []
    for path in range(1, paths + 1):
        reads = tuple((path - 1 + step) % paths + 1 for step in range(1, paths))
        slots = [_renamed(t, f"slot{r}_{t.name}") for r in reads for t in manifest.state.entry]
        graphs.append(_graph(f"subnet{path}", subnet.inputs, subnet.outputs if temporal else outputs))
        if temporal:
            graphs.append(_graph(f"apm{path}", (*features, *slots), outputs))
        if own:
            graphs.append(_graph(f"own{path}", [t for t in features if t.name == "value"], outputs))
        apm, alone = f"apm{path}" if temporal else None, f"own{path}" if own else None
        specs.append(PathSpec(index=path, subnet=f"subnet{path}", apm=apm, reads=reads, own=alone))
    slots_and_cold = {"slots": paths, "cold_frames": paths - 1}
    per_frame: dict[str, Any] = {"slots": 0, "cold_frames": 0, "entry": ()}
    return msgspec.structs.replace(
        manifest,
        classes=tuple(ClassSpec(name=f"class {k}", color=(k, k, k)) for k in range(100)),
        paths=tuple(specs),
        graphs=tuple(graphs),
        state=msgspec.structs.replace(manifest.state, **(slots_and_cold if temporal else per_frame)),
    )


def _renamed(tensor: TensorSpec, name: str) -> TensorSpec:
    return TensorSpec(name=name, shape=tensor.shape, dtype=tensor.dtype)


def _graph(name: str, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> GraphSpec:
    members = {"fp32": f"graphs/fp32/{name}.onnx"}
    return GraphSpec(name=name, inputs=tuple(inputs), outputs=tuple(outputs), members=members)


class GatedBackend(FakeBackend):
    """Calls `before_run` when a program begins."""

    def __init__(self, manifest: Manifest) -> None:
        super().__init__(manifest)
        self.before_run: Callable[[], object] = lambda: None

    def session(self) -> FakeSession:
        return GatedSession(self)


class GatedSession(FakeSession):
    """Wraps the programs."""

    def prepare(self, bindings: Sequence[Binding]) -> Program:
        backend, program = self._backend, super().prepare(bindings)
        assert isinstance(backend, GatedBackend)

        def run() -> None:
            backend.before_run()
            program.run()

        return SimpleNamespace(run=run)


@pytest.fixture(params=PATHS, ids=[f"{paths} paths" for paths in PATHS])
def paths(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture
def backend(tiny_manifest: Manifest, paths: int) -> GatedBackend:
    return GatedBackend(hand_made(tiny_manifest, paths))


def opened(backend: FakeBackend, **identity: str) -> Stream:
    """A new stream; its bundle's digest and precision as given."""
    identity = {"bundle_digest": DIGEST, "precision": "fp32"} | identity
    return Stream(backend.manifest, backend.session(), **identity)


@pytest.fixture
def stream(backend: GatedBackend) -> Stream:
    return opened(backend)


@pytest.fixture
def twin(backend: GatedBackend) -> Stream:
    """Another stream of the same network, for comparison, on an engine of its own."""
    return opened(FakeBackend(backend.manifest))


def frame(index: int, size_hw: tuple[int, int] = SIZE_HW) -> np.ndarray:
    """Noise; each index has its own brightness."""
    noise = np.random.default_rng(index).integers(0, 60, (*size_hw, 3))
    return (noise + 19 * index % 190).astype(np.uint8)


def push(stream: Stream, indices: Sequence[int] | range) -> list[Result]:
    return [stream.push(frame(index)) for index in indices]


def foretold(index: int, paths: int) -> int:
    """The fake's label at frame `index` of a stream."""
    path = index % paths + 1
    if paths == 1 or index < paths - 1:
        return path
    return path + sum(3**age * ((path + age) % paths + 1) for age in range(paths - 1))


def assert_same_state(one: Stream, other: Stream) -> None:
    """The same frames came, and left the same memory."""
    first, second = one.snapshot(), other.snapshot()
    assert (one.state, one.frame_index) == (other.state, other.frame_index)
    assert (first.frame_index, first.frame_size) == (second.frame_index, second.frame_size)
    assert first.slots.keys() == second.slots.keys()
    assert all(np.array_equal(first.slots[name], second.slots[name]) for name in first.slots)


def assert_continues_as(one: Stream, other: Stream, *, frames: int = 6) -> None:
    """Both give the same results from now on."""
    assert_same_state(one, other)
    for index in range(90, 90 + frames):
        result, expected = one.push(frame(index)), other.push(frame(index))
        assert np.array_equal(result.labels, expected.labels)
        assert (result.path, result.cold, result.frame_index) == (
            expected.path,
            expected.cold,
            expected.frame_index,
        )
        assert_same_state(one, other)


# Schedule


def test_paths_cold_frames_and_labels(stream: Stream, paths: int) -> None:
    results = push(stream, range(3 * paths + 2))
    for index, result in enumerate(results):
        assert result.frame_index == index
        assert result.path == index % paths + 1
        assert result.cold == (index < paths - 1)
        assert result.labels.dtype == np.uint8
        assert result.labels.shape == SIZE_HW
        assert (result.labels == foretold(index, paths)).all()


def test_the_foretold_labels_tell_orders_apart() -> None:
    """With hand-computed values: path 4 reads paths 1, 2, 3, the oldest first."""
    assert foretold(3, 4) == 4 + 1 * 1 + 3 * 2 + 9 * 3
    assert foretold(4, 4) == 1 + 1 * 2 + 3 * 3 + 9 * 4
    assert foretold(2, 4) == 3
    assert foretold(1, 2) == 2 + 1
    assert len({foretold(index, 4) for index in range(3, 7)}) == 4


def test_each_slot_holds_the_last_frame_of_its_path(stream: Stream, paths: int) -> None:
    count = 2 * paths + 1
    push(stream, range(count))
    image = stream.tensor("image")
    twin_means = {}
    for index in range(count - paths, count):  # the last m frames
        stream.reset()
        stream.push(frame(index))
        twin_means[index % paths + 1] = stream.tensor("image").mean()
    stream.reset()
    push(stream, range(count))
    assert np.array_equal(stream.tensor("image"), image)
    slots = stream.snapshot().slots
    assert set(slots) == (
        {f"slot{p}_{leaf}" for p in range(1, paths + 1) for leaf in "kv"} if paths > 1 else set()
    )
    for name, values in slots.items():
        path = int(name[4])
        assert values == pytest.approx(path + twin_means[path] / 256)


def test_stamps_are_handed_through(stream: Stream) -> None:
    assert stream.push(frame(0)).stamp_ns is None
    assert stream.push(frame(1), stamp_ns=1_700_000_000_000_000_007).stamp_ns == 1_700_000_000_000_000_007


def test_two_streams_do_not_mix(backend: GatedBackend, paths: int) -> None:
    one, other = opened(backend), opened(backend)
    one_alone, other_alone = opened(backend), opened(backend)
    one_first = push(one, [0])
    for index in range(1, 8):
        push(one, [index])
        push(other, [100 - index])
    alone = push(one_alone, range(8))
    push(other_alone, range(99, 92, -1))
    assert np.array_equal(one_first[0].labels, alone[0].labels)
    assert_continues_as(one, one_alone)
    assert_continues_as(other, other_alone)
    assert one.frame_index == other.frame_index + 1


# Who owns the arrays


def test_labels_are_the_callers_own(stream: Stream, paths: int) -> None:
    results = push(stream, range(6))
    kept = [result.labels.copy() for result in results]
    results[0].labels.fill(77)  # may be written to
    push(stream, range(6, 9))
    assert all(np.array_equal(results[index].labels, kept[index]) for index in range(1, 6))
    assert (results[0].labels == 77).all()
    assert all(result.labels.base is None for result in results)


def test_labels_of_the_networks_own_size_are_copies_too(stream: Stream) -> None:
    first = stream.push(frame(0, (4, 8)))
    kept = first.labels.copy()
    for index in range(1, 4):
        stream.push(frame(index, (4, 8)))
    assert np.array_equal(first.labels, kept)


def test_out_is_filled_and_given_back(stream: Stream, twin: Stream) -> None:
    stack = np.full((4, *SIZE_HW), 255, np.uint8)
    for index in range(4):
        out = stack[index]
        assert stream.push(frame(index), out=out).labels is out
        assert np.array_equal(out, twin.push(frame(index)).labels)


def test_the_frame_is_neither_changed_nor_kept(stream: Stream, twin: Stream) -> None:
    mine = frame(0)
    stream.push(mine)
    assert np.array_equal(mine, frame(0))
    mine.fill(0)
    twin.push(frame(0))
    assert_continues_as(stream, twin)


def test_a_read_only_frame_will_do(stream: Stream, twin: Stream) -> None:
    for index in range(3):
        mine = np.frombuffer(frame(index).tobytes(), np.uint8).reshape(*SIZE_HW, 3)
        assert np.array_equal(stream.push(mine).labels, twin.push(frame(index)).labels)


def test_logits_where_the_bundle_has_them(tiny_manifest: Manifest, paths: int) -> None:
    stream = opened(FakeBackend(hand_made(tiny_manifest, paths, logits=True)))
    first, second = push(stream, range(2))
    assert first.logits is not None
    assert second.logits is not None
    assert (first.logits.shape, first.logits.dtype) == ((100, 4, 8), np.float32)
    first.logits.fill(5)
    assert not np.shares_memory(first.logits, second.logits)
    assert not (stream.tensor("logits") == 5).any()


def test_no_logits_and_no_confidence_otherwise(stream: Stream) -> None:
    assert stream.push(frame(0)).logits is None
    assert stream.push(frame(0)).confidence is None


def test_confidence_where_the_bundle_has_it(tiny_manifest: Manifest, paths: int) -> None:
    """Of the frame's own size, and the caller's own."""
    stream = opened(FakeBackend(hand_made(tiny_manifest, paths, confidence=True)))
    results = [stream.push(frame(index)) for index in range(paths + 2)]
    for result in results:
        assert result.confidence is not None
        assert (result.confidence.shape, result.confidence.dtype) == (SIZE_HW, np.uint8)
        assert np.array_equal(result.confidence, 255 - result.labels)
    first, second = (result.confidence for result in results[:2])
    assert not np.shares_memory(first, second)
    stream.reset()
    assert np.array_equal(stream.push(frame(0)).confidence, first)


# Without attention


@pytest.mark.parametrize("paths", PATHS[1:])
def test_frames_without_attention_are_remembered_as_always(tiny_manifest: Manifest, paths: int) -> None:
    """Their labels are the sub-network's own; those of the frames between are as if attention had never been left out."""
    manifest = hand_made(tiny_manifest, paths, confidence=True, own=True)
    stream, always = stream_of(manifest), stream_of(manifest)
    for index in range(3 * paths + 2):
        image, attention = frame(index), index % 3 == 1
        mine, other = stream.push(image, attention=attention), always.push(image)
        assert (mine.path, mine.frame_index) == (other.path, other.frame_index)
        if attention:
            assert (mine.cold, mine.labels.tolist()) == (other.cold, other.labels.tolist())
        else:
            own = int(mine.path + float(image.mean()) / 256)
            assert mine.cold
            assert (mine.labels == own).all()
            assert mine.confidence is not None
            assert (mine.confidence == 255 - own).all()
    assert all(np.array_equal(stream.tensor(name), always.tensor(name)) for name in ("slot1_k", "slot2_v"))
    stream.close()
    with pytest.raises(StreamError, match=r"push\(\) was called on a closed stream"):
        stream.push(frame(0), attention=False)


def test_a_failure_without_attention_needs_a_reset_too(tiny_manifest: Manifest) -> None:
    backend = FakeBackend(hand_made(tiny_manifest, 2, own=True))
    stream = Stream(backend.manifest, backend.session(), bundle_digest=DIGEST, precision="fp32")
    backend.fail_at_call = backend.calls + 2  # the own graph
    with pytest.raises(BackendError, match="frame 0, path 1"):
        stream.push(frame(0), attention=False)
    assert stream.state is StreamState.FAILED


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        (1, "td2-fa18 looks at each frame alone and has no attention to leave out"),
        (2, "export it with them: tdnet-export --ckpt CHECKPOINT --size 4x8 --own-labels$"),
    ],
)
def test_a_bundle_without_own_graphs_says_how_to_get_them(
    tiny_manifest: Manifest, paths: int, message: str
) -> None:
    stream = stream_of(hand_made(tiny_manifest, paths))
    with pytest.raises(OptionError, match=rf"^push\(attention=False\): [^\n]*{message}"):
        stream.push(frame(0), attention=False)
    assert (stream.state, stream.frame_index) == (StreamState.READY, 0)
    assert stream.push(frame(0)).frame_index == 0


def stream_of(manifest: Manifest) -> Stream:
    return Stream(manifest, FakeBackend(manifest).session(), bundle_digest=DIGEST, precision="fp32")


# Reset, snapshot, restore


@pytest.mark.parametrize("frames", range(6))
def test_reset_makes_it_new(stream: Stream, twin: Stream, frames: int) -> None:
    push(stream, range(frames))
    stream.reset()
    assert (stream.state, stream.frame_index) == (StreamState.READY, 0)
    assert_continues_as(stream, twin)


def test_after_a_reset_frames_may_have_another_size(stream: Stream) -> None:
    push(stream, range(3))
    stream.reset()
    assert stream.push(frame(0, (9, 4))).labels.shape == (9, 4)


@pytest.mark.parametrize("frames", range(6))
def test_a_restored_stream_continues_as_if_nothing_had_happened(
    backend: GatedBackend, stream: Stream, twin: Stream, frames: int
) -> None:
    push(stream, range(frames))
    push(twin, range(frames))
    snapshot = stream.snapshot()
    assert snapshot.frame_index == frames
    push(stream, range(40, 43))
    fresh = opened(backend)
    fresh.restore(snapshot)  # into another stream
    stream.restore(snapshot)  # and back
    assert_same_state(fresh, stream)
    assert_continues_as(stream, twin)
    stream.restore(snapshot)  # a second time
    assert_continues_as(fresh, stream)


def test_a_snapshot_is_a_copy(stream: Stream) -> None:
    push(stream, range(4))
    snapshot = stream.snapshot()
    kept = {name: values.copy() for name, values in snapshot.slots.items()}
    push(stream, range(4, 9))
    stream.reset()
    assert all(np.array_equal(snapshot.slots[name], kept[name]) for name in kept)
    stream.restore(snapshot)
    push(stream, range(4, 9))
    assert all(np.array_equal(snapshot.slots[name], kept[name]) for name in kept)


def test_a_restored_stream_has_the_snapshots_frame_size(backend: GatedBackend, stream: Stream) -> None:
    before = stream.snapshot()
    push(stream, range(2))
    other = opened(backend)
    other.push(frame(0, (9, 4)))
    other.restore(stream.snapshot())
    with pytest.raises(FrameError, match="a frame of 9x4 in a stream of 5x7 frames"):
        other.push(frame(2, (9, 4)))
    push(other, [2])
    other.restore(before)
    other.push(frame(0, (9, 4)))


@pytest.mark.parametrize(
    ("identity", "described"),
    [
        ({"bundle_digest": "f" * 64}, r"bundle ffffffffffff \(fp32\)"),
        ({"precision": "fp16"}, r"bundle 0123456789ab \(fp16\)"),
    ],
)
def test_a_foreign_snapshot_is_refused(
    backend: GatedBackend, stream: Stream, twin: Stream, identity: dict[str, str], described: str
) -> None:
    foreign = opened(backend, **identity)
    push(foreign, range(2))
    push(stream, range(3))
    push(twin, range(3))
    with pytest.raises(
        StreamError,
        match=rf"restore\(\) was given a snapshot of {described}; this stream runs 0123456789ab \(fp32\). "
        r"Use a snapshot of the same bundle, or reset\(\).",
    ):
        stream.restore(foreign.snapshot())
    assert_continues_as(stream, twin)


@pytest.mark.parametrize("given", [None, {}, SimpleNamespace(bundle_digest=DIGEST, precision="fp32")])
def test_what_is_no_snapshot_is_refused(stream: Stream, twin: Stream, given: Any) -> None:
    push(stream, range(3))
    push(twin, range(3))
    name = type(given).__name__
    with pytest.raises(StreamError, match=rf"^restore\(\) was given a {name}; expected what snapshot\(\)"):
        stream.restore(given)
    assert_continues_as(stream, twin)


# Misuse: an error, and the state as it was

BAD_PUSHES: dict[str, tuple[Callable[[], dict[str, Any]], str]] = {
    "list": (lambda: {"frame": frame(9).tolist()}, "given a list; expected a NumPy array"),
    "int16": (lambda: {"frame": frame(9).astype(np.int16)}, "dtype int16; expected uint8"),
    "float": (lambda: {"frame": frame(9) / np.float32(255)}, "dtype float32; .* not normalised"),
    "grey": (lambda: {"frame": frame(9)[..., 0].copy()}, r"shape \[5, 7\].*grey"),
    "RGBA": (lambda: {"frame": np.zeros((*SIZE_HW, 4), np.uint8)}, r"shape \[5, 7, 4\].*alpha"),
    "batch": (lambda: {"frame": frame(9)[None]}, r"shape \[1, 5, 7, 3\].*batch"),
    "view": (lambda: {"frame": frame(9)[..., ::-1]}, r"non-contiguous .*BGR turned by \[..., ::-1\]"),
    "empty": (lambda: {"frame": np.zeros((0, 7, 3), np.uint8)}, "a frame of 0x7; sides of 1"),
    "out of another size": (lambda: {"out": np.zeros((4, 8), np.uint8)}, r"out=.*uint8 \[4, 8\];.*\[5, 7\]"),
    "out of another dtype": (lambda: {"out": np.zeros(SIZE_HW, np.int64)}, r"out=.*int64 \[5, 7\]"),
    "out of another kind": (lambda: {"out": bytearray(35)}, r"out=.*given bytearray"),
}


@pytest.mark.parametrize("before", [0, 1, 5])
@pytest.mark.parametrize("case", BAD_PUSHES)
def test_a_bad_push_changes_nothing(stream: Stream, twin: Stream, before: int, case: str) -> None:
    make, message = BAD_PUSHES[case]
    push(stream, range(before))
    push(twin, range(before))
    arguments = {"frame": frame(9)} | make()
    with pytest.raises(FrameError, match=message):
        stream.push(arguments.pop("frame"), **arguments)
    assert_continues_as(stream, twin)


def test_one_stream_has_one_frame_size(stream: Stream, twin: Stream) -> None:
    push(stream, range(3))
    push(twin, range(3))
    for size_hw in ((4, 8), (7, 5), (10, 14)):  # the network's own, too
        with pytest.raises(
            FrameError,
            match=rf"a frame of {size_hw[0]}x{size_hw[1]} in a stream of 5x7 frames; one stream has one frame "
            r"size. Call reset\(\) if a new video begins, or open a second stream.",
        ):
            stream.push(frame(3, size_hw))
    assert_continues_as(stream, twin)


def test_a_refused_frame_does_not_fix_the_size(stream: Stream, twin: Stream) -> None:
    with pytest.raises(FrameError, match="out="):
        stream.push(frame(0, (9, 9)), out=np.zeros((1, 1), np.uint8))
    assert_continues_as(stream, twin)


def test_memory_runs_out_before_the_engine_runs(
    stream: Stream, twin: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    def empty(shape: tuple[int, ...], dtype: object) -> np.ndarray:
        raise MemoryError(f"Unable to allocate {shape}")

    push(stream, range(5))
    push(twin, range(5))
    with monkeypatch.context() as patch:
        patch.setattr(stream_module, "np", SimpleNamespace(empty=empty, uint8=np.uint8))
        with pytest.raises(MemoryError):
            stream.push(frame(5))
    assert_continues_as(stream, twin)


CALLS: dict[str, Callable[[Stream, StreamSnapshot], object]] = {
    "push": lambda stream, _: stream.push(frame(0)),
    "prepare": lambda stream, _: stream.prepare(),
    "reset": lambda stream, _: stream.reset(),
    "snapshot": lambda stream, _: stream.snapshot(),
    "restore": lambda stream, snapshot: stream.restore(snapshot),
    "tensor": lambda stream, _: stream.tensor("image"),
    "close": lambda stream, _: stream.close(),
}


def test_a_closed_stream_refuses_all_calls(stream: Stream) -> None:
    snapshot = stream.snapshot()
    stream.close()
    assert stream.state is StreamState.CLOSED
    for name in CALLS.keys() - {"close"}:
        with pytest.raises(
            StreamError, match=rf"^{name}\(\) was called on a closed stream; open a new one with segmenter"
        ):
            CALLS[name](stream, snapshot)
    stream.close()  # twice is harmless
    assert stream.state is StreamState.CLOSED


def test_leaving_the_block_closes(backend: GatedBackend) -> None:
    session = backend.session()
    with Stream(backend.manifest, session, bundle_digest=DIGEST, precision="fp32") as stream:
        push(stream, [0])
        assert not session.closed
    assert session.closed
    assert stream.state is StreamState.CLOSED


def test_a_closed_stream_holds_no_buffers(backend: GatedBackend) -> None:
    """Or an application that keeps the object would keep the memory, and the engine's weights."""
    stream = opened(backend)
    push(stream, range(2))
    stream.close()
    assert stream.tensor_names == ()


def test_tensors_by_name(stream: Stream, paths: int) -> None:
    push(stream, [0])
    assert set(stream.tensor_names) >= {"image", "labels"}
    image = stream.tensor("image")
    image.fill(0)
    assert stream.tensor("image").any()
    with pytest.raises(
        StreamError, match=r"tensor\(\) was asked for 'slot9_k'; this bundle has: image, .*labels"
    ):
        stream.tensor("slot9_k")


@pytest.fixture
def thread_inside(backend: GatedBackend, stream: Stream) -> Iterator[Callable[[], Result]]:
    """Another thread has pushed frame 3 and is inside the engine; call this to let it finish."""
    inside, leave = threading.Event(), threading.Event()
    results: list[Result] = []

    def wait() -> None:
        inside.set()
        assert leave.wait(timeout=30)

    push(stream, range(3))
    backend.before_run = wait
    thread = threading.Thread(target=lambda: results.extend(push(stream, [3])))
    thread.start()
    assert inside.wait(timeout=30)

    def finish() -> Result:
        leave.set()
        thread.join(timeout=30)
        backend.before_run = lambda: None
        return results[0]

    yield finish
    finish()


@pytest.mark.parametrize("call", CALLS)
def test_two_threads_in_one_stream(
    stream: Stream, twin: Stream, thread_inside: Callable[[], Result], call: str
) -> None:
    push(twin, range(3))
    with pytest.raises(
        StreamError,
        match=rf"^{call}\(\) was called while another thread is inside this stream; a stream belongs to one "
        "thread at a time. Open one stream for each camera: they share the weights.",
    ):
        CALLS[call](stream, twin.snapshot())
    expected = twin.push(frame(3))
    assert np.array_equal(thread_inside().labels, expected.labels)
    assert_continues_as(stream, twin)


def test_a_thread_inside_one_stream_does_not_stop_another(
    twin: Stream, thread_inside: Callable[[], Result]
) -> None:
    assert len(push(twin, range(4))) == 4
    assert thread_inside().frame_index == 3


# The engine fails


def _graphs_per_frame(paths: int) -> int:
    return min(paths, 3)  # of several slots, the sum is a graph of its own


@pytest.mark.parametrize(
    ("paths", "call"),
    [(paths, call) for paths in PATHS for call in range(1, 3 * _graphs_per_frame(paths) + 1)],
    indirect=["paths"],
)
def test_the_engine_fails_at_every_call_of_three_frames(
    backend: GatedBackend, stream: Stream, twin: Stream, paths: int, call: int
) -> None:
    backend.fail_at_call = call
    frames_before = (call - 1) // _graphs_per_frame(paths)
    push(stream, range(frames_before))
    before = stream.snapshot()
    with pytest.raises(
        BackendError,
        match=rf"told to fail at call {call} \(frame {frames_before}, path {frames_before % paths + 1}\); "
        r"call reset\(\) before the next frame",
    ):
        push(stream, [frames_before])
    assert (stream.state, stream.frame_index) == (StreamState.FAILED, frames_before)
    for name in ("push", "prepare", "snapshot"):
        with pytest.raises(
            StreamError,
            match=rf"^{name}\(\) was called after a frame that failed or was interrupted.*reset\(\) first",
        ):
            CALLS[name](stream, before)
    assert stream.tensor("image").any()  # for diagnosis
    stream.reset()
    assert_continues_as(stream, twin)
    assert before.frame_index == frames_before


def test_a_snapshot_repairs_a_failed_stream(backend: GatedBackend, stream: Stream, twin: Stream) -> None:
    push(stream, range(3))
    push(twin, range(3))
    snapshot = stream.snapshot()
    backend.fail_at_call = backend.calls + 1
    with pytest.raises(BackendError, match="told to fail"):
        push(stream, [3])
    stream.restore(snapshot)
    assert_continues_as(stream, twin)


def test_a_failed_stream_can_be_closed(backend: GatedBackend, stream: Stream) -> None:
    backend.fail_at_call = 1
    with pytest.raises(BackendError, match="told to fail"):
        push(stream, [0])
    stream.close()
    assert stream.state is StreamState.CLOSED


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("a defect")])
def test_whatever_happens_inside_the_engine(
    backend: GatedBackend, stream: Stream, twin: Stream, error: BaseException
) -> None:
    """It comes out as it is, and the half-written memory is not used."""

    def fail() -> None:
        raise error

    push(stream, range(3))
    backend.before_run = fail
    with pytest.raises(type(error)) as caught:
        push(stream, [3])
    assert caught.value is error
    assert stream.state is StreamState.FAILED
    backend.before_run = lambda: None
    with pytest.raises(StreamError, match=r"call reset\(\) first"):
        push(stream, [4])
    stream.reset()
    assert_continues_as(stream, twin)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), MemoryError()])
def test_what_happens_when_a_frame_is_handed_out(
    stream: Stream, twin: Stream, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    """The memory has the frame and its caller has not: pushed again, it would be there twice."""
    push(stream, range(3))

    def fail(*arguments: Any) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(stream, "_take", fail)
        with pytest.raises(type(error)):
            push(stream, [3])
    assert stream.state is StreamState.FAILED
    with pytest.raises(StreamError, match=r"call reset\(\) first"):
        push(stream, [3])
    stream.reset()
    assert_continues_as(stream, twin)


def test_another_streams_failure_is_its_own(backend: GatedBackend, twin: Stream) -> None:
    one, other = opened(backend), opened(backend)
    push(one, range(3))
    push(other, range(3))
    push(twin, range(3))
    backend.fail_at_call = backend.calls + 1
    with pytest.raises(BackendError, match="told to fail"):
        push(one, [3])
    assert_continues_as(other, twin)
