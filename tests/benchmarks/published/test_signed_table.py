from __future__ import annotations

from pathlib import Path
from shutil import copy

import msgspec
from tests.benchmarks.published.tables import link, tables_of

from tdnet_bench.published.pages import RESULTS
from tdnet_bench.published.results import read_results
from tdnet_bench.published.signed_table import signed_table
from tdnet_eval.document import read_document
from tdnet_eval.result_file import write_document

COMMITTED = Path(__file__).parents[3] / RESULTS
NAME = "evaluation-td2-fa18-w32-camvid-precisions-val.json"


def test_the_committed_documents_list_the_graphs_for_engines_beside_the_others() -> None:
    table = signed_table(read_results(COMMITTED), link)
    assert table is not None
    (rows,) = tables_of(table)
    for split, frames in (("test", 233), ("val", 101)):
        shown, rows = rows[:5], rows[5:]
        document = read_document(COMMITTED / NAME.replace("-val.json", f"-{split}.json"))
        assert [row["precision"] for row in shown] == ["fp32", "fp16", "int8", "int8_fp16", "pytorch"]
        for row, score in zip(shown, document.scores.values(), strict=True):
            assert row["split, frames"] == f"{split}, {frames}"
            assert row["mIoU, %"] == f"{100 * (score.overall.miou or 0):.2f}"
        assert [row["labels equal"] == "reference" for row in shown] == [False] * 4 + [True]
    assert rows == []


def test_documents_without_them_are_passed_over(tmp_path: Path) -> None:
    copy(COMMITTED / "evaluation-td2-fa18-w32-camvid-test.json", tmp_path)
    results = read_results(tmp_path)
    assert len(results.evaluations) == 1
    assert signed_table(results, link) is None
    document = read_document(COMMITTED / NAME)
    sides = {
        side: msgspec.structs.replace(info, precision="fp32" if info.precision == "fp32" else "int8")
        for side, info in document.sides.items()
    }
    write_document(msgspec.structs.replace(document, sides=sides), tmp_path / "other.json")
    assert signed_table(read_results(tmp_path), link) is None
