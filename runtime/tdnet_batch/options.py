"""What one `tdnet-batch` is to do, checked before anything slow begins."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

from tdnet_batch.places import own_path
from tdnet_batch.settings import Form, Settings
from tdnet_runtime.backends import BACKENDS, PRECISIONS
from tdnet_runtime.errors import OptionError
from tdnet_runtime.extras import require
from tdnet_runtime.file_names import same_file
from tdnet_runtime.media.bit_depth import BIT_DEPTHS
from tdnet_runtime.media.output_folder import check_folder

__all__ = ["BatchOptions", "Cluster"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """Where the work is done.

    Attributes:
        address: of a cluster of Ray, `auto` for the one of this machine; None to start one for the run.
        workers: None for what pays; `threads` and `gpus` of each worker likewise.
        dashboard: Ray's own, on the loopback.

    Raises:
        OptionError: a number out of range, or an option that does not go with `address`.
    """

    address: str | None = None
    workers: int | None = None
    threads: int | None = None
    gpus: float | None = None
    dashboard: bool = False

    def __post_init__(self) -> None:
        for flag, number in (("--workers", self.workers), ("--threads", self.threads)):
            if number is not None and number < 1:
                raise OptionError(f"{flag} is {number}; expected 1 or more")
        if self.gpus is not None and not (math.isfinite(self.gpus) and 0 <= self.gpus <= 64):
            raise OptionError(
                f"--gpus is {self.gpus:g}; expected 0 or more: of each worker, such as 1 or 0.5"
            )
        if self.gpus is not None and self.gpus > 1 and self.gpus != int(self.gpus):
            raise OptionError(f"--gpus is {self.gpus:g}; above 1 Ray takes whole numbers")
        if self.dashboard and self.address is not None:
            raise OptionError("--dashboard is of the Ray that this run starts; a cluster's has its own")


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchOptions:
    """Options of `tdnet-batch`.

    Attributes:
        engine: the bundle.
        inputs: see `find_inputs`.
        output: folder of the outputs.
        settings: what decides on their content.
        cluster: where the work is done.
        retries: how often an input is given to another worker where one was lost.
        sha256: of the bundle's file; see `Segmenter.open`.

    Raises:
        OptionError: a value cannot be meant.
        MediaError: the output cannot be written.
        MissingExtraError: a package is missing for what was asked for.
    """

    engine: Path
    inputs: tuple[str, ...]
    output: Path
    settings: Settings = field(default_factory=Settings)
    cluster: Cluster = field(default_factory=Cluster)
    retries: int = 2
    sha256: str | None = None

    def __post_init__(self) -> None:
        settings = self.settings
        if not self.inputs:
            raise OptionError("nothing was named to segment; give --input")
        for flag, text in (
            ("--engine", self.engine),
            ("--output", self.output),
            *(("--input", i) for i in self.inputs),
        ):
            if str(text).startswith("--"):  # --output $OUT --workers 2
                raise OptionError(
                    f"{flag} is '{text}'; is a variable unset? A path like this is written ./{text}"
                )
        if not 0 <= self.retries <= 100:
            raise OptionError(f"--retries is {self.retries}; expected 0 to 100")
        if settings.backend not in ("auto", *BACKENDS):
            raise OptionError(f"--backend is {settings.backend!r}; expected {', '.join(('auto', *BACKENDS))}")
        if settings.precision is not None and settings.precision not in PRECISIONS:
            raise OptionError(f"--precision is {settings.precision!r}; expected {', '.join(PRECISIONS)}")
        if settings.cut_frames is not None and settings.cut_frames < 1:
            raise OptionError(f"--cut-frames is {settings.cut_frames}; expected 1 or more")
        if settings.bit_depth is not None and settings.bit_depth not in BIT_DEPTHS:
            raise OptionError(
                f"--bit-depth is {settings.bit_depth}; expected {BIT_DEPTHS[0]} to {BIT_DEPTHS[-1]}"
            )
        check_folder(self.output, purpose="labels")
        for text in self.inputs:
            own = None if text.startswith("@") else own_path(text)
            if own is not None and same_file(own, self.output):
                raise OptionError(f"--output is the folder of --input; name another: '{self.output}'")
        if settings.form is Form.MCAP:
            require("tdnet_runtime.sinks.mcap_log", extra="mcap")
