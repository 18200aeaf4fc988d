"""What a user asks of a run, checked before anything slow happens."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from tdnet_runtime.errors import OptionError

__all__ = ["DEFAULT_FRAMES", "BenchOptions"]

DEFAULT_FRAMES = 60
"""15 for each path of a four-path network; at 100 a p99 is shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchOptions:
    """One run of the benchmark.

    Attributes:
        engine: the bundle.
        ckpt: the checkpoint that it was exported from; None for a reference with made-up weights.
        frames: warm frames to time, after the first and the cold ones.
        input: video file or folder of images; None for the rendered scene.
        json: file for the document; replaced if it exists.
        threads: for each side.
        backend: of the runtime; `auto` for the best one present.

    Raises:
        OptionError: a number out of range, a file that is not there, or nowhere to put the document.
    """

    engine: Path
    ckpt: Path | None = None
    frames: int = DEFAULT_FRAMES
    input: Path | None = None
    json: Path | None = None
    threads: int
    backend: str = "auto"

    def __post_init__(self) -> None:
        if self.frames < 1:
            raise OptionError(f"--frames is {self.frames}, expected at least 1")
        if self.threads < 1:
            raise OptionError(f"--threads is {self.threads}, expected at least 1")
        for flag, path in (("--engine", self.engine), ("--ckpt", self.ckpt)):
            if path is not None and not path.is_file():
                found = "a folder" if path.is_dir() else "nothing"
                raise OptionError(f"{flag} needs a file, but there is {found} at {str(path)!r}")
        if self.input is not None and not self.input.exists():
            raise OptionError(
                f"--input needs a video or a folder, but there is nothing at {str(self.input)!r}"
            )
        if self.json is not None:
            _check_target(self.json)


def _check_target(path: Path) -> None:
    """Raise OptionError where a document could not be written to `path` in the end."""
    folder = path.parent
    if path.is_dir():
        raise OptionError(f"--json needs a file name, but {str(path)!r} is a folder")
    if not folder.is_dir():
        raise OptionError(f"--json cannot write there: no folder {str(folder)!r}; make it first")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OptionError(f"--json cannot write there: the folder is not writable: {str(folder)!r}")
