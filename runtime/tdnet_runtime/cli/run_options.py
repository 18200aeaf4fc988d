"""What one `tdnet-run` is to do, checked before anything slow begins."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from itertools import combinations, product
from pathlib import Path
from urllib.parse import unquote

from tdnet_runtime.cli.live_options import LiveOptions
from tdnet_runtime.cli.run_document import is_run_document
from tdnet_runtime.errors import OptionError
from tdnet_runtime.file_names import same_file
from tdnet_runtime.media.bit_depth import BIT_DEPTHS
from tdnet_runtime.media.camera import CameraRequest
from tdnet_runtime.media.damage import OnDamage
from tdnet_runtime.media.overlay import check_output
from tdnet_runtime.media.sinks import check_folder
from tdnet_runtime.os_errors import told_as
from tdnet_runtime.sinks.registry import sink_url
from tdnet_runtime.sources.registry import is_live
from tdnet_runtime.sources.source_url import scheme_of

__all__ = ["STDOUT", "LabelOrientation", "RunOptions"]

STDOUT = Path("-")
"""As `json`: standard output."""


class LabelOrientation(str, Enum):
    """How label and colour images lie where frames carry a mark of orientation."""

    UPRIGHT = "upright"
    STORED = "stored"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """Options of `tdnet-run`.

    Attributes:
        engine: the bundle, or the address of a server's model.
        inputs: what each of them is, by name, see `open_source`; the name is empty for a single one without.
        labels: folder for label images; None for none.
        palette: label images get the classes' colours as a palette.
        colors: folder for colour images; None for none.
        orientation: of label and colour images.
        overwrite: remove an earlier run's images from these folders.
        overlay: overlay video; None for none.
        outputs: URLs of further outputs; see `open_sink`.
        json: file for the summary, or `STDOUT`; None for none.
        on_damage: what becomes of damaged frames.
        bit_depth: of 16-bit images; None to detect it.
        camera: what a camera is asked to give.
        max_frames: stop after so many; None for all.
        backend: see `Segmenter.open`.
        precision: see `Segmenter.open`.
        threads: see `Segmenter.open`.
        sha256: see `Segmenter.open`.
        live: of a live run alone.

    Raises:
        OptionError: an output would destroy an input, or a value cannot be meant.
        MediaError: an output cannot be written.
    """

    engine: Path | str
    inputs: Mapping[str, str]
    labels: Path | None = None
    palette: bool = False
    colors: Path | None = None
    orientation: LabelOrientation = LabelOrientation.UPRIGHT
    overwrite: bool = False
    overlay: Path | None = None
    outputs: tuple[str, ...] = ()
    json: Path | None = None
    on_damage: OnDamage = OnDamage.SKIP
    bit_depth: int | None = None
    camera: CameraRequest = field(default_factory=CameraRequest)
    max_frames: int | None = None
    backend: str = "auto"
    precision: str | None = None
    threads: int | None = None
    sha256: str | None = None
    live: LiveOptions = field(default_factory=LiveOptions)

    def __post_init__(self) -> None:
        for name, value in (("--max-frames", self.max_frames), ("--threads", self.threads)):
            if value is not None and value < 1:
                raise OptionError(f"{name} is {value}; expected 1 or more")
        if self.bit_depth is not None and self.bit_depth not in BIT_DEPTHS:
            raise OptionError(
                f"--bit-depth is {self.bit_depth}; expected {BIT_DEPTHS[0]} to {BIT_DEPTHS[-1]}"
            )
        for name, path in (
            ("--engine", self.engine),
            *(("--input", spec) for spec in self.inputs.values()),
            *self.folders,
            *self._named_files,
        ):
            if str(path).startswith("--"):  # --labels $OUT --overwrite
                raise OptionError(
                    f"{name} is '{path}'; is a variable unset? A path like this is written ./{path}"
                )
        self._check_folders()
        self._check_files()

    @property
    def folders(self) -> Iterator[tuple[str, Path]]:
        """Options with folders of images to write."""
        return ((name, path) for name, path in (("--labels", self.labels), ("--colors", self.colors)) if path)

    @property
    def input(self) -> str:
        """The first input, which is the only one but for live runs."""
        return next(iter(self.inputs.values()))

    @property
    def is_live(self) -> bool:
        """It goes through the live layer: an input is live, there are several, or an option of live runs is given.

        Raises:
            MediaError: an input is of no kind that can be opened.
        """
        return self.live.asked or len(self.inputs) > 1 or any(map(is_live, self.inputs.values()))

    @property
    def input_paths(self) -> list[Path]:
        """What `inputs` name on disk, if they are on disk; for comparing."""
        return [_path_of(spec) for spec in self.inputs.values()]

    @property
    def _named_files(self) -> list[tuple[str, str | Path]]:
        json = None if self.json == STDOUT else self.json
        named = [(name, path) for name, path in (("--overlay", self.overlay), ("--json", json)) if path]
        return [*named, *(("--output", spec) for spec in self.outputs)]

    @property
    def _files(self) -> list[tuple[str, Path]]:
        """All that is written but `folders`."""
        written = [
            (name, sink_url(what)[1] if isinstance(what, str) else what) for name, what in self._named_files
        ]
        return [(name, path) for name, path in written if path is not None]

    def _check_folders(self) -> None:
        for name, path in self.folders:
            check_folder(path, purpose="label images" if path is self.labels else "colour images")
            if any(same_file(path, read) for read in self.input_paths):
                raise OptionError(
                    f"{name} is the folder of --input, whose images would be overwritten; name another "
                    f"folder: '{path}'"
                )
        if self.labels is not None and self.colors is not None and same_file(self.labels, self.colors):
            raise OptionError(f"--labels and --colors are one folder; name two: '{self.labels}'")
        if self.labels is None and self.palette:
            raise OptionError("--palette goes with --labels; name a folder for them, or leave it out")
        if self.labels is None and self.colors is None:
            if self.orientation is LabelOrientation.STORED:
                raise OptionError(
                    "--orientation stored goes with --labels or --colors; an overlay is upright"
                )
            if self.overwrite:
                raise OptionError(
                    "--overwrite goes with --labels or --colors; other files are replaced anyway"
                )

    def _check_files(self) -> None:
        if self.overlay is not None and self.overlay.suffix.lower() != ".mp4":
            raise OptionError(f"--overlay is always an MP4 video; end its name in .mp4: '{self.overlay}'")
        for name, path in self._files:
            read_files = [("--input", path) for path in self.input_paths]
            for other, read in (*read_files, ("--engine", self.engine)):
                if same_file(path, read):
                    raise OptionError(
                        f"{name} is the same file as {other}, which would be overwritten; name another "
                        f"file: '{path}'"
                    )
        for (name, path), (other, second) in combinations(self._files, 2):
            if same_file(path, second):
                raise OptionError(f"{name} and {other} are the same file; name two: '{path}'")
        for (name, folder), (_, path) in product(self.folders, self._files):
            if same_file(folder, path):
                raise OptionError(f"{name} and --output are the same folder; name two: '{folder}'")
        if self.overlay is not None:
            check_output(self.overlay)
        if self.json is not None and self.json != STDOUT:
            _check_json(self.json)


@told_as(OptionError, "--json")
def _check_json(path: Path) -> None:
    if path.is_dir():
        raise OptionError(f"--json needs a file name, but '{path}' is a folder")
    if not path.parent.is_dir():
        raise OptionError(f"--json: there is no folder '{path.parent}'; make it first")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise OptionError(f"--json: no right to write in '{path.parent}'")
    if path.exists() and not is_run_document(path):
        raise OptionError(
            f"--json would replace a file that is no summary of tdnet-run; name another: '{path}'"
        )


def _path_of(spec: str) -> Path:
    scheme = scheme_of(spec)
    text = spec[len(scheme) + 1 :] if scheme in ("file", "mcap", "rosbag2") else spec
    if scheme in ("mcap", "rosbag2"):
        return Path(unquote(text.partition("?")[0], errors="surrogateescape"))
    return Path(text if os.path.lexists(text) else text.partition("?")[0])
