"""The pages' figures are those of the committed files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.benchmarks.published.conftest import Write

from tdnet_bench.published.pages import BLOCKS, RESULTS, page_with_results, pages_of, publish
from tdnet_bench.published.results import read_results
from tdnet_runtime import TdnetError

ROOT = Path(__file__).parents[3]
BLOCK = "<!-- results:{name} -->\n{inside}\n<!-- /results:{name} -->\n"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """README.md with the block `speed`, docs/cpu.md with two others; no results."""
    (tmp_path / "docs").mkdir()
    (tmp_path / RESULTS).mkdir(parents=True)
    (tmp_path / "README.md").write_text("before\n" + BLOCK.format(name="speed", inside="old") + "after\n")
    blocks = [BLOCK.format(name=name, inside="old") for name in ("sizes", "camvid")]
    (tmp_path / "docs" / "cpu.md").write_text("\n".join(blocks))
    return tmp_path


@pytest.fixture
def results(checkout: Path) -> Path:
    return checkout / RESULTS


@pytest.mark.parametrize("page", pages_of(ROOT), ids=lambda page: page.name)
def test_the_page_shows_the_committed_results(page: Path) -> None:
    text = page.read_text()
    made = page_with_results(text, read_results(ROOT / RESULTS), page=page)
    assert text == made, "run: python -m tdnet_bench.published"


def test_every_block_is_somewhere() -> None:
    everything = "".join(page.read_text() for page in pages_of(ROOT))
    for name in BLOCKS:
        assert everything.count(f"<!-- results:{name} -->") == 1


def test_before_anything_is_measured(checkout: Path) -> None:
    assert publish(checkout) == (checkout / "README.md", checkout / "docs" / "cpu.md")
    block = BLOCK.format(name="speed", inside="Not measured yet.")
    assert (checkout / "README.md").read_text() == f"before\n{block}after\n"


def test_links_start_at_the_page_and_each_machine_has_its_table(checkout: Path, write: Write) -> None:
    write("demo")
    write("val", machine="amd epyc", folder="camvid-val")
    publish(checkout)
    readme, cpu = ((checkout / name).read_text() for name in ("README.md", "docs/cpu.md"))
    assert "\n**box**\n\n| network |" in readme
    assert "amd" not in readme  # it has no speed
    assert "(benchmarks/results/box/demo.json)" in readme
    assert "(../benchmarks/results/box/demo.json)" in cpu
    assert "(../benchmarks/results/amd%20epyc/camvid-val/val.json)" in cpu
    assert "old" not in readme + cpu
    assert readme.startswith("before\n<!-- results:speed -->\n**box")
    assert readme.endswith(".\n<!-- /results:speed -->\nafter\n")


def test_the_second_time_nothing_changes(checkout: Path, write: Write) -> None:
    write("demo")
    publish(checkout)
    before = {page: page.read_bytes() for page in pages_of(checkout)}
    assert publish(checkout) == ()
    assert {page: page.read_bytes() for page in pages_of(checkout)} == before


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            BLOCK.format(name="spead", inside=""),
            "cpu.md has a block of results 'spead', expected one of: headline, gpu, speed, sizes, camvid, camvid-cl",
        ),
        ("<!-- results:sizes -->\n", "'sizes' does not begin or end"),
        ("<!-- /results:sizes -->\n", "'sizes' does not begin or end"),
        ("<!-- results:sizes -->\n<!-- /results:camvid -->\n", "'sizes' does not begin or end"),
        (
            "<!-- results:sizes -->\n<!-- results:camvid -->\n<!-- /results:camvid -->\n<!-- /results:sizes -->\n",
            "'sizes' does not begin or end",
        ),
    ],
)
def test_a_wrong_marker_is_an_error_and_no_page_is_written(checkout: Path, text: str, message: str) -> None:
    readme = (checkout / "README.md").read_text()
    (checkout / "docs" / "cpu.md").write_text(text)
    with pytest.raises(TdnetError, match=message):
        publish(checkout)
    assert (checkout / "README.md").read_text() == readme


def test_markers_in_a_sentence_are_words(checkout: Path) -> None:
    text = "Between `<!-- results:NAME -->` and `<!-- /results:NAME -->`.\n"
    (checkout / "docs" / "cpu.md").write_text(text)
    assert publish(checkout) == (checkout / "README.md",)


def test_no_checkout(tmp_path: Path) -> None:
    with pytest.raises(TdnetError, match="has no benchmarks/results; run it from a checkout"):
        publish(tmp_path / "elsewhere")


def test_the_command(checkout: Path) -> None:
    """The pages written, an error in one line, wrong usage."""

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", _CALL.format(root=str(checkout)), *arguments],
            capture_output=True,
            text=True,
            env={**os.environ, "NO_COLOR": "1"},
        )

    done = call()
    assert (done.returncode, done.stdout) == (0, "README.md: written\ndocs/cpu.md: written\n"), done.stderr
    assert call().stdout == "README.md: as it was\ndocs/cpu.md: as it was\n"
    (checkout / "README.md").write_text(BLOCK.format(name="what", inside=""))
    failed = call()
    assert failed.returncode == 1
    assert failed.stderr.startswith("published: error: README.md has a block of results 'what'")
    assert failed.stderr.count("\n") == 1
    assert call("--what").returncode == 2


_CALL = """
import runpy
from pathlib import Path
from tdnet_bench.published import pages
pages._ROOT = Path({root!r})
runpy.run_module("tdnet_bench.published", run_name="__main__")
"""


@pytest.mark.parametrize(
    "path", sorted((ROOT / RESULTS).rglob("*.json")), ids=lambda path: str(path.relative_to(ROOT / RESULTS))
)
def test_results_say_how_they_were_measured_and_name_no_machine_path(path: Path) -> None:
    text = path.read_text()
    document = json.loads(text)
    assert "kind" in document or {"config", "environment", "records", "summary"} <= document.keys()
    assert "/home/" not in text
    assert "/root/" not in text
    assert "/tmp/" not in text
