"""The document of `rich.py` as a fixture, its JSON and its page."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import numpy as np
import pytest
from tests.benchmarks.views.html.reading import ReadPage, read_page
from tests.benchmarks.views.html.rich import (
    CEILINGS,
    COLORS,
    PEER,
    ROOFLINE,
    SUBJECT,
    many_records,
)

from tdnet_bench.documents.document import Document
from tdnet_bench.machine.gpus import Gpu
from tdnet_bench.records.frames import AnyRecord
from tdnet_bench.statistics.summary import summarise
from tdnet_eval.judge import Picture
from tdnet_eval.result_file import records_as_json


@pytest.fixture(scope="session")
def rich(document: Document, all_records: tuple[AnyRecord, ...]) -> Document:
    """With everything that a page can show."""
    records = many_records(all_records)
    gpu = Gpu(
        name="Some GPU",
        driver="580.1",
        memory_mib=8192.0,
        sm_clock_mhz=1200.0,
        sm_clock_max_mhz=1500.0,
        memory_clock_mhz=None,
        power_limit_w=30.0,
        throttle_reasons="0x0",
    )
    environment = msgspec.structs.replace(
        document.environment, gpus=(gpu,), thread_variables={"OMP_NUM_THREADS": "2"}
    )
    fields: dict[str, Any] = {name: getattr(document, name) for name in document.__struct_fields__}
    fields |= {
        "environment": environment,
        "records": tuple(records),
        "summary": summarise(records, sides=document.sides, paths=2),
        "notes": (*document.notes, "BUSY MACHINE: <b>0.6</b> of 2 cores & more"),
    }
    return Document(**fields | {"ceilings": CEILINGS, "rooflines": {SUBJECT: ROOFLINE}})


@pytest.fixture(scope="session")
def picture() -> Picture:
    """Frame 3, 48×64; the subject's labels differ from the reference's in one pixel."""
    image = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    reference = np.repeat(np.arange(48, dtype=np.uint8)[:, None] // 12, 64, axis=1)
    labels = reference.copy()
    labels[5, 7] = 4
    return Picture(frame=3, image=image, labels={SUBJECT: labels, PEER: reference})


@pytest.fixture(scope="session")
def rich_json(rich: Document) -> Any:
    """What lies beside the page."""
    return json.loads(records_as_json(rich))


@pytest.fixture(scope="session")
def rich_text(rich: Document, picture: Picture) -> str:
    """The page of `rich`."""
    from tdnet_bench.views.html.page import page_from_document

    return page_from_document(rich, picture=picture, class_colors=COLORS)


@pytest.fixture(scope="session")
def rich_page(rich_text: str) -> ReadPage:
    return read_page(rich_text)
