from __future__ import annotations

import msgspec
import pytest
from tests.benchmarks.views.html.rich import MS

from tdnet_bench.documents.document import Document
from tdnet_bench.records.frames import PacedRecord
from tdnet_bench.statistics.summary import summarise
from tdnet_bench.views.html.series import Points, paced_series, ratio_rows, side_series


def test_host_calls_by_side_and_path(document: Document) -> None:
    subject, peer = side_series(document)
    assert (subject.side, peer.side) == ("fake:fp32", "pytorch")
    assert subject.warm == {1: Points((2.0, 4.0), (20.0, 60.0)), 2: Points((1.0, 3.0), (10.0, 30.0))}
    assert subject.kept_apart == Points((0.0,), (90.0,))
    assert peer.warm[1] == Points((2.0, 4.0), (25.0, 50.0))


def test_ratios_are_the_summarys(document: Document) -> None:
    (row,) = ratio_rows(document)
    ratio = document.summary.comparisons[0].overall
    assert ratio is not None
    assert row.label == "fake:fp32 over pytorch"
    assert row.overall == pytest.approx((0.75 + 0.8) / 2)  # of 0.5, 0.8, 0.75 and 1.2
    assert (row.low, row.high) == (ratio.low, ratio.high)
    assert row.by_path == pytest.approx({1: (0.8 + 1.2) / 2, 2: (0.5 + 0.75) / 2})


def test_paced_frames_met_missed_and_dropped(document: Document) -> None:
    """At 10 frames/s: 0 is cold, 1 is in time, 2 is exactly on the next arrival, 3 is dropped, 4 is late."""
    done_ms = {0: 50, 1: 150, 2: 300, 4: 501}
    records = tuple(
        PacedRecord(
            fps=10.0,
            frame=frame,
            push=push,
            path=push % 2 + 1,
            cold=push < 1,
            arrival_ns=100 * frame * MS,
            started_ns=100 * frame * MS,
            done_ns=done * MS,
        )
        for push, (frame, done) in enumerate(done_ms.items())
    )
    summary = summarise(records, sides=document.sides, paths=2)
    (rate,) = paced_series(msgspec.structs.replace(document, records=records, summary=summary))
    assert rate.met == Points((0.1, 0.2), (50.0, 100.0))
    assert rate.missed == Points((0.4,), (101.0,))
    assert rate.kept_apart == Points((0.0,), (50.0,))
    assert rate.dropped_s == (0.3,)
    assert (len(rate.missed.x), len(rate.dropped_s)) == (summary.paced[0].missed, summary.paced[0].dropped)


def test_a_document_of_nothing_has_nothing_to_draw(document: Document) -> None:
    empty = msgspec.structs.replace(
        document, records=(), summary=msgspec.structs.replace(document.summary, paced=(), comparisons=())
    )
    assert (side_series(empty), ratio_rows(empty), paced_series(empty)) == ((), (), ())
