"""Engines for one GPU, engines that are not captured, and rebuilding."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.benchmarks.gpu_check.doubles import finished
from tests.runtime.gpu.conftest import host_stream
from tests.runtime.gpu.fake_device import FakeDevice
from tests.runtime.gpu.fake_engine import expected_labels, fake_engines

from tdnet_bench.gpu_check.engines import Uncaptured, engine_from_graph, rebuild
from tdnet_bench.gpu_check.install import no_gpu
from tdnet_runtime import Bundle
from tdnet_runtime.engine_header import parse_engine_header
from tdnet_runtime.errors import BackendError
from tdnet_runtime.gpu.backend import GpuBackend

TinyBundle = Callable[[str], Path]


def test_uncaptured_engines_give_the_same(tiny_bundle: TinyBundle) -> None:
    device = FakeDevice()
    with Bundle.open(tiny_bundle("td2-fa18")) as bundle:
        manifest = bundle.manifest
    ours = [Uncaptured(engine) for engine in fake_engines(device, manifest)]
    size_hw = (manifest.input.height, manifest.input.width)
    backend = GpuBackend(device, ours, manifest, name="x", precision="fp32", description="")
    with host_stream(backend, manifest) as stream:
        for count in range(1, 6):
            result = stream.push(np.full((*size_hw, 3), count, np.uint8))
            assert result.captured is False
            assert (result.labels == expected_labels(range(1, count + 1), 2, result.labels.shape)).all()
    backend.close()
    assert device.alive == set()


def test_one_compute_capability(tiny_bundle: TinyBundle) -> None:
    """The real builder, which needs no GPU for a capability that is named."""
    trt = pytest.importorskip("tensorrt_rtx")
    with Bundle.open(tiny_bundle("td2-fa18")) as bundle:
        graph = bundle.manifest.graphs[1]
        onnx = bundle.read(graph.members["fp32"])
    data = engine_from_graph(trt, graph.name, onnx, capability="SM89")
    assert parse_engine_header(data).product == "tensorrt-rtx"


def test_this_gpu_where_there_is_none(tiny_bundle: TinyBundle) -> None:
    trt = pytest.importorskip("tensorrt_rtx")
    if no_gpu() is None:
        pytest.skip("there is a GPU here")
    with Bundle.open(tiny_bundle("td2-fa18")) as bundle:
        graph = bundle.manifest.graphs[1]
        onnx = bundle.read(graph.members["fp32"])
    with pytest.raises(BackendError, match="CURRENT"):
        engine_from_graph(trt, graph.name, onnx, capability="CURRENT")


def test_a_graph_that_is_none() -> None:
    trt = pytest.importorskip("tensorrt_rtx")
    with pytest.raises(BackendError, match="does not take graph 'g'"):
        engine_from_graph(trt, "g", b"no graph", capability="SM89")


def test_rebuild_is_the_exporters_own_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    calls: list[list[str]] = []

    def run(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        calls.append(command)
        return finished(stdout="\nbuilt\nin 3 s\n")

    monkeypatch.setattr(subprocess, "run", run)
    assert rebuild(tmp_path / "x.plan", "tensorrt") == "built in 3 s"
    ((_, _, code, *arguments),) = calls
    assert arguments == ["--rebuild", str(tmp_path / "x.plan"), "--backend", "tensorrt"]
    assert "tdnet_export" in code


def test_a_rebuild_that_fails(tmp_path: Path) -> None:
    """The real command, on a file that is no bundle."""
    (tmp_path / "x.plan").write_bytes(b"nothing")
    with pytest.raises(BackendError, match=r"ended with 1: tdnet-export: error: .*x\.plan"):
        rebuild(tmp_path / "x.plan", "tensorrt-rtx")
