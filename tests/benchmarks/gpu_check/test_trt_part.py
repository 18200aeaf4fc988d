"""Questions about engines, on the fake device: which engines are tried in which order, and what is timed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tests.benchmarks.gpu_check.doubles import SPAN_MS, FakeGpu, FakeShop, Steps, job_for
from tests.runtime.gpu.fake_device import FakeDevice

from tdnet_bench.gpu_check.trt_part import run_engines
from tdnet_runtime.errors import BackendError

TinyBundle = Callable[[str], Path]
BUNDLE = "the runtime opens and runs the bundle's engines"
REBUILT = "the runtime opens and runs rebuilt engines"
MEASURED = [
    f"{what}, {mode}"
    for mode in ("CUDA graphs", "no CUDA graphs")
    for what in ("load", "host call", "labels on the GPU")
]


@pytest.fixture
def device() -> FakeDevice:
    return FakeDevice()


def asked(
    plan: Path, tmp_path: Path, device: FakeDevice, *good: str, rebuild_works: bool = True
) -> tuple[Steps, list[tuple[Path, str]]]:
    steps, rebuilt = Steps(), []
    shop = FakeShop("tensorrt-rtx", device, good=good)

    def rebuild(path: Path, backend: str) -> str:
        rebuilt.append((path, backend))
        assert path.read_bytes() == plan.read_bytes()
        if not rebuild_works:
            raise BackendError("tdnet-export --rebuild ended with 1: no")
        return "built"

    run_engines(
        job_for(plan, tmp_path, "tensorrt-rtx"),
        steps.log,
        gpu=FakeGpu(device),
        shop=lambda: shop,
        open_bundle=shop.open,
        rebuild=rebuild,
    )
    return steps, rebuilt


def test_engines_of_the_bundle(tiny_bundle: TinyBundle, tmp_path: Path, device: FakeDevice) -> None:
    steps, rebuilt = asked(tiny_bundle("td2-fa18"), tmp_path, device, "bundle")
    assert steps.failed == {}
    assert rebuilt == []
    assert steps["the product's own word on the bundle's engines"].value == {
        "a set": "EngineValidity.SUBOPTIMAL"
    }
    assert steps["engines"].value == "bundle, fp32, 4 bytes"
    names = [step.name for step in steps]
    assert set(MEASURED) | {"labels", "memory of further streams"} <= set(names)
    assert np.load(tmp_path / "labels" / "tiny" / "tensorrt-rtx.npy").shape[0] == 5


def test_the_two_modes_and_clocks(tiny_bundle: TinyBundle, tmp_path: Path, device: FakeDevice) -> None:
    steps, _ = asked(tiny_bundle("td2-fa18"), tmp_path, device, "bundle")
    for mode, captured in (("CUDA graphs", True), ("no CUDA graphs", False)):
        (host,) = steps[f"host call, {mode}"].measurements
        compute, call = steps[f"labels on the GPU, {mode}"].measurements
        assert [m.captured for m in (host, compute, call)] == [captured] * 3
        assert [m.labels for m in (host, compute, call)] == ["host", "device", "device"]
        assert [m.clock for m in (host, compute, call)] == ["host call", "gpu compute", "host call"]
        assert compute.timed.samples_us[1] == (1e3 * SPAN_MS,) * 4


def test_nothing_is_left_on_the_device(tiny_bundle: TinyBundle, tmp_path: Path, device: FakeDevice) -> None:
    asked(tiny_bundle("td2-fa18"), tmp_path, device, "bundle")
    assert device.alive == set()


def test_rebuilt_engines(tiny_bundle: TinyBundle, tmp_path: Path, device: FakeDevice) -> None:
    plan = tiny_bundle("td2-fa18")
    steps, rebuilt = asked(plan, tmp_path, device, "rebuilt")
    assert steps.failed == {
        BUNDLE: "BackendError: engines from bundle do not load: serialization assertion failed"
    }
    ((copy, backend),) = rebuilt
    assert backend == "tensorrt-rtx"
    assert copy != plan  # the bundle itself stays as it is
    assert steps["engines"].value == "rebuilt, fp32, 4 bytes"
    assert steps[MEASURED[0]].value == "rebuilt"


@pytest.mark.parametrize("rebuild_works", [True, False])
def test_engines_for_this_gpu_alone(
    tiny_bundle: TinyBundle, tmp_path: Path, device: FakeDevice, rebuild_works: bool
) -> None:
    steps, _ = asked(tiny_bundle("td2-fa18"), tmp_path, device, "built here", rebuild_works=rebuild_works)
    assert list(steps.failed) == [BUNDLE, REBUILT if rebuild_works else "rebuild"]
    assert steps[MEASURED[0]].value == "built here"


def test_no_engines_at_all(tiny_bundle: TinyBundle, tmp_path: Path, device: FakeDevice) -> None:
    steps, _ = asked(tiny_bundle("td2-fa18"), tmp_path, device)
    assert list(steps.failed) == [BUNDLE, REBUILT, "build for this GPU alone"]
    assert not any(step.measurements for step in steps)


def test_a_product_that_is_not_there(tiny_bundle: TinyBundle, tmp_path: Path) -> None:
    steps = Steps()

    def absent() -> FakeShop:
        raise ModuleNotFoundError("No module named 'tensorrt'")

    run_engines(
        job_for(tiny_bundle("td2-fa18"), tmp_path, "tensorrt"),
        steps.log,
        gpu=FakeGpu(),
        shop=absent,
        open_bundle=lambda plan, backend: pytest.fail("nothing to open"),
        rebuild=lambda plan, backend: pytest.fail("nothing to build"),
    )
    assert steps.failed == {"product": "ModuleNotFoundError: No module named 'tensorrt'"}
