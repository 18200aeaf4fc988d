"""What a model repository is to hold, checked before anything slow begins."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from tdnet_export.engines import require_builder
from tdnet_runtime.atomic_file import PARTIAL_SUFFIX
from tdnet_runtime.backends.no_telemetry import import_without_telemetry
from tdnet_runtime.errors import OptionError
from tdnet_runtime.extras import require
from tdnet_runtime.os_errors import told_as

__all__ = ["TRITON_BACKENDS", "TritonOptions", "partial_folder"]

TRITON_BACKENDS = ("python", "onnxruntime", "tensorrt")
"""Of the server: each loads one of the models that can be written."""
_SUFFIXES = {"python": "", "onnxruntime": "-onnx", "tensorrt": "-tensorrt"}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_MOST_STREAMS = 1024


def partial_folder(folder: Path) -> Path:
    """A new name for a model's folder until it is whole, which servers do not load."""
    return folder.with_name(f".{folder.name}.{secrets.token_hex(4)}{PARTIAL_SUFFIX}")


@dataclass(frozen=True, slots=True, kw_only=True)
class TritonOptions:
    """Where models are written, for which of the server's backends, and for how many videos.

    Attributes:
        folder: the model repository; made where it is not there, and added to where it is.
        backends: of the server; a model for each.
        streams: sequences that a model instance serves at once; further ones wait.
        idle_s: after which the server gives a sequence up whose next frame does not come.
        precision: of the graphs of models for `onnxruntime` and `tensorrt`; None for FP32
            and FP16, where the bundle has them.

    Raises:
        OptionError: a value that cannot be meant, or a folder that cannot be written to.
    """

    folder: Path
    backends: tuple[str, ...] = ("python",)
    streams: int = 8
    idle_s: float = 10.0
    precision: str | None = None

    def __post_init__(self) -> None:
        for name in self.backends:
            if name not in TRITON_BACKENDS:
                raise OptionError(
                    f"--triton-backend is {name!r}; expected {', '.join(TRITON_BACKENDS[:-1])} or {TRITON_BACKENDS[-1]}"
                )
        if not 1 <= self.streams <= _MOST_STREAMS:
            raise OptionError(
                f"--triton-streams is {self.streams}; expected how many videos are served at once, 1 to {_MOST_STREAMS}"
            )
        self._check_folder()

    @classmethod
    def given(
        cls, folder: Path | None, backends: Sequence[str] | None, streams: int | None
    ) -> TritonOptions | None:
        """What a command line asks for; None where it asks for no model repository.

        Raises:
            OptionError: as from the class, or options without `--triton`.
        """
        if folder is None:
            without = {"--triton-backend": backends, "--triton-streams": streams}
            if names := [name for name, value in without.items() if value is not None]:
                raise OptionError(
                    f"{', '.join(names)} goes with --triton; leave it out, or name the model repository"
                )
            return None
        asked = cls(folder=folder, backends=tuple(backends or ("python",)))
        return asked if streams is None else replace(asked, streams=streams)

    def with_precision(self, precisions: Sequence[str]) -> TritonOptions:
        """For a bundle that there is, with the precisions that were asked for.

        Raises:
            OptionError: they cannot be meant.
        """
        if not precisions:
            return self
        if len(precisions) > 1 or set(self.backends) == {"python"}:
            raise OptionError(
                "--precision with --bundle is that of the one graph for onnxruntime or tensorrt: name one, and such a "
                "--triton-backend; for python, write it into config.pbtxt (tdnet_precision)"
            )
        return replace(self, precision=precisions[0])

    def require_tools(self) -> None:
        """Raise MissingExtraError or ExportError where what a model is made with is not here.

        Native packages are imported here: it may crash a process that gets a signal, which leaves half a model then.
        """
        if set(self.backends) - {"python"}:
            require("onnx", extra="export")
            import_without_telemetry("onnxruntime")
        if "tensorrt" in self.backends:
            require_builder("tensorrt")

    def names(self, bundle: Path) -> dict[str, str]:
        """The model's name for each backend: the bundle's file name, and what loads it.

        Raises:
            OptionError: no name for a model, or there is a model of that name.
        """
        stem = bundle.stem
        if not _NAME.fullmatch(stem):
            raise OptionError(
                "a model is called as its bundle's file, and Triton's clients take letters, digits, '_', '.' and '-' "
                f"alone; rename it: {str(bundle)!r}"
            )
        names = {backend: f"{stem}{_SUFFIXES[backend]}" for backend in dict.fromkeys(self.backends)}
        for name in names.values():
            with told_as(OptionError, "--triton"), suppress(FileNotFoundError):
                partial_folder(self.folder / name).lstat()
            if os.path.lexists(self.folder / name):
                raise OptionError(
                    f"the model repository has a model {name!r}, which a server may have loaded; remove it, or rename the "
                    f"bundle: {str(self.folder / name)!r}"
                )
        return names

    @told_as(OptionError, "--triton")
    def _check_folder(self) -> None:
        folder = self.folder
        if os.path.lexists(folder) and not folder.is_dir():
            raise OptionError(
                f"--triton is the folder of a model repository; this is a file: {str(folder)!r}"
            )
        if not folder.exists() and not folder.parent.is_dir():
            raise OptionError(
                f"--triton lies in a folder that does not exist; make it first: {str(folder)!r}"
            )
        if not os.access(folder if folder.exists() else folder.parent, os.W_OK | os.X_OK):
            raise OptionError(f"--triton lies where nothing may be written: {str(folder)!r}")
        if (folder / "config.pbtxt").exists():
            raise OptionError(
                "--triton is a model's own folder (it has a config.pbtxt); name the folder above, the model repository: "
                f"{str(folder)!r}"
            )
