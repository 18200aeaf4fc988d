from __future__ import annotations

import io
import json
import re

import msgspec
import pytest
from rich.console import Console

from tdnet_bench.document import Document, encode_document
from tdnet_bench.report import format_ms, format_ratio, format_share, report_from_document
from tdnet_bench.stats import summarise


def _text(document: Document, width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(report_from_document(document))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def _rows(text: str, title: str) -> list[list[str]]:
    """Cells of the table under `title`, without its head; the next title or note ends it."""
    rows: list[list[str]] = []
    for line in text[text.index(title) :].splitlines()[1:]:
        if line.strip() and not line.startswith(" "):
            break
        if re.search(r"\d", line) and "p50" not in line:
            rows.append(line.split())
    return rows


def test_numbers_in_the_table_are_those_of_the_document(document: Document) -> None:
    content = json.loads(encode_document(document))
    rows = _rows(_text(document), "Warm frames")
    expected = []
    for side, summary in content["summary"]["sides"].items():
        for place, (path, stats) in enumerate([*summary["by_path"].items(), ("all", summary["overall"])]):
            times = [stats[f"{name}_ms"] for name in ("p50", "p95", "p99", "max", "mean", "min")]
            cells = [path, str(stats["samples"]), *(format_ms(time) for time in times)]
            expected.append([side, *cells] if place == 0 else cells)
    assert rows == expected
    assert rows[0] == ["bundle", "1", "2", "40.00", "58.00", "–", "60.00", "40.00", "20.00"]


def test_ratios_and_agreement_are_those_of_the_document(document: Document) -> None:
    (comparison,) = json.loads(encode_document(document))["summary"]["comparisons"]
    rows = _rows(_text(document), "bundle / reference")
    for cells, path in zip(rows, ("1", "2", None), strict=True):
        ratio = comparison["by_path"][path] if path else comparison["overall"]
        share = comparison["agreement_by_path"][path] if path else comparison["agreement"]
        assert cells == [
            path or "all",
            str(ratio["pairs"]),
            format_ratio(ratio["of_p50s"]),
            format_ratio(ratio["median_of_pairs"]),
            format_share(share["mean"]),
            format_share(share["worst"]),
            str(share["worst_frame"]),
        ]
    assert rows[-1] == ["all", "4", "0.769", "0.775", "85.0000", "50.0000", "3"]


def test_first_and_cold_frames_have_a_table_of_their_own(document: Document) -> None:
    assert _rows(_text(document), "Kept apart") == [["0", "1", "first,", "cold", "90.00", "200.00"]]


def test_it_says_what_the_numbers_include_and_for_what(document: Document) -> None:
    text = " ".join(_text(document).split())
    assert "host call: copy in, sub-network, APM, argmax, copy out; not: decode" in text
    assert "td2-fa18 at 48x64 (resampled: approximate), 2 thread(s) each" in text
    assert "tiny[1].plan, digest abababababababab" in text  # brackets are text, not markup
    assert "20 ms pause" in text
    assert "a second note" in text
    assert "123 MiB with the bundle alone, 568 MiB in the whole run" in text
    assert "takes the bundle 0.775 of the reference's time; 85.0000 % of the labels are equal" in text


def test_it_fits_eighty_columns_with_long_times(document: Document) -> None:
    slow = tuple(
        msgspec.structs.replace(record, host_call_ns=record.host_call_ns * 1000)
        for record in document.records
    )
    slow_document = msgspec.structs.replace(document, summary=summarise(slow, baseline="reference"))
    text = _text(slow_document)
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 80
    assert "…" not in text
    assert "58000.0" in text


def test_it_says_that_agreement_was_not_measured(document: Document) -> None:
    silent = tuple(msgspec.structs.replace(record, agreement=None) for record in document.records)
    silent_document = msgspec.structs.replace(document, summary=summarise(silent, baseline="reference"))
    text = _text(silent_document)
    assert "label agreement NOT measured" in " ".join(text.split())
    assert _rows(text, "bundle / reference")[-1][-3:] == ["–"] * 3


def test_the_bundle_alone_has_no_comparison(document: Document) -> None:
    alone = [record for record in document.records if record.side == "bundle"]
    text = _text(msgspec.structs.replace(document, summary=summarise(alone, baseline="reference")))
    assert "bundle / reference" not in text
    assert "takes the bundle 25.00 ms (p50); there is nothing to compare it with" in text


@pytest.mark.parametrize(
    ("share", "text"),
    [(1.0, "100.0000"), (0.9999999, ">99.9999"), (0.99912, "99.9120"), (0.0, "0.0000"), (None, "–")],
)
def test_a_share_is_a_hundred_only_where_it_is_all(share: float | None, text: str) -> None:
    assert format_share(share) == text


def test_milliseconds() -> None:
    assert [format_ms(ms) for ms in (0.1234, 999.994, 1000.0, 12345.67)] == [
        "0.12",
        "999.99",
        "1000.0",
        "12345.7",
    ]
