"""Writes variations of the shared document into a machine's folder; its figures are worked out by hand in the tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tdnet_bench.documents.document import Document
from tdnet_bench.published.results import Machine, read_machines
from tdnet_bench.records.frames import FrameRecord
from tdnet_bench.statistics.summary import summarise
from tdnet_eval.result_file import write_document

SUBJECT, OTHER, PEER = "fake:fp32", "fake:int8", "pytorch"

ReadMachine = Callable[[], Machine]
Write = Callable[..., Path]
"""write("name", folder="camvid-val", config={"width": 96}, other_busy_cores=1.0): the file that it made."""


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """The folder with one folder for each machine."""
    return tmp_path / "results"


@pytest.fixture
def write(results: Path, document: Document) -> Write:
    """By default at the network's own size, on an idle machine called `box`."""

    def make(
        name: str,
        *,
        machine: str = "box",
        folder: str = "",
        source: Document | None = None,
        config: dict[str, Any] | None = None,
        environment: dict[str, Any] | None = None,
        **changes: Any,
    ) -> Path:
        source = source or document
        path = results / machine / folder / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        changed = msgspec.structs.replace(
            source,
            config=msgspec.structs.replace(source.config, **{"size_resampled": False} | (config or {})),
            environment=msgspec.structs.replace(source.environment, **(environment or {})),
            **changes,
        )
        write_document(changed, path)
        return path

    return make


@pytest.fixture
def machine(results: Path) -> ReadMachine:
    """The only machine, as it was written so far."""

    def read() -> Machine:
        (one,) = read_machines(results)
        return one

    return read


@pytest.fixture
def two_sides(document: Document) -> Document:
    """With a second bundle side, twice as fast as the first one, and PyTorch through its compiler."""
    sides = document.sides | {
        OTHER: msgspec.structs.replace(
            document.sides[SUBJECT], name=OTHER, precision="int8", description="Engine 1.2, CPU"
        ),
        "torch-compile": msgspec.structs.replace(document.sides[PEER], name="torch-compile"),
    }
    frames = [record for record in document.records if isinstance(record, FrameRecord)]
    more = [
        msgspec.structs.replace(record, side=OTHER, host_call_ns=record.host_call_ns // 2)
        for record in frames
        if record.side == SUBJECT
    ] + [
        msgspec.structs.replace(record, side="torch-compile", host_call_ns=3 * record.host_call_ns)
        for record in frames
        if record.side == PEER
    ]
    records = (*document.records, *more)
    summary = summarise(records, sides=sides, paths=2)
    return msgspec.structs.replace(document, sides=sides, records=records, summary=summary)
