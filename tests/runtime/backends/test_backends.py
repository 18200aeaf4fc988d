"""What every backend must do, on one bundle whose graphs follow the fake's law."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tdnet_runtime import backends
from tdnet_runtime.backends import AUTO_ORDER, BACKENDS, open_backend, openvino
from tdnet_runtime.backends.base import Backend, Session
from tdnet_runtime.backends.ort_provider import Provider
from tdnet_runtime.bundle import Bundle
from tdnet_runtime.errors import BackendError, OptionError
from tdnet_runtime.segmenter import Segmenter


@pytest.fixture(params=["cuda", "onnxruntime", "openvino", "fake"])
def name(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """`cuda` runs on the CPU's provider: all of it but CUDA itself. TensorRT's have tests of their own."""
    if request.param == "openvino" and openvino.unavailable() is not None:
        pytest.skip("OpenVINO is not installed")
    if request.param == "cuda":
        on_cpu = Provider(name="CPUExecutionProvider", device="cpu")
        monkeypatch.setattr("tdnet_runtime.backends.cuda.CUDA", on_cpu)
        monkeypatch.setattr("tdnet_runtime.backends.cuda.unavailable", lambda: None)
    return str(request.param)


@pytest.fixture
def backend(law_bundle: Path, name: str) -> Iterator[Backend]:
    with Bundle.open(law_bundle) as bundle:
        backend = open_backend(name, bundle, threads=1)
        yield backend
        backend.close()


@pytest.fixture
def session(backend: Backend) -> Iterator[Session]:
    session = backend.session()
    yield session
    session.close()


def frame(value: int) -> np.ndarray:
    return np.full((4, 8, 3), value, np.uint8)


def test_identity(backend: Backend, name: str) -> None:
    assert backend.name == name
    assert backend.precision == "fp32"
    assert backend.description


def test_the_law_holds(law_bundle: Path, name: str) -> None:
    """Labels and memory of five frames, computed by hand."""
    with Segmenter.open(law_bundle, backend=name) as segmenter, segmenter.stream() as stream:
        results = [stream.push(frame(value)) for value in (0, 64, 128, 192, 32)]
        slots = stream.snapshot().slots
    assert [np.unique(result.labels).tolist() for result in results] == [[1], [3], [3], [3], [3]]
    assert [result.cold for result in results] == [True, False, False, False, False]
    for leaf in "kv":
        assert (slots[f"slot1_{leaf}"] == 1 + 32 / 256).all()  # exact in float32
        assert (slots[f"slot2_{leaf}"] == 2 + 192 / 256).all()


def test_reset_and_snapshot(law_bundle: Path, name: str) -> None:
    with Segmenter.open(law_bundle, backend=name) as segmenter, segmenter.stream() as stream:
        stream.push(frame(0))
        snapshot = stream.snapshot()
        assert (stream.push(frame(0)).labels == 3).all()
        stream.reset()
        assert (stream.push(frame(0)).labels == 1).all()
        stream.restore(snapshot)
        assert (stream.push(frame(0)).labels == 3).all()


def test_buffers(backend: Backend, session: Session, law_bundle: Path) -> None:
    with Bundle.open(law_bundle) as bundle:
        spec = bundle.manifest.graph("subnet1").outputs[0]
    buffer = session.allocate(spec, host_visible=True)
    assert buffer.spec == spec
    assert buffer.host is not None
    assert (buffer.host.shape, buffer.host.dtype) == (spec.shape, np.dtype(spec.dtype))
    assert buffer.host.flags.c_contiguous
    assert not buffer.dump().any()
    values = np.arange(buffer.host.size, dtype=spec.dtype).reshape(spec.shape)
    buffer.load(values)
    dumped = buffer.dump()
    values.fill(9)
    buffer.zero()
    assert np.array_equal(dumped.ravel(), np.arange(dumped.size))
    assert not buffer.dump().any()


def test_buffers_are_bound_once(session: Session, law_bundle: Path) -> None:
    """A program sees what is written to the host arrays, without another call to the backend."""
    with Bundle.open(law_bundle) as bundle:
        graph = bundle.manifest.graph("subnet1")
    buffers = {
        spec.name: session.allocate(spec, host_visible=True) for spec in (*graph.inputs, *graph.outputs)
    }
    hosts = {name: buffer.host for name, buffer in buffers.items()}
    addresses = {name: host.ctypes.data for name, host in hosts.items() if host is not None}
    program = session.prepare([("subnet1", buffers)])
    image, query = hosts["image"], hosts["query"]
    assert image is not None
    assert query is not None
    for value in (64, 128, 0):
        image.fill(value)
        program.run()
        assert (query == 1 + value / 256).all()
    assert {name: buffer.host.ctypes.data for name, buffer in buffers.items() if buffer.host is not None} == (
        addresses
    )


def test_the_graphs_of_a_program_run_in_order(session: Session, law_bundle: Path) -> None:
    """The second one reads what the first has written."""
    with Bundle.open(law_bundle) as bundle:
        graphs = [bundle.manifest.graph(name) for name in ("subnet1", "apm1")]
    specs = {spec.name: spec for graph in graphs for spec in (*graph.inputs, *graph.outputs)}
    buffers = {name: session.allocate(spec, host_visible=True) for name, spec in specs.items()}
    bindings = [
        (graph.name, {spec.name: buffers[spec.name] for spec in (*graph.inputs, *graph.outputs)})
        for graph in graphs
    ]
    session.prepare(bindings).run()
    assert (buffers["labels"].dump() == 1).all()


def test_closing_twice(backend: Backend) -> None:
    session = backend.session()
    session.close()
    session.close()
    backend.close()
    backend.close()


def test_sessions_share_nothing_but_the_weights(backend: Backend, law_bundle: Path) -> None:
    with Bundle.open(law_bundle) as bundle:
        spec = bundle.manifest.graph("subnet1").inputs[0]
    one, other = backend.session(), backend.session()
    first, second = one.allocate(spec, host_visible=True), other.allocate(spec, host_visible=True)
    assert first.host is not None
    first.host.fill(7)
    assert not second.dump().any()
    one.close()
    other.allocate(spec)


# Choosing one


@pytest.mark.parametrize("name", BACKENDS)
def test_each_name_is_a_module(name: str) -> None:
    """Which imports without its engine, and says in one line what is missing."""
    module = importlib.import_module(f"tdnet_runtime.backends.{name.replace('-', '_')}")
    reason = module.unavailable()
    assert reason is None or "\n" not in reason
    assert (reason is None) >= (name in ("onnxruntime", "fake"))
    assert callable(module.open_bundle)
    assert callable(module.unsuited)
    assert set(module.PREFERRED) <= {"fp16", "fp32", "int8"}


def test_auto_never_computes_nothing() -> None:
    assert set(AUTO_ORDER) == set(BACKENDS) - {"fake"}


def test_a_name_is_not_an_import_path(law_bundle: Path) -> None:
    with Bundle.open(law_bundle) as bundle:
        for wrong in ("base", "host", "os", "../fake", "Fake"):
            with pytest.raises(
                OptionError, match=f"there is no backend '{wrong}'; known are: auto, tensorrt, "
            ):
                open_backend(wrong, bundle)


def test_why_a_better_one_was_passed_over_is_said(
    law_bundle: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(backends, "AUTO_ORDER", ("onnxruntime", "fake"))
    monkeypatch.setattr("tdnet_runtime.backends.onnxruntime.unavailable", lambda: "it is not here")
    with Bundle.open(law_bundle) as bundle, caplog.at_level("INFO", logger="tdnet_runtime"):
        assert open_backend("auto", bundle).name == "fake"
    assert "(not used: onnxruntime: it is not here)" in caplog.text


def test_auto_goes_on_where_one_seemed_to_fit(
    law_bundle: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An engine that TensorRT itself refuses, say. Asked for by name, it is an error."""

    def refuses(*args: object, **options: object) -> None:
        raise BackendError("the engine does not load")

    monkeypatch.setattr(backends, "AUTO_ORDER", ("onnxruntime", "fake"))
    monkeypatch.setattr("tdnet_runtime.backends.onnxruntime.open_bundle", refuses)
    with Bundle.open(law_bundle) as bundle, caplog.at_level("WARNING", logger="tdnet_runtime"):
        assert open_backend("auto", bundle).name == "fake"
        with pytest.raises(BackendError, match=r"^the engine does not load$"):
            open_backend("onnxruntime", bundle)
    assert "backend onnxruntime seemed to fit, and does not open: the engine does not load" in caplog.text


@pytest.mark.parametrize(("asked", "instead"), [("bf16", "fp32"), ("int8-bf16", "int8")])
@pytest.mark.parametrize("engine", ["tensorrt", "tensorrt-rtx", "cuda", "onnxruntime", "fake"])
def test_what_no_graph_is_and_this_engine_does_not_compute(
    law_bundle: Path, engine: str, asked: str, instead: str
) -> None:
    """Not a command to export with it, which would fail."""
    with Bundle.open(law_bundle) as bundle, pytest.raises(BackendError) as caught:
        open_backend(engine, bundle, precision=asked)
    said = f"{engine}: it does not compute in {asked}, only openvino does; ask for {instead} (precision='{instead}'"
    assert said in str(caught.value)
    assert "export it again" not in str(caught.value)


@pytest.mark.parametrize("options", [{"labels": "device"}, {"cuda_stream": 42}])
def test_what_only_a_gpu_offers(law_bundle: Path, name: str, options: dict) -> None:
    with (
        Segmenter.open(law_bundle, backend=name) as segmenter,
        pytest.raises(OptionError, match=f"the backend {name} has its tensors .*backend='tensorrt'"),
    ):
        segmenter.stream(**options)


def test_labels_are_on_the_host_or_on_the_device(law_bundle: Path) -> None:
    with (
        Segmenter.open(law_bundle, backend="fake") as segmenter,
        pytest.raises(OptionError, match="labels is 'gpu'; expected 'host' or 'device'"),
    ):
        segmenter.stream(labels="gpu")


@pytest.mark.parametrize("wrong", ["FP16", "int4", ""])
def test_a_precision_that_there_is_not(law_bundle: Path, wrong: str) -> None:
    """Not a command to export with it, which would fail."""
    with (
        Bundle.open(law_bundle) as bundle,
        pytest.raises(
            OptionError,
            match=f"there is no precision '{wrong}'; known are: fp32, fp16, bf16, int8, int8-bf16, int8_fp16$",
        ),
    ):
        open_backend("auto", bundle, precision=wrong)
