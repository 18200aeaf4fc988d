"""A check from beginning to end: part after part, the document written anew after each."""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

from tdnet_bench.gpu_check.command_parts import BENCHMARK_FILE
from tdnet_bench.gpu_check.document import document_path, file_stem, without_paths, write
from tdnet_bench.gpu_check.facts import bundle_facts, checkpoint_of, digests_of, require_use_of, versions
from tdnet_bench.gpu_check.job import Job
from tdnet_bench.gpu_check.labels import agreement
from tdnet_bench.gpu_check.options import CheckOptions
from tdnet_bench.gpu_check.records import Agreement, GpuCheck, PartRun
from tdnet_bench.gpu_check.reference_part import REFERENCE, REFERENCE_STEP
from tdnet_bench.gpu_check.roofline import shares
from tdnet_bench.gpu_check.schedule import Slot, limit_of, slots
from tdnet_bench.gpu_check.targets import SIDES, targets
from tdnet_bench.machine.environment import Environment, capture_environment
from tdnet_bench.machine.gpus import Gpu, gpus_now
from tdnet_runtime.errors import BackendError

__all__ = ["Checked", "Launch", "check", "exit_code"]

Launch = Callable[[Job], PartRun]
"""Runs a part."""

LEFT_OUT = 3
_DEVICE_LIMIT_S = 60.0
_NO_TIME = "left out: no time"


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A check that came to its end.

    Attributes:
        document: what it found.
        path: where that is.
    """

    document: GpuCheck
    path: Path


class _Check:
    """The state of one check."""

    def __init__(self, options: CheckOptions, launch: Launch, work: Path, gpu: dict[str, Any]) -> None:
        self.options, self._launch, self._work, self._gpu = options, launch, work, gpu
        self._digests = digests_of(options.ckpts)
        self._plans = {plan.stem: plan for plan in options.plans}
        self.bundles = {name: bundle_facts(plan, digests=self._digests) for name, plan in self._plans.items()}
        require_use_of(self._digests, self.bundles)
        self._environment: Environment = capture_environment()
        self._runs: list[PartRun] = []

    def run(self, slot: Slot, limit_s: float | None) -> PartRun:
        """Run a part, or note that there is no time for it."""
        if limit_s is None:
            run = PartRun(part=slot.part, bundle=slot.bundle, ended=_NO_TIME, seconds=0, limit_s=0, steps=())
        else:
            run = without_paths(self._launch(self._job(slot, limit_s)), self._names())
        self._runs.append(run)
        return run

    def document(self, *, complete: bool, gpus: tuple[Gpu, ...] = ()) -> GpuCheck:
        """Everything so far."""
        options = self.options
        return GpuCheck(
            complete=complete,
            gpu=self._gpu,
            gpus=gpus,
            environment=self._environment,
            packages=versions(),
            commit=options.commit or self._environment.commit,
            options={
                "minutes": options.minutes,
                "limits_s": dict(options.limits_s),
                "skip": list(options.skip),
                "rounds": options.rounds,
                "pictures": options.pictures,
            },
            bundles=self.bundles,
            targets=targets(self._runs, self.bundles),
            agreements=self._agreements(),
            shares=shares(self._runs, self.bundles),
            parts=tuple(self._runs),
        )

    def keep_benchmarks(self, path: Path) -> None:
        """Put the benchmarks' documents beside the check's."""
        for name in self.bundles:
            made = self._work / BENCHMARK_FILE.format(name=name)
            if made.is_file():
                shutil.copyfile(made, document_path(path.parent, f"{path.stem}-{name}"))

    def _job(self, slot: Slot, limit_s: float) -> Job:
        common: dict[str, Any] = {
            "part": slot.part,
            "work": str(self._work),
            "rounds": self.options.rounds,
            "pictures": self.options.pictures,
            "limit_s": limit_s,
        }
        if slot.bundle is None:
            return Job(**common)
        facts, plan = self.bundles[slot.bundle], self._plans[slot.bundle]
        ckpt = checkpoint_of(facts, self._digests)
        return Job(
            name=slot.bundle,
            plan=str(plan.resolve()),
            ckpt=None if ckpt is None else str(ckpt.resolve()),
            size_hw=(facts.height, facts.width),
            backends=_worked(self._runs, slot.bundle),
            **common,
        )

    def _agreements(self) -> tuple[Agreement, ...]:
        found = []
        for run in self._runs:
            for step in run.steps if run.part == "reference" else ():
                if step.name == REFERENCE_STEP and step.ok and run.bundle is not None:
                    found += self._agreements_of(run.bundle, step.value["precision"])
        return tuple(found)

    def _agreements_of(self, name: str, precision: str) -> list[Agreement]:
        folder = self._job(Slot("reference", name), 0).labels_folder
        theirs = np.load(folder / f"{REFERENCE}.npy")
        verdicts = (
            agreement(
                np.load(path),
                theirs,
                bundle=name,
                side=path.stem,
                reference=precision,
                classes=self.bundles[name].classes,
            )
            for path in sorted(folder.glob("*.npy"))
            if path.stem != REFERENCE
        )
        return [verdict for verdict in verdicts if verdict is not None]

    def _names(self) -> Mapping[str, str]:
        """What stands for folders of this machine in the document."""
        root = Path(__file__).resolve().parents[3]
        names = {str(plan.resolve()): plan.name for plan in self._plans.values()}
        names |= {str(ckpt.resolve()): ckpt.name for ckpt in self.options.ckpts}
        return names | {
            str(self._work): "WORK",
            str(root): "SOURCE",
            sys.prefix: "PYTHON",
            str(Path.home()): "HOME",
        }


def check(
    options: CheckOptions,
    *,
    launch: Launch,
    tell: Callable[[str], None] = lambda line: None,
    clock: Callable[[], float] = time.monotonic,
) -> Checked:
    """Run all parts and write the document.

    Args:
        options: checked already.
        launch: runs a part.
        tell: shows a line of progress.
        clock: monotonic, in seconds.

    Raises:
        BackendError: there is no GPU, or nothing that reaches it. Nothing was written.
        BundleError: a bundle cannot be trusted.
        CheckpointError: a checkpoint cannot be read.
        OptionError: the document cannot be written.
    """
    started = clock()
    with tempfile.TemporaryDirectory(prefix="gpu-check-") as folder:
        work = Path(folder).resolve()
        gpu = _gpu_facts(launch, work, options)
        running = _Check(options, launch, work, gpu)
        date = datetime.now(timezone.utc).date().isoformat()
        path = document_path(options.out, file_stem(gpu["name"], date))
        sizes = {name: (facts.height, facts.width) for name, facts in running.bundles.items()}
        for slot in slots(sizes, skip=options.skip):
            left_s = options.minutes * 60 - (clock() - started)
            run = running.run(slot, limit_of(slot.part, limits_s=options.limits_s, left_s=left_s))
            tell(_progress(run))
            write(running.document(complete=False), path)
        document = running.document(complete=True, gpus=gpus_now())
        write(document, path)
        running.keep_benchmarks(path)
        return Checked(document=document, path=path)


def exit_code(document: GpuCheck) -> int:
    """0 where every question was answered and all labels are right, else 3."""
    answered = all(run.ended == "done" and all(step.ok for step in run.steps) for run in document.parts)
    return 0 if answered and all(found.correct for found in document.agreements) else LEFT_OUT


def _gpu_facts(launch: Launch, work: Path, options: CheckOptions) -> dict[str, Any]:
    job = Job(
        part="device",
        work=str(work),
        rounds=options.rounds,
        pictures=options.pictures,
        limit_s=_DEVICE_LIMIT_S,
    )
    run = launch(job)
    for step in run.steps:
        if step.ok:
            facts: dict[str, Any] = step.value
            return facts
    reason = run.steps[0].error if run.steps else f"{run.ended} {run.said or ''}"
    raise BackendError(f"no GPU can be used here, and nothing was measured: {reason}")


def _worked(runs: list[PartRun], bundle: str) -> tuple[str, ...]:
    """GPU backends that gave times for the bundle."""
    sides = {
        found.side
        for run in runs
        if run.bundle == bundle
        for step in run.steps
        for found in step.measurements
    }
    return tuple(side for side in SIDES if side in sides)


def _progress(run: PartRun) -> str:
    name = run.part if run.bundle is None else f"{run.part} {run.bundle}"
    answered = sum(step.ok for step in run.steps)
    text = f"{name}: {answered} of {len(run.steps)} steps in {run.seconds:.0f} s"
    return text if run.ended == "done" else f"{text} ({run.ended})"
