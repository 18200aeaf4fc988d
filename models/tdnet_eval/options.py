"""What a user asks of an evaluation, checked before anything slow happens."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from tdnet_eval.document import check_json_path
from tdnet_eval.result_file import check_result_path, require_file
from tdnet_models.preprocessing import PRESETS
from tdnet_runtime.backends import BACKENDS, PRECISIONS
from tdnet_runtime.errors import OptionError
from tdnet_runtime.file_names import as_utf8
from tdnet_runtime.media.output_folder import check_folder

__all__ = ["DEVICES", "EvalOptions", "parse_gaps"]

DEVICES = ("cpu", "cuda")
"""Where PyTorch may run."""

_LONGEST_GAP = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalOptions:
    """One evaluation; the options are those of the same names in `cli.py`.

    Raises:
        OptionError: nothing to judge, a number out of range, a file that is not there, or nowhere to put the results.
    """

    data: str
    split: str = "val"
    engines: tuple[Path, ...] = ()
    sha256s: tuple[str, ...] = ()
    ckpt: Path | None = None
    backends: tuple[str, ...] = ("auto",)
    precisions: tuple[str, ...] = ()
    threads: int | None = None
    size_hw: tuple[int, int] | None = None
    memory_stride: int | None = None
    preprocessing: str | None = None
    weights: str | None = None
    threshold: float | None = None
    device: str = DEVICES[0]
    quick: bool = False
    every_path: bool = False
    gaps: tuple[int, ...] = ()
    cut: str | None = None
    json: Path | None = None
    markdown: Path | None = None
    pictures: Path | None = None
    worst: int = 5
    overwrite: bool = False

    def __post_init__(self) -> None:
        if not self.engines and self.ckpt is None:
            raise OptionError("nothing was named to evaluate; give --engine X.plan, --ckpt best.pth, or both")
        for flag, path in (*(("--engine", engine) for engine in self.engines), ("--ckpt", self.ckpt)):
            require_file(path, option=flag)
        if self.sha256s and len(self.sha256s) != len(self.engines):
            raise OptionError(
                f"--sha256 is given {len(self.sha256s)} times and --engine {len(self.engines)} times; give one for each "
                "--engine, in their order"
            )
        for backend in self.backends:
            _require(backend, ("auto", *BACKENDS), flag="--backend")
        for precision in self.precisions:
            _require(precision, PRECISIONS, flag="--precision")
        _require(self.device, DEVICES, flag="--device")
        if self.preprocessing is not None:
            _require(self.preprocessing, tuple(PRESETS), flag="--preprocessing")
        for flag, number in (
            ("--threads", self.threads),
            ("--memory-stride", self.memory_stride),
            ("--worst", self.worst),
        ):
            if number is not None and number < 1:
                raise OptionError(f"{flag} is {number}; expected 1 or more")
        if self.threshold is not None and not 0 < self.threshold < 1:
            raise OptionError(f"--threshold is {self.threshold:g}; expected a probability between 0 and 1")
        self._check_pairs()
        self._check_outputs()

    @property
    def command(self) -> str:
        """The command line that asks for this, outputs left out and files without their folders."""
        kind, colon, folder = self.data.rpartition(":")
        size = None if self.size_hw is None else f"{self.size_hw[0]}x{self.size_hw[1]}"
        flags: list[tuple[str, object]] = [
            *(("--engine", engine.name) for engine in self.engines),
            ("--ckpt", None if self.ckpt is None else self.ckpt.name),
            *(("--backend", backend) for backend in self.backends if backend != "auto"),
            *(("--precision", precision) for precision in self.precisions),
            ("--threads", self.threads),
            ("--size", size),
            ("--memory-stride", self.memory_stride),
            ("--preprocessing", self.preprocessing),
            ("--weights", self.weights),
            ("--threshold", self.threshold),
            ("--device", None if self.device == DEVICES[0] else self.device),
            ("--data", f"{kind}{colon}{Path(folder).name}"),
            ("--split", self.split),
            ("--quick", self.quick),
            ("--every-path", self.every_path),
            ("--gap", ",".join(map(str, self.gaps)) or None),
            ("--cut", self.cut),
        ]
        words = (
            flag if value is True else f"{flag} {value}"
            for flag, value in flags
            if value is not None and value is not False
        )
        return as_utf8(f"tdnet-eval {' '.join(words)}")

    def _check_pairs(self) -> None:
        of_checkpoint = {
            "--size": self.size_hw,
            "--memory-stride": self.memory_stride,
            "--preprocessing": self.preprocessing,
            "--weights": self.weights,
            "--threshold": self.threshold,
        }
        given = [flag for flag, value in of_checkpoint.items() if value is not None]
        if self.ckpt is None and given:
            raise OptionError(
                f"{', '.join(given)} goes with --ckpt; a bundle's manifest says it for the bundle"
            )
        of_bundles = [
            flag
            for flag, value in (("--precision", self.precisions), ("--backend", self.backends != ("auto",)))
            if value
        ]
        if not self.engines and of_bundles:
            raise OptionError(f"{', '.join(of_bundles)} goes with --engine; PyTorch computes in FP32")

    def _check_outputs(self) -> None:
        read = [*(("--engine", engine) for engine in self.engines), ("--ckpt", self.ckpt)]
        for flag, path in (("--markdown", self.markdown), ("--json", self.json)):
            if path is not None:
                check_result_path(path, option=flag, others=read)
            read.append((flag, path))
        if self.json is not None:
            check_json_path(self.json)
        if self.markdown is not None and self.markdown.suffix.lower() not in (".md", ".markdown"):
            raise OptionError(f"--markdown writes Markdown; end its name in .md: {str(self.markdown)!r}")
        if self.pictures is not None:
            check_folder(self.pictures, purpose="pictures")
        elif self.overwrite:
            raise OptionError(
                "--overwrite goes with --pictures; other files of an evaluation are replaced anyway"
            )


def parse_gaps(text: str) -> tuple[int, ...]:
    """`1,2,4,8` → those numbers in ascending order, each once.

    Raises:
        OptionError: something else, or a number below 1.
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(re.fullmatch(r"[0-9]{1,6}", part) and 1 <= int(part) <= _LONGEST_GAP for part in parts):
        raise OptionError(
            f"--gap is {text!r}; expected numbers of lost frames with commas between, 1 to {_LONGEST_GAP}: 1,2,4,8"
        )
    return tuple(sorted({int(part) for part in parts}))


def _require(value: str, known: tuple[str, ...], *, flag: str) -> None:
    if value not in known:
        raise OptionError(f"{flag} is {value!r}; expected {', '.join(known)}")
