"""A bundle opened on an engine: choosing it, closing it, and many streams on one set of weights."""

from __future__ import annotations

import contextlib
import gc
import logging
import signal
import sys
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from tdnet_runtime import (
    BackendError,
    Bundle,
    BundleDigestError,
    BundleError,
    FrameError,
    OptionError,
    Result,
    Segmenter,
    Stream,
    StreamError,
    StreamState,
    backends,
)
from tdnet_runtime.backends import AUTO_ORDER
from tdnet_runtime.backends.fake import FakeBackend, FakeSession
from tdnet_runtime.manifest import Manifest
from tdnet_runtime.media.scene import render

NETWORKS = ("td2-psp50", "td4-psp18", "td2-fa18", "psp101")
COLD = {"td2-psp50": 1, "td4-psp18": 3, "td2-fa18": 1, "psp101": 0}


@pytest.fixture
def segmenter(made_up_bundle: Path) -> Iterator[Segmenter]:
    with Segmenter.open(made_up_bundle, backend="fake") as segmenter:
        yield segmenter


def frame(value: int = 0, size_hw: tuple[int, int] = (4, 8)) -> np.ndarray:
    return np.full((*size_hw, 3), value, np.uint8)


# Opening


def test_open_gives_bundle_and_backend(made_up_bundle: Path) -> None:
    with Segmenter.open(str(made_up_bundle), backend="fake") as segmenter:
        assert segmenter.bundle.path == made_up_bundle
        assert segmenter.manifest is segmenter.bundle.manifest
        assert (segmenter.backend.name, segmenter.backend.precision) == ("fake", "fp32")
        assert "labels mean nothing" in segmenter.backend.description


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"backend": "tensorfow"}, "there is no backend 'tensorfow'; known are: auto, tensorrt, .*, fake$"),
        ({"backend": ""}, "there is no backend ''; known are: auto"),
        ({"threads": 0}, "threads is 0; expected 1 or more, or nothing for all available cores"),
        ({"backend": "fake", "threads": -2}, "threads is -2; expected 1 or more"),
        ({"backend": "fake", "threads": 1.5}, "threads is 1.5; expected 1 or more"),
        ({"backend": "fake", "threads": "2"}, "threads is '2'; expected 1 or more"),
        ({"backend": "fake", "threads": True}, "threads is True; expected 1 or more"),
    ],
)
def test_bad_options(made_up_bundle: Path, closed_bundles: list[Bundle], options: dict, message: str) -> None:
    with pytest.raises(OptionError, match=f"^{message}"):
        Segmenter.open(made_up_bundle, **options)
    assert len(closed_bundles) == 1


def test_a_bundle_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"^there is no such bundle"):
        Segmenter.open(tmp_path / "absent.plan")


@pytest.mark.parametrize("member", ["graphs/fp32/subnet2.onnx", "reports/parity-fp32.json"])
@pytest.mark.parametrize("options", [{"backend": "fake"}, {"backend": "none such"}, {"threads": 0}], ids=str)
def test_a_damaged_bundle_is_never_handed_out(
    made_up_bundle: Path,
    tiny_members: dict[str, bytes],
    closed_bundles: list[Bundle],
    monkeypatch: pytest.MonkeyPatch,
    member: str,
    options: dict,
) -> None:
    """Whatever the engine reads of it, and whatever else is wrong."""
    closed: list[str] = []
    monkeypatch.setattr(FakeBackend, "close", lambda self: closed.append(self.name))
    data = bytearray(made_up_bundle.read_bytes())
    data[data.index(tiny_members[member])] ^= 1
    made_up_bundle.write_bytes(data)
    with pytest.raises(BundleDigestError, match=f"^member '{member}' has SHA-256"):
        Segmenter.open(made_up_bundle, **options)
    assert len(closed_bundles) == 1
    assert closed == ["fake"] * (options == {"backend": "fake"})


def test_an_interruption_right_after_opening(
    made_up_bundle: Path, closed_bundles: list[Bundle], monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[str] = []
    monkeypatch.setattr(FakeBackend, "close", lambda self: closed.append(self.name))

    def interrupt(self: Segmenter, bundle: Bundle, backend: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Segmenter, "__init__", interrupt)
    with pytest.raises(KeyboardInterrupt):
        Segmenter.open(made_up_bundle, backend="fake")
    assert (len(closed_bundles), closed) == (1, ["fake"])


@pytest.fixture
def closed_bundles(monkeypatch: pytest.MonkeyPatch) -> list[Bundle]:
    """Bundles that were closed, in order."""
    closed: list[Bundle] = []
    close = Bundle.close
    monkeypatch.setattr(Bundle, "close", lambda self: (closed.append(self), close(self)))
    return closed


@pytest.mark.parametrize("backend", ["auto", "onnxruntime"])
def test_without_onnxruntime(
    made_up_bundle: Path, closed_bundles: list[Bundle], monkeypatch: pytest.MonkeyPatch, backend: str
) -> None:
    """`auto` never chooses the fake, which computes nothing."""
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(
        BackendError,
        match=r"^no backend can run this bundle here. (tensorrt: .*; )?onnxruntime: ONNX Runtime is not installed \(.*\); "
        r"install it with: pip install 'tdnet-deploy\[cpu\]'$",
    ):
        Segmenter.open(made_up_bundle, backend=backend)
    assert len(closed_bundles) == 1


# Closing


def test_leaving_the_block_closes_everything(made_up_bundle: Path, closed_bundles: list[Bundle]) -> None:
    with Segmenter.open(made_up_bundle, backend="fake") as segmenter:
        streams = [segmenter.stream() for _ in range(3)]
        streams[1].close()
    assert [stream.state for stream in streams] == [StreamState.CLOSED] * 3
    assert closed_bundles == [segmenter.bundle]
    with pytest.raises(StreamError, match=r"^push\(\) was called on a closed stream"):
        streams[0].push(frame())
    with pytest.raises(
        StreamError, match=r"^stream\(\) was called on a closed segmenter; open the bundle again"
    ):
        segmenter.stream()
    segmenter.close()  # twice is harmless
    assert segmenter.manifest.network == "td2-fa18"  # still known


def test_a_dropped_stream_is_not_kept(segmenter: Segmenter) -> None:
    dropped = weakref.ref(segmenter.stream())
    gc.collect()
    assert dropped() is None


def test_closing_while_a_thread_is_inside_a_stream(
    made_up_bundle: Path, closed_bundles: list[Bundle], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is refused, opens no stream any more, and works when the thread is done."""
    inside, leave = threading.Event(), threading.Event()
    with Segmenter.open(made_up_bundle, backend="fake") as segmenter, ThreadPoolExecutor(1) as pool:
        stream, idle = segmenter.stream(), [segmenter.stream() for _ in range(4)]

        def run(path: int, **how: bool) -> None:
            inside.set()
            assert leave.wait(timeout=30)

        monkeypatch.setattr(stream._memory, "run", run)
        pushed = pool.submit(stream.push, frame())
        try:
            assert inside.wait(timeout=30)
            with pytest.raises(StreamError, match=r"^close\(\) was called while another thread is inside"):
                segmenter.close()
            with pytest.raises(StreamError, match="on a closed segmenter"):
                segmenter.stream()
            assert closed_bundles == []
            assert {each.state for each in idle} == {StreamState.CLOSED}
        finally:
            leave.set()
        assert pushed.result(timeout=30).frame_index == 0
        segmenter.close()
        assert stream.state is StreamState.CLOSED
        assert closed_bundles == [segmenter.bundle]


# Closing in a signal handler, which runs inside whatever its thread is doing


class Interrupted(FakeBackend):
    """Gets a real signal while a session is made, and when it is closed."""

    def __init__(self, manifest: Manifest) -> None:
        super().__init__(manifest)
        self.sessions: list[FakeSession] = []
        self.closed_with: list[bool] = []  # at each close(): were all sessions closed?

    def session(self) -> FakeSession:
        signal.raise_signal(signal.SIGUSR1)
        assert self.closed_with == [], "closed under the stream that is being opened"
        self.sessions.append(FakeSession(self))
        return self.sessions[-1]

    def close(self) -> None:
        self.closed_with.append(all(session.closed for session in self.sessions))
        signal.raise_signal(signal.SIGUSR1)


@pytest.fixture
def interrupted(made_up_bundle: Path) -> Iterator[Segmenter]:
    """A segmenter that SIGUSR1 closes; should that deadlock, SIGALRM ends it, for only a signal can."""

    def give_up(number: int, frame: object) -> None:
        raise AssertionError("close() waits for its own thread")

    with Bundle.open(made_up_bundle) as bundle:
        segmenter = Segmenter(bundle, Interrupted(bundle.manifest))
        before = signal.signal(signal.SIGUSR1, lambda number, frame: segmenter.close())
        alarm_before = signal.signal(signal.SIGALRM, give_up)
        signal.alarm(120)  # long enough for a machine that stands still meanwhile
        try:
            yield segmenter
        finally:
            signal.alarm(0)
            signal.signal(signal.SIGALRM, alarm_before)
            signal.signal(signal.SIGUSR1, before)


def test_a_signal_handler_closes_while_a_stream_is_opened(
    interrupted: Segmenter, closed_bundles: list[Bundle]
) -> None:
    """No deadlock, no half-open stream, nothing left open."""
    backend = interrupted.backend
    assert isinstance(backend, Interrupted)
    with pytest.raises(
        StreamError, match=r"^stream\(\) was interrupted by a signal handler that closed the segm"
    ):
        interrupted.stream()
    assert [session.closed for session in backend.sessions] == [True]
    assert backend.closed_with == [True]
    assert closed_bundles == [interrupted.bundle]
    with pytest.raises(StreamError, match=r"^stream\(\) was called on a closed segmenter"):
        interrupted.stream()
    interrupted.close()


def test_a_signal_handler_closes_when_the_stream_is_all_but_open(
    made_up_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes in after the last look, as the stream is put among the others: a closed one is not handed out."""
    with Segmenter.open(made_up_bundle, backend="fake") as segmenter:
        streams: list[Stream] = []

        class Late(weakref.WeakSet):  # type: ignore[type-arg]
            def add(self, stream: Stream) -> None:
                super().add(stream)
                streams.append(stream)
                segmenter.close()  # as from a signal handler

        monkeypatch.setattr(segmenter, "_streams", Late())
        with pytest.raises(StreamError, match=r"^stream\(\) was interrupted by a signal handler"):
            segmenter.stream()
        assert [stream.state for stream in streams] == [StreamState.CLOSED]


def test_a_signal_handler_closes_where_the_stream_cannot_be_opened(
    interrupted: Segmenter, closed_bundles: list[Bundle], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: FakeSession, spec: object, *, host_visible: bool = False) -> None:
        raise BackendError("no memory is left on the device")

    monkeypatch.setattr(FakeSession, "allocate", refuse)
    with pytest.raises(BackendError, match="no memory is left"):
        interrupted.stream()
    assert isinstance(interrupted.backend, Interrupted)
    assert interrupted.backend.closed_with == [True]
    assert closed_bundles == [interrupted.bundle]


def test_signal_handlers_in_signal_handlers(interrupted: Segmenter, closed_bundles: list[Bundle]) -> None:
    """The first opens a stream inside the one that is opened, the second closes: when all are out again."""

    def open_another(number: int, frame: object) -> None:
        signal.signal(signal.SIGUSR1, lambda number, frame: interrupted.close())
        with contextlib.suppress(StreamError):
            interrupted.stream()

    signal.signal(signal.SIGUSR1, open_another)
    with pytest.raises(StreamError, match=r"^stream\(\) was interrupted by a signal handler"):
        interrupted.stream()
    assert isinstance(interrupted.backend, Interrupted)
    assert [session.closed for session in interrupted.backend.sessions] == [True, True]
    assert interrupted.backend.closed_with == [True]
    assert closed_bundles == [interrupted.bundle]


def test_a_signal_handler_closes_what_is_being_closed(
    interrupted: Segmenter, closed_bundles: list[Bundle]
) -> None:
    """As where SIGTERM comes twice."""
    interrupted.close()
    assert isinstance(interrupted.backend, Interrupted)
    assert interrupted.backend.closed_with == [True]
    assert closed_bundles == [interrupted.bundle]


def test_a_signal_handler_that_closes_in_mid_frame_is_refused(
    interrupted: Segmenter, closed_bundles: list[Bundle], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The frame's buffers are in use; the block that the exception leaves closes them."""
    monkeypatch.setattr(Interrupted, "session", FakeBackend.session)
    with interrupted:
        stream = interrupted.stream()
        monkeypatch.setattr(stream._memory, "run", lambda path, **how: signal.raise_signal(signal.SIGUSR1))
        with pytest.raises(StreamError, match=r"^close\(\) was called while .* is inside this stream"):
            stream.push(frame())
        assert closed_bundles == []
        assert stream.state is StreamState.FAILED
    assert stream.state is StreamState.CLOSED
    assert closed_bundles == [interrupted.bundle]


def test_another_threads_close_waits_for_a_stream_that_is_opened(
    made_up_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside, leave = threading.Event(), threading.Event()
    with Segmenter.open(made_up_bundle, backend="fake") as segmenter, ThreadPoolExecutor(2) as pool:
        session = segmenter.backend.session

        def slow() -> object:
            inside.set()
            assert leave.wait(timeout=300)
            return session()

        monkeypatch.setattr(segmenter.backend, "session", slow)
        opened = pool.submit(segmenter.stream)
        assert inside.wait(timeout=30)
        closed = pool.submit(segmenter.close)
        try:
            with pytest.raises(TimeoutError):
                closed.result(timeout=0.1)
        finally:
            leave.set()
        closed.result(timeout=300)
        assert opened.result(timeout=300).state is StreamState.CLOSED


def test_a_stream_that_cannot_be_made_leaves_no_session(made_up_bundle: Path) -> None:
    sessions: list[FakeSession] = []

    class Poor(FakeBackend):
        def session(self) -> FakeSession:
            sessions.append(FakeSession(self))
            sessions[-1].allocate = allocate  # type: ignore[method-assign]
            return sessions[-1]

    def allocate(spec: object, *, host_visible: bool = False) -> None:
        raise BackendError("no memory is left on the device")

    with Bundle.open(made_up_bundle) as bundle:
        segmenter = Segmenter(bundle, Poor(bundle.manifest))
        with pytest.raises(BackendError, match="no memory is left"):
            segmenter.stream()
        assert [session.closed for session in sessions] == [True]
        segmenter.close()


def test_streams_may_be_opened_from_many_threads(segmenter: Segmenter) -> None:
    with ThreadPoolExecutor(8) as pool:
        streams = list(pool.map(lambda _: segmenter.stream(), range(64)))
    segmenter.close()
    assert all(stream.state is StreamState.CLOSED for stream in streams)


# Frames of another size


def test_without_opencv_the_networks_size_works(
    segmenter: Segmenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with segmenter.stream() as stream:
        with pytest.raises(
            FrameError,
            match=r"^push\(\) was given a frame of 5x8; without OpenCV \(.*\) only the network's size, 4x8, can "
            "be taken. Install it with: pip install opencv-python-headless$",
        ):
            stream.push(frame(0, (5, 8)))
        assert (stream.state, stream.frame_index) == (StreamState.READY, 0)
        assert [stream.push(frame()).labels.shape for _ in range(3)] == [(4, 8)] * 3


# Real networks: tiny ones, with logits, on ONNX Runtime


@pytest.fixture(scope="module")
def real_segmenter(
    tiny_checkpoint: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], Segmenter]]:
    """real_segmenter(name): a tiny network's bundle, exported with logits, on ONNX Runtime."""
    torch = pytest.importorskip("torch")
    from tdnet_export.options import ExportOptions
    from tdnet_export.pipeline import bundle_from_checkpoint

    folder = tmp_path_factory.mktemp("bundles")
    made: dict[str, Segmenter] = {}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # several wait for each other, and long so on a busy machine

    def make(name: str) -> Segmenter:
        if name not in made:
            out = folder / f"{name}.plan"
            size_hw = (49, 65) if name == "psp101" else None  # which fixes no size itself
            bundle_from_checkpoint(
                ExportOptions(checkpoint=tiny_checkpoint(name), out=out, size_hw=size_hw, logits=True)
            )
            made[name] = Segmenter.open(out, threads=1)
        return made[name]

    yield make
    torch.set_num_threads(threads)
    for segmenter in made.values():
        segmenter.close()


@pytest.fixture(params=NETWORKS)
def real(request: pytest.FixtureRequest, real_segmenter: Callable[[str], Segmenter]) -> Segmenter:
    return real_segmenter(request.param)


def scene(t: int, size_hw: tuple[int, int] = (61, 83)) -> np.ndarray:
    return render(t, height=size_hw[0], width=size_hw[1])


def pushed(stream: Stream, times: Sequence[int] | range) -> list[Result]:
    return [stream.push(scene(t)) for t in times]


def assert_equal_results(results: list[Result], expected: list[Result]) -> None:
    """Bit for bit."""
    assert len(results) == len(expected)
    for one, other in zip(results, expected, strict=True):
        assert (one.path, one.cold, one.frame_index) == (other.path, other.cold, other.frame_index)
        assert np.array_equal(one.logits, other.logits)
        assert np.array_equal(one.labels, other.labels)


@pytest.mark.parametrize("name", NETWORKS)
def test_schedule_of_the_real_networks(real_segmenter: Callable[[str], Segmenter], name: str) -> None:
    segmenter = real_segmenter(name)
    paths = COLD[name] + 1
    with segmenter.stream() as stream:
        results = pushed(stream, range(2 * paths + 2))
    assert [r.path for r in results] == [t % paths + 1 for t in range(2 * paths + 2)]
    assert [r.cold for r in results] == [t < paths - 1 for t in range(2 * paths + 2)]
    assert all(r.labels.shape == (61, 83) and np.unique(r.labels).size > 1 for r in results)
    inputs = segmenter.manifest.input
    assert all(r.logits is not None and r.logits.shape == (5, inputs.height, inputs.width) for r in results)


def test_auto_says_which_backend_it_chose(
    real: Segmenter, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backends, "AUTO_ORDER", AUTO_ORDER)  # the shipped one; see tests/conftest.py
    with (
        caplog.at_level(logging.INFO, logger="tdnet_runtime"),
        Segmenter.open(real.bundle.path, backend="auto", threads=1) as segmenter,
    ):
        chosen = "onnxruntime" if find_spec("openvino") is None else "openvino"
        assert segmenter.backend.name == chosen
    (said,) = (record.getMessage() for record in caplog.records)
    assert said.startswith(f"backend {chosen}: {segmenter.backend.description} (not used: tensorrt: ")
    assert "; tensorrt-rtx: " in said
    assert "; cuda: " in said


def test_labels_are_the_largest_logits(real: Segmenter) -> None:
    """At the network's size, where nothing is resized."""
    size_hw = (real.manifest.input.height, real.manifest.input.width)
    with real.stream() as stream:
        for t in range(5):
            result = stream.push(scene(t, size_hw))
            assert result.logits is not None
            assert np.array_equal(result.labels, result.logits.argmax(0))


def test_the_past_matters_and_reset_forgets_it(real: Segmenter) -> None:
    """Path 1 runs frames 0 and m; only memory tells them apart. A per-frame network has none."""
    paths = len(real.manifest.paths)
    with real.stream() as stream:
        *_, warm = pushed(stream, [*range(40, 40 + paths), 0])
        stream.reset()
        (cold,) = pushed(stream, [0])
        again = pushed(stream, range(1, 6))
    with real.stream() as fresh:
        expected = pushed(fresh, range(6))
    assert warm.path == cold.path == 1
    assert np.array_equal(warm.logits, cold.logits) == (paths == 1)
    assert_equal_results([cold, *again], expected)


def test_each_of_the_last_frames_matters(real: Segmenter) -> None:
    """Changing any one of the m−1 frames before changes the output; an older one does not."""
    paths = len(real.manifest.paths)
    times = list(range(paths + 2))
    with real.stream() as stream:
        *_, expected = pushed(stream, times)
        for age in range(1, paths + 2):
            changed = list(times)
            changed[-1 - age] += 30
            stream.reset()
            *_, result = pushed(stream, changed)
            assert np.array_equal(result.logits, expected.logits) == (age > paths - 1), age


@pytest.mark.parametrize("before", [1, 5])
def test_a_restored_stream_continues_bit_for_bit(real: Segmenter, before: int) -> None:
    with real.stream() as stream, real.stream() as other:
        pushed(stream, range(before))
        snapshot = stream.snapshot()
        expected = pushed(stream, range(before, before + 5))
        stream.reset()
        stream.restore(snapshot)
        other.restore(snapshot)
        assert_equal_results(pushed(stream, range(before, before + 5)), expected)
        assert_equal_results(pushed(other, range(before, before + 5)), expected)


def test_a_snapshot_of_another_network_is_refused(real_segmenter: Callable[[str], Segmenter]) -> None:
    with real_segmenter("td2-psp50").stream() as stream, real_segmenter("td2-fa18").stream() as other:
        pushed(other, range(2))
        before = pushed(stream, range(2))
        with pytest.raises(StreamError, match=r"restore\(\) was given a snapshot of bundle"):
            stream.restore(other.snapshot())
        after = pushed(stream, range(2, 4))
        stream.reset()
        assert_equal_results(before + after, pushed(stream, range(4)))


def test_interleaved_streams_do_not_mix(real: Segmenter) -> None:
    with real.stream() as one, real.stream() as other:
        mixed = [(one.push(scene(t)), other.push(scene(50 + t))) for t in range(6)]
        one.reset()
        assert_equal_results([first for first, _ in mixed], pushed(one, range(6)))
        one.reset()
        assert_equal_results([second for _, second in mixed], pushed(one, range(50, 56)))


def test_two_threads_open_one_file(real_segmenter: Callable[[str], Segmenter]) -> None:
    """At the same time, with helpers each; the masks are the same as of one that was opened alone."""
    before = real_segmenter("td4-psp18")
    together = threading.Barrier(2)

    def run(_: int) -> list[Result]:
        together.wait(timeout=30)
        path = before.bundle.path
        with (
            Segmenter.open(path, backend="onnxruntime", threads=2) as segmenter,
            segmenter.stream() as stream,
        ):
            return pushed(stream, range(5))

    with ThreadPoolExecutor(2) as pool, before.stream() as stream:
        expected = pushed(stream, range(5))
        for results in pool.map(run, range(2)):
            assert all(
                np.mean(one.labels == other.labels) > 0.999
                for one, other in zip(results, expected, strict=True)
            )


def test_two_threads_with_a_stream_each(real: Segmenter) -> None:
    """The masks are the same as one after the other."""
    starts = (0, 20)
    with real.stream() as one, real.stream() as other:
        streams, together = (one, other), threading.Barrier(2)

        def run(which: int) -> list[Result]:
            together.wait(timeout=30)
            return pushed(streams[which], range(starts[which], starts[which] + 12))

        with ThreadPoolExecutor(2) as pool:
            at_once = list(pool.map(run, range(2)))
        for start, results in zip(starts, at_once, strict=True):
            one.reset()
            assert_equal_results(results, pushed(one, range(start, start + 12)))
