"""The `cuda` backend without CUDA: its logic on the CPU's provider, and what it says where it cannot run."""

from __future__ import annotations

import importlib.metadata
import logging
import re
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tdnet_runtime.backends import cuda, ort_bound, ort_provider
from tdnet_runtime.backends.ort_bound import BoundGraph, OrtBoundBackend, OrtBoundProgram, OrtBuffer
from tdnet_runtime.backends.ort_provider import GATE, Provider
from tdnet_runtime.bundle import Bundle
from tdnet_runtime.errors import BackendError
from tdnet_runtime.segmenter import Segmenter
from tdnet_runtime.stream import Stream, StreamState

CPU = Provider(name="CPUExecutionProvider", device="cpu")
GRAPHS = Provider(name="CPUExecutionProvider", device="cpu", graphs={"enable_cuda_graph": "1"})


@pytest.fixture
def cpu_takes_graphs(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the CPU's provider had CUDA graphs: its options are not passed on, its run options are."""
    session = ort_provider._session
    monkeypatch.setattr(
        ort_provider,
        "_session",
        lambda ort, provider, graph, data, more, without: session(ort, provider, graph, data, {}, without),
    )


def opened(path: Path, provider: Provider = CPU) -> Segmenter:
    bundle = Bundle.open(path)
    try:
        return Segmenter(bundle, OrtBoundBackend(bundle, provider, name="cuda", precision="fp32"))
    except BaseException:
        bundle.close()
        raise


def frame(value: int) -> np.ndarray:
    return np.full((4, 8, 3), value, np.uint8)


def labels(stream: Stream, values: list[int]) -> list[int]:
    return [int(np.unique(stream.push(frame(value)).labels)[0]) for value in values]


@pytest.mark.usefixtures("cpu_takes_graphs")
def test_an_application_that_wants_no_graphs(law_bundle: Path, caplog: pytest.LogCaptureFixture) -> None:
    with opened(law_bundle, GRAPHS) as segmenter:
        segmenter.backend.use_graphs = False
        with segmenter.stream() as stream:
            assert stream.push(frame(1)).captured is False
        assert caplog.records == []
        segmenter.backend.use_graphs = True
        assert segmenter.stream().push(frame(1)).captured is True


@pytest.mark.usefixtures("cpu_takes_graphs")
def test_captured_and_plain_give_the_same(law_bundle: Path) -> None:
    with opened(law_bundle, GRAPHS) as captured, opened(law_bundle) as plain:
        one, other = captured.stream(), plain.stream()
        assert labels(one, [0, 64, 128]) == labels(other, [0, 64, 128]) == [1, 3, 3]
        assert one.push(frame(1)).captured is True
        assert other.push(frame(1)).captured is False


@pytest.mark.usefixtures("cpu_takes_graphs")
def test_each_streams_graphs_have_numbers_of_their_own(
    law_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    run_options = OrtBoundBackend.run_options
    monkeypatch.setattr(
        OrtBoundBackend,
        "run_options",
        lambda self, number: (asked.append(number), run_options(self, number))[1],
    )
    with opened(law_bundle, GRAPHS) as segmenter:
        segmenter.stream()
        segmenter.stream()
    numbers = [number for number in asked if number != "-1"]
    assert numbers == [str(number) for number in range(1, 9)]  # two streams, two paths, two graphs
    assert asked.count("-1") == 8


@pytest.mark.usefixtures("cpu_takes_graphs")
def test_a_replay_that_writes_nothing_is_not_used(
    law_bundle: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    put = OrtBoundProgram.put
    monkeypatch.setattr(
        OrtBoundProgram, "put", lambda self, *, captured: None if captured else put(self, captured=False)
    )
    with caplog.at_level(logging.WARNING), opened(law_bundle, GRAPHS) as segmenter:
        stream = segmenter.stream()
        assert labels(stream, [0, 64, 128]) == [1, 3, 3]
        assert stream.push(frame(1)).captured is False
    (record,) = caplog.records  # once for each stream
    assert "captured graphs gave other results than plain runs: " in record.getMessage()


def test_without_graphs_the_log_says_why(
    law_bundle: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The provider refuses its graph options: loaded without them, and said."""
    session = ort_provider._session

    def refusing(ort: Any, provider: Provider, graph: str, data: bytes, more: Any, without: Any) -> Any:
        if more:
            raise BackendError("not all nodes are on the GPU")
        return session(ort, provider, graph, data, more, without)

    monkeypatch.setattr(ort_provider, "_session", refusing)
    with caplog.at_level(logging.WARNING), opened(law_bundle, GRAPHS) as segmenter:
        stream = segmenter.stream()
        assert stream.push(frame(1)).captured is False
    assert "running without CUDA graphs, which costs time and changes no result: not all nodes" in caplog.text


class Faulty:
    """Makes the n-th of all copies and runs fail, over three methods."""

    def __init__(self, patch: pytest.MonkeyPatch, fail_at: int | None) -> None:
        self.calls = 0
        self.fail_at = fail_at
        for owner, name in ((OrtBuffer, "load"), (OrtBuffer, "fetch"), (BoundGraph, "run")):
            patch.setattr(owner, name, self._wrapped(getattr(owner, name)))

    def _wrapped(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            self.calls += 1
            if self.calls == self.fail_at:
                raise BackendError(f"told to fail at call {self.fail_at}")
            return method(*args, **options)

        return call


@pytest.mark.usefixtures("cpu_takes_graphs")
def test_failures_at_every_position_in_three_frames(
    law_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = [0, 64, 128]
    with opened(law_bundle, GRAPHS) as segmenter:
        with monkeypatch.context() as patch, segmenter.stream() as stream:
            clean = Faulty(patch, None)
            labels(stream, values)
        assert clean.calls >= 3 * 4  # an image, two graphs, the labels
        for position in range(1, clean.calls + 1):
            with segmenter.stream() as stream:
                with monkeypatch.context() as patch:
                    Faulty(patch, position)
                    with pytest.raises(BackendError, match=r"told to fail .*call reset\(\) before the next"):
                        labels(stream, values)
                assert stream.state is StreamState.FAILED
                stream.reset()
                assert labels(stream, [*values, 192]) == [1, 3, 3, 3]


def test_a_graph_that_does_not_load(write_law: Callable[..., Path]) -> None:
    with pytest.raises(BackendError, match=r"^CPUExecutionProvider cannot load graph 'apm1': "):
        opened(write_law(apm1=b"junk"))


def test_a_provider_that_is_absent(law_bundle: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """ONNX Runtime would take the CPU instead, and print that."""
    absent = Provider(name="NoSuchExecutionProvider", device="cpu")
    with (
        pytest.warns(UserWarning, match="NoSuchExecutionProvider"),
        pytest.raises(BackendError, match=r"^NoSuchExecutionProvider cannot load graph 'subnet1': "),
    ):
        opened(law_bundle, absent)
    assert capfd.readouterr().out == ""


def test_another_provider_than_asked(law_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """CUDA's libraries do not load: ONNX Runtime says nothing, and runs on the CPU."""
    import onnxruntime

    monkeypatch.setattr(onnxruntime.InferenceSession, "get_providers", lambda self: ["Another"])
    with pytest.raises(
        BackendError,
        match=r"'subnet1' was to run on CPUEx.*, and ONNX Runtime took Another: its CUDA or cuDNN",
    ):
        opened(law_bundle)


def test_no_fallback_to_the_cpu() -> None:
    assert cuda.CUDA.config == {"session.disable_cpu_ep_fallback": "1"}
    assert cuda.CUDA.graphs == {"enable_cuda_graph": "1"}
    fast = {"prefer_nhwc": "1", "cudnn_conv_algo_search": "HEURISTIC"}  # what only a GPU's time would tell
    assert fast.items() <= cuda.CUDA.options.items()


# What is missing


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """environment(wheels, module, driver): as if these were installed."""

    def pretend(wheels: list[str], module: Any, *, driver: bool = True) -> None:
        def distribution(name: str) -> None:
            if name not in wheels:
                raise importlib.metadata.PackageNotFoundError(name)

        monkeypatch.setattr(importlib.metadata, "distribution", distribution)
        monkeypatch.setitem(sys.modules, "onnxruntime", module)
        monkeypatch.setattr(cuda, "_has_driver", lambda: driver)

    return pretend


def _module(*providers: str) -> SimpleNamespace:
    return SimpleNamespace(__version__="1.31.1", get_available_providers=lambda: list(providers))


WITH_CUDA = _module("CUDAExecutionProvider", "CPUExecutionProvider")
WITHOUT = _module("CPUExecutionProvider")
BOTH = ["onnxruntime", "onnxruntime-gpu"]
ANEW = "pip uninstall --yes onnxruntime onnxruntime-gpu && pip install onnxruntime-gpu"


@pytest.mark.parametrize(
    ("wheels", "module", "driver", "said"),
    [
        (["onnxruntime-gpu"], WITH_CUDA, True, None),
        (BOTH, WITH_CUDA, True, None),
        ([], None, True, "not installed .*; install it with: pip install onnxruntime-gpu$"),
        (["onnxruntime"], WITHOUT, True, f"ONNX Runtime 1.31.1 has no CUDA; .*: {ANEW}$"),
        (
            BOTH,
            WITHOUT,
            True,
            f"both installed, into one folder, and the one without CUDA came last; .*{ANEW}$",
        ),
        (["onnxruntime-gpu"], None, True, f"onnxruntime-gpu is installed and does not load .*{ANEW}$"),
        (["onnxruntime-gpu"], SimpleNamespace(), True, f"is installed and does not load .*{ANEW}$"),
        (["onnxruntime-gpu"], WITH_CUDA, False, "no GPU can be used here .*nvidia-smi$"),
    ],
)
def test_what_is_missing_and_what_to_do(
    environment: Callable[..., None], wheels: list[str], module: Any, driver: bool, said: str | None
) -> None:
    environment(wheels, module, driver=driver)
    reason = cuda.unavailable()
    if said is None:
        assert reason is None
    else:
        assert reason is not None
        assert re.search(said, reason), reason


def test_both_wheels_are_warned_of(
    environment: Callable[..., None],
    law_bundle: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Today it works; the next update of either breaks it."""
    import onnxruntime

    environment(BOTH, onnxruntime)
    monkeypatch.setattr(cuda, "CUDA", CPU)
    with caplog.at_level(logging.WARNING), Bundle.open(law_bundle) as bundle:
        cuda.open_bundle(bundle, precision=None, threads=None).close()
    assert "are both installed, into one folder. This one has CUDA" in caplog.text
    assert ANEW in caplog.text


# Threads


@pytest.mark.usefixtures("cpu_takes_graphs")
def test_another_thread_runs_without_the_captured_graphs(
    law_bundle: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """ONNX Runtime keeps them for each thread: elsewhere it would capture in mid-stream, untested."""
    runs: list[bool] = []
    run = BoundGraph.run
    monkeypatch.setattr(
        BoundGraph, "run", lambda self, *, captured: (runs.append(captured), run(self, captured=captured))[1]
    )
    with caplog.at_level(logging.WARNING), opened(law_bundle, GRAPHS) as segmenter:
        stream = segmenter.stream()
        runs.clear()
        seen: list[Any] = []

        def elsewhere() -> None:
            seen.append(labels(stream, [0, 64, 128]))
            seen.append(stream.push(frame(1)).captured)

        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
        assert seen == [[1, 3, 3], False]
        assert set(runs) == {False}
        (record,) = caplog.records  # once for each stream
        assert "belong to the thread that opened the stream; open it in the thread" in record.getMessage()
        assert stream.push(frame(1)).captured is True  # here they are


@pytest.mark.usefixtures("cpu_takes_graphs")
def test_nobody_uses_the_gpu_while_a_stream_captures(
    law_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ONNX Runtime captures in CUDA's global mode: any other thread's copy would fail, and break the capture."""
    busy: list[str] = []
    clashes: list[str] = []
    captured_already: set[BoundGraph] = set()
    capturing = threading.Event()
    run, checked = BoundGraph.run, ort_provider.checked

    @contextmanager
    def watched(doing: str) -> Iterator[None]:
        with checked(doing):
            me = threading.current_thread().name
            if capturing.is_set() and me != "opens":
                clashes.append(doing)
            busy.append(me)
            yield
            busy.remove(me)

    def slow(self: BoundGraph, *, captured: bool) -> None:
        first = captured and threading.current_thread().name == "opens" and self not in captured_already
        if first:
            captured_already.add(self)
            clashes.extend(name for name in busy if name != "opens")
            capturing.set()
            time.sleep(0.02)
        run(self, captured=captured)
        if first:
            capturing.clear()

    monkeypatch.setattr(ort_bound, "checked", watched)
    monkeypatch.setattr(BoundGraph, "run", slow)
    with opened(law_bundle, GRAPHS) as segmenter:
        running = segmenter.stream()
        opener = threading.Thread(target=segmenter.stream, name="opens")
        opener.start()
        frames = 0
        while opener.is_alive():
            running.push(frame(1))
            frames += 1
        opener.join()
    assert frames > 0
    assert len(captured_already) == 4  # two paths, two graphs
    assert clashes == []


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many used the GPU, as the gate knows it, whenever a session of ONNX Runtime ended."""
    found: list[int] = []
    made = ort_provider.new_session

    def watched(*args: Any, **options: Any) -> Any:
        session = made(*args, **options)
        weakref.finalize(session, lambda: found.append(GATE._users))
        return session

    monkeypatch.setattr(ort_provider, "new_session", watched)
    return found


def test_nothing_ends_while_another_stream_captures(law_bundle: Path, ends: list[int]) -> None:
    """Sessions and buffers free the GPU's memory, which breaks a capture like any other use."""
    buffers: list[int] = []
    with opened(law_bundle) as segmenter:
        stream = segmenter.stream()
        image = stream._memory.image
        assert isinstance(image, OrtBuffer)
        weakref.finalize(image.value, lambda: buffers.append(GATE._users))
        del image
        stream.close()
        assert (buffers, ends) == ([1], [])
    assert ends == [1] * 4


def test_sessions_that_are_not_wanted_end_so_too(
    law_bundle: Path, write_law: Callable[..., Path], ends: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    import onnxruntime

    with pytest.raises(BackendError, match="'apm1'"):
        opened(write_law(apm1=b"junk"))
    assert ends == [1]  # the one of the first graph
    monkeypatch.setattr(onnxruntime.InferenceSession, "get_providers", lambda self: ["Another"])
    with pytest.raises(BackendError, match="took Another"):
        opened(law_bundle)
    assert ends == [1, 1]
