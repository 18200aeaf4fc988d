"""What one `tdnet-run` is to do, checked before anything slow begins."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tdnet_runtime.errors import OptionError
from tdnet_runtime.media.damage import OnDamage
from tdnet_runtime.media.overlay import check_output
from tdnet_runtime.media.sinks import check_folder

__all__ = ["RunOptions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """Options of `tdnet-run`.

    Attributes:
        engine: the bundle.
        input: see `open_source`.
        labels: folder for label images; None for none.
        overlay: overlay video; None for none.
        on_damage: what becomes of damaged frames.
        max_frames: stop after so many; None for all.
        backend: see `Segmenter.open`.
        precision: see `Segmenter.open`.
        threads: see `Segmenter.open`.

    Raises:
        OptionError: an output would destroy an input, or a value cannot be meant.
        MediaError: an output cannot be written.
    """

    engine: Path
    input: str
    labels: Path | None = None
    overlay: Path | None = None
    on_damage: OnDamage = OnDamage.SKIP
    max_frames: int | None = None
    backend: str = "auto"
    precision: str | None = None
    threads: int | None = None

    def __post_init__(self) -> None:
        for name, value in (("--max-frames", self.max_frames), ("--threads", self.threads)):
            if value is not None and value < 1:
                raise OptionError(f"{name} is {value}; expected 1 or more")
        if self.labels is not None:
            check_folder(self.labels, purpose="label images")
            if _same(self.labels, self.input):
                raise OptionError(
                    "--labels is the folder of --input, whose images would be overwritten; name another "
                    f"folder: '{self.labels}'"
                )
        if self.overlay is not None:
            self._check_overlay(self.overlay)

    def _check_overlay(self, overlay: Path) -> None:
        if overlay.suffix.lower() != ".mp4":
            raise OptionError(f"--overlay is always an MP4 video; end its name in .mp4: '{overlay}'")
        for option, path in (("--input", self.input), ("--engine", self.engine)):
            if _same(overlay, path):
                raise OptionError(
                    f"--overlay is the same file as {option}, which would be overwritten; name another "
                    f"file: '{overlay}'"
                )
        check_output(overlay)


def _same(a: str | Path, b: str | Path) -> bool:
    """Both names lead to one existing file or folder, links followed."""
    try:
        return Path(a).samefile(b)
    except (OSError, ValueError):
        return False
