"""ONNX Runtime: what it refuses to load, and how its failures come out."""

from __future__ import annotations

import gc
import re
import subprocess
import sys
import weakref
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from tests.runtime.backends.graph_edits import SPOILED, edited, half_warm, rename, reshape_input

from tdnet_runtime.backends import ort_provider
from tdnet_runtime.backends.cpu_count import usable_cpus
from tdnet_runtime.backends.onnxruntime import OnnxRuntimeBackend, load_graph, unavailable
from tdnet_runtime.backends.ort_bound import OrtBoundBackend
from tdnet_runtime.backends.ort_options import session_options
from tdnet_runtime.backends.ort_provider import Provider
from tdnet_runtime.bundle import Bundle, write_bundle
from tdnet_runtime.errors import BackendError, BundleDigestError
from tdnet_runtime.segmenter import Segmenter
from tdnet_runtime.stream import StreamState

WriteLaw = Callable[..., Path]


def load(path: Path) -> None:
    """Open and close again."""
    Segmenter.open(path, backend="onnxruntime", threads=1).close()


def _extra_input(graph: onnx.GraphProto) -> None:
    graph.input.append(helper.make_tensor_value_info("gain", TensorProto.FLOAT, [1]))


def _extra_output(graph: onnx.GraphProto) -> None:
    graph.output.append(helper.make_tensor_value_info("total", TensorProto.FLOAT, [1]))


@pytest.mark.parametrize(
    ("edit", "detail"),
    [
        (lambda g: rename(g, "slot2_k", "slot2_key"), r"slot2_k: graph None, manifest \('tensor\(float\)'"),
        (lambda g: rename(g, "slot2_k", "slot2_key"), r"slot2_key: graph \('tensor\(float\).*manifest None"),
        (lambda g: reshape_input(g, "slot2_v", [3, 5]), r"slot2_v: graph .*\[3, 5\].* manifest .*\[3, 2\]"),
        (
            lambda g: reshape_input(g, "slot2_v", ["C", 2]),
            r"slot2_v: graph .*\['C', 2\].* manifest .*\[3, 2\]",
        ),
        (half_warm, r"warm: graph \('tensor\(float16\)'.* manifest \('tensor\(float\)'"),
        (_extra_input, r"gain: graph .*\[1\].* manifest None"),
        (_extra_output, r"total: graph .*\[1\].* manifest None"),
    ],
    ids=["renamed", "new name", "shape", "dynamic shape", "dtype", "input", "output"],
)
def test_tensors_that_the_manifest_does_not_state(
    write_law: WriteLaw,
    law_graphs: dict[str, bytes],
    edit: Callable[[onnx.GraphProto], object],
    detail: str,
) -> None:
    path = write_law(apm1=edited(law_graphs["apm1"], edit))
    with pytest.raises(
        BackendError,
        match=f"^graph 'apm1' does not have the tensors that the manifest states: .*{detail}.*Export again.$",
    ):
        load(path)


def test_two_graphs_exchanged(write_law: WriteLaw, law_graphs: dict[str, bytes]) -> None:
    path = write_law(apm1=law_graphs["apm2"], apm2=law_graphs["apm1"])
    with pytest.raises(
        BackendError, match=r"slot1_k: graph .*, manifest None.*slot2_k: graph None, manifest"
    ):
        load(path)


@pytest.mark.parametrize("spoil", SPOILED.values(), ids=SPOILED)
def test_graphs_that_cannot_be_loaded(
    write_law: WriteLaw,
    law_graphs: dict[str, bytes],
    capfd: pytest.CaptureFixture[str],
    spoil: Callable[[bytes], bytes],
) -> None:
    """With right digests: who wrote the bundle wrote this. One error, and nothing on stderr."""
    path = write_law(apm2=spoil(law_graphs["apm2"]))
    with pytest.raises(BackendError, match=r"^(ONNX Runtime cannot load )?graph 'apm2'"):
        load(path)
    assert capfd.readouterr() == ("", "")


def test_a_bundle_without_fp32(write_law: WriteLaw) -> None:
    path = write_law(precision="fp16")
    with pytest.raises(
        BackendError,
        match=r"onnxruntime: it runs fp32 graphs, '.*law.plan' has only fp16: export it again with "
        r"--precision fp32, or ask for fp16 by name \(precision='fp16', --precision fp16\)$",
    ):
        load(path)


def test_a_bundle_that_changes_after_it_was_verified(
    law_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not the engine's fault, and not said to be."""

    def read(self: Bundle, member: str) -> bytes:
        raise BundleDigestError(f"member {member!r} was changed")

    monkeypatch.setattr(Bundle, "read", read)
    with pytest.raises(BundleDigestError, match=r"^member 'graphs/fp32/subnet1.onnx' was changed$"):
        load(law_bundle)


def _fails_on_bright_frames(data: bytes) -> bytes:
    """The brightest pixel looks something up in a table that is too short."""

    def edit(graph: onnx.GraphProto) -> None:
        graph.initializer.append(numpy_helper.from_array(np.ones(200, np.float32), "table"))
        extra = [
            helper.make_node("ReduceMax", ["floats"], ["brightest"], keepdims=0),
            helper.make_node("Cast", ["brightest"], ["index"], to=TensorProto.INT64),
            helper.make_node("Gather", ["table", "index"], ["one"]),
            helper.make_node("Mul", ["fraction", "one"], ["product"]),
        ]
        at = next(index for index, node in enumerate(graph.node) if node.op_type == "Add")
        graph.node[at].input[0] = "product"
        for node in reversed(extra):
            graph.node.insert(at, node)

    return edited(data, edit)


def test_a_graph_that_fails_while_it_runs(
    write_law: WriteLaw, law_graphs: dict[str, bytes], capfd: pytest.CaptureFixture[str]
) -> None:
    path = write_law(subnet2=_fails_on_bright_frames(law_graphs["subnet2"]))
    dark, bright = np.full((4, 8, 3), 100, np.uint8), np.full((4, 8, 3), 250, np.uint8)
    with Segmenter.open(path, backend="onnxruntime", threads=1) as segmenter, segmenter.stream() as stream:
        expected = [stream.push(dark).labels for _ in range(4)]
        stream.reset()
        stream.push(bright)
        with pytest.raises(
            BackendError,
            match=r"(?s)^ONNX Runtime failed in graph 'subnet2': .*Gather.* \(frame 1, path 2\); call reset\(\)",
        ):
            stream.push(bright)
        assert stream.state is StreamState.FAILED
        stream.reset()
        assert all(np.array_equal(stream.push(dark).labels, labels) for labels in expected)
    assert capfd.readouterr() == ("", "")


def test_the_description_says_what_runs(law_bundle: Path) -> None:
    for threads, said in ((None, usable_cpus()), (1, 1), (999, usable_cpus())):  # a limit, not a wish
        with Segmenter.open(law_bundle, backend="onnxruntime", threads=threads) as segmenter:
            assert segmenter.backend.description == (
                f"ONNX Runtime {onnxruntime.__version__}, CPU, {said} thread(s), fp32"
            )


def test_how_sessions_are_set_up(child_env: dict[str, str]) -> None:
    """Whoever asks for the options first; changing an entry is no reason for a warning."""
    spinning, shared = "session.intra_op.allow_spinning", "session.use_env_allocators"
    options = session_options(onnxruntime, 3)
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (3, 1)
    assert options.graph_optimization_level == onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    assert not options.enable_mem_pattern
    assert [options.get_session_config_entry(key) for key in (spinning, shared)] == ["0", "1"]
    lines = f"""
import onnxruntime
from tdnet_runtime.backends import ort_options
registered = []
register = onnxruntime.create_and_register_allocator
onnxruntime.create_and_register_allocator = lambda *given: registered.append(register(*given))
changed = ort_options.session_options(onnxruntime, 1, entries={{{spinning!r}: "1", "session.disable_prepacking": "1"}})
keys = ({spinning!r}, {shared!r}, "session.disable_prepacking")
print(*map(changed.get_session_config_entry, keys))
again = ort_options.session_options(onnxruntime, 1)
print(again.get_session_config_entry({spinning!r}), len(registered))
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", lines],
        env=child_env,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout.splitlines(), done.stderr) == (0, ["1 1 1", "0 1"], "")


def test_it_is_available() -> None:
    assert unavailable() is None


def test_an_installation_that_does_not_load(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def find_spec(self, name: str, path: object = None, target: object = None) -> None:
            if name == "onnxruntime":
                raise ImportError("libonnxruntime.so: wrong ELF class", name="onnxruntime")

    monkeypatch.delitem(sys.modules, "onnxruntime")
    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
    reason = unavailable()
    assert reason is not None
    assert re.search(r"\(libonnxruntime.so: wrong ELF class\); install it .*'tdnet-deploy\[cpu\]'", reason)


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[weakref.ref[object]]:
    """References to all ONNX Runtime sessions that are made."""
    sessions: list[weakref.ref[object]] = []
    make = onnxruntime.InferenceSession

    def remember(*args: object, **options: object) -> object:
        session = make(*args, **options)
        sessions.append(weakref.ref(session))
        return session

    monkeypatch.setattr(onnxruntime, "InferenceSession", remember)
    return sessions


@pytest.mark.parametrize(("precision", "without"), [("fp32", []), ("int8_fp16", ["WeightBiasQuantization"])])
def test_fp16_scales_are_kept_from_an_optimizer(
    law_bundle: Path, monkeypatch: pytest.MonkeyPatch, precision: str, without: list[str]
) -> None:
    """It multiplies two of them in FP16. (tests/export/int8/test_signed.py shows what comes of that.)"""
    with Bundle.open(law_bundle) as bundle:
        members = {name: bundle.read(name) for name in bundle.manifest.members}
        graphs = tuple(
            msgspec.structs.replace(graph, members={precision: graph.members["fp32"]})
            for graph in bundle.manifest.graphs
        )
        write_bundle(
            law_bundle,
            msgspec.structs.replace(bundle.manifest, graphs=graphs, parity={}, members={}),
            members,
        )
    given = []
    make = onnxruntime.InferenceSession

    def note(*args: object, **options: object) -> object:
        given.append(options["disabled_optimizers"])
        return make(*args, **options)

    monkeypatch.setattr(onnxruntime, "InferenceSession", note)
    with Bundle.open(law_bundle) as bundle:
        OnnxRuntimeBackend(bundle, precision=precision, threads=1).close()
        cpu = Provider(name="CPUExecutionProvider", device="cpu")
        OrtBoundBackend(bundle, cpu, name="bound", precision=precision).close()
    assert given == [without] * 8


def test_one_set_of_weights_for_all_streams(law_bundle: Path, loaded: list[weakref.ref[object]]) -> None:
    with Segmenter.open(law_bundle, backend="onnxruntime", threads=1) as segmenter:
        for _ in range(3):
            segmenter.stream().push(np.zeros((4, 8, 3), np.uint8))
        assert len(loaded) == 4


def test_closing_releases_the_weights(law_bundle: Path, loaded: list[weakref.ref[object]]) -> None:
    """Although the application still holds the segmenter and a stream."""
    segmenter = Segmenter.open(law_bundle, backend="onnxruntime", threads=1)
    stream = segmenter.stream()
    stream.push(np.zeros((4, 8, 3), np.uint8))
    segmenter.close()
    gc.collect()
    assert [session() for session in loaded] == [None] * 4
    assert stream.state is StreamState.CLOSED


def test_another_user_of_onnxruntime_in_the_process(law_bundle: Path, child_env: dict[str, str]) -> None:
    """Who has registered an arena of its own before, and has a session of its own."""
    lines = f"""
import numpy, onnxruntime
memory = onnxruntime.OrtMemoryInfo(
    "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
)
onnxruntime.create_and_register_allocator(memory, onnxruntime.OrtArenaCfg(0, 1, -1, -1))
from tdnet_runtime import Bundle, Segmenter
with Bundle.open({str(law_bundle)!r}) as bundle:
    data = bundle.read("graphs/fp32/subnet1.onnx")
frame = numpy.zeros((4, 8, 3), numpy.uint8)
own = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
with Segmenter.open({str(law_bundle)!r}) as segmenter, segmenter.stream() as stream:
    print(stream.push(frame).labels.max(), stream.push(frame).labels.max())
print(own.run(["query"], {{"image": frame[None]}})[0].max())
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", lines],
        env=child_env,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout.split(), done.stderr) == (0, ["1", "3", "1.0"], "")


def test_a_session_does_not_hold_what_it_was_made_of(law_bundle: Path) -> None:
    """The bytes would be the weights once more."""
    with Bundle.open(law_bundle) as bundle:
        graph = bundle.manifest.graphs[0]
        data = bundle.read(graph.members["fp32"])
    cpu = Provider(name="CPUExecutionProvider", device="cpu")
    before = sys.getrefcount(data)
    held = [
        load_graph(onnxruntime, graph.name, data, session_options(onnxruntime, 1)),
        ort_provider.load_graph(onnxruntime, cpu, graph, data),
    ]
    assert sys.getrefcount(data) == before
    del held
