"""The whole check on doubles: real parts in this process, a fake device, ONNX Runtime and PyTorch on the CPU."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rich.console import Console
from tests.benchmarks.gpu_check.doubles import CPU, FakeGpu, FakeShop, Steps, finished
from tests.runtime.gpu.fake_device import FakeDevice

from tdnet_bench.gpu_check.check import Checked, check, exit_code
from tdnet_bench.gpu_check.job import Job
from tdnet_bench.gpu_check.options import CheckOptions
from tdnet_bench.gpu_check.pytorch_part import COMPILED, EAGER_FP16
from tdnet_bench.gpu_check.records import EAGER_FP32, GpuCheck, PartRun
from tdnet_bench.gpu_check.view import view_of
from tdnet_bench.gpu_check.world import World, run_part
from tdnet_runtime.errors import BackendError, OptionError

torch = pytest.importorskip("torch")
Tiny = Callable[[str], Path]
PARTS = [
    "roofline",
    "frames",
    "cuda",
    "tensorrt-rtx",
    "tensorrt",
    "pytorch",
    "reference",
    "tests",
    "benchmark",
]


class Host:
    """A GPU host; `launch` runs parts in this process."""

    def __init__(self, **changes: Any) -> None:
        self.device = FakeDevice()
        self.jobs: list[Job] = []
        self.crashes: set[str] = set()
        given: dict[str, Any] = {
            "gpu": FakeGpu,
            "torch": lambda: torch,
            "device": "cpu",
            "cuda_obstacle": lambda: None,
            "provider": CPU,
            "shop": self.shop,
            "open_bundle": lambda plan, backend: self.shop(backend).open(plan, backend),
            "rebuild": lambda plan, backend: "built",
            "command": self.command,
            "roofline": {"shapes": [(8, 8, 8)], "copy_bytes": 1024},
        }
        self.world = World(**(given | changes))

    def shop(self, name: str) -> FakeShop:
        if name == "tensorrt":
            raise ModuleNotFoundError("No module named 'tensorrt'")
        return FakeShop(name, self.device, good=("bundle",))

    def command(self, command: list[str]) -> Any:
        path = next(word.rpartition("=")[2] for word in command if word.endswith((".xml", ".json")))
        Path(path).write_text('<t><testcase name="a"/></t>' if path.endswith(".xml") else "{}")
        return finished()

    def launch(self, job: Job) -> PartRun:
        self.jobs.append(job)
        steps = Steps()
        world = self.world
        if world.gpu is FakeGpu:
            gpu = FakeGpu(self.device if job.part.startswith("tensorrt") else None)
            world = dataclasses.replace(world, gpu=lambda: gpu)
        if job.part not in self.crashes:
            run_part(job, steps.log, world)
        return PartRun(
            part=job.part,
            bundle=job.name,
            ended="killed by SIGSEGV" if job.part in self.crashes else "done",
            seconds=1,
            limit_s=job.limit_s,
            steps=tuple(steps.all),
        )


@pytest.fixture
def options(tiny_bundle: Tiny, tmp_path: Path) -> CheckOptions:
    """Without PyTorch, whose part takes seconds."""
    return CheckOptions(
        plans=(tiny_bundle("td2-fa18"),), out=tmp_path, rounds=2, pictures=5, skip=("pytorch",), commit="abc"
    )


def steps_of(document: GpuCheck, part: str) -> dict[str, Any]:
    (run,) = (run for run in document.parts if run.part == part)
    return {step.name: step for step in run.steps}


@pytest.mark.usefixtures("nothing_is_compiled")
def test_everything(options: CheckOptions, tiny_checkpoint: Tiny, tmp_path: Path) -> None:
    options = dataclasses.replace(options, ckpts=(tiny_checkpoint("td2-fa18"),), skip=())
    host = Host()
    told: list[str] = []
    done: Checked = check(options, launch=host.launch, tell=told.append)
    document = done.document
    assert [run.part for run in document.parts] == PARTS
    failed = {
        (run.part, step.name): step.error for run in document.parts for step in run.steps if not step.ok
    }
    assert failed == {("tensorrt", "product"): "ModuleNotFoundError: No module named 'tensorrt'"}
    assert done.path.name.startswith("nvidia-fake-100-")
    assert msgspec.json.decode(done.path.read_bytes(), type=GpuCheck) == document
    assert (document.complete, document.commit, document.gpu["name"]) == (True, "abc", "NVIDIA Fake 100")
    facts = document.bundles["td2-fa18"]
    assert (facts.network, facts.paths, facts.weights) == ("td2-fa18", 2, "checkpoint")
    assert len(facts.digest) == 64
    right = {found.side: found.correct for found in document.agreements}
    assert right.pop(EAGER_FP16) in (True, False)  # half precision, tiny network
    assert right == {"cuda": True, "tensorrt-rtx": False, EAGER_FP32: True}  # fake engines mean nothing
    assert {share.side for share in document.shares} == {EAGER_FP16, COMPILED}
    assert document.targets == ()  # none for this network
    assert exit_code(document) == 3
    assert len(told) == len(PARTS)
    assert [job.backends for job in host.jobs if job.part == "benchmark"] == [("tensorrt-rtx", "cuda")]
    assert (tmp_path / f"{done.path.stem}-td2-fa18.json").read_text() == "{}"
    assert str(tmp_path.parent) not in done.path.read_text()
    console = Console(width=200, record=True)
    console.print(view_of(document))
    text = console.export_text()
    assert EAGER_FP32 in text
    assert "tensorrt td2-fa18, product: ModuleNotFoundError" in text
    assert "NO" in text


def test_no_gpu(options: CheckOptions, tmp_path: Path) -> None:
    def none() -> FakeGpu:
        raise BackendError("PyTorch finds no GPU")

    host = Host(gpu=none)
    with pytest.raises(
        BackendError, match=r"no GPU can be used here, and nothing was measured: .*finds no GPU"
    ):
        check(options, launch=host.launch)
    assert [job.part for job in host.jobs] == ["device"]
    assert list(tmp_path.glob("*.json")) == []


def test_without_any_engine(options: CheckOptions) -> None:
    """Neither onnxruntime-gpu nor TensorRT of any kind: PyTorch and the rest are still measured."""

    def absent(name: str) -> FakeShop:
        raise ModuleNotFoundError(f"No module named '{name}'")

    host = Host(shop=absent, cuda_obstacle=lambda: "no CUDA; pip install onnxruntime-gpu")
    document = check(options, launch=host.launch).document
    assert (
        steps_of(document, "cuda")["the provider"].error
        == "BackendError: no CUDA; pip install onnxruntime-gpu"
    )
    assert "no GPU backend worked" in steps_of(document, "benchmark")["tdnet-bench"].error
    assert all(step.ok for part in ("roofline", "reference") for step in steps_of(document, part).values())
    assert document.agreements == ()
    assert exit_code(document) == 3


def test_a_crash_costs_its_own_part(options: CheckOptions) -> None:
    host = Host()
    host.crashes = {"cuda"}
    document = check(options, launch=host.launch).document
    ended = {run.part: run.ended for run in document.parts}
    assert ended.pop("cuda") == "killed by SIGSEGV"
    assert set(ended.values()) == {"done"}
    assert exit_code(document) == 3


def test_time_that_runs_out(options: CheckOptions, tmp_path: Path) -> None:
    """Each part takes two minutes here: the document says what there was no time for."""
    host, now = Host(), [0.0]

    def launch(job: Job) -> PartRun:
        now[0] += 120
        return host.launch(job)

    document = check(options, launch=launch, clock=lambda: now[0]).document
    assert [run.ended for run in document.parts] == ["done"] * 3 + ["left out: no time"] * 5
    assert exit_code(document) == 3


def test_the_document_is_there_after_each_part(options: CheckOptions, tmp_path: Path) -> None:
    host = Host()

    def launch(job: Job) -> PartRun:
        if job.part == "tensorrt-rtx":
            raise KeyboardInterrupt
        return host.launch(job)

    with pytest.raises(KeyboardInterrupt):
        check(options, launch=launch)
    (path,) = tmp_path.glob("*.json")
    document = json.loads(path.read_text())
    assert [part["part"] for part in document["parts"]] == ["roofline", "frames", "cuda"]
    assert document["complete"] is False


def test_a_checkpoint_of_no_bundle(options: CheckOptions, tiny_checkpoint: Tiny) -> None:
    other = dataclasses.replace(options, ckpts=(tiny_checkpoint("td4-psp18"),))
    with pytest.raises(OptionError, match="belongs to none of the bundles"):
        check(other, launch=Host().launch)


def test_a_host_without_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real world: it is named, with what installs it."""
    monkeypatch.setitem(sys.modules, "torch", None)
    steps = Steps()
    run_part(Job(part="device", work=".", rounds=1, pictures=4, limit_s=1), steps.log, World())
    assert "the package 'torch' is not installed" in (steps["the GPU"].error or "")
