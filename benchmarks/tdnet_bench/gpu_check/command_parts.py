"""Parts that are commands of this project: the GPU tests, and `tdnet-bench`."""

from __future__ import annotations

import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tdnet_bench.gpu_check.job import Job
from tdnet_bench.gpu_check.steps import StepLog
from tdnet_runtime.errors import BackendError
from tdnet_runtime.extras import one_line

__all__ = ["Command", "benchmark_command", "counts_from_junit", "run_benchmark", "run_command", "run_tests"]

Command = Callable[[list[str]], "subprocess.CompletedProcess[str]"]
"""Runs a command in the source tree's root and waits."""

BENCHMARK_FILE = "bench-{name}.json"
_ROOT = Path(__file__).resolve().parents[3]
_TESTS = "tests/runtime/gpu"
_TAIL = 2000


def run_command(command: list[str]) -> subprocess.CompletedProcess[str]:
    """See `Command`."""
    return subprocess.run(command, capture_output=True, text=True, cwd=_ROOT)


def run_tests(job: Job, log: StepLog, *, command: Command = run_command) -> None:
    """`pytest -m gpu`: the runtime's tests on the device."""
    log.ask("pytest -m gpu", lambda: _tests(job, command))


def run_benchmark(job: Job, log: StepLog, *, command: Command = run_command) -> None:
    """`tdnet-bench` on the backends that worked; its document is left in the work folder."""
    log.ask("tdnet-bench", lambda: _benchmark(job, command))


def benchmark_command(job: Job) -> list[str]:
    """The command line of the benchmark; the first backend is its subject."""
    given = [
        ("--engine", str(job.bundle_path)),
        *(("--backend", backend) for backend in job.backends),
        ("--peer", "none"),
        ("--json", str(job.folder / BENCHMARK_FILE.format(name=job.name))),
    ]
    if job.images_path.is_dir():
        given.append(("--input", str(job.images_path)))
    code = "from tdnet_bench import main; main()"
    return [sys.executable, "-c", code, *(word for pair in given for word in pair)]


def counts_from_junit(xml: str) -> dict[str, Any]:
    """How many tests there were, failed and were skipped; names and messages of those that did not pass."""
    cases = list(ET.fromstring(xml).iter("testcase"))  # written by pytest itself a moment ago
    failed = {
        _name(case): _message(found) for case in cases for found in case if found.tag in ("failure", "error")
    }
    skipped = {_name(case): _message(found) for case in cases for found in case if found.tag == "skipped"}
    return {"tests": len(cases), "failed": failed, "skipped": skipped}


def _tests(job: Job, command: Command) -> dict[str, Any]:
    if not (_ROOT / _TESTS).is_dir():
        raise BackendError(f"{_TESTS} is not there: run this in a source tree")
    report = job.folder / "gpu-tests.xml"
    words = ["-m", "pytest", "-m", "gpu", _TESTS, "-q", "-p", "no:cacheprovider", f"--junitxml={report}"]
    done = command([sys.executable, *words])
    if not report.is_file():
        raise BackendError(f"pytest ended with {done.returncode}: {_tail(done)}")
    counts = counts_from_junit(report.read_text())
    if counts["failed"] or counts["tests"] == len(counts["skipped"]):  # nothing that ran proves nothing
        raise BackendError(f"pytest ended with {done.returncode}: {counts}")
    return counts


def _benchmark(job: Job, command: Command) -> dict[str, Any]:
    if not job.backends:
        raise BackendError("no GPU backend worked, so there is nothing to measure")
    done = command(benchmark_command(job))
    document = job.folder / BENCHMARK_FILE.format(name=job.name)
    if not document.is_file():
        raise BackendError(f"tdnet-bench ended with {done.returncode}: {_tail(done)}")
    return {"exit_code": done.returncode, "said": _tail(done)}


def _tail(done: subprocess.CompletedProcess[str]) -> str:
    return one_line((done.stderr.strip() or done.stdout.strip())[-_TAIL:])


def _name(case: ET.Element) -> str:
    return f"{case.get('classname', '')}::{case.get('name', '')}"


def _message(found: ET.Element) -> str:
    return one_line(found.get("message") or found.text or "")[:_TAIL]
