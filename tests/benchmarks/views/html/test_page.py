from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.benchmarks.views.html.reading import ReadPage, read_page, resolve
from tests.benchmarks.views.html.rich import COLORS, PEER, SUBJECT

from tdnet_bench.benchmark import run_benchmark
from tdnet_bench.documents.document import Document
from tdnet_bench.loops.back_to_back import warm_up
from tdnet_bench.loops.parts import Pace
from tdnet_bench.options import BenchOptions
from tdnet_bench.records.frames import FrameRecord
from tdnet_bench.sides.side import Tick
from tdnet_bench.statistics.summary import summarise
from tdnet_bench.views.formats import format_interval, format_ms, format_ratio, format_share
from tdnet_bench.views.html.page import page_from_document, write_page
from tdnet_bench.views.html.values import FORMATS, last_token
from tdnet_eval.judge import Picture
from tdnet_eval.result_file import records_as_json
from tdnet_runtime.errors import OptionError

PERCENTILES = {"p50", "p90", "p95", "p99"}
UNSHOWN = (  # numbers of the summary that are not on the page, and why
    r"/drift/window_frames$",  # inside the drift's definition
    r"/temporal_consistency/(frames|worst_frame)$",  # the table has the share alone
    r"/agreement(_by_path/\d+)?/frames$",  # all of them
    r"/gaps/(count|shortest_ms)$",  # follow from the frames; not what a robot waits for
)


def _assert_all_figures_are_the_documents(page: ReadPage, document: Any) -> None:
    assert len(page.figures) > 50
    for figure in page.figures:
        value = resolve(document, figure.pointer)
        key = figure.format == "key"
        expected = last_token(figure.pointer) if key else FORMATS[figure.format](value)
        assert figure.text == expected, figure.pointer


def _numbers(value: Any, pointer: str = "") -> Iterator[str]:
    if isinstance(value, dict):
        for key, member in value.items():
            yield from _numbers(member, f"{pointer}/{key}")
    elif isinstance(value, list):
        for index, member in enumerate(value):
            yield from _numbers(member, f"{pointer}/{index}")
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield pointer


def test_every_figure_on_the_page_is_the_documents(rich_page: ReadPage, rich_json: Any) -> None:
    _assert_all_figures_are_the_documents(rich_page, rich_json)


def test_figures_read_as_in_the_terminal(rich_page: ReadPage, rich_json: Any) -> None:
    """By hand, past `FORMATS`: the pointers stand where their meaning is."""
    base = f"/summary/sides/{SUBJECT}"
    overall = rich_json["summary"]["sides"][SUBJECT]["overall"]
    assert set(rich_page.texts_of(f"{base}/overall/p50_ms")) == {format_ms(overall["p50_ms"])}
    assert set(rich_page.texts_of(f"{base}/overall/p99_ms")) == {format_ms(overall["p99_ms"])}
    ratio = rich_json["summary"]["comparisons"][0]["overall"]
    assert format_ratio(ratio["median_of_pairs"]) in rich_page.texts_of(
        "/summary/comparisons/0/overall/median_of_pairs"
    )
    assert format_interval(ratio["low"], ratio["high"]) in rich_page.texts_of(
        "/summary/comparisons/0/overall"
    )
    share = rich_json["summary"]["sides"][SUBJECT]["quality"]["agreement"]["mean"]
    assert format_share(share) in rich_page.texts_of(f"{base}/quality/agreement/mean")


def test_no_number_stands_loose_on_the_page(rich_page: ReadPage) -> None:
    loose = {word for text in rich_page.loose for word in re.findall(r"\w*\d\w*", text)}
    assert loose == PERCENTILES


def test_every_number_of_the_summary_is_on_the_page(rich_page: ReadPage, rich_json: Any) -> None:
    shown = {figure.pointer for figure in rich_page.figures}
    missing = [
        pointer
        for pointer in _numbers(rich_json["summary"], "/summary")
        if pointer not in shown
        and not (pointer.rpartition("/")[0] in shown and re.search(r"/(low|high|change)$", pointer))
        and not any(re.search(pattern, pointer) for pattern in UNSHOWN)
    ]
    assert missing == []


def test_all_sections_are_there_in_their_order(rich_page: ReadPage) -> None:
    sections = [value for tag, name, value in rich_page.attributes if tag == "section" and name == "id"]
    assert sections == [
        "latency", "graphs", "peers", "paced", "camera", "labels", "start", "machine", "definitions", "notes",
    ]  # fmt: skip
    links = [value for tag, name, value in rich_page.attributes if tag == "a" and name == "href"]
    assert links == [f"#{section}" for section in sections]
    assert rich_page.headings[0] == 1
    assert rich_page.headings.count(1) == 1
    steps = zip(rich_page.headings, rich_page.headings[1:], strict=False)
    assert all(after <= before + 1 for before, after in steps)


def test_the_verdict_comes_first(rich_text: str, rich_json: Any) -> None:
    head = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", rich_text[rich_text.index("<header>") :]))
    p50 = format_ms(rich_json["summary"]["sides"][SUBJECT]["overall"]["p50_ms"])
    ratio = format_ratio(rich_json["summary"]["comparisons"][0]["overall"]["median_of_pairs"])
    assert f"A frame takes fake:fp32 {p50} ms (p50, host call), {ratio} of pytorch’s time;" in head[:400]
    assert "Left out: torch-compile. no C++ compiler" in head


def test_what_others_wrote_is_text_and_not_markup(rich_text: str, rich_page: ReadPage) -> None:
    assert "<b>" not in rich_text
    assert "BUSY MACHINE: <b>0.6</b> of 2 cores & more" in rich_page.texts_of("/notes/2")
    assert "tiny[1].plan" in rich_page.texts_of("/config/engine")


def test_names_are_text_in_titles_and_labels_too(document: Document) -> None:
    name = 'a"<i>'
    config = msgspec.structs.replace(document.config, network=name, subject=name)
    sides = {name: msgspec.structs.replace(document.sides[SUBJECT], name=name)}
    frames = [record for record in document.records if isinstance(record, FrameRecord)]
    records = [msgspec.structs.replace(record, side=name) for record in frames if record.side == SUBJECT]
    run = msgspec.structs.replace(
        document,
        config=config,
        sides=sides,
        setup={name: document.setup[SUBJECT]},
        summary=summarise(records, sides=sides, paths=2),
        records=tuple(records),
    )
    text = page_from_document(run, picture=None)
    assert "<i>" not in text
    labels = [value for _, attribute, value in read_page(text).attributes if attribute == "aria-label"]
    assert f"Percentiles of {name}" in labels


def test_nothing_is_fetched_and_nothing_runs(rich_page: ReadPage) -> None:
    for tag, name, value in rich_page.attributes:
        assert tag not in {"script", "iframe", "object", "embed"}
        assert not name.startswith("on")
        if name in {"src", "href", "xlink:href", "srcset", "data", "action"}:
            assert value.startswith(("data:", "#")), value
        assert "url(" not in value.replace("url(#", ""), value
    assert "url(" not in rich_page.styles
    assert "@import" not in rich_page.styles
    policy = next(value for _, name, value in rich_page.attributes if name == "content" and "-src" in value)
    assert policy == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def test_ids_are_unique_and_references_lead_somewhere(rich_page: ReadPage) -> None:
    ids = [value for _, name, value in rich_page.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    used = [value[1:] for _, name, value in rich_page.attributes if name == "href" and value[0] == "#"]
    used += [found for _, _, value in rich_page.attributes for found in re.findall(r"url\(#([^)]+)\)", value)]
    assert used
    assert set(used) <= set(ids)


def test_tables_charts_and_pictures_say_what_they_are(rich_text: str, rich_page: ReadPage) -> None:
    scopes = [value for tag, name, value in rich_page.attributes if (tag, name) == ("th", "scope")]
    assert set(scopes) == {"col", "row", "rowgroup"}
    assert len(scopes) == rich_text.count("<th ") + rich_text.count("<th>")
    labels = [value for tag, name, value in rich_page.attributes if tag == "svg" and name == "aria-label"]
    assert len(labels) == 8
    assert len([1 for tag, name, _ in rich_page.attributes if (tag, name) == ("img", "alt")]) == 3


def test_it_is_small(rich_text: str) -> None:
    assert len(rich_text.encode()) < 3_000_000


def test_a_document_with_next_to_nothing_has_a_page(document: Document) -> None:
    config = msgspec.structs.replace(document.config, reference=None, labels=None, fps=())
    frames = [record for record in document.records if isinstance(record, FrameRecord)]
    cold = [record for record in frames if record.side == SUBJECT and record.frame == 0]
    bare = msgspec.structs.replace(
        document,
        config=config,
        left_out=(),
        other_busy_cores=None,
        run_peak_rss_mib=None,
        summary=summarise(cold, sides=document.sides, paths=2),
        records=tuple(cold),
    )
    text = page_from_document(bare, picture=None)
    page = read_page(text)
    _assert_all_figures_are_the_documents(page, json.loads(records_as_json(bare)))
    assert "No warm frame was measured." in "".join(page.loose)
    assert "Everything that was asked for was measured." in "".join(page.loose)
    sections = {value for tag, name, value in page.attributes if tag == "section" and name == "id"}
    assert sections.isdisjoint({"graphs", "peers", "paced", "camera"})
    assert "<img" not in text


def test_without_a_reference_it_says_that_agreement_was_not_measured(document: Document) -> None:
    silent = [
        msgspec.structs.replace(record, agreement=None) if isinstance(record, FrameRecord) else record
        for record in document.records
    ]
    config = msgspec.structs.replace(document.config, reference=None)
    summary = summarise(silent, sides=document.sides, paths=2)
    run = msgspec.structs.replace(document, config=config, summary=summary, records=tuple(silent))
    assert "label agreement was not measured." in page_from_document(run, picture=None)


def test_a_real_run_has_a_page(engine: Path, tmp_path: Path) -> None:
    @contextmanager
    def phase(description: str, frames: int) -> Iterator[Tick]:
        yield lambda: None

    pace = Pace(pause_ms=0, warm_up=partial(warm_up, floor_ns=0))
    options = BenchOptions(
        engine=engine, threads=1, frames=9, fps=(200.0,), backends=("fake",), peers=("none",)
    )
    run = run_benchmark(options, phase=phase, pace=pace)
    path = tmp_path / "run.html"
    write_page(run.document, path, picture=run.picture, class_colors=COLORS)
    page = read_page(path.read_text(encoding="utf-8"))
    _assert_all_figures_are_the_documents(page, json.loads(records_as_json(run.document)))
    assert page.texts_of(f"/summary/sides/{SUBJECT}/overall/p50_ms")
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".html"] == ["run.html"]


def test_a_page_that_cannot_be_written_is_one_line(
    document: Document, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tdnet_bench.views.html.page.page_from_document", lambda *_, **__: "page")
    with pytest.raises(OptionError, match=r"the page was not written: .*; choose another --html") as caught:
        write_page(document, tmp_path / "no folder" / "run.html", picture=None)
    assert "\n" not in str(caught.value)


def test_a_picture_of_the_reference_alone_shows_no_disagreement(document: Document, picture: Picture) -> None:
    config = msgspec.structs.replace(document.config, reference=SUBJECT)
    run = msgspec.structs.replace(document, config=config)
    alone = Picture(frame=3, image=picture.image, labels={SUBJECT: picture.labels[PEER]})
    text = page_from_document(run, picture=alone, class_colors=COLORS)
    assert text.count("<img") == 2
    assert "least agreement" not in text
