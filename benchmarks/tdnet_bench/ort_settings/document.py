"""The JSON document of a measurement: what was measured, where, the figures, and every record behind them."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

import msgspec

from tdnet_bench.documents.result_file import (
    check_result_path,
    read_result,
    records_as_json,
    write_result,
)
from tdnet_bench.machine.environment import Environment
from tdnet_bench.ort_settings.loading import Form
from tdnet_bench.ort_settings.records import AnyRecord
from tdnet_bench.ort_settings.summary import Summary
from tdnet_bench.ort_settings.variants import Variant
from tdnet_bench.records.record import Record
from tdnet_runtime.errors import OptionError

__all__ = ["KIND", "SettingsDocument", "check_target", "read", "write"]

KIND: Final = "onnxruntime settings"
"""What tells such a document from others."""


class SettingsDocument(Record, frozen=True, kw_only=True):
    """A whole measurement. `summary` follows from `records` alone.

    Attributes:
        kind: tells it from documents of `tdnet-bench`.
        schema_version: of this document.
        environment: the machine at its start.
        engine: name of the bundle's file, without folders.
        bundle_digest: SHA-256 of its manifest, which has all others.
        network: as in the manifest.
        height: of the frames.
        width: of the frames.
        precision: of the graphs.
        graphs: those of path 1, in the order of a frame.
        threads: of the runtime's settings.
        pause_ms: idle time before each timed call.
        rounds: timed calls of each graph with each variant's settings.
        repeats: loads with each variant's settings, and from each form.
        other_busy_cores: that other programs kept busy meanwhile, on average.
        notes: sentences without which the figures would mislead.
        variants: the settings, base first.
        forms: that the graphs were loaded from.
        summary: the figures.
        records: loads with all settings, in their order; variants as they were warmed up; calls by round and
            graph, in their order; files; loads from all forms, in their order.
    """

    kind: Literal["onnxruntime settings"]
    schema_version: Literal[1]
    environment: Environment
    engine: str
    bundle_digest: str
    network: str
    height: int
    width: int
    precision: str
    graphs: tuple[str, ...]
    threads: int
    pause_ms: float
    rounds: int
    repeats: int
    other_busy_cores: float
    notes: tuple[str, ...]
    variants: tuple[Variant, ...]
    forms: tuple[Form, ...]
    summary: Summary
    records: tuple[AnyRecord, ...]


def read(path: Path) -> SettingsDocument:
    """Read a document of this schema version.

    Raises:
        OptionError: not there, or not such a document.
    """
    decoder = msgspec.json.Decoder(SettingsDocument)
    return read_result(path, decoder.decode, what="ONNX Runtime's settings")


def check_target(path: Path) -> None:
    """Make sure that a document may be written to `path`: nothing there, an empty file, or such a document.

    Raises:
        OptionError: something else is there, or nothing can be written there.
    """
    check_result_path(path, option="--json")
    if path.exists() and path.stat().st_size:
        try:
            read(path)
        except OptionError as error:
            raise OptionError(f"--json would replace another file: {error}; choose another one") from error


def write(document: SettingsDocument, path: Path) -> None:
    """Write it, whole or not at all; see `check_target`.

    Raises:
        OptionError: the file could not be written.
    """
    write_result(records_as_json(document), path, what="the document", option="--json")
