"""What an export is asked to do, checked before anything slow begins."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from pathlib import Path

from tdnet_export.engines import ENGINE_BACKENDS
from tdnet_export.preprocessing import check_preprocessing
from tdnet_models.preprocessing import IMAGENET, Preprocessing
from tdnet_runtime.atomic_file import partial_path
from tdnet_runtime.errors import OptionError
from tdnet_runtime.file_names import same_file
from tdnet_runtime.os_errors import told_as
from tdnet_runtime.preflight import PREFERRED, SIGNED_INT8

__all__ = ["INT8_PRECISIONS", "PRECISIONS", "ExportOptions", "RebuildOptions", "require_room_in_name"]

PRECISIONS = ("fp32", "fp16", "int8", SIGNED_INT8)
"""That graphs can be written in."""

INT8_PRECISIONS = ("int8", SIGNED_INT8)
"""Those that need calibration: for CPUs, and for TensorRT."""

_MAX_STRIDE = 16
_THRESHOLD = 0.5  # where nobody names one: what a sigmoid head is trained around
_THRESHOLDS = (1e-4, 1 - 1e-4)  # beyond them FP32 tells no probabilities apart


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportOptions:
    """One export.

    Attributes:
        checkpoint: the trained network's file.
        out: the bundle to write; None for `<network>.plan` in the current folder.
        weights: which of several networks in the checkpoint, see `load_checkpoint`; None where there is only one.
        size_hw: input (H, W); None for a guess among those that the checkpoint leaves open.
        memory_stride: n of spec §1; None for the network's deployment default.
        names: file with class names; None for known or numbered ones.
        frames: video or folder for the proof; None for the rendered scene.
        logits: True to give the logits beside the labels.
        confidence: True to give the label's softmax share beside it.
        own_labels: True for graphs that give the labels of each sub-network alone, for frames without attention.
        precisions: of the graphs; none for FP32, and what the backends prefer. `int8` stands for `int8_fp16` too where
            engines are built.
        backends: that engines are built for.
        calibration: video or folder that INT8 is calibrated on; given exactly where INT8 is asked for.
        max_loss: share of the labels that INT8 may change, instead of its bounds; None for these.
        preprocessing: what the network was trained on; None for ImageNet's, which is assumed then, and said to be.
        bgr: True where that was BGR; values given in the order R, G, B go with their colours.
        threshold: for a network of one class, a sigmoid head: the probability above which a pixel is foreground; None
            for 0.5.

    Raises:
        OptionError: a value that cannot be meant.
    """

    checkpoint: Path
    out: Path | None = None
    weights: str | None = None
    size_hw: tuple[int, int] | None = None
    memory_stride: int | None = None
    names: Path | None = None
    frames: str | None = None
    logits: bool = False
    confidence: bool = False
    own_labels: bool = False
    precisions: tuple[str, ...] = ()
    backends: tuple[str, ...] = ()
    calibration: str | None = None
    max_loss: float | None = None
    preprocessing: Preprocessing | None = None
    bgr: bool = False
    threshold: float | None = None

    def __post_init__(self) -> None:
        _check_names("--precision", self.precisions, PRECISIONS)
        _check_names("--backend", self.backends, ENGINE_BACKENDS)
        self._check_int8()
        check_preprocessing(self.wanted_preprocessing)
        low, high = _THRESHOLDS
        if self.threshold is not None and not low <= self.threshold <= high:
            raise OptionError(
                f"--threshold is {self.threshold:g}; expected the probability above which a pixel is foreground, "
                f"{low:g} to {high:g}, for instance 0.5"
            )
        if self.memory_stride is not None and not 1 <= self.memory_stride <= _MAX_STRIDE:
            raise OptionError(
                f"--memory-stride is {self.memory_stride}; expected 1 to {_MAX_STRIDE} (3 as trained, 4 as the "
                "public PSP models are deployed)"
            )
        if self.out is not None:
            self.check_out(self.out)

    def _check_int8(self) -> None:
        asked = next((precision for precision in self.precisions if precision in INT8_PRECISIONS), None)
        if asked is not None and self.calibration is None:
            raise OptionError(
                f"--precision {asked} needs --calibration: a video or folder of frames such as the robot will see"
            )
        if asked is None:
            for option, value in (("--calibration", self.calibration), ("--max-loss", self.max_loss)):
                if value is not None:
                    raise OptionError(f"{option} goes with --precision int8; leave it out, or ask for INT8")
        if self.max_loss is not None and not 0 < self.max_loss < 1:
            raise OptionError(
                f"--max-loss is {self.max_loss}; expected the share of the labels that INT8 may change, for instance 0.05"
            )

    @property
    def wanted_precisions(self) -> tuple[str, ...]:
        """Precisions of the graphs, in the order of `PRECISIONS`."""
        wanted = self.precisions or ("fp32", *(PREFERRED[:1] if self.backends else ()))
        wanted += (SIGNED_INT8,) if self.backends and "int8" in wanted else ()
        return tuple(precision for precision in PRECISIONS if precision in wanted)

    @property
    def wanted_preprocessing(self) -> Preprocessing:
        """The preprocessing, assumed or not, with its channels in the order of the training."""
        chosen = self.preprocessing or IMAGENET
        return chosen.bgr if self.bgr else chosen

    @property
    def proof_clip(self) -> str | None:
        """What all precisions are proven on; None for the rendered scene, which is unlike what INT8 was calibrated on."""
        return self.frames or self.calibration

    @property
    def wanted_engines(self) -> tuple[tuple[str, str], ...]:
        """(backend, precision) of each set of engines: the best of the graphs' that is used unasked, and INT8 if asked."""
        wanted = self.wanted_precisions
        present = [precision for precision in PREFERRED if precision in wanted][:1]
        present += [SIGNED_INT8] if SIGNED_INT8 in wanted else []
        return tuple(
            (backend, precision) for backend in dict.fromkeys(self.backends) for precision in present
        )

    def threshold_for(self, classes: int) -> float | None:
        """Of the labels of a network of so many classes; None for the class of the largest logit.

        Raises:
            OptionError: there is more than one, and a threshold was named.
        """
        if classes == 1:
            return _THRESHOLD if self.threshold is None else self.threshold
        if self.threshold is not None:
            raise OptionError(
                f"--threshold goes with a network of one class; the checkpoint has {classes}, and labels are the class of "
                "the largest logit: leave it out"
            )
        return None

    @told_as(OptionError, "--out")
    def check_out(self, out: Path) -> None:
        """Raise OptionError where a bundle cannot be written to `out`."""
        if out.suffix != ".plan":
            raise OptionError(f"--out must end in .plan, came {out.name!r}: {str(out)!r}")
        if out.is_dir():
            raise OptionError(f"--out is a folder; name a file in it: {str(out / 'tdnet.plan')!r}")
        folder = out.parent
        if not folder.is_dir():
            raise OptionError(f"--out lies in a folder that does not exist; make it first: {str(folder)!r}")
        if not os.access(folder, os.W_OK):
            raise OptionError(f"--out lies in a folder that may not be written to: {str(folder)!r}")
        require_room_in_name("--out", out)
        if same_file(out, self.checkpoint):
            raise OptionError(f"--out is the checkpoint itself; name another file: {str(out)!r}")
        for option, read in (
            ("--names", self.names),
            ("--frames", self.frames),
            ("--calibration", self.calibration),
        ):
            if read is not None and same_file(out, read):
                raise OptionError(f"--out and {option} are the same file; name two: {str(out)!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class RebuildOptions:
    """Engines for a bundle that there is.

    Attributes:
        bundle: the file, which is written anew.
        backends: that engines are built for; one at least.
        precisions: of the engines; none for what each backend prefers.
        drop_stale: True to drop the other engines of these backends.
        sha256: of the file before.

    Raises:
        OptionError: a value that cannot be meant.
    """

    bundle: Path
    backends: tuple[str, ...]
    precisions: tuple[str, ...] = ()
    drop_stale: bool = False
    sha256: str | None = None

    def __post_init__(self) -> None:
        _check_names("--precision", self.precisions, PRECISIONS)
        _check_names("--backend", self.backends, ENGINE_BACKENDS)
        require_room_in_name("--rebuild", self.bundle)
        if not self.backends:
            raise OptionError(f"--rebuild needs --backend {' or --backend '.join(ENGINE_BACKENDS)}")


def require_room_in_name(option: str, path: Path) -> None:
    """Raise OptionError where `path` can be no bundle's: until it is whole, the file has a longer name."""
    partial = partial_path(path)
    try:
        partial.lstat()
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            more = len(partial.name) - len(path.name)
            raise OptionError(
                f"{option} has too long a name: until the file is whole, it is called by one of {more} characters more; "
                f"shorten it: {str(path)!r}"
            ) from error


def _check_names(option: str, names: tuple[str, ...], known: tuple[str, ...]) -> None:
    for name in names:
        if name not in known:
            raise OptionError(f"{option} is {name!r}; expected {' or '.join(known)}")
