"""The JSON document of a run: configuration, environment, figures, and every record behind them."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec

from tdnet_bench.environment import Environment
from tdnet_bench.records import FrameRecord, Record, RunConfig
from tdnet_bench.stats import Summary
from tdnet_runtime.atomic_file import atomic_file
from tdnet_runtime.errors import OptionError

__all__ = ["SCHEMA_VERSION", "Document", "Memory", "encode_document", "write_document"]

SCHEMA_VERSION = 1


class Memory(Record, frozen=True, kw_only=True):
    """Peak resident memory of this process, Python and the frames included; None where unknown.

    Attributes:
        bundle_peak_mib: after the bundle's warm-up, before PyTorch was imported.
        run_peak_mib: of the whole run, with PyTorch and both sides' weights.
    """

    bundle_peak_mib: float | None
    run_peak_mib: float | None


class Document(Record, frozen=True, kw_only=True):
    """A whole run. `summary` follows from `records` alone; see `stats.summarise`.

    Attributes:
        schema_version: of this document.
        config: what was decided before the run.
        environment: the machine at its start.
        warm_up_frames: by side, frames of the scratch stream that was discarded.
        memory: peaks.
        other_busy_cores: cores that other programs kept busy while frames were timed, on average.
        notes: sentences without which the figures would mislead.
        summary: the figures.
        records: by frame, then in the order of the calls.
    """

    schema_version: int
    config: RunConfig
    environment: Environment
    warm_up_frames: dict[str, int]
    memory: Memory
    other_busy_cores: float
    notes: tuple[str, ...]
    summary: Summary
    records: tuple[FrameRecord, ...]


def encode_document(document: Document) -> bytes:
    """`document` as JSON: indented, but each record on one line."""
    content = msgspec.to_builtins(document, str_keys=True)
    records = ",\n  ".join(json.dumps(record) for record in content.pop("records"))
    head = json.dumps(content, indent=1).removesuffix("\n}")
    return f'{head},\n "records": [\n  {records}\n ]\n}}\n'.encode()


def write_document(document: Document, path: Path) -> None:
    """Write `document` to `path`, whole or not at all; an existing file is replaced.

    Raises:
        OptionError: the file could not be written.
    """
    try:
        with atomic_file(path) as file:
            file.write(encode_document(document))
    except OSError as error:
        raise OptionError(
            f"the document was not written: {error.strerror or error}; choose another --json: {str(path)!r}"
        ) from error
