"""The summary of a `tdnet-run` for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import tdnet_runtime
from tdnet_runtime.atomic_file import atomic_file
from tdnet_runtime.cli.engine import AnySegmenter
from tdnet_runtime.errors import MediaError
from tdnet_runtime.file_names import utf8_content
from tdnet_runtime.media.frames import Fact, FrameSource, reason
from tdnet_runtime.media.pipeline import RunSummary
from tdnet_runtime.passwords import hide_password

if TYPE_CHECKING:
    from tdnet_runtime.cli.run_options import RunOptions  # which looks for earlier documents here

__all__ = [
    "forget_run_document",
    "head_content",
    "input_content",
    "is_run_document",
    "network_content",
    "outputs_content",
    "run_document",
    "write_run_document",
]

_KEY = "tdnet_run"
_SCHEMA = 1


def run_document(
    options: RunOptions, source: FrameSource, segmenter: AnySegmenter, summary: RunSummary
) -> str:
    """JSON, in ASCII; key `tdnet_run` is the version of its form."""
    damage = source.damage
    content = {
        **head_content(summary),
        "input": input_content(options.input, source, source.facts),
        "damage": {
            "policy": damage.policy.value,
            "skipped": damage.skipped,
            "used": damage.used,
            "examples": damage.examples,
        },
        **network_content(segmenter),
        **outputs_content(options, summary),
    }
    return json.dumps(utf8_content(content), indent=1) + "\n"


def head_content(summary: RunSummary) -> dict[str, object]:
    """What every summary begins with."""
    return {
        _KEY: _SCHEMA,
        "version": tdnet_runtime.__version__,
        "frames": summary.frames,
        "interrupted": summary.interrupted,
        "wall_s": summary.wall_s,
        "frames_per_s": summary.frames_per_s,
        "latency_ms": summary.latency_ms,
    }


def input_content(spec: str, source: FrameSource, facts: Mapping[str, Fact]) -> dict[str, object]:
    """One input, and what its source tells of it."""
    return {
        "spec": hide_password(spec),
        "description": source.description,
        "height": source.size_hw[0],
        "width": source.size_hw[1],
        **facts,
    }


def network_content(segmenter: AnySegmenter) -> dict[str, object]:
    """The network, where it lies and what runs it."""
    manifest, backend = segmenter.manifest, segmenter.backend
    return {
        "network": {
            "name": manifest.network,
            "height": manifest.input.height,
            "width": manifest.input.width,
            "size_resampled": manifest.size_resampled,
            "size_from": manifest.input.size_from,
            "preprocessing": {
                "color_order": manifest.input.color_order,
                "scale": manifest.input.scale,
                "mean": manifest.input.mean,
                "std": manifest.input.std,
                "from": manifest.input.preprocessing_from,
            },
        },
        "bundle": {"path": str(segmenter.bundle.path), "digest": segmenter.bundle.digest},
        "backend": {
            "name": backend.name,
            "description": backend.description,
            "precision": backend.precision,
        },
    }


def outputs_content(options: RunOptions, summary: RunSummary) -> dict[str, object]:
    """What was written."""
    return {
        "outputs": {
            "labels": _text(options.labels),
            "palette": options.palette,
            "colors": _text(options.colors),
            "orientation": options.orientation.value,
            "overlay": _text(options.overlay) if summary.frames else None,
            "urls": [hide_password(spec) for spec in options.outputs],
        }
    }


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


def write_run_document(text: str, path: Path) -> None:
    """Write `run_document`'s text; an existing file is replaced when it is whole.

    Raises:
        MediaError: it cannot be written.
    """
    try:
        with atomic_file(path) as file:
            file.write(text.encode())
    except OSError as error:
        raise MediaError(f"writing the summary: {reason(error)}; name another --json: '{path}'") from error


def forget_run_document(path: Path) -> None:
    """Remove an earlier run's summary, which must not pass for that of a run that fails.

    Raises:
        MediaError: it cannot be removed.
    """
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise MediaError(f"removing the earlier summary: {reason(error)}: '{path}'") from error


def is_run_document(path: Path) -> bool:
    """The file is a summary that an earlier run wrote."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(content, dict) and _KEY in content
