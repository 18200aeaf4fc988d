"""The GPU tests and the benchmark as commands."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.benchmarks.gpu_check.doubles import Steps, finished, job_for

from tdnet_bench.gpu_check.command_parts import (
    BENCHMARK_FILE,
    benchmark_command,
    counts_from_junit,
    run_benchmark,
    run_tests,
)
from tdnet_bench.gpu_check.job import Job

JUNIT = """<testsuites><testsuite tests="3">
<testcase classname="a" name="good"/>
<testcase classname="a" name="bad"><failure message="assert 1 == 2">long</failure></testcase>
<testcase classname="a" name="left"><skipped message="no CuPy"/></testcase>
</testsuite></testsuites>"""


@pytest.fixture
def job(engine: Path, tmp_path: Path) -> Job:
    return job_for(engine, tmp_path, "benchmark", backends=("cuda", "tensorrt-rtx"))


def writes(name: str, text: str, code: int = 0) -> Callable[[list[str]], subprocess.CompletedProcess[str]]:
    """A command that leaves a file where it is told to by one of its words."""

    def run(command: list[str]) -> subprocess.CompletedProcess[str]:
        (path,) = (word.rpartition("=")[2] for word in command if word.endswith(name))
        Path(path).write_text(text)
        return finished(code, stderr="said this\n")

    return run


def test_counts() -> None:
    assert counts_from_junit(JUNIT) == {
        "tests": 3,
        "failed": {"a::bad": "assert 1 == 2"},
        "skipped": {"a::left": "no CuPy"},
    }


def test_gpu_tests(job: Job) -> None:
    steps = Steps()
    good = JUNIT.replace('<failure message="assert 1 == 2">long</failure>', "")
    run_tests(job, steps.log, command=writes("gpu-tests.xml", good))
    assert steps["pytest -m gpu"].value["tests"] == 3


@pytest.mark.parametrize(
    ("report", "message"),
    [
        (JUNIT, "assert 1 == 2"),
        ("<testsuites/>", "'tests': 0"),
        ('<t><testcase name="a"><skipped message="no GPU"/></testcase></t>', "no GPU"),
    ],
)
def test_gpu_tests_that_fail_or_prove_nothing(job: Job, report: str, message: str) -> None:
    steps = Steps()
    run_tests(job, steps.log, command=writes("gpu-tests.xml", report, 1))
    assert message in (steps["pytest -m gpu"].error or "")


def test_pytest_that_does_not_start(job: Job) -> None:
    steps = Steps()
    run_tests(job, steps.log, command=lambda command: finished(4, stderr="no module\nnamed pytest\n"))
    assert steps["pytest -m gpu"].error == "BackendError: pytest ended with 4: no module named pytest"


def test_the_benchmarks_command(job: Job) -> None:
    command = benchmark_command(job)
    assert command[0] == sys.executable
    assert " ".join(command[3:]) == (
        f"--engine {job.plan} --backend cuda --backend tensorrt-rtx --peer none "
        f"--json {job.folder / 'bench-tiny.json'}"
    )
    job.images_path.mkdir()
    assert benchmark_command(job)[-2:] == ["--input", str(job.images_path)]


def test_benchmark(job: Job) -> None:
    steps = Steps()
    run_benchmark(job, steps.log, command=writes(BENCHMARK_FILE.format(name="tiny"), "{}", 3))
    assert steps["tdnet-bench"].value == {"exit_code": 3, "said": "said this"}


def test_a_benchmark_without_a_document(job: Job) -> None:
    steps = Steps()
    run_benchmark(job, steps.log, command=lambda command: finished(1, stderr="error: no\n"))
    assert steps["tdnet-bench"].error == "BackendError: tdnet-bench ended with 1: error: no"


def test_nothing_to_measure(engine: Path, tmp_path: Path) -> None:
    steps = Steps()
    run_benchmark(
        job_for(engine, tmp_path, "benchmark"), steps.log, command=lambda command: pytest.fail("ran")
    )
    assert "no GPU backend worked" in (steps["tdnet-bench"].error or "")
