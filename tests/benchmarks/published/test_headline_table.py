"""The shared document's figures by hand: see `test_speed_tables.py`."""

from __future__ import annotations

from pathlib import Path

import msgspec
from tests.benchmarks.published.conftest import OTHER, SUBJECT, Write
from tests.benchmarks.published.tables import link, tables_of

from tdnet_bench.documents.document import Document
from tdnet_bench.published.results import read_results
from tdnet_bench.published.speed_tables import headline_table


def test_a_row_for_each_machine_with_the_fastest_side_of_each_precision(
    write: Write, results: Path, two_sides: Document
) -> None:
    write("demo", source=two_sides)
    write("demo", machine="amd", source=two_sides)
    (rows,) = tables_of(headline_table(read_results(results), link))
    assert [row["machine"] for row in rows] == ["amd", "box"]
    assert rows[1] == {
        "network": "td2-fa18, stem 4",
        "input": "48×64",
        "machine": "box",
        "eager PyTorch": "32.5 ms",
        "FP32": f"25.0 ms · **1.29×** · 85.00 % · {SUBJECT}",
        "BF16": "–",
        "INT8": f"12.5 ms · **2.58×** · 85.00 % · {OTHER}",
        "file": "[json](demo.json)",
    }


def test_the_slower_one_of_two_is_left_out(write: Write, results: Path, two_sides: Document) -> None:
    """OTHER, twice as fast, as a second engine in FP32."""
    faster = "other:fp32"
    renamed = msgspec.json.decode(
        msgspec.json.encode(two_sides).replace(f'"{OTHER}"'.encode(), f'"{faster}"'.encode()), type=Document
    )
    side = msgspec.structs.replace(renamed.sides[faster], precision="fp32")
    write("demo", source=msgspec.structs.replace(renamed, sides=renamed.sides | {faster: side}))
    ((row,),) = tables_of(headline_table(read_results(results), link))
    assert row["FP32"].endswith(faster)
    assert row["INT8"] == "–"


def test_approximations_and_runs_without_pytorch_are_left_out(
    write: Write, results: Path, document: Document
) -> None:
    write("small", config={"size_resampled": True})
    summary = msgspec.structs.replace(document.summary, comparisons=())
    write("alone", summary=summary)
    assert headline_table(read_results(results), link) is None


def test_int8_for_engines_is_int8(write: Write, results: Path, two_sides: Document) -> None:
    side = msgspec.structs.replace(two_sides.sides[OTHER], precision="int8_fp16")
    write("demo", source=msgspec.structs.replace(two_sides, sides=two_sides.sides | {OTHER: side}))
    ((row,),) = tables_of(headline_table(read_results(results), link))
    assert row["INT8"].endswith(OTHER)
