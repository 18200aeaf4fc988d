"""A part's own process: `python -m tdnet_bench.gpu_check.child JOB.json STEPS.jsonl`.

Each step is on the disk before the next one begins, so that a part that is ended leaves what it has.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import IO

import msgspec

from tdnet_bench.gpu_check.job import Job
from tdnet_bench.gpu_check.records import Step
from tdnet_bench.gpu_check.steps import StepLog

__all__ = ["main", "read_steps", "step_writer"]


def step_writer(file: IO[bytes]) -> StepLog:
    """A log that appends a line of JSON for each step, at once."""

    def write(step: Step) -> None:
        file.write(msgspec.json.encode(step) + b"\n")
        file.flush()

    return StepLog(write)


def read_steps(path: Path) -> tuple[Step, ...]:
    """The steps in a file of `step_writer`; a last line that was cut off is left out."""
    try:
        *lines, _ = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return ()
    return tuple(msgspec.json.decode(line, type=Step) for line in lines)


def main(arguments: list[str]) -> None:
    """Run the part that the job file names."""
    from tdnet_bench.gpu_check.world import (
        World,
        run_part,
    )  # imports much: an error in it is the part's alone

    job = msgspec.json.decode(Path(arguments[0]).read_bytes(), type=Job)
    with Path(arguments[1]).open("ab") as file:
        run_part(job, step_writer(file), World())


if __name__ == "__main__":
    main(sys.argv[1:])
