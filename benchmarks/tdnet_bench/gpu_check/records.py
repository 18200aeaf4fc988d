"""What a check is asked for, and what it writes down."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tdnet_bench.gpu_check.process import DONE
from tdnet_bench.machine.environment import Environment
from tdnet_bench.records import Record

__all__ = ["BACKENDS", "LIMITS_S", "CheckOptions", "GpuCheck", "StepRun"]

BACKENDS = ("cuda", "tensorrt-rtx", "tensorrt")
LIMITS_S: dict[str, float] = {
    "frames": 60, "cuda": 110, "tensorrt-rtx": 110, "tensorrt": 110, "rebuild": 180, "verify": 120, "pytorch": 110,
    "compile": 150, "labels": 60, "tests": 90,
}  # fmt: skip
"""Seconds for a step of each part."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckOptions:
    """A check; the options are those of `cli.py`. Bundles are told apart by the names of their files."""

    plans: tuple[Path, ...]
    ckpts: tuple[Path, ...] = ()
    out: Path
    minutes: float = 8.0
    limits_s: Mapping[str, float] = field(default_factory=dict)
    skip: tuple[str, ...] = ()
    frames: int = 240
    pictures: int = 12
    commit: str | None = None


class StepRun(Record, frozen=True, kw_only=True):
    """A step that was run, or was not; its part is the first word of `step`.

    Attributes:
        ended: `done`, or what ended it: the time limit, a signal, an exit code; or why it was left out.
        said: the last of what it wrote; of tests, and of steps that did not end well.
        file: the document of `tdnet-bench` that it left beside this one.
    """

    step: str
    bundle: str | None
    ended: str
    seconds: float = 0
    limit_s: float = 0
    said: str | None = None
    file: str | None = None


class GpuCheck(Record, frozen=True, kw_only=True):
    """Which step ended how; figures are in the files of the steps (version 1 had them in itself).

    `bundles` has their digests, by name; `complete` is False where the check was cut short.
    """

    kind: Literal["gpu-check"] = "gpu-check"
    schema_version: Literal[2] = 2
    complete: bool
    gpu: str
    environment: Environment
    bundles: dict[str, str]
    steps: tuple[StepRun, ...]

    @property
    def exit_code(self) -> int:
        """0 where every step ended well, else 3."""
        return 0 if all(run.ended == DONE for run in self.steps) else 3
