"""The document's name, its text, and what is taken out of it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from tdnet_bench.documents.result_file import write_result
from tdnet_bench.gpu_check.records import GpuCheck, PartRun, Step

__all__ = ["document_path", "encode", "file_stem", "without_paths", "write"]


def file_stem(gpu: str, date: str) -> str:
    """`nvidia-l40s-2026-01-31` of `NVIDIA L40S`."""
    slug = re.sub(r"[^a-z0-9]+", "-", gpu.lower()).strip("-") or "gpu"
    return f"{slug}-{date}"


def document_path(folder: Path, stem: str) -> Path:
    """A file that is not there yet: `STEM.json`, or with a number from 2 on."""
    path, number = folder / f"{stem}.json", 2
    while path.exists():
        path, number = folder / f"{stem}-{number}.json", number + 1
    return path


def encode(document: GpuCheck) -> bytes:
    """JSON: indented, but each step on one line."""
    content: dict[str, Any] = msgspec.to_builtins(document, str_keys=True)
    parts = []
    for part in content.pop("parts"):
        steps = ",\n    ".join(json.dumps(step) for step in part.pop("steps"))
        parts.append(f'{json.dumps(part)[:-1]}, "steps": [\n    {steps}\n  ]}}')
    head = json.dumps(content, indent=1).removesuffix("\n}")
    listed = ",\n  ".join(parts)
    return f'{head},\n "parts": [\n  {listed}\n ]\n}}\n'.encode()


def write(document: GpuCheck, path: Path) -> None:
    """Write it, whole or not at all; raises OptionError."""
    write_result(encode(document), path, what="the document", option="--out")


def without_paths(run: PartRun, names: Mapping[str, str]) -> PartRun:
    """The part with folders' names taken out of everything that it said, longest first.

    Args:
        run: the part.
        names: what stands for each path.
    """

    def clean(text: str | None) -> str | None:
        if text is None:
            return None
        for path in sorted(names, key=len, reverse=True):
            text = text.replace(path, names[path])
        return text

    def clean_step(step: Step) -> Step:
        value = step.value
        if value is not None:
            value = json.loads(clean(json.dumps(value)) or "null")
        log = tuple(clean(line) or "" for line in step.log)
        return msgspec.structs.replace(step, error=clean(step.error), log=log, value=value)

    return msgspec.structs.replace(run, steps=tuple(map(clean_step, run.steps)), said=clean(run.said))
