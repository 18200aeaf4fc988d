"""The whole check on a host whose commands are doubles: which are run, what is kept of them, what ends a step."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rich.console import Console

from tdnet_bench.documents.document import Document, read_document
from tdnet_bench.documents.journal import Journal, JournalHeader, journal_path
from tdnet_bench.gpu_check.check import Checked, check
from tdnet_bench.gpu_check.cli import view_of
from tdnet_bench.gpu_check.process import DONE, Ended, run_limited
from tdnet_bench.gpu_check.records import LIMITS_S, CheckOptions, GpuCheck
from tdnet_bench.machine.gpus import Gpu
from tdnet_bench.published.gpu_table import gpu_table
from tdnet_bench.published.results import read_results
from tdnet_bench.records.frames import AnyRecord
from tdnet_bench.sides.side import clocks_of_bundle
from tdnet_eval.result_file import write_document
from tdnet_runtime.errors import BackendError, OptionError

Command = list[str]
Tiny = Callable[[str], Path]
GPU = Gpu(
    name="NVIDIA Fake 100", driver="1", memory_mib=None, sm_clock_mhz=None, sm_clock_max_mhz=None, memory_clock_mhz=None,
    power_limit_w=None, throttle_reasons=None,
)  # fmt: skip


def value_of(command: Command, flag: str) -> str:
    return command[command.index(flag) + 1]


def values_of(command: Command, flag: str) -> list[str]:
    return [word for before, word in pairwise(command) if before == flag]


class Host:
    """Answers commands by their kind; `broken` says how some of them end instead, `verifies` what tdnet-export can."""

    def __init__(self, document: Document, header: JournalHeader, records: Sequence[AnyRecord]) -> None:
        self.document, self.header, self.records = document, header, records
        self.commands: dict[str, list[Command]] = {}
        self.limits: list[float] = []
        self.broken: dict[str, str] = {}
        self.verifies = False
        self.said = "23 passed, 3 skipped in 11 s"

    def __call__(self, command: Sequence[str], limit_s: float) -> Ended:
        words = list(command)
        kind = self.kind(words)
        self.commands.setdefault(kind, []).append(words)
        self.limits.append(limit_s)
        how = self.broken.get(kind, DONE)
        if how == "interrupt":
            raise KeyboardInterrupt
        if kind.startswith("bench"):
            self.bench(Path(value_of(words, "--json")), how)
        if kind == "can it verify":
            how = DONE if self.verifies else "exit code 1"
        said = {"gpu": "a warning\nNVIDIA Fake 100", "tests": self.said}.get(kind, f"it was {words[-1]}")
        return Ended(how, 1.5, said)

    def bench(self, path: Path, how: str) -> None:
        if how == DONE or how == "exit code 3":
            write_document(self.document, path)
        elif how.startswith(("killed", "ended")):
            with Journal(journal_path(path), self.header) as journal:
                for record in self.records[:4]:
                    journal.write(record)

    @staticmethod
    def kind(words: Command) -> str:
        text = " ".join(words)
        if "gpu_name" in text:
            return "gpu"
        if "inspect" in text:
            return "can it verify"
        if "tdnet_bench import main" in text:
            return (
                f"bench {values_of(words, '--backend')[0]}{'*' if 'torch-compile:cuda:fp16' in text else ''}"
            )
        for mark in ("--rebuild", "--verify"):
            if mark in words:
                return (
                    f"{mark[2:]} {Path(value_of(words, mark)).stem.partition('-')[2].rpartition('fa18-')[2]}"
                )
        return "frames" if "tdnet_bench.gpu_check.frames" in words else "tests"


@pytest.fixture
def host(document: Document, header: JournalHeader, all_records: Sequence[AnyRecord]) -> Host:
    environment = msgspec.structs.replace(document.environment, gpus=(GPU,), packages={"torch": "9"})
    return Host(
        msgspec.structs.replace(document, environment=environment),
        msgspec.structs.replace(header, environment=environment),
        all_records,
    )


@pytest.fixture
def options(engine: Path, tmp_path: Path) -> CheckOptions:
    plan = shutil.copyfile(engine, tmp_path / "td2-fa18.plan")
    (tmp_path / "results").mkdir()
    return CheckOptions(plans=(plan,), out=tmp_path / "results", frames=50, commit="abc")


def ended(done: Checked | GpuCheck) -> dict[str, str]:
    document = done if isinstance(done, GpuCheck) else done.document
    return {run.step: run.ended for run in document.steps}


def test_everything(options: CheckOptions, host: Host) -> None:
    host.verifies = True
    told: list[str] = []
    done = check(options, launch=host, tell=told.append)
    assert list(ended(done)) == [
        "frames", "cuda", "tensorrt-rtx", "verify tensorrt-rtx", "tensorrt", "verify tensorrt", "compile", "labels",
        "tests",
    ]  # fmt: skip
    assert set(ended(done).values()) == {DONE}
    document = done.document
    assert (document.complete, document.gpu, document.environment.commit, document.exit_code) == (
        True, "NVIDIA Fake 100", "abc", 0,
    )  # fmt: skip
    assert done.folder.parent == options.out / "gpu"
    assert done.folder.name.startswith("nvidia-fake-100-20")
    written = msgspec.json.decode((done.folder / "check.json").read_bytes(), type=GpuCheck)
    assert written == document
    files = [run.file for run in document.steps if run.file]
    assert files == [
        f"td2-fa18-{name}.json" for name in ("cuda", "tensorrt-rtx", "tensorrt", "compile", "labels")
    ]
    assert all(read_document(done.folder / name) == host.document for name in files)
    assert len(told) == len(document.steps)
    assert told[1] == "cuda td2-fa18 done after 2 s"
    assert str(options.out.parent) not in (done.folder / "check.json").read_text()
    second = check(options, launch=host)
    assert second.folder.name == f"{done.folder.name}-2"


def test_what_the_benchmark_is_asked(options: CheckOptions, host: Host) -> None:
    check(options, launch=host)
    (trt,) = host.commands["bench tensorrt"]
    assert values_of(trt, "--peer") == [
        "tensorrt@no-graphs",
        "tensorrt@device",
        "pytorch:cuda",
        "pytorch:cuda:fp16",
    ]
    assert (value_of(trt, "--frames"), value_of(trt, "--streams")) == ("50", "3")
    assert "--roofline" in trt
    assert "--ckpt" not in trt
    assert "--input" not in trt  # nothing was rendered here
    cuda, labels = host.commands["bench cuda"]
    assert values_of(cuda, "--peer") == ["cuda@no-graphs", "pytorch:cuda", "pytorch:cuda:fp16"]
    assert values_of(labels, "--backend") == ["cuda", "tensorrt-rtx", "tensorrt"]
    assert values_of(labels, "--peer") == ["onnxruntime:fp32"]
    assert value_of(labels, "--frames") == "8"
    (compiled,) = host.commands["bench cuda*"]
    assert values_of(compiled, "--peer") == ["pytorch:cuda:fp16", "torch-compile:cuda:fp16"]


def test_pictures_are_given_where_they_were_made(
    options: CheckOptions, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    def launch(command: Sequence[str], limit_s: float) -> Ended:
        if Host.kind(list(command)) == "frames":
            Path(command[3]).mkdir()
            assert command[4:] == ["48", "48", "12", "82"]
        return host(command, limit_s)

    check(options, launch=launch)
    assert value_of(host.commands["bench cuda"][0], "--input").endswith("frames-48x48")


def test_engines_that_do_not_run_are_built_here(options: CheckOptions, host: Host) -> None:
    host.broken = {"bench tensorrt": "exit code 1"}
    host.verifies = True
    done = check(options, launch=host)
    found = ended(done)
    assert (found["tensorrt"], found["rebuild tensorrt"]) == ("exit code 1", DONE)
    assert found["tensorrt rebuilt"] == "exit code 1"
    assert "verify tensorrt" not in found  # of engines that do not run
    first, again = host.commands["bench tensorrt"]
    (rebuild,) = host.commands["rebuild tensorrt"]
    copy = value_of(rebuild, "--rebuild")
    assert value_of(first, "--engine") == str(options.plans[0])
    assert value_of(again, "--engine") == copy != str(options.plans[0])  # the bundle itself stays as it is
    assert done.document.exit_code == 3
    assert [run.said for run in done.document.steps if run.step == "tensorrt"] == ["it was --roofline"]


def test_what_was_built_here_is_what_is_asked_further(options: CheckOptions, host: Host) -> None:
    """The bundle's own engines run on one backend alone; on the other one those of the copy do."""

    def launch(command: Sequence[str], limit_s: float) -> Ended:
        own = str(options.plans[0].resolve()) in command
        backends = values_of(list(command), "--backend")
        host.broken = {"bench cuda": "exit code 1"} if "cuda" in backends else {}
        if own and backends in (["tensorrt"], ["tensorrt-rtx"]):
            host.broken = {f"bench {backends[0]}": "exit code 1"}
        return host(command, limit_s)

    done = check(options, launch=launch)
    found = ended(done)
    assert (found["tensorrt rebuilt"], found["compile"]) == (DONE, DONE)
    assert [step for step in found if step.startswith("labels")] == ["labels tensorrt-rtx", "labels tensorrt"]
    (compiled,) = host.commands["bench tensorrt-rtx*"]
    copy = value_of(host.commands["rebuild tensorrt-rtx"][0], "--rebuild")
    assert (
        value_of(compiled, "--engine")
        == value_of(host.commands["bench tensorrt-rtx"][-1], "--engine")
        == copy
    )


def test_a_crash_and_a_hang_cost_their_own_steps_and_leave_what_they_had(
    options: CheckOptions, host: Host
) -> None:
    host.broken = {
        "bench cuda": "killed by SIGSEGV",
        "bench tensorrt-rtx": "ended after its limit of 110 s",
        "bench cuda*": "exit code 1",
    }
    done = check(options, launch=host)
    found = ended(done)
    assert found["cuda"] == "killed by SIGSEGV"
    assert found["tensorrt-rtx"] == "ended after its limit of 110 s"
    assert (found["tensorrt"], found["tests"]) == (DONE, DONE)
    cut = read_document(done.folder / "td2-fa18-cuda.json")
    assert len(cut.records) == 4
    assert any(note.startswith("CUT SHORT") for note in cut.notes)
    assert list(done.folder.glob("*.jsonl")) == []
    assert "rebuild tensorrt-rtx" not in found  # it ran
    assert done.document.exit_code == 3


def test_without_any_engine_pytorch_is_measured(options: CheckOptions, host: Host) -> None:
    host.broken = {f"bench {backend}": "exit code 1" for backend in ("cuda", "tensorrt-rtx", "tensorrt")}
    found = ended(check(options, launch=host))
    assert (found["pytorch"], found["compile"]) == (DONE, DONE)
    assert "labels" not in found
    (eager,) = host.commands["bench onnxruntime:fp32"]
    assert values_of(eager, "--peer") == ["pytorch:cuda", "pytorch:cuda:fp16"]
    assert value_of(eager, "--frames") == "8"


def test_no_gpu(options: CheckOptions, host: Host) -> None:
    host.broken = {"gpu": "exit code 1"}
    with pytest.raises(BackendError, match="no GPU can be used here, and nothing was measured: a warning"):
        check(options, launch=host)
    assert list(host.commands) == ["gpu"]
    assert list(options.out.iterdir()) == []


def test_time_that_runs_out(options: CheckOptions, host: Host) -> None:
    """Each command takes two minutes here."""
    now = [0.0]

    def launch(command: Sequence[str], limit_s: float) -> Ended:
        now[0] += 120
        return host(command, limit_s)

    done = check(options, launch=launch, clock=lambda: now[0])
    found = ended(done)
    assert [step for step, how in found.items() if how == DONE] == ["frames", "cuda"]
    assert found["tensorrt"] == "left out: no time"
    assert done.document.exit_code == 3


def test_limits(options: CheckOptions, host: Host) -> None:
    given = dataclasses.replace(options, limits_s={"cuda": 2.0}, skip=("tensorrt", "tests", "compile"))
    done = check(given, launch=host)
    assert list(ended(done)) == ["frames", "cuda", "tensorrt-rtx", "labels"]
    assert [run.limit_s for run in done.document.steps] == [
        LIMITS_S["frames"],
        2,
        LIMITS_S["tensorrt-rtx"],
        LIMITS_S["labels"],
    ]


def test_the_document_is_there_after_each_step(options: CheckOptions, host: Host) -> None:
    host.broken = {"bench tensorrt": "interrupt"}
    with pytest.raises(KeyboardInterrupt):
        check(options, launch=host)
    (path,) = options.out.glob("gpu/*/check.json")
    document = json.loads(path.read_text())
    assert [step["step"] for step in document["steps"]] == ["frames", "cuda", "tensorrt-rtx"]
    assert document["complete"] is False


@pytest.mark.parametrize(
    ("said", "how"),
    [("3 skipped in 1 s", "no test passed"), ("1 passed, 2 skipped", DONE), ("", "no test passed")],
)
def test_tests_that_prove_nothing(options: CheckOptions, host: Host, said: str, how: str) -> None:
    host.said = said
    (run,) = (run for run in check(options, launch=host).document.steps if run.step == "tests")
    assert (run.ended, run.said) == (how, said or None)


def test_bundles_and_checkpoints_that_do_not_go_together(
    options: CheckOptions, host: Host, tiny_bundle: Tiny, tiny_checkpoint: Tiny
) -> None:
    ckpt = tiny_checkpoint("td2-fa18")
    with pytest.raises(OptionError, match="--ckpt belongs to none of the bundles"):
        check(dataclasses.replace(options, ckpts=(ckpt,)), launch=host)
    with pytest.raises(OptionError, match="two bundles are called 'td2-fa18'"):
        check(dataclasses.replace(options, plans=(*options.plans, tiny_bundle("td2-fa18"))), launch=host)
    assert host.commands == {}
    check(dataclasses.replace(options, plans=(tiny_bundle("td2-fa18"),), ckpts=(ckpt,)), launch=host)
    first, labels = host.commands["bench cuda"]
    assert value_of(first, "--ckpt") == str(ckpt.resolve())
    assert {"--ckpt", "--roofline", "--streams"}.isdisjoint(labels)  # held against the CPU's, and quick


@pytest.mark.parametrize(
    ("home", "said"),
    [("/home/someone", "td2-fa18.plan in HOME/x"), ("/", "td2-fa18.plan in /home/someone/x")],
)
def test_folders_are_taken_out_of_what_was_said(
    options: CheckOptions, host: Host, monkeypatch: pytest.MonkeyPatch, home: str, said: str
) -> None:
    plan = str(options.plans[0].resolve())
    monkeypatch.setattr(Path, "home", lambda: Path(home))

    def launch(command: Sequence[str], limit_s: float) -> Ended:
        done = host(command, limit_s)
        return (
            done._replace(said=f"{plan} in /home/someone/x", how="exit code 1")
            if "--backend" in command
            else done
        )

    steps = check(options, launch=launch).document.steps
    assert {run.said for run in steps if run.step == "cuda"} == {said}


def on_device(document: Document, **changes: Any) -> Document:
    """As if the subject had a device, and p99s."""
    subject = document.config.subject
    figures = document.summary.sides[subject]
    stats = msgspec.structs.replace(figures.overall, p50_ms=2.0, p99_ms=2.1)  # type: ignore[type-var]
    sides = document.summary.sides | {subject: msgspec.structs.replace(figures, device=stats)}
    slow = msgspec.structs.replace(stats, p50_ms=7.0)
    if "pytorch" in sides:
        sides["pytorch"] = msgspec.structs.replace(sides["pytorch"], device=slow)
    config = msgspec.structs.replace(
        document.config, **({"network": "td4-psp18", "height": 769, "width": 1537} | changes)
    )
    return msgspec.structs.replace(
        document, config=config, summary=msgspec.structs.replace(document.summary, sides=sides)
    )


def test_what_is_shown_and_published(options: CheckOptions, host: Host) -> None:
    host.document = on_device(host.document)
    spec = host.document.sides["fake:fp32"]
    spec = msgspec.structs.replace(
        spec, clocks=clocks_of_bundle(on_device=True, cuda_graph=True, camera=False)
    )
    host.document = msgspec.structs.replace(host.document, sides=host.document.sides | {"fake:fp32": spec})
    host.broken = {"bench tensorrt": "exit code 1"}
    done = check(options, launch=host)
    console = Console(width=200, record=True)
    console.print(view_of(done))
    text = console.export_text()
    assert "device compute" in text
    assert "tensorrt td2-fa18: exit code 1: it was --roofline" in text
    table = gpu_table(read_results(options.out), lambda path: path.name)
    assert table is not None
    begins = "| NVIDIA Fake 100 | td4-psp18, stem 4 | 769×1537 |"
    rows = [line for line in table.splitlines() if line.startswith(begins)]
    assert [row.split(" | ")[3:9] for row in rows] == [
        ["fake:fp32", "yes", "host call", "host", "25.0 ms", "–"],
        ["fake:fp32", "yes", "device compute", "host", "2.00 ms", "2.10 ms"],
    ]
    assert table.endswith(
        "Measured on NVIDIA Fake 100 (driver 1, torch 9) on 2026-01-01. Rows of one file are of one run."
    )


@pytest.mark.slow
def test_real_commands_on_a_host_whose_gpu_is_only_a_name(tiny_bundle: Tiny, tmp_path: Path) -> None:
    """Every step's command line is one that its program takes: nothing ends in wrong usage or a traceback."""
    pytest.importorskip("torch")

    def launch(command: Sequence[str], limit_s: float) -> Ended:
        if Host.kind(list(command)) == "gpu":
            return Ended(DONE, 0.1, "No GPU 0")
        return run_limited(command, limit_s, cwd=Path(__file__).parents[3])

    options = CheckOptions(
        plans=(tiny_bundle("td2-fa18"),), out=tmp_path, frames=4, pictures=4, skip=("rebuild",)
    )
    done = check(options, launch=launch)
    found = ended(done)
    assert found["frames"] == DONE
    assert {found[name] for name in ("cuda", "tensorrt", "tensorrt-rtx")} == {"exit code 1"}
    assert (found["pytorch"], found["compile"]) == ("exit code 3", "exit code 3")  # its peers are left out
    assert found["tests"] == "no test passed"
    assert not any("Traceback" in (run.said or "") for run in done.document.steps)
    assert not any(str(tmp_path) in (run.said or "") for run in done.document.steps)
    document = read_document(done.folder / "td2-fa18-pytorch.json")
    assert [left.what for left in document.left_out] == ["pytorch:cuda", "pytorch:cuda:fp16"]
    assert document.streams["onnxruntime:fp32"].on == "host"
    assert document.config.footage == "frames-64x96, 64x96"
