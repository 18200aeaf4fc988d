"""What a check is asked for, checked."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tdnet_bench.gpu_check.schedule import LIMITS_S
from tdnet_runtime.errors import OptionError

__all__ = ["CheckOptions", "parse_limits"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckOptions:
    """A check.

    Attributes:
        plans: the bundles, told apart by the names of their files.
        ckpts: checkpoints, found for a bundle by their digests.
        out: folder of the document.
        minutes: for everything; parts that there is no time for are left out.
        limits_s: by part, where the default is not wanted.
        skip: parts to leave out.
        rounds: timed frames of each path; p99 from 100 in all on.
        pictures: different frames.
        commit: of the source tree, where it is no checkout.

    Raises:
        OptionError: something that cannot be meant.
    """

    plans: tuple[Path, ...]
    ckpts: tuple[Path, ...] = ()
    out: Path
    minutes: float = 8.0
    limits_s: Mapping[str, float] = field(default_factory=dict)
    skip: tuple[str, ...] = ()
    rounds: int = 120
    pictures: int = 12
    commit: str | None = None

    def __post_init__(self) -> None:
        if not self.plans:
            raise OptionError("--plan is missing; give one for each bundle to check")
        names = [plan.stem for plan in self.plans]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise OptionError(f"two bundles are called {twice[0]!r}; rename one of the files")
        for plan in self.plans:
            if not plan.is_file():
                raise OptionError(f"--plan is no file: {str(plan)!r}")
        for ckpt in self.ckpts:
            if not ckpt.is_file():
                raise OptionError(f"--ckpt is no file: {str(ckpt)!r}")
        for part in self.skip:
            if part not in LIMITS_S:
                raise OptionError(f"--skip knows no part {part!r}; known are: {', '.join(LIMITS_S)}")
        if not self.out.is_dir():
            raise OptionError(f"--out is no folder: {str(self.out)!r}")
        if not os.access(self.out, os.W_OK):
            raise OptionError(f"--out cannot be written to: {str(self.out)!r}")


def parse_limits(words: Sequence[str]) -> dict[str, float]:
    """`PART=SECONDS` each.

    Raises:
        OptionError: not of that form, or no such part.
    """
    limits: dict[str, float] = {}
    for word in words:
        part, _, seconds = word.partition("=")
        if part not in LIMITS_S:
            raise OptionError(f"--limit knows no part {part!r}; known are: {', '.join(LIMITS_S)}")
        try:
            limits[part] = float(seconds)
        except ValueError:
            limits[part] = 0.0
        if not limits[part] > 0:
            raise OptionError(f"--limit is {word!r}, expected {part}=SECONDS")
    return limits
