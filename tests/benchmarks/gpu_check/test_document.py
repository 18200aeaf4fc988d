"""The document's name and text; no folder of this machine is in it."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from tdnet_bench.gpu_check.document import document_path, encode, file_stem, without_paths, write
from tdnet_bench.gpu_check.records import GpuCheck, PartRun, Step
from tdnet_bench.machine.environment import Environment
from tdnet_runtime.errors import OptionError


@pytest.fixture
def checked(environment: Environment) -> GpuCheck:
    steps = (
        Step(name="a", ok=True, seconds=1, value={"x": [1]}),
        Step(name="b", ok=False, seconds=2, error="e"),
    )
    run = PartRun(part="cuda", bundle="x", ended="done", seconds=1, limit_s=2, steps=steps)
    return GpuCheck(
        complete=True,
        gpu={"name": "G"},
        gpus=(),
        environment=environment,
        packages={},
        commit=None,
        options={},
        bundles={},
        targets=(),
        agreements=(),
        shares=(),
        parts=(run, msgspec.structs.replace(run, steps=())),
    )


def test_it_reads_back(checked: GpuCheck, tmp_path: Path) -> None:
    write(checked, tmp_path / "d.json")
    data = (tmp_path / "d.json").read_bytes()
    assert msgspec.json.decode(data, type=GpuCheck) == checked
    assert json.loads(data)["kind"] == "gpu-check"
    assert data == encode(checked)
    assert (
        sum('"seconds"' in line for line in data.decode().splitlines()) == 4
    )  # a line for each step and part


def test_a_folder_that_cannot_be_written(checked: GpuCheck, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="choose another --out"):
        write(checked, tmp_path / "absent" / "d.json")


def test_names(tmp_path: Path) -> None:
    assert file_stem("NVIDIA L40S", "2026-01-31") == "nvidia-l40s-2026-01-31"
    assert file_stem("NVIDIA GeForce RTX™ 5090 ", "d") == "nvidia-geforce-rtx-5090-d"
    assert file_stem("??", "d") == "gpu-d"
    for name in ("g.json", "g-2.json", "g-3.json"):
        assert document_path(tmp_path, "g") == tmp_path / name
        (tmp_path / name).touch()


def test_paths_are_taken_out() -> None:
    step = Step(
        name="s",
        ok=False,
        seconds=1,
        error="'/home/me/x.plan' in /home/me",
        log=("see /home/me/a",),
        value={"at": ["/home/me/x.plan"]},
    )
    run = PartRun(part="p", bundle=None, ended="done", seconds=1, limit_s=1, steps=(step,), said="/home/me!")
    clean = without_paths(run, {"/home/me": "HOME", "/home/me/x.plan": "x.plan"})
    (found,) = clean.steps
    assert found.error == "'x.plan' in HOME"
    assert found.log == ("see HOME/a",)
    assert found.value == {"at": ["x.plan"]}
    assert clean.said == "HOME!"
