"""What a run that is no terminal's is told meanwhile."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from tdnet_runtime.cli import progress_line
from tdnet_runtime.cli.frame_progress import FrameProgress


@pytest.mark.parametrize(
    ("total", "frames", "told"),
    [
        (60, 20, "20 of 60 frames, 4.0 frames/s, 10 s left\n"),
        (None, 20, "20 frames, 4.0 frames/s\n"),
        (
            60,
            0,
            "0 of 60 frames, 0.0 frames/s\n",
        ),  # a camera that has given none yet: when it ends nobody knows
    ],
)
def test_a_line_after_five_seconds(
    monkeypatch: pytest.MonkeyPatch, total: int | None, frames: int, told: str
) -> None:
    now_s = [100.0]
    monkeypatch.setattr(progress_line.time, "monotonic", lambda: now_s[0])
    with FrameProgress(Console(file=io.StringIO()), total=total) as progress:
        console = progress._console
        now_s[0] = 104.5
        progress.update(frames)
        assert console.file.getvalue() == ""  # type: ignore[attr-defined]
        now_s[0] = 105.0
        progress.update(frames)
        progress.update(frames)
        assert console.file.getvalue() == told  # type: ignore[attr-defined]
