"""What a user asks of a run, checked before anything slow happens."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from tdnet_bench.documents.journal import JOURNAL_SUFFIX
from tdnet_eval.result_file import check_result_path, require_file
from tdnet_runtime.errors import OptionError
from tdnet_runtime.os_errors import told_as

__all__ = ["DEFAULT_FRAMES", "BenchOptions"]

DEFAULT_FRAMES = 60
"""15 for each path of a four-path network; at 100 a p99 is shown."""

_MAX_FPS = 1000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchOptions:
    """One run of the benchmark; the options are those of the same names in `cli.py`.

    Raises:
        OptionError: a number out of range, a file that is not there, or nowhere to put the document.
    """

    engine: Path
    ckpt: Path | None = None
    frames: int = DEFAULT_FRAMES
    input: Path | None = None
    labels: Path | None = None
    fps: tuple[float, ...] = ()
    json: Path | None = None
    html: Path | None = None
    threads: int
    backends: tuple[str, ...] = ("auto",)
    peers: tuple[str, ...] = ()
    roofline: bool = False
    streams: int = 0
    sha256: str | None = None

    @told_as(OptionError, "looking for the files that options name")
    def __post_init__(self) -> None:
        for name, least in (("frames", 1), ("threads", 1), ("streams", 0)):
            if getattr(self, name) < least:
                raise OptionError(f"--{name} is {getattr(self, name)}, expected at least {least}")
        for rate in self.fps:
            if not (math.isfinite(rate) and 0 < rate <= _MAX_FPS):
                raise OptionError(f"--fps is {rate:g}, expected more than 0 and at most {_MAX_FPS:g}")
        read = [("--engine", self.engine), ("--ckpt", self.ckpt), ("--input", self.input)]
        for flag, path in read[:2]:
            require_file(path, option=flag)
        if self.input is not None and not self.input.exists():
            raise OptionError(f"--input needs a video or a folder, but there is nothing at '{self.input}'")
        if self.labels is not None and self.input is None:
            raise OptionError("--labels needs --input: the rendered scene has no label images")
        if self.labels is not None and not self.labels.is_dir():
            raise OptionError(f"--labels needs a folder, but there is none at {str(self.labels)!r}")
        for flag, path in (("--json", self.json), ("--html", self.html)):
            if path is not None and path.name.endswith(JOURNAL_SUFFIX):
                raise OptionError(f"{flag} may not end in {JOURNAL_SUFFIX}, as journals do: {str(path)!r}")
            if path is not None:
                check_result_path(path, option=flag, others=read)
            read.append((flag, path))
