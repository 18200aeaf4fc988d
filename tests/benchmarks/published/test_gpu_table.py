from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.benchmarks.published.tables import link, tables_of

from tdnet_bench.gpu_check.document import write
from tdnet_bench.gpu_check.records import OUR_STREAM, BundleFacts, GpuCheck, Measurement, PartRun, Step
from tdnet_bench.gpu_check.timing import timed
from tdnet_bench.machine.environment import Environment
from tdnet_bench.machine.gpus import Gpu
from tdnet_bench.published.gpu_table import gpu_table
from tdnet_bench.published.results import read_results
from tdnet_runtime.errors import OptionError

MS = 1_000_000
GPU = Gpu(
    name="G", driver="580.1", memory_mib=None, sm_clock_mhz=None, sm_clock_max_mhz=None, memory_clock_mhz=None,
    power_limit_w=None, throttle_reasons=None,
)  # fmt: skip
FACTS = BundleFacts(
    file="x.plan", digest="d", network="td4-psp18", height=769, width=1537, paths=2, classes=19, precisions=("fp16",),
    engines=(), checkpoint_sha256="c", weights="checkpoint",
)  # fmt: skip


def measurement(milliseconds: int, *, method: str = "m", **changes: Any) -> Measurement:
    given = {"side": "cuda", "precision": "fp16", "captured": True, "labels": "host", "clock": "host call"}
    return Measurement(timed=timed([(1, milliseconds * MS)], method=method), **(given | changes))  # type: ignore[arg-type]


@pytest.fixture
def write_check(environment: Environment, tmp_path: Path) -> Callable[..., None]:
    def make(name: str, *measurements: Measurement, day: str, complete: bool = True) -> None:
        step = Step(name="s", ok=True, seconds=1, measurements=measurements)
        run = PartRun(part="cuda", bundle="x", ended="done", seconds=1, limit_s=2, steps=(step,))
        started = msgspec.structs.replace(environment, started_at=f"2026-01-{day}T00:00:00+00:00")
        check = GpuCheck(
            complete=complete, gpu={"name": "G"}, gpus=(GPU,), environment=started, commit=None, options={},
            packages={"torch": "2.11", "other": "1"}, bundles={"x": FACTS}, targets=(), agreements=(), shares=(),
            parts=(run,),
        )  # fmt: skip
        write(check, tmp_path / f"{name}.json")

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


def test_without_any(tmp_path: Path) -> None:
    assert gpu_table(read_results(tmp_path), link) is None


def test_a_document_of_another_version_is_named(write_check: Callable[..., None], tmp_path: Path) -> None:
    write_check("g", measurement(1), day="01")
    path = tmp_path / "g.json"
    path.write_text(path.read_text().replace('"schema_version": 1', '"schema_version": 2'))
    with pytest.raises(OptionError, match=r"no document of gpu_check \(Invalid enum value 2.*g\.json"):
        read_results(tmp_path)
