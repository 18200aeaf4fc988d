"""The README's figures are those of the committed files."""

import json
from pathlib import Path

import pytest

from tdnet_bench.readme_table import BEGIN, END, readme_with_results, table_from_results

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results"


def test_the_readme_shows_the_committed_results():
    readme = (ROOT / "README.md").read_text()
    assert readme == readme_with_results(readme, RESULTS), "run: python -m tdnet_bench.readme_table"


def test_a_row_for_each_file_with_its_figures(tmp_path):
    document = json.loads(next(RESULTS.glob("*.json")).read_text())
    document["summary"]["sides"]["bundle"]["overall"]["p50_ms"] = 1234.4
    document["summary"]["comparisons"][0]["overall"]["median_of_pairs"] = 0.626
    (tmp_path / "one.json").write_text(json.dumps(document))
    table = table_from_results(tmp_path)
    assert "| 1234 ms |" in table
    assert "| 0.63 |" in table
    assert "(benchmarks/results/one.json)" in table


def test_text_around_the_block_stays():
    readme = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    made = readme_with_results(readme, RESULTS)
    assert made.startswith(f"before\n{BEGIN}\n| network")
    assert made.endswith(f"\n{END}\nafter\n")
    assert "old" not in made


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*.json")), ids=lambda path: path.name)
def test_results_say_how_they_were_measured_and_name_no_machine_path(path):
    text = path.read_text()
    document = json.loads(text)
    assert {"config", "environment", "records", "summary"} <= document.keys()
    assert "/home/" not in text
    assert "/root/" not in text
    assert "/tmp/" not in text
