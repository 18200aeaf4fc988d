"""OpenVINO: the same results as PyTorch and ONNX Runtime, what it refuses, and that nobody is told of its use."""

from __future__ import annotations

import gc
import re
import signal
import subprocess
import sys
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import onnx
import pytest
from tests.runtime.backends.graph_edits import SPOILED, edited, half_warm, rename, reshape_input

from tdnet_runtime.backends import cpu_flags, onnxruntime, openvino, openvino_core
from tdnet_runtime.backends.cpu_count import usable_cpus
from tdnet_runtime.backends.no_telemetry import import_without_telemetry
from tdnet_runtime.backends.openvino_core import new_core
from tdnet_runtime.backends.openvino_session import OpenVinoSession
from tdnet_runtime.bundle import Bundle, write_bundle
from tdnet_runtime.errors import BackendError
from tdnet_runtime.manifest import GraphSpec, TensorSpec
from tdnet_runtime.media.scene import render
from tdnet_runtime.segmenter import Segmenter
from tdnet_runtime.stream import Stream, StreamState

if reason := openvino.unavailable():
    pytest.skip(reason, allow_module_level=True)

ov = import_without_telemetry("openvino")
CAPABILITIES = new_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
WriteLaw = Callable[..., Path]


def opened(path: Path, *, precision: str | None = None, threads: int | None = 1) -> Segmenter:
    with ExitStack() as undo:
        bundle = undo.enter_context(Bundle.open(path))
        assert openvino.unsuited(bundle, precision=precision) is None
        segmenter = Segmenter(bundle, openvino.open_bundle(bundle, precision=precision, threads=threads))
        undo.pop_all()
        return segmenter


@pytest.mark.parametrize(
    ("precision", "threads", "size_hw", "keeps"),
    [
        ("bf16", 2, (193, 385), True),
        ("int8-bf16", 4, (192, 384), True),
        ("bf16", 2, (360, 480), False),  # many
        ("bf16", 1, (193, 385), False),  # nobody to share them with
        ("fp32", 2, (193, 385), False),
        ("fp32", 2, (120, 160), True),
        ("int8", 2, (120, 160), True),
        ("fp32", 1, (120, 160), False),
    ],
)
def test_few_labels_are_made_by_openvino(
    precision: str, threads: int, size_hw: tuple[int, int], keeps: bool
) -> None:
    labels = TensorSpec(name="labels", shape=(1, *size_hw), dtype="uint8")
    query = TensorSpec(name="query", shape=(1, 4, 3, 5), dtype="float32")
    graph = GraphSpec(name="apm1", inputs=(query,), outputs=(labels,), members={})
    assert openvino.keeps_its_end(graph, precision, threads) is keeps


@pytest.mark.skipif("BF16" not in CAPABILITIES, reason="this processor computes no BF16")
def test_labels_of_either_end_in_bf16(
    tiny_bundle: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nearly the same: one end upsamples in BF16."""
    found = []
    for few in (0, 1 << 17):
        monkeypatch.setattr(openvino, "_FEW_IN_BF16", few)
        with opened(tiny_bundle("td2-fa18"), precision="bf16", threads=2) as segmenter:
            assert bool(segmenter.backend._scores) is (few == 0)
            size = segmenter.manifest.input
            with segmenter.stream() as stream:
                shown = [render(index, height=size.height, width=size.width) for index in range(4)]
                found.append(np.stack([stream.push(image).labels for image in shown]))
    assert np.mean(found[0] == found[1]) > 0.9


def frame(value: int) -> np.ndarray:
    return np.full((4, 8, 3), value, np.uint8)


def test_the_law_holds(law_bundle: Path) -> None:
    """Labels and memory of five frames, computed by hand, before and after a reset."""
    with opened(law_bundle) as segmenter, segmenter.stream() as stream:
        for _ in range(2):
            results = [stream.push(frame(value)) for value in (0, 64, 128, 192, 32)]
            slots = stream.snapshot().slots
            assert [np.unique(result.labels).tolist() for result in results] == [[1], [3], [3], [3], [3]]
            for leaf in "kv":
                assert (slots[f"slot1_{leaf}"] == 1 + 32 / 256).all()  # exact in float32
                assert (slots[f"slot2_{leaf}"] == 2 + 192 / 256).all()
            stream.reset()


def test_two_streams_do_not_meet(law_bundle: Path) -> None:
    with opened(law_bundle) as segmenter, segmenter.stream() as one, segmenter.stream() as two:
        found = []
        for first, second in ((0, 250), (64, 0), (128, 0)):
            found.append(
                (int(one.push(frame(first)).labels[0, 0]), int(two.push(frame(second)).labels[0, 0]))
            )
        assert found == [(1, 1), (3, 3), (3, 3)]
        assert (one.snapshot().slots["slot1_v"] == 1 + 128 / 256).all()
        assert (two.snapshot().slots["slot1_v"] == 1).all()


def test_graphs_work_in_the_streams_own_arrays(law_bundle: Path) -> None:
    """Nothing is copied: what a program writes is there, in the array that the next graph reads."""
    with Bundle.open(law_bundle) as bundle:
        backend = openvino.open_bundle(bundle, precision=None, threads=1)
        graph = bundle.manifest.graph("subnet1")
    session = backend.session()
    buffers = {spec.name: session.allocate(spec) for spec in (*graph.inputs, *graph.outputs)}
    program = session.prepare([("subnet1", buffers)])
    arrays = {name: buffer.host for name, buffer in buffers.items()}
    for value in (64, 128, 0):
        arrays["image"].fill(value)
        program.run()
        assert all((arrays[spec.name] == 1 + value / 256).all() for spec in graph.outputs)
    assert all(buffer.host is arrays[name] for name, buffer in buffers.items())
    session.close()
    backend.close()


@pytest.mark.parametrize("shared", [False, True])
def test_each_graph_gives_its_scratch_memory_back_where_asked(
    law_bundle: Path, monkeypatch: pytest.MonkeyPatch, shared: bool
) -> None:
    """From the next stream on, after each graph; the law holds."""
    released: list[str] = []
    release = OpenVinoSession._release_scratch
    monkeypatch.setattr(
        OpenVinoSession,
        "_release_scratch",
        lambda self, graph: (released.append(graph), release(self, graph)),
    )
    with opened(law_bundle) as segmenter, segmenter.stream() as before:
        assert segmenter.backend.share_scratch is False
        segmenter.backend.share_scratch = shared
        with segmenter.stream() as stream:
            for other in (before, stream):
                found = [int(other.push(frame(value)).labels[0, 0]) for value in (0, 64, 128, 192, 32)]
                assert found == [1, 3, 3, 3, 3]
                assert other is stream or not released
    assert released == (["subnet1", "apm1", "subnet2", "apm2"] * 2 + ["subnet1", "apm1"]) * shared


def test_shared_scratch_memory_changes_nothing(tiny_bundle: Callable[[str], Path]) -> None:
    """Two streams in two threads, one of which takes the memory away that the other one computes in."""
    with opened(tiny_bundle("td4-psp18"), threads=2) as segmenter:
        size = segmenter.manifest.input
        images = [render(index, height=size.height, width=size.width) for index in range(9)]

        def run(stream: Stream) -> tuple[list[bytes], dict[str, bytes]]:
            with stream:
                labels = [stream.push(image).labels.tobytes() for image in images]
                return labels, {name: slot.tobytes() for name, slot in stream.snapshot().slots.items()}

        expected = run(segmenter.stream())
        segmenter.backend.share_scratch = True
        with ThreadPoolExecutor(2) as pool:
            assert list(pool.map(run, [segmenter.stream(), segmenter.stream()])) == [expected] * 2


@pytest.mark.parametrize("name", ["td2-psp50", "td4-psp18", "td2-fa18", "psp101"])
def test_closed_loop_parity(
    tiny_bundle: Callable[[str], Path], tiny_checkpoint: Callable[[str], Path], name: str
) -> None:
    """Labels and memory over 3m + 2 frames: PyTorch's, and ONNX Runtime's."""
    pytest.importorskip("torch")
    from tdnet_models import ReferenceStream, load_checkpoint

    path = tiny_bundle(name)
    with (
        Segmenter.open(path, backend="onnxruntime", threads=1) as like,
        opened(path) as segmenter,
        like.stream() as expected,
        segmenter.stream() as stream,
    ):
        manifest = segmenter.manifest
        height, width = manifest.input.height, manifest.input.width
        network = load_checkpoint(tiny_checkpoint(name), size=(height, width))
        reference = ReferenceStream(network, memory_stride=manifest.state.stride)
        for index in range(3 * len(manifest.paths) + 2):
            image = render(index, height=height, width=width)
            labels = stream.push(image).labels
            assert (labels == reference.push(image).argmax(0).numpy()).mean() >= 0.999
            assert (labels == expected.push(image).labels).mean() >= 0.999
            slots = expected.snapshot().slots
            for tensor, values in stream.snapshot().slots.items():
                assert np.abs(values - slots[tensor]).max() <= 1e-4 * max(float(slots[tensor].std()), 1e-3)


@pytest.mark.parametrize(
    ("edit", "detail"),
    [
        (lambda g: rename(g, "slot2_v", "slot2_value"), r"slot2_value: graph \('float32'.*, manifest None"),
        (lambda g: rename(g, "labels", "classes_of"), r"labels: graph None, manifest \('uint8'"),
        (lambda g: reshape_input(g, "slot2_v", [3, 5]), r"slot2_v: graph .*\[3, 5\].* manifest .*\[3, 2\]"),
        (lambda g: reshape_input(g, "slot2_v", ["C", 2]), r"slot2_v: graph .*\[\?,2\].* manifest .*\[3, 2\]"),
        (half_warm, r"warm: graph \('float16'.* manifest \('float32'"),
    ],
    ids=["input", "output", "shape", "dynamic shape", "dtype"],
)
def test_tensors_that_the_manifest_does_not_state(
    write_law: WriteLaw, law_graphs: dict[str, bytes], edit: Callable[[onnx.GraphProto], object], detail: str
) -> None:
    path = write_law(apm1=edited(law_graphs["apm1"], edit))
    with pytest.raises(
        BackendError, match=f"^graph 'apm1' does not have the tensors .*{detail}.*Export again.$"
    ):
        opened(path)


@pytest.mark.parametrize("spoil", SPOILED.values(), ids=SPOILED)
def test_graphs_that_cannot_be_loaded(
    write_law: WriteLaw,
    law_graphs: dict[str, bytes],
    capfd: pytest.CaptureFixture[str],
    spoil: Callable[[bytes], bytes],
) -> None:
    """With right digests: who wrote the bundle wrote this. One line, and nothing on stderr."""
    path = write_law(apm2=spoil(law_graphs["apm2"]))
    with pytest.raises(BackendError, match=r"^(OpenVINO cannot load )?graph 'apm2'[^\n]*$"):
        opened(path)
    assert capfd.readouterr() == ("", "")


class Failing:
    """A compiled model whose requests fail, as OpenVINO's do, where the image is bright."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self.inputs, self.outputs = model.inputs, model.outputs

    def create_infer_request(self) -> Any:
        request = self._model.create_infer_request()

        def infer(**options: Any) -> None:
            if request.get_tensor("image").data.max() > 200:
                raise RuntimeError("Exception from src/cpp/infer_request.cpp:223:\nout of\n\nmemory\n")
            request.infer(**options)

        return SimpleNamespace(set_tensor=request.set_tensor, infer=infer)


def test_a_graph_that_fails_while_it_runs(law_bundle: Path) -> None:
    with opened(law_bundle) as segmenter:
        models = segmenter.backend._compiled  # type: ignore[attr-defined]
        models["subnet2"] = Failing(models["subnet2"])
        with segmenter.stream() as stream:
            expected = [stream.push(frame(100)).labels for _ in range(4)]
            stream.reset()
            stream.push(frame(250))
            with pytest.raises(
                BackendError,
                match=r"^OpenVINO failed in graph 'subnet2': Exception from src/cpp/infer_request.cpp:223: out of "
                r"memory \(frame 1, path 2\); call reset\(\)",
            ):
                stream.push(frame(250))
            assert stream.state is StreamState.FAILED
            stream.reset()
            assert all(np.array_equal(stream.push(frame(100)).labels, labels) for labels in expected)


def in_precisions(
    law: Path, graphs: dict[str, bytes], precisions: tuple[str, ...], *, taken: str | None = None
) -> Path:
    """The bundle anew, with graphs of these precisions; what is not of the precision `taken` cannot be loaded."""
    with Bundle.open(law) as bundle:
        manifest = bundle.manifest
    members, specs = {}, []
    for graph in manifest.graphs:
        own = {precision: f"graphs/{precision}/{graph.name}.onnx" for precision in precisions}
        members |= {own[p]: graphs[graph.name] if p == taken else b"none" for p in precisions}
        specs.append(msgspec.structs.replace(graph, members=own))
    path = law.with_name("several.plan")
    write_bundle(path, msgspec.structs.replace(manifest, graphs=tuple(specs), parity={}, members={}), members)
    return path


@pytest.mark.parametrize(
    ("present", "asked", "taken"),
    [
        (("int8", "fp32"), None, "fp32"),
        (("int8",), None, "int8"),
        (("fp32", "int8"), "int8", "int8"),
        (("fp16",), None, None),
        (("fp32",), "int8", None),
        (("int8",), "bf16", None),
        (("fp32",), "int8-bf16", None),
    ],
)
def test_which_graphs_are_run(
    write_law: WriteLaw,
    law_graphs: dict[str, bytes],
    present: tuple[str, ...],
    asked: str | None,
    taken: str | None,
) -> None:
    """The graphs that are not to be taken cannot be loaded."""
    with Bundle.open(in_precisions(write_law(), law_graphs, present, taken=taken)) as bundle:
        reason = openvino.unsuited(bundle, precision=asked)
        if taken is None:
            assert reason is not None
            assert "export it again with --precision" in reason
            return
        assert reason is None
        backend = openvino.open_bundle(bundle, precision=asked, threads=1)
        assert backend.precision == taken
        backend.close()


def test_graphs_for_tensorrt_are_refused(write_law: WriteLaw, law_graphs: dict[str, bytes]) -> None:
    """It computes signed steps after a ReLU wrongly."""
    path = in_precisions(write_law(), law_graphs, ("int8_fp16", "int8"))
    with Bundle.open(path) as bundle:
        reason = openvino.unsuited(bundle, precision="int8_fp16")
        assert reason is not None
        assert "int8_fp16 ones are made for TensorRT: ask for int8" in reason
        assert openvino.unsuited(bundle, precision=None) is None
    with Bundle.open(in_precisions(write_law(), law_graphs, ("int8_fp16",))) as bundle:
        for asked in (None, "int8_fp16"):
            reason = openvino.unsuited(bundle, precision=asked)
            assert reason is not None
            assert "export it again with --precision int8, or ask for the backend onnxruntime" in reason
            assert reason.endswith(" and for int8_fp16 by name") is (asked is None)
            assert onnxruntime.unsuited(bundle, precision="int8_fp16") is None
    with Bundle.open(in_precisions(write_law(), law_graphs, ("int8_fp16", "fp16"))) as bundle:
        reason = openvino.unsuited(bundle, precision=None)
        assert reason is not None
        assert reason.endswith("or ask for fp16 by name (precision='fp16', --precision fp16)")


@pytest.mark.parametrize(("asked", "instead"), [("bf16", "fp32"), ("int8-bf16", "int8")])
def test_bf16_where_the_processor_has_none(
    write_law: WriteLaw,
    law_graphs: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
    asked: str,
    instead: str,
) -> None:
    core = SimpleNamespace(
        get_property=lambda device, name: ["FP32", "INT8"] if name.startswith("OPT") else "Some CPU"
    )
    monkeypatch.setattr(openvino, "new_core", lambda: core)
    with Bundle.open(in_precisions(write_law(), law_graphs, ("fp32", "int8"))) as bundle:
        reason = openvino.unsuited(bundle, precision=asked)
    assert reason is not None
    assert reason.startswith(f"{asked} needs a processor with AVX-512 BF16 or AMX, which 'Some CPU' is not")
    assert reason.endswith(f"ask for {instead} (precision='{instead}', --precision {instead})")


@pytest.mark.skipif("BF16" not in CAPABILITIES, reason="this processor has no BF16")
def test_bf16_runs_the_fp32_graphs(law_bundle: Path) -> None:
    with opened(law_bundle, precision="bf16") as segmenter, segmenter.stream() as stream:
        assert segmenter.backend.precision == "bf16"
        assert (stream.push(frame(0)).labels == 1).all()


@pytest.mark.skipif("BF16" not in CAPABILITIES, reason="this processor has no BF16")
def test_int8_bf16_runs_the_int8_graphs(write_law: WriteLaw, law_graphs: dict[str, bytes]) -> None:
    """The FP32 graphs cannot be loaded."""
    path = in_precisions(write_law(), law_graphs, ("fp32", "int8"), taken="int8")
    with opened(path, precision="int8-bf16") as segmenter, segmenter.stream() as stream:
        assert segmenter.backend.precision == "int8-bf16"
        assert (stream.push(frame(0)).labels == 1).all()


@pytest.mark.parametrize(
    ("cpuinfo", "graphs", "warned"),
    [
        ("flags\t\t: fpu avx2 fma\n", "int8", True),
        ("flags\t\t: fpu avx2 avx_vnni\n", "int8", False),
        ("flags\t\t: fpu avx512f avx512_vnni\n", "int8", False),
        ("flags\t\t: fpu avx2 fma\n", "fp32", False),
        ("Features\t: fp asimd\n", "int8", False),  # ARM
        (None, "int8", False),
    ],
)
def test_int8_that_may_saturate_is_told(
    write_law: WriteLaw,
    law_graphs: dict[str, bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    cpuinfo: str | None,
    graphs: str,
    warned: bool,
) -> None:
    if cpuinfo is not None:
        (tmp_path / "cpuinfo").write_text(cpuinfo)
    monkeypatch.setattr(cpu_flags, "_CPUINFO", tmp_path / "cpuinfo")
    with Bundle.open(in_precisions(write_law(), law_graphs, (graphs,), taken=graphs)) as bundle:
        openvino.open_bundle(bundle, precision=None, threads=1).close()
    assert ("has no VNNI" in caplog.text) is warned


@pytest.mark.parametrize(
    ("precision", "hint"), [("fp32", "f32"), ("int8", "f32"), ("bf16", "bf16"), ("int8-bf16", "bf16")]
)
def test_precision_is_pinned(precision: str, hint: str) -> None:
    """Where a processor has BF16, OpenVINO would take it for FP32 unasked."""
    assert openvino._options(precision=precision, threads=3) == {
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": 1,
        "INFERENCE_NUM_THREADS": 3,
        "ENABLE_CPU_PINNING": False,
        "INFERENCE_PRECISION_HINT": hint,
    }


def test_options_are_taken(law_bundle: Path) -> None:
    with opened(law_bundle, threads=1) as segmenter:
        compiled: Any = segmenter.backend._compiled["subnet1"]  # type: ignore[attr-defined]
        assert compiled.get_property("INFERENCE_NUM_THREADS") == 1
        assert compiled.get_property("NUM_STREAMS") == 1
        assert compiled.get_property("ENABLE_CPU_PINNING") is False
        assert compiled.get_property("INFERENCE_PRECISION_HINT") == ov.Type.f32


def test_the_description_says_what_runs(law_bundle: Path) -> None:
    for threads, said in ((None, usable_cpus()), (1, 1)):
        with opened(law_bundle, threads=threads) as segmenter:
            version = ov.get_version().split("-")[0]
            assert segmenter.backend.description == f"OpenVINO {version}, CPU, {said} thread(s), fp32"


def test_an_installation_that_does_not_load(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str) -> None:
        raise ImportError("libopenvino.so: wrong ELF class")

    monkeypatch.setattr(openvino, "import_without_telemetry", fail)
    reason = openvino.unavailable()
    assert reason is not None
    assert (
        "(libopenvino.so: wrong ELF class); install it with: pip install 'tdnet-deploy[openvino]'" in reason
    )


def test_a_plugin_that_does_not_load(law_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenVINO itself imports; another engine may do."""

    def fail(device: str, name: str) -> None:
        raise RuntimeError("Exception from core.cpp:117:\nlibopenvino_intel_cpu_plugin.so: no such file")

    broken = SimpleNamespace(Core=lambda: SimpleNamespace(get_property=fail))
    monkeypatch.setattr(openvino_core, "import_without_telemetry", lambda name: broken)
    reason = (
        "OpenVINO cannot compute on this CPU: Exception from core.cpp:117: libopenvino_intel_cpu_plugin.so: no such file; "
        "install it again: pip install --force-reinstall openvino"
    )
    with Bundle.open(law_bundle) as bundle:
        assert openvino.unsuited(bundle, precision="bf16") == reason
    with pytest.raises(BackendError, match=f"^{re.escape(reason)}$"):
        opened(law_bundle)
    with Segmenter.open(law_bundle) as segmenter:
        assert segmenter.backend.name == "onnxruntime"


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[weakref.ref[object]]]:
    """References to all models that are compiled."""
    models: list[weakref.ref[object]] = []
    make = openvino._compiled

    def remember(*args: Any) -> object:
        model = make(*args)
        models.append(weakref.ref(model))
        return model

    monkeypatch.setattr(openvino, "_compiled", remember)
    yield models
    models.clear()


def test_one_set_of_weights_for_all_streams(law_bundle: Path, compiled: list[weakref.ref[object]]) -> None:
    with opened(law_bundle) as segmenter:
        for _ in range(3):
            segmenter.stream().push(frame(0))
        assert len(compiled) == 4


def test_closing_releases_the_weights(law_bundle: Path, compiled: list[weakref.ref[object]]) -> None:
    """Although the application still holds the segmenter and a stream."""
    segmenter = opened(law_bundle)
    stream = segmenter.stream()
    stream.push(frame(0))
    segmenter.close()
    gc.collect()
    assert [model() for model in compiled] == [None] * 4
    assert stream.state is StreamState.CLOSED


_SIGNALS = """
import signal, sys, threading
from tdnet_runtime.backends import openvino
from tdnet_runtime.bundle import Bundle

def opened():
    with Bundle.open(sys.argv[1]) as bundle:
        return openvino.open_bundle(bundle, precision=None, threads=None)

def in_a_thread(call):
    thread = threading.Thread(target=call)
    thread.start()
    thread.join()

for end in ("first to last", "last to first", "in a thread"):
    backends = [opened(), opened()]
    in_a_thread(lambda: backends.append(opened()))
    for backend in reversed(backends) if end == "last to first" else backends:
        in_a_thread(backend.close) if end == "in a thread" else backend.close()
    del backend, backends
    came = []
    signal.signal(signal.SIGUSR1, lambda number, frame: came.append(number))
    signal.raise_signal(signal.SIGUSR1)
    print(end, came)
"""


@pytest.mark.parametrize("stack", ["", "import faulthandler; faulthandler.enable()"])
def test_signals_reach_their_handlers_after_it_is_closed(
    law_bundle: Path, child_env: dict[str, str], stack: str
) -> None:
    """In whatever order and thread, and with a stack of the application's for them or without one: see `openvino_core`."""
    done = subprocess.run(
        [sys.executable, "-c", f"{stack}\n{_SIGNALS}", law_bundle],
        env=child_env,
        capture_output=True,
        text=True,
        timeout=120,
    )
    said = "".join(
        f"{end} [{signal.SIGUSR1:d}]\n" for end in ("first to last", "last to first", "in a thread")
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, said, "")


_LISTEN = """
import os, sys
def refuse(event, args):
    if event.startswith(("socket.", "urllib.")) or event == "os.fork":
        os.write(2, f"{event} {args}".encode())
        os._exit(9)
sys.addaudithook(refuse)
"""


def test_nobody_is_told(law_bundle: Path, child_env: dict[str, str], tmp_path: Path) -> None:
    """Importing OpenVINO, running a bundle and leaving open no socket, fork nothing and leave nothing at home."""
    lines = f"""{_LISTEN}
import numpy
from tdnet_runtime.backends import openvino
from tdnet_runtime import Bundle, Segmenter
assert openvino.unavailable() is None
bundle = Bundle.open({str(law_bundle)!r})
with Segmenter(bundle, openvino.open_bundle(bundle, precision=None, threads=1)) as segmenter:
    print(segmenter.stream().push(numpy.zeros((4, 8, 3), numpy.uint8)).labels.max())
assert "openvino_telemetry" not in sys.modules
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", lines],
        env={**child_env, "HOME": str(tmp_path), "CI": ""},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "1\n", "")
    assert not list(tmp_path.rglob("*ga_cid"))


def test_the_reporter_is_hidden_only_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the application had imported before is there again, also after an import that fails."""
    monkeypatch.setitem(sys.modules, "openvino_telemetry", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "openvino_telemetry.main", SimpleNamespace())
    before = dict(sys.modules)
    assert import_without_telemetry("json").loads("1") == 1
    with pytest.raises(ImportError):
        import_without_telemetry("openvino_telemetry")
    with pytest.raises(ImportError):
        import_without_telemetry("openvino_telemetry.main")
    assert sys.modules == before
