from __future__ import annotations

import io
import json
from typing import Any

import msgspec
import pytest
from rich.console import Console

from tdnet_bench.documents.document import Document
from tdnet_bench.records.config import SideSpec
from tdnet_bench.records.frames import FrameRecord, PacedRecord
from tdnet_bench.statistics.latency import Drift
from tdnet_bench.statistics.summary import summarise
from tdnet_bench.views.formats import (
    format_drift,
    format_interval,
    format_mib,
    format_ms,
    format_percent,
    format_ratio,
    format_share,
)
from tdnet_bench.views.report import report_from_document, verdict
from tdnet_eval.result_file import records_as_json

SUBJECT, PEER = "fake:fp32", "pytorch"


def _text(document: Document, width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(report_from_document(document))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def _rows(text: str, title: str) -> list[list[str]]:
    """Cells of the table under `title`, without its head; the next title or note ends it."""
    rows: list[list[str]] = []
    lines = text[text.index(title) :].splitlines()[1:]
    below = next(place for place, line in enumerate(lines) if "───" in line) + 1
    for line in lines[below:]:
        if line.strip() and not line.startswith(" "):
            break
        if line.strip():
            rows.append(line.split())
    return rows


@pytest.fixture
def content(document: Document) -> Any:
    return json.loads(records_as_json(document))


def _latency_cells(stats: dict[str, Any]) -> list[str]:
    times = [stats[f"{name}_ms"] for name in ("p50", "p90", "p95", "p99", "max", "mean")]
    return [str(stats["samples"]), *map(format_ms, times)]


@pytest.mark.parametrize("side", [SUBJECT, PEER])
def test_host_calls_are_those_of_the_document(document: Document, content: Any, side: str) -> None:
    summary = content["summary"]["sides"][side]
    expected = [
        [*(["host", "call"] if path == "1" else []), path, *_latency_cells(stats)]
        for path, stats in [*summary["by_path"].items(), ("all", summary["overall"])]
    ]
    assert _rows(_text(document), f"{side}: ms per warm frame, back to back") == expected


def test_device_compute_has_rows_where_it_was_measured(document: Document) -> None:
    records = [
        msgspec.structs.replace(r, device_compute_ns=r.host_call_ns // 2)
        for r in document.records
        if isinstance(r, FrameRecord)
    ]
    summary = summarise(records, sides=document.sides, paths=2)
    rows = _rows(_text(msgspec.structs.replace(document, summary=summary)), f"{SUBJECT}: ms per warm frame")
    assert [row[0] for row in rows] == ["host", "2", "all", "device", "2", "all"]
    assert rows[-1][2] == format_ms(12.5)  # half of 25


def test_ratios_are_those_of_the_document(document: Document, content: Any) -> None:
    (comparison,) = content["summary"]["comparisons"]
    rows = _rows(_text(document), f"{SUBJECT}: its host call over another's")
    for cells, path in zip(rows, ("1", "2", None), strict=True):
        ratio = comparison["by_path"][path] if path else comparison["overall"]
        assert cells == [
            *([PEER] if path == "1" else []),
            path or "all",
            str(ratio["pairs"]),
            format_ratio(ratio["median_of_pairs"]),
            *format_interval(ratio["low"], ratio["high"]).split(),
            format_ratio(ratio["of_p50s"]),
        ]
    assert rows[-1][2] == "0.775"


def test_camera_to_mask_is_that_of_the_document(document: Document, content: Any) -> None:
    camera = content["summary"]["camera"][SUBJECT]
    rows = _rows(_text(document), f"{SUBJECT}: ms per warm frame, camera to mask")
    assert rows == [
        ["whole", "1", *_latency_cells(camera["by_path"]["1"])],
        ["2", *_latency_cells(camera["by_path"]["2"])],
        ["all", *_latency_cells(camera["overall"])],
        ["decode", "all", *_latency_cells(camera["decode"])],
        ["push", "all", *_latency_cells(camera["push"])],
    ]


def test_paced_frames_are_those_of_the_document(document: Document, content: Any) -> None:
    (rate,) = content["summary"]["paced"]
    (cells,) = _rows(_text(document), f"{SUBJECT}: paced, from arrival to labels")
    assert cells == [
        "10",
        *(str(rate[name]) for name in ("processed", "missed", "dropped")),
        *(format_ms(rate["latency"][f"{name}_ms"]) for name in ("p50", "p95", "max")),
        *(format_ms(rate["gaps"][f"{name}_ms"]) for name in ("jitter", "longest")),
    ]
    assert "at 10 frames/s a host call takes" in _text(document)


def test_quality_is_that_of_the_document(document: Document, content: Any) -> None:
    quality = content["summary"]["sides"][SUBJECT]["quality"]
    rows = _rows(_text(document), "Labels: equal to the reference's")
    assert rows[0] == [
        SUBJECT,
        format_share(quality["agreement"]["mean"]),
        format_share(quality["agreement"]["worst"]),
        str(quality["agreement"]["worst_frame"]),
        format_percent(quality["accuracy"]["miou"]),
        format_percent(quality["temporal_consistency"]["mean"]),
    ]
    assert rows[0][1:4] == ["85.0000", "50.0000", "3"]
    assert rows[1][:4] == [PEER, "reference", "–", "–"]


def test_each_class_has_its_iou(document: Document) -> None:
    rows = _rows(_text(document), "IoU of each class, %")
    assert rows[0] == ["class", "[0]", "75.00", "75.00"]  # brackets are text, not markup; 3 of 4
    assert rows[1] == ["class", "[1]", "0.00", "0.00"]  # labelled and never right
    assert rows[3] == ["class", "[3]", "–", "–"]
    without = tuple(
        msgspec.structs.replace(r, class_pixels=None) for r in document.records if isinstance(r, FrameRecord)
    )
    summary = summarise(without, sides=document.sides, paths=2)
    assert "IoU of each class" not in _text(msgspec.structs.replace(document, summary=summary))


def test_it_says_what_the_numbers_include_and_for_what(document: Document) -> None:
    text = " ".join(_text(document).split())
    assert "host call copy in, normalise, network, argmax, copy out; not: decode, resize, resize back" in text
    assert f"({SUBJECT}, {PEER})" in text  # sides with equal clocks share a line
    assert "camera to mask decode, resize, copy in" in text
    assert "td2-fa18 at 48x64 (resampled: approximate), 2 thread(s) each" in text
    assert "tiny[1].plan, digest abababababababab" in text
    assert "20 ms pause" in text
    assert "mTC of Varghese et al." in text
    assert "a second note" in text
    assert "LEFT OUT torch-compile: no C++ compiler" in text
    assert "kept apart: frame 0 (first, cold), path 1, 90.00 ms" in text
    assert "ripple between the paths 20.00 ms" in text
    assert "loaded in 12.50 ms, first mask after 34.25 ms; peak memory by then 123 MiB" in text
    assert "peak memory of the whole run (RSS): 568 MiB" in text


def test_the_verdict_has_speed_and_quality(document: Document) -> None:
    ratio = document.summary.comparisons[0].overall
    assert ratio is not None
    assert verdict(document) == (
        f"A frame takes fake:fp32 25.00 ms (p50), 0.775 of pytorch's time "
        f"({format_interval(ratio.low, ratio.high)}); 85.0000 % of the labels are pytorch's "
        "(worst frame 50.0000 %)."
    )


def _with_records(document: Document, **changes: Any) -> Document:
    records = [msgspec.structs.replace(r, **changes) for r in document.records if isinstance(r, FrameRecord)]
    config = msgspec.structs.replace(document.config, reference=None)
    summary = summarise(records, sides=document.sides, paths=2)
    return msgspec.structs.replace(document, config=config, summary=summary)


def test_it_says_that_agreement_was_not_measured(document: Document) -> None:
    silent = _with_records(document, agreement=None)
    assert "label agreement NOT measured" in verdict(silent)
    assert _rows(_text(silent), "Labels: equal")[0][1:4] == ["–"] * 3


def test_alone_there_is_no_comparison(document: Document) -> None:
    alone = [r for r in document.records if isinstance(r, FrameRecord) and r.side == SUBJECT]
    summary = summarise(alone, sides=document.sides, paths=2)
    text = _text(msgspec.structs.replace(document, summary=summary))
    assert "host call over another's" not in text
    assert "camera to mask\n" not in text
    cold = msgspec.structs.replace(document, summary=summarise(alone[:1], sides=document.sides, paths=2))
    assert verdict(cold) == "No warm frame was measured."
    assert "No warm frame was measured." in _text(cold)


def test_it_fits_eighty_columns_with_long_times_and_names(document: Document) -> None:
    long = "pytorch-channels-last"
    sides: dict[str, SideSpec] = document.sides | {long: document.sides[PEER]}
    records = [
        msgspec.structs.replace(r, host_call_ns=r.host_call_ns * 1000)
        for r in document.records
        if isinstance(r, FrameRecord)
    ]
    records += [msgspec.structs.replace(r, side=long) for r in records if r.side == PEER]
    paced = [
        msgspec.structs.replace(
            r, fps=29.97, frame=400 * r.frame, arrival_ns=0, started_ns=0, done_ns=r.done_ns * 100
        )
        for r in document.records
        if isinstance(r, PacedRecord)
    ]
    slow = msgspec.structs.replace(
        document,
        sides=sides,
        setup=document.setup | {long: document.setup[PEER]},
        summary=summarise((*records, *paced), sides=sides, paths=2),
    )
    text = _text(slow)
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 80
    assert "…" not in text
    assert "58000.0" in text


def test_gpus_are_named(document: Document) -> None:
    from tdnet_bench.machine.gpus import Gpu

    gpu = Gpu(
        name="Some GPU",
        driver="550.1",
        memory_mib=1.0,
        sm_clock_mhz=1.0,
        sm_clock_max_mhz=1.0,
        memory_clock_mhz=1.0,
        power_limit_w=1.0,
        throttle_reasons=None,
    )
    environment = msgspec.structs.replace(document.environment, gpus=(gpu,))
    assert "Some GPU, driver 550.1" in _text(msgspec.structs.replace(document, environment=environment))


@pytest.mark.parametrize(
    ("share", "text"),
    [(1.0, "100.0000"), (0.9999999, ">99.9999"), (0.99912, "99.9120"), (0.0, "0.0000"), (None, "–")],
)
def test_a_share_is_a_hundred_only_where_it_is_all(share: float | None, text: str) -> None:
    assert format_share(share) == text


def test_numbers() -> None:
    times = [format_ms(ms) for ms in (0.1234, 999.994, 1000.0, 12345.67, None)]
    assert times == ["0.12", "999.99", "1000.0", "12345.7", "–"]
    assert [format_percent(0.55191), format_percent(None)] == ["55.19", "–"]
    ratios = [format_ratio(ratio) for ratio in (0.000412, 0.0391, 0.1, 0.7749, 9.9991, 93.677, None)]
    assert ratios == ["0.000412", "0.0391", "0.100", "0.775", "9.999", "93.7", "–"]
    assert [format_mib(12.6), format_mib(None)] == ["13 MiB", "–"]
    assert [format_interval(0.1, 0.25), format_interval(None, None)] == ["0.100 to 0.250", "–"]
    drift = Drift(window_frames=4, first_p50_ms=1, last_p50_ms=1.1, change=0.1)
    assert [format_drift(drift), format_drift(None)] == ["+10.0 %", "–"]


def test_nothing_in_a_document_reaches_the_terminal_raw(document: Document) -> None:
    """Names of files and classes, and what outside software said."""
    config = msgspec.structs.replace(
        document.config,
        engine="a\x1b[31m\nb.plan",
        footage="c\x1b]0;x\x07.mp4",
        network="n\x1b[2J",
        classes=tuple(f"{name}\x1b[5m" for name in document.config.classes),
    )
    changed = msgspec.structs.replace(document, config=config, notes=("note\x1b[7m",))
    text = _text(changed)
    assert "\x1b" not in text
    assert "\x07" not in text
    assert r"a\x1b[31m b.plan" in text
