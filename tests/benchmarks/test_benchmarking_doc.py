"""docs/benchmarking.md says what the program does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tdnet_bench.cli import app
from tdnet_bench.documents.compare import MUST_BE_EQUAL
from tdnet_bench.documents.notes import DEFINITIONS, EXIT_CODES, MIN_AGREEMENT
from tdnet_bench.loops.back_to_back import PAUSE_MS
from tdnet_bench.sides.requests import PYTORCH_SIDES
from tdnet_bench.statistics.latency import P99_MIN_SAMPLES
from tdnet_bench.statistics.ratios import CONFIDENCE, RESAMPLES

TEXT = (Path(__file__).parents[2] / "docs" / "benchmarking.md").read_text()
WORDS = " ".join(TEXT.split())


@pytest.mark.parametrize("name", DEFINITIONS)
def test_each_figure_is_explained(name: str) -> None:
    assert re.search(re.escape(name), WORDS, re.IGNORECASE)


def test_numbers_are_the_programs() -> None:
    assert f"a pause of {PAUSE_MS:g} ms" in WORDS
    assert f"from {P99_MIN_SAMPLES} frames on" in WORDS
    assert f"a {CONFIDENCE:.0%}".replace("%", " %") in WORDS
    assert f"{RESAMPLES} resamples" in WORDS
    assert f"Below {MIN_AGREEMENT:.0%}".replace("%", " %") in WORDS


def test_exit_codes_and_peers_are_listed() -> None:
    for code in EXIT_CODES:
        assert f"| {code} |" in TEXT
    for name in PYTORCH_SIDES:
        assert f"| `{name}` |" in TEXT


def test_every_option_in_it_exists() -> None:
    import typer.main

    command = typer.main.get_command(app)
    known = {option for parameter in command.params for option in parameter.opts} | {"--side"}
    assert set(re.findall(r"--[a-z]+", TEXT)) <= known


def test_what_must_be_equal_is_named() -> None:
    words = {"height": "size", "width": "size", "cold_frames": "paths", "footage_size_hw": "footage"}
    listed = WORDS.partition("fields that differ: ")[2].partition(".")[0]
    for field in (*MUST_BE_EQUAL, "number_of_classes", "logits", "confidence"):
        assert words.get(field, field.removesuffix("_ms").replace("_", " ")) in listed
