"""`tdnet-export --verify` and `--rebuild`: a bundle that there is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.console import Console

from tdnet_export.options import RebuildOptions, require_room_in_name
from tdnet_export.view import StageProgress, show_rebuild, show_verified
from tdnet_runtime.cli.notices import notice_console

__all__ = ["rebuild_bundle", "verify_bundle"]


def verify_bundle(bundle: Path, clip: str | None, sha256: str | None) -> None:
    """Run its engines, and show what was found.

    Raises:
        TdnetError: as `tdnet_export.engines.verify`, or the clip cannot be read, or the bundle's name is too long.
    """
    from tdnet_export.engines import verify
    from tdnet_export.footage import proof_frames
    from tdnet_export.parity_checks import required_frames

    def frames(paths: int, size_hw: tuple[int, int]) -> list[npt.NDArray[np.uint8]]:
        return list(proof_frames(clip, required_frames(paths), size_hw=size_hw))

    require_room_in_name("--verify", bundle)
    with StageProgress(notice_console()) as progress:
        summary = verify(bundle, frames=None if clip is None else frames, sha256=sha256, on_progress=progress)
    show_verified(summary, Console(highlight=False))


def rebuild_bundle(options: RebuildOptions) -> None:
    """Build engines into it, and show them.

    Raises:
        TdnetError: as `tdnet_export.engines.rebuild`.
    """
    from tdnet_export.engines import rebuild

    with StageProgress(notice_console()) as progress:
        summary = rebuild(
            options.bundle,
            backends=options.backends,
            precisions=options.precisions,
            keep_others=not options.drop_stale,
            sha256=options.sha256,
            on_progress=lambda event: progress(event.stage, event.done, event.total, event.text),
        )
    show_rebuild(summary, Console(highlight=False))
