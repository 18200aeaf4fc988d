"""The README's figures are those of the committed files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tdnet_bench.documents.document import Document, write_document
from tdnet_bench.readme_table import BEGIN, END, readme_with_results, table_from_results
from tdnet_bench.records.frames import FrameRecord
from tdnet_bench.statistics.summary import summarise

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results"
SUBJECT, PEER = "fake:fp32", "pytorch"


def _rows(folder: Path) -> list[list[str]]:
    lines = table_from_results(folder).splitlines()
    return [
        [cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:] if line.startswith("|")
    ]


def test_the_readme_shows_the_committed_results() -> None:
    readme = (ROOT / "README.md").read_text()
    assert readme == readme_with_results(readme, RESULTS), "run: python -m tdnet_bench.readme_table"


def test_a_row_for_each_side_that_was_compared_with_pytorch(tmp_path: Path, document: Document) -> None:
    other = "fake:fp16"
    sides = document.sides | {other: msgspec.structs.replace(document.sides[SUBJECT], name=other)}
    more = [
        msgspec.structs.replace(r, side=other, agreement=None)
        for r in document.records
        if isinstance(r, FrameRecord) and r.side == SUBJECT
    ]
    summary = summarise((*document.records, *more), sides=sides, paths=2)
    write_document(msgspec.structs.replace(document, sides=sides, summary=summary), tmp_path / "one.json")
    comparison = document.summary.comparisons[0].overall
    assert comparison is not None
    interval = f"({comparison.low:.2f} to {comparison.high:.2f})"
    link = "[one.json](benchmarks/results/one.json)"
    common = ["25 ms", "32 ms", f"0.78 {interval}"]  # 0.775 and 32.5, to even
    assert _rows(tmp_path) == [
        ["td2-fa18", "48×64", SUBJECT, *common, "85.0000 %", link],
        ["td2-fa18", "48×64", other, *common, "not measured", link],
    ]
    assert "Measured on 2 cores of Some CPU (avx2) with " in table_from_results(tmp_path)


def test_documents_from_before_there_were_peers_are_read(tmp_path: Path) -> None:
    sides = {name: {"overall": {"p50_ms": p50}} for name, p50 in (("bundle", 29.4), ("reference", 60.6))}
    comparison: dict[str, Any] = {
        "side": "bundle",
        "baseline": "reference",
        "overall": {"pairs": 9, "of_p50s": 0.48, "median_of_pairs": 0.4849},
        "agreement": {"mean": 0.99999999},
    }
    document = {
        "schema_version": 1,
        "config": {
            "network": "td2-fa18", "height": 360, "width": 480, "threads": 2,
            "backend": "onnxruntime", "precision": "fp32",
        },
        "environment": {
            "cpu": "CPU", "cpu_flags": ["avx2"], "packages": {"torch": "2.13"}, "started_at": "2026-11-22T17",
        },
        "summary": {"sides": sides, "comparisons": [comparison]},
    }  # fmt: skip
    (tmp_path / "old.json").write_text(json.dumps(document))
    (row,) = _rows(tmp_path)
    assert row[:-1] == ["td2-fa18", "360×480", "onnxruntime:fp32", "29 ms", "61 ms", "0.48", ">99.9999 %"]
    assert table_from_results(tmp_path).endswith("with PyTorch 2.13 on 2026-11-22.")


def test_text_around_the_block_stays() -> None:
    readme = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    made = readme_with_results(readme, RESULTS)
    assert made.startswith(f"before\n{BEGIN}\n| network")
    assert made.endswith(f"\n{END}\nafter\n")
    assert "old" not in made


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*.json")), ids=lambda path: path.name)
def test_results_say_how_they_were_measured_and_name_no_machine_path(path: Path) -> None:
    text = path.read_text()
    document = json.loads(text)
    assert {"config", "environment", "records", "summary"} <= document.keys()
    assert "/home/" not in text
    assert "/root/" not in text
    assert "/tmp/" not in text


def test_documents_of_the_gpu_check_are_passed_over(tmp_path: Path, document: Document) -> None:
    write_document(document, tmp_path / "one.json")
    before = table_from_results(tmp_path)
    (tmp_path / "gpu.json").write_text('{"kind": "gpu-check", "schema_version": 1}')
    assert table_from_results(tmp_path) == before
