"""Whole runs on a host with a fake GPU: every kind of side that has a device, beside those that have none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from tests.benchmarks.fake_gpu import SPAN_NS, GpuHost
from tests.benchmarks.test_benchmark import QUICK, Phases

from tdnet_bench.benchmark import run_benchmark
from tdnet_bench.documents.document import Document
from tdnet_bench.options import BenchOptions
from tdnet_bench.records.frames import FrameRecord
from tdnet_bench.views.html.page import page_from_document
from tdnet_bench.views.report import report_from_document

torch = pytest.importorskip("torch")
Tiny = Callable[[str], Path]
DEVICE_SIDES = (
    "tensorrt:fp32", "tensorrt:fp32@device", "tensorrt:fp32@no-graphs", "tensorrt:fp32@device@no-graphs", "cuda:fp32",
    "pytorch:cuda", "pytorch:cuda:fp16", "pytorch:cuda@device", "torch-compile:cuda:bf16",
)  # fmt: skip
PEERS = (
    "tensorrt@device",
    "tensorrt@no-graphs",
    "tensorrt@device@no-graphs",
    "cuda",
    "onnxruntime",
    *DEVICE_SIDES[5:],
)


@pytest.fixture(autouse=True, scope="module")
def _threads() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> GpuHost:
    return GpuHost(monkeypatch)


@pytest.fixture(scope="module")
def whole(tiny_bundle: Tiny, tiny_checkpoint: Tiny) -> tuple[Document, GpuHost]:
    """A run with every kind of side, and its host afterwards."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(torch, "compile", lambda function: function)
        host = GpuHost(patched)
        settings = {"ckpt": tiny_checkpoint("td2-fa18"), "peers": PEERS, "roofline": True, "streams": 2}
        return run(tiny_bundle("td2-fa18"), **settings), host


def run(engine: Path, **options: object) -> Document:
    settings = {"engine": engine, "threads": 1, "frames": 4, "backends": ("tensorrt",), "peers": ("none",)}
    made = BenchOptions(**(settings | options))  # type: ignore[arg-type]
    return run_benchmark(made, phase=Phases(), pace=QUICK).document


def test_every_side_with_a_device_has_its_compute(whole: tuple[Document, GpuHost]) -> None:
    document, host = whole
    assert document.left_out == ()
    assert set(document.sides) == {*DEVICE_SIDES, "onnxruntime:fp32"}
    graphs = {"cuda:fp32": 2}  # each between events of its own
    for name, side in document.sides.items():
        times = {
            r.device_compute_ns for r in document.records if isinstance(r, FrameRecord) and r.side == name
        }
        on_device = name != "onnxruntime:fp32"
        assert times == ({graphs.get(name, 1) * SPAN_NS} if on_device else {None}), name
        assert ("device compute" in side.clocks) == on_device
        assert (document.summary.sides[name].device is not None) == on_device
    assert host.device.alive == set()
    assert host.gpu is not None
    assert host.gpu.events.events == set()


def test_sides_say_where_frames_and_labels_are(whole: tuple[Document, GpuHost]) -> None:
    document, _ = whole
    for name, side in document.sides.items():
        resident = "@device" in name
        for step in ("H2D", "D2H", "copy out"):
            if "cuda" in name or "tensorrt" in name:
                assert (step in side.clocks["host call"].outside) == resident, (name, step)
    graph = {
        name: "CUDA graph" in side.clocks["host call"].inside
        for name, side in document.sides.items()
        if name.startswith("tensorrt")
    }
    assert graph == {name: "no-graphs" not in name for name in graph}
    assert document.config.subject == "tensorrt:fp32"


def test_labels_are_the_same_wherever_they_are(whole: tuple[Document, GpuHost]) -> None:
    """`cuda` is ONNX Runtime; the fake engines agree with themselves."""
    document, _ = whole
    assert document.config.reference == "pytorch:cuda"
    agreement = {
        name: [r.agreement for r in document.records if isinstance(r, FrameRecord) and r.side == name]
        for name in document.sides
    }
    assert min(agreement["cuda:fp32"]) > 0.999  # type: ignore[type-var]
    assert min(agreement["pytorch:cuda@device"]) == 1  # type: ignore[type-var]
    fake = [agreement[name] for name in agreement if name.startswith("tensorrt")]
    assert fake == [fake[0]] * 4
    assert {(c.side, c.baseline) for c in document.summary.comparisons} >= {
        ("tensorrt:fp32", "pytorch:cuda"),
        ("cuda:fp32", "pytorch:cuda"),
    }


def test_memory_of_further_streams_by_the_drivers_count(whole: tuple[Document, GpuHost]) -> None:
    document, _ = whole
    bundles = {name for name, side in document.sides.items() if side.kind == "bundle"}
    assert set(document.streams) == bundles
    ours = document.streams["tensorrt:fp32"]
    assert ours.on == "device"
    assert ours.own_bytes is not None
    assert ours.further_mib == (ours.own_bytes["device_bytes"] / 2**20,) * 2
    assert document.streams["cuda:fp32"].further_mib == (0, 0)  # its memory is the CPU's here
    host = document.streams["onnxruntime:fp32"]
    assert (host.on, len(host.further_mib), host.own_bytes) == ("host", 2, None)
    console = Console(width=120, record=True)
    console.print(report_from_document(document))
    text = console.export_text()
    assert "each further stream of tensorrt:fp32 takes 0 MiB, 0 MiB on the GPU" in text
    assert "each further stream of onnxruntime:fp32 takes" in text
    page = page_from_document(document, picture=None)
    assert "/streams/tensorrt:fp32/further_mib/1" in page


def test_each_path_is_held_against_what_the_gpu_can_do(whole: tuple[Document, GpuHost]) -> None:
    document, _ = whole
    assert document.ceilings is not None
    assert [(c.library, c.precision) for c in document.ceilings.compute] == [
        ("torch", "fp16"),
        ("torch", "fp32"),
    ]
    assert document.ceilings.compute[0].gflop_per_s == pytest.approx(2 * 8**3 / SPAN_NS)
    assert document.ceilings.copies[0].gb_per_s == pytest.approx(1024 / SPAN_NS)
    roofline = document.rooflines["tensorrt:fp32"]
    assert [point.name for point in roofline.points] == ["path 1", "path 2"]
    assert roofline.points[0].time_ms == pytest.approx(SPAN_NS / 1e6)
    assert {"pytorch:cuda", "cuda:fp32"} < set(document.rooflines)
    for without in ("onnxruntime:fp32", "pytorch:cuda:fp16"):  # no device compute; no graphs in FP16
        assert without not in document.rooflines
        assert any(note.startswith(f"{without} has no roofline") for note in document.notes)


def test_frames_in_the_gpus_memory_at_a_cameras_rate(
    host: GpuHost, tiny_bundle: Tiny, tmp_path: Path
) -> None:
    import cv2

    folder = tmp_path / "clip"
    folder.mkdir()
    for index in range(8):
        cv2.imwrite(str(folder / f"{index}.png"), np.full((60, 80, 3), index, np.uint8))
    document = run(
        tiny_bundle("td2-fa18"),
        backends=("tensorrt@device",),
        peers=("tensorrt",),
        input=folder,
        fps=(1000.0,),
    )
    assert document.config.subject == "tensorrt:fp32@device"
    assert document.summary.paced[0].processed == 4
    assert list(document.summary.camera) == ["tensorrt:fp32"]  # frames of a file are on the host
    assert host.device.alive == set()


def test_without_events_the_host_is_timed_and_told_why(host: GpuHost, tiny_bundle: Tiny) -> None:
    host.gpu = None
    document = run(tiny_bundle("td2-fa18"), peers=("tensorrt@device", "pytorch:cuda", "pytorch:cuda@device"))
    assert set(document.sides) == {"tensorrt:fp32", "pytorch:cuda", "pytorch:cuda@device"}
    assert all(figures.overall is not None for figures in document.summary.sides.values())
    assert {figures.device for figures in document.summary.sides.values()} == {None}
    assert "device compute was NOT measured: cuda-core is not installed" in document.notes
    ((what, reason),) = [(left.what, left.reason) for left in document.left_out]
    assert what == "tensorrt@device"
    assert "frames cannot be put into the GPU's memory: cuda-core is not installed" in reason
    assert all("device compute" not in side.clocks for side in document.sides.values())


def test_a_second_stream_that_there_is_no_room_for_costs_its_clock_alone(
    host: GpuHost, tiny_bundle: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tdnet_bench.sides import device_spans
    from tdnet_runtime.errors import BackendError

    def full(*arguments: object, **named: object) -> None:
        raise BackendError("allocating 9 bytes: no room")

    monkeypatch.setattr(device_spans, "OrtBoundBackend", type("Full", (), {"__init__": full}))
    monkeypatch.setattr(device_spans, "_resident_frames", full)
    document = run(tiny_bundle("td2-fa18"))
    assert document.summary.sides["tensorrt:fp32"].overall is not None
    assert document.summary.sides["tensorrt:fp32"].device is None
    assert "device compute of tensorrt:fp32 was NOT measured: allocating 9 bytes: no room" in document.notes


def test_an_engine_that_names_no_class_is_left_out(
    host: GpuHost, tiny_bundle: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.runtime.gpu import fake_engine

    monkeypatch.setattr(fake_engine, "MODULUS", 251)
    document = run(tiny_bundle("td2-fa18"), backends=("onnxruntime",), peers=("tensorrt",))
    ((what, reason),) = [(left.what, left.reason) for left in document.left_out]
    assert what == "tensorrt"
    assert "what it runs is not this network" in reason
    assert host.device.alive == set()


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        ("onnxruntime", None),
        ("auto@device", "leaves neither frames nor labels in a GPU's memory"),
        ("auto@no-graphs", "has no CUDA graphs that it could go without"),
    ],
)
def test_what_a_cpu_cannot_is_left_out(
    engine: Path, tiny_bundle: Tiny, request_: str, reason: str | None
) -> None:
    """Without a GPU host: `auto` is ONNX Runtime in these tests."""
    document = run(tiny_bundle("td2-fa18"), backends=("onnxruntime",), peers=(request_,))
    assert [reason in left.reason for left in document.left_out if reason] == ([True] if reason else [])


def test_pytorch_without_a_gpu_is_left_out(tiny_bundle: Tiny) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    document = run(tiny_bundle("td2-fa18"), backends=("onnxruntime",), peers=("pytorch:cuda:fp16", "pytorch"))
    (left,) = document.left_out
    assert left.what == "pytorch:cuda:fp16"
    assert left.reason.startswith(("this PyTorch", "PyTorch"))
    assert not any("device compute" in note for note in document.notes)  # of which side?
    assert document.exit_code == 3
