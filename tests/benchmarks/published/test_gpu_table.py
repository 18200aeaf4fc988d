from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.benchmarks.published.tables import link, tables_of

from tdnet_bench.documents.document import Document
from tdnet_bench.machine.environment import Environment
from tdnet_bench.machine.gpus import Gpu
from tdnet_bench.published.gpu_table import gpu_table
from tdnet_bench.published.results import read_results
from tdnet_bench.sides.side import clocks_of_bundle, clocks_of_pytorch
from tdnet_bench.statistics.latency import latency_stats
from tdnet_eval.result_file import write_document
from tdnet_runtime.errors import OptionError

MS = 1_000_000
GPU = Gpu(
    name="G", driver="580.1", memory_mib=None, sm_clock_mhz=None, sm_clock_max_mhz=None, memory_clock_mhz=None,
    power_limit_w=None, throttle_reasons=None,
)  # fmt: skip
OUR_STREAM = "on a stream of ours"


def measurement(milliseconds: int, *, method: str = "m", **changes: Any) -> dict[str, Any]:
    given = {"side": "cuda", "precision": "fp16", "captured": True, "labels": "host", "clock": "host call"}
    stats = msgspec.to_builtins(latency_stats([milliseconds * MS]))
    timed = {"method": method, "overall": stats, "by_path": {}, "samples_us": {}}
    return given | changes | {"timed": timed}


@pytest.fixture
def write_check(environment: Environment, tmp_path: Path) -> Callable[..., None]:
    """A check's document of version 1."""

    def make(
        name: str, *measurements: dict[str, Any], day: str, complete: bool = True, version: int = 1
    ) -> None:
        step = {"name": "s", "ok": True, "seconds": 1, "measurements": measurements}
        bundle = {"file": "x.plan", "network": "td4-psp18", "height": 769, "width": 1537}
        started = msgspec.structs.replace(environment, started_at=f"2026-01-{day}T00:00:00+00:00")
        check = {
            "kind": "gpu-check", "schema_version": version, "complete": complete, "gpu": {"name": "G"},
            "gpus": msgspec.to_builtins((GPU,)), "environment": msgspec.to_builtins(started),
            "packages": {"torch": "2.11", "other": "1"}, "bundles": {"x": bundle}, "targets": [],
            "parts": [{"part": "cuda", "bundle": "x", "steps": [step]}, {"part": "tests", "bundle": None, "steps": [{}]}],
        }  # fmt: skip
        (tmp_path / f"{name}.json").write_text(json.dumps(check))

    return make


@pytest.fixture
def write_run(document: Document, tmp_path: Path) -> Callable[..., None]:
    """A run of `tdnet-bench` on a GPU: two engines' sides, PyTorch beside them, and one on the CPU."""
    subject, peer = document.sides["fake:fp32"], document.sides["pytorch"]
    sides = {
        "tensorrt:fp16": msgspec.structs.replace(
            subject, precision="fp16", clocks=clocks_of_bundle(on_device=True, cuda_graph=True, camera=False)
        ),
        "tensorrt:fp16@device": msgspec.structs.replace(
            subject,
            precision="fp16",
            clocks=clocks_of_bundle(on_device=True, cuda_graph=False, camera=False, resident=True),
        ),
        "pytorch:cuda": msgspec.structs.replace(peer, clocks=clocks_of_pytorch(on_device=True, timed=True)),
        "onnxruntime:fp32": subject,
    }
    sides = {name: msgspec.structs.replace(spec, name=name) for name, spec in sides.items()}

    def make(
        name: str,
        *,
        day: str,
        exit_code: int = 0,
        gpus: tuple[Gpu, ...] = (GPU,),
        widths: str = "stem 64, planes 64-128-256-512",
    ) -> None:
        figures = document.summary.sides["fake:fp32"]
        device = msgspec.structs.replace(figures, device=latency_stats([3 * MS] * 100))
        summaries = dict.fromkeys(sides, device) | {"onnxruntime:fp32": figures}
        environment = msgspec.structs.replace(
            document.environment,
            gpus=gpus,
            packages={"torch": "2.12"},
            started_at=f"2026-01-{day}T00:00:00+00:00",
        )
        folder = tmp_path / "gpu" / "g-2026"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "check.json").write_text('{"kind": "gpu-check", "schema_version": 2}')
        made = msgspec.structs.replace(
            document,
            config=msgspec.structs.replace(document.config, widths=widths),
            sides=sides,
            environment=environment,
            exit_code=exit_code,
            summary=msgspec.structs.replace(document.summary, sides=summaries),
        )
        write_document(made, folder / f"{name}.json")

    return make


def test_of_several_documents_the_newest_figures(write_check: Callable[..., None], tmp_path: Path) -> None:
    """File names say nothing about the age."""
    eager = measurement(
        17, side="pytorch eager", precision="fp32", captured=None, labels="device", clock="gpu compute"
    )
    write_check("b", measurement(22), eager, day="01")
    marked = measurement(1, method=f"m; {OUR_STREAM}", captured=False)  # not as an application calls it
    compute = measurement(7, method=f"m {OUR_STREAM}", captured=False, clock="gpu compute")
    write_check("a", measurement(5), marked, compute, day="02")
    write_check("c", measurement(3), day="03", complete=False)
    text = gpu_table(read_results(tmp_path), link)
    (rows,) = tables_of(text)
    of_all = {"GPU": "G", "network": "td4-psp18", "input": "769×1537", "p99": "–"}
    assert rows == [
        of_all | found
        for found in (
            {"side": "cuda:fp16", "CUDA graphs": "yes", "clock": "host call", "labels on": "host", "p50": "5.00 ms",
             "file": "[json](a.json)"},
            {"side": "pytorch eager:fp32", "CUDA graphs": "–", "clock": "gpu compute", "labels on": "device",
             "p50": "17.0 ms", "file": "[json](b.json)"},
            {"side": "cuda:fp16", "CUDA graphs": "no", "clock": "gpu compute", "labels on": "host", "p50": "7.00 ms",
             "file": "[json](a.json)"},
        )
    ]  # fmt: skip
    assert text is not None
    assert text.endswith(
        "Measured on G (driver 580.1, torch 2.11) on 2026-01-01; G (driver 580.1, torch 2.11) on 2026-01-02. Rows of one "
        "file are of one run."
    )


def test_runs_of_the_benchmark_beside_them(
    write_check: Callable[..., None], write_run: Callable[..., None], tmp_path: Path
) -> None:
    write_check("b", measurement(22), day="01")
    write_run("x-tensorrt", day="02")
    write_run("cut", day="03", exit_code=1)
    write_run("cpu", day="04", gpus=())
    text = gpu_table(read_results(tmp_path), link)
    assert text is not None
    (rows,) = tables_of(text)
    found = [
        [row[name] for name in ("network", "side", "CUDA graphs", "clock", "labels on", "p50", "p99", "file")]
        for row in rows
    ]
    here = "[json](x-tensorrt.json)"
    assert found == [
        ["td2-fa18", "tensorrt:fp16", "yes", "host call", "host", "25.0 ms", "–", here],
        ["td2-fa18", "tensorrt:fp16", "yes", "device compute", "host", "3.00 ms", "3.00 ms", here],
        ["td2-fa18", "tensorrt:fp16@device", "no", "host call", "device", "25.0 ms", "–", here],
        ["td2-fa18", "tensorrt:fp16@device", "no", "device compute", "device", "3.00 ms", "3.00 ms", here],
        ["td2-fa18", "pytorch:cuda:fp32", "–", "host call", "host", "25.0 ms", "–", here],
        ["td2-fa18", "pytorch:cuda:fp32", "–", "device compute", "host", "3.00 ms", "3.00 ms", here],
        ["td4-psp18", "cuda:fp16", "yes", "host call", "host", "22.0 ms", "–", "[json](b.json)"],
    ]
    assert "G (driver 580.1, torch 2.12) on 2026-01-02" in text
    assert read_results(tmp_path).machines == ()  # the folder of GPUs is no machine of the CPU's tables


def test_networks_of_other_widths_have_rows_of_their_own(
    write_run: Callable[..., None], tmp_path: Path
) -> None:
    """Named as in the other tables, with the stem's width."""
    write_run("wide", day="01")
    write_run("narrow", day="02", widths="stem 32, planes 32-64-128-256")
    (rows,) = tables_of(gpu_table(read_results(tmp_path), link))
    found = {(row["network"], row["file"]) for row in rows}
    assert found == {("td2-fa18", "[json](wide.json)"), ("td2-fa18, stem 32", "[json](narrow.json)")}


def test_without_any(tmp_path: Path) -> None:
    assert gpu_table(read_results(tmp_path), link) is None


def test_a_document_of_another_version_is_named(write_check: Callable[..., None], tmp_path: Path) -> None:
    write_check("g", measurement(1), day="01", version=3)
    with pytest.raises(
        OptionError, match=r"no document of gpu_check \(schema version 3, expected 1\).*g\.json"
    ):
        gpu_table(read_results(tmp_path), link)
