"""The files of a run: its configuration, its journal, and its checkpoints, each whole at any moment."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from tdnet_runtime.atomic_file import atomic_file
from tdnet_runtime.os_errors import told_as
from tdnet_train.errors import TrainingError

__all__ = ["RunFolder"]

_FORMAT = 1


class RunFolder:
    """`config.toml`, `journal.jsonl`, `best.pth`, `last.pth`, `resume.pth` and, at the end, `report.html`.

    `best.pth` and `last.pth` hold one network each, as the public training code saves it (`model_state`, `epoch`,
    `best_iou`): what `tdnet-export` takes. `resume.pth` holds all that a run needs to go on.

    Args:
        path: the folder; made if it is not there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.toml"
        self.journal = path / "journal.jsonl"
        self.best = path / "best.pth"
        self.last = path / "last.pth"
        self.resume = path / "resume.pth"
        self.page = path / "report.html"

    def require_new(self) -> None:
        """Raise TrainingError where there is a run in the folder already."""
        with told_as(TrainingError, "looking into the run's folder"):
            is_used = self.journal.exists() or self.resume.exists()
        if is_used:
            raise TrainingError(
                f"the folder {str(self.path)!r} holds a run already; go on with it: tdnet-train --resume "
                f"{shlex.quote(str(self.path))}, or name another folder with --out"
            )

    def begin(self, config: bytes) -> None:
        """Make the folder and print the configuration into it.

        Raises:
            TrainingError: there is a run in it already, or it cannot be written.
        """
        self.require_new()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            with atomic_file(self.config) as file:
                file.write(config)
        except OSError as error:
            raise TrainingError(
                f"cannot write the run's folder {str(self.path)!r}: {error.strerror}"
            ) from error

    def write(self, entry: Mapping[str, Any]) -> None:
        """Append a line to the journal.

        Raises:
            TrainingError: it cannot be written; so with all that write.
        """
        with self._told(), self.journal.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")

    def write_whole(self, path: Path, data: bytes) -> None:
        """Write one of the run's files, which appears when it is whole."""
        with self._told(), atomic_file(path) as file:
            file.write(data)

    def _save(self, path: Path, content: Mapping[str, Any]) -> None:
        """As `write_whole`, what `torch.save` makes of `content`, without a copy of it in memory."""
        with self._told(), atomic_file(path) as file:
            try:
                torch.save(dict(content), file)
            except RuntimeError as error:
                if isinstance(error.__context__, (OSError, KeyboardInterrupt, SystemExit)):
                    raise error.__context__ from None  # out of the file's `write`, of which torch says nothing
                raise

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise TrainingError(
                f"cannot write into the run's folder {str(self.path)!r}: {error.strerror or error}; make room there, and "
                f"go on from the last checkpoint: tdnet-train --resume {shlex.quote(str(self.path))}"
            ) from error

    def entries(self) -> list[dict[str, Any]]:
        """The journal's lines; one that a kill left half written is left out."""
        found = []
        if self.journal.exists():
            for line in self.journal.read_text(encoding="utf-8", errors="replace").splitlines():
                try:
                    found.append(json.loads(line))
                except ValueError:
                    continue
        return found

    def cut_journal(self, step: int) -> None:
        """Drop what was written after the checkpoint of `step`: it is computed again."""
        kept = [entry for entry in self.entries() if entry.get("step", 0) <= step]
        self.write_whole(self.journal, "".join(json.dumps(entry) + "\n" for entry in kept).encode())

    def save_network(
        self, path: Path, weights: Mapping[str, torch.Tensor], *, step: int, iou: float, half: bool = False
    ) -> None:
        """Write a checkpoint for `tdnet-export`, in FP16 if `half`; `epoch` in it is the step, as in the public code."""
        state = {key: value.detach().cpu().contiguous() for key, value in weights.items()}
        if half:
            state = {key: _halved(value) for key, value in state.items()}
        self._save(path, {"epoch": step, "model_state": state, "best_iou": iou})

    def load_network(self, path: Path) -> dict[str, torch.Tensor]:
        """The weights that `save_network` wrote, float32.

        Raises:
            TrainingError: they are not there, or damaged.
        """
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)["model_state"]
        except Exception as error:  # torch raises what pickle, zipfile and itself do
            raise TrainingError(
                f"cannot read the run's weights {str(path)!r}: {' '.join(str(error).split())} ({type(error).__name__}); "
                f"remove it and write it anew: tdnet-train --resume {shlex.quote(str(self.path))}"
            ) from error
        return {key: value.float() if value.is_floating_point() else value for key, value in state.items()}

    def save_state(self, state: Mapping[str, Any]) -> None:
        """Write what is needed to go on."""
        self._save(self.resume, {"format": _FORMAT, **state})

    def load_state(self, device: torch.device) -> dict[str, Any] | None:
        """What `save_state` wrote, on `device`; None where the run was killed before its first checkpoint.

        Raises:
            TrainingError: damaged, or of another version.
        """
        if not self.resume.exists():
            return None
        try:
            state: dict[str, Any] = torch.load(self.resume, map_location=device, weights_only=True)
        except Exception as error:  # torch raises what pickle, zipfile and itself do
            raise TrainingError(
                f"cannot go on from {str(self.resume)!r}: it is damaged ({type(error).__name__}); start again, with "
                f"start.checkpoint = {os.fspath(self.last)!r}"
            ) from error
        if state.get("format") != _FORMAT:
            raise TrainingError(
                f"cannot go on from {str(self.resume)!r}: it was written by another version of this program; start "
                f"again, with start.checkpoint = {os.fspath(self.last)!r}"
            )
        return state


def _halved(value: torch.Tensor) -> torch.Tensor:
    """In FP16 where that keeps it finite: variances of BatchNorm may not be."""
    if not value.is_floating_point():
        return value
    halved = value.half()
    return halved if bool(halved.isfinite().all()) else value
