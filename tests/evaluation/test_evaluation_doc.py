"""docs/evaluation.md: its gap table is the committed file's, its Python block runs."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tdnet_eval.document import read_document
from tdnet_eval.report import markdown_table
from tdnet_eval.tables import tables_from_document

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "evaluation.md"
RESULTS = ROOT / "benchmarks" / "results"


def test_the_gap_table_is_the_files() -> None:
    """Of the bundle; PyTorch's rows are the same figures."""
    document = read_document(RESULTS / "evaluation-td2-fa18-w32-camvid-val.json")
    table = list(tables_from_document(document))[-1]
    rows = table.rows[: len(table.rows) // 2]
    assert [row[1:] for row in rows] == [row[1:] for row in table.rows[len(rows) :]]
    expected = markdown_table(table.columns[1:], [row[1:] for row in rows], left=1)
    shown = re.search(r"<!-- gaps -->\n(.*?)\n<!-- /gaps -->", PAGE.read_text(), re.DOTALL)
    assert shown is not None
    assert shown[1] == expected, f"write this between the lines:\n{expected}"


@pytest.mark.parametrize(("split", "miou", "pixels"), [("val", 0.6024, 0.9098), ("test", 0.5010, 0.8498)])
def test_the_scores_are_the_model_cards(split: str, miou: float, pixels: float) -> None:
    """Of the bundle, and of PyTorch where the document has it."""
    assert (
        f"| {miou:.4f} | {pixels:.4f} |" in (ROOT / "models" / "zoo" / "td2-fa18-w32-camvid.md").read_text()
    )
    document = read_document(RESULTS / f"evaluation-td2-fa18-w32-camvid-{split}.json")
    for scores in document.scores.values():
        assert scores.overall.miou == pytest.approx(miou, abs=1e-4)
        assert scores.overall.pixel_accuracy == pytest.approx(pixels, abs=1e-4)


def test_the_python_block_runs(
    drives: Path,
    named_bundle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(named_bundle, "td2.plan")
    Path("my-data").symlink_to(drives)
    (block,) = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    exec(compile(block, str(PAGE), "exec"), {})
    assert re.match(r"0\.\d+ \{1: 0\.\d+, 2: 0\.\d+\} 0\.\d+$", capsys.readouterr().out)
