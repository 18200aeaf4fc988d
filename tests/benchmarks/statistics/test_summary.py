from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from tdnet_bench.records.config import SideSpec
from tdnet_bench.records.frames import AnyRecord, CameraRecord, FrameRecord, PacedRecord
from tdnet_bench.statistics.summary import summarise

MS = 1_000_000
SUBJECT, PEER = "fake:fp32", "pytorch"
Sides = dict[str, SideSpec]


def test_first_and_cold_frames_are_kept_apart(records: tuple[FrameRecord, ...], sides: Sides) -> None:
    subject = summarise(records, sides=sides, paths=2).sides[SUBJECT]
    assert [(f.frame, f.path, f.cold, f.host_call_ms) for f in subject.lead_in] == [(0, 1, True, 90.0)]
    assert subject.overall is not None
    assert (subject.overall.samples, subject.overall.p50_ms, subject.overall.max_ms) == (4, 25.0, 60.0)
    assert {path: (s.samples, s.p50_ms, s.mean_ms) for path, s in subject.by_path.items()} == {
        1: (2, 40.0, 40.0),  # frames 2 and 4: 20 and 60
        2: (2, 20.0, 20.0),  # frames 1 and 3: 10 and 30
    }
    assert subject.ripple_ms == 20.0
    assert subject.drift is None  # no round of two frames fits into a quarter of four
    assert subject.device is None


def test_the_subject_is_compared_with_its_peer(records: tuple[FrameRecord, ...], sides: Sides) -> None:
    summary = summarise(records, sides=sides, paths=2)
    (comparison,) = summary.comparisons
    assert (comparison.side, comparison.baseline) == (SUBJECT, PEER)
    assert comparison.overall is not None
    assert comparison.overall.pairs == 4
    assert comparison.overall.of_p50s == 25 / 32.5  # of (10, 20, 30, 60) and (20, 25, 40, 50)
    assert comparison.overall.median_of_pairs == pytest.approx((0.75 + 0.8) / 2)  # 0.5, 0.8, 0.75, 1.2
    assert comparison.by_path[1].of_p50s == 40 / 37.5
    assert comparison.by_path[2].median_of_pairs == pytest.approx((0.5 + 0.75) / 2)
    agreement = summary.sides[SUBJECT].quality.agreement
    assert agreement is not None
    assert (agreement.frames, agreement.mean) == (5, 0.85)  # the cold frame included
    assert (agreement.worst, agreement.worst_frame) == (0.5, 3)


def test_other_sides_of_the_bundle_are_compared_with_pytorch(
    records: tuple[FrameRecord, ...], sides: Sides
) -> None:
    other = "fake:fp16"
    rivals = sides | {other: msgspec.structs.replace(sides[SUBJECT], name=other)}
    more = [msgspec.structs.replace(r, side=other) for r in records if r.side == SUBJECT]
    summary = summarise((*records, *more), sides=rivals, paths=2)
    assert [(c.side, c.baseline) for c in summary.comparisons] == [
        (SUBJECT, PEER),
        (SUBJECT, other),
        (other, PEER),
    ]


def test_the_order_of_the_records_does_not_matter(all_records: tuple[AnyRecord, ...], sides: Sides) -> None:
    expected = summarise(all_records, sides=sides, paths=2)
    assert summarise(all_records[::-1], sides=sides, paths=2) == expected


def test_the_first_frame_is_apart_even_where_no_frame_is_cold(sides: Sides) -> None:
    frames = [
        FrameRecord(frame=i, side=SUBJECT, path=1, cold=False, turn=0, host_call_ns=(9 - i) * MS)
        for i in range(3)
    ]
    side = summarise(frames, sides=sides, paths=1).sides[SUBJECT]
    assert [(f.frame, f.host_call_ms) for f in side.lead_in] == [(0, 9.0)]
    assert side.overall is not None
    assert side.overall.max_ms == 8.0
    assert side.ripple_ms is None


def test_the_first_frame_of_each_sequence_is_apart(sides: Sides) -> None:
    """`frame` counts over all sequences, and of a network without memory no frame is cold."""
    frames = [
        FrameRecord(
            frame=i,
            side=side,
            path=1,
            cold=False,
            turn=0,
            host_call_ns=(90 if i % 3 == 0 else 1) * MS,
            first=i % 3 == 0,
        )
        for i in range(6)
        for side in (SUBJECT, PEER)
    ]
    summary = summarise(frames, sides=sides, paths=1)
    side = summary.sides[SUBJECT]
    assert [(f.frame, f.host_call_ms) for f in side.lead_in] == [(0, 90.0), (3, 90.0)]
    assert side.overall is not None
    assert (side.overall.samples, side.overall.max_ms) == (4, 1.0)
    (comparison,) = summary.comparisons
    assert comparison.overall is not None
    assert comparison.overall.pairs == 4


def test_a_side_without_records_is_left_out(records: tuple[FrameRecord, ...], sides: Sides) -> None:
    alone = summarise([r for r in records if r.side == SUBJECT], sides=sides, paths=2)
    assert alone.sides.keys() == {SUBJECT}
    assert alone.comparisons == ()
    assert summarise([], sides=sides, paths=2).sides == {}


def test_only_cold_frames_leave_the_statistics_empty(records: tuple[FrameRecord, ...], sides: Sides) -> None:
    summary = summarise([r for r in records if r.frame == 0], sides=sides, paths=2)
    assert summary.sides[SUBJECT].overall is None
    assert summary.sides[SUBJECT].by_path == {}
    assert summary.comparisons[0].overall is None
    assert summary.comparisons[0].by_path == {}


def test_device_compute_has_figures_of_its_own(record: Callable[..., FrameRecord], sides: Sides) -> None:
    frames = [record(i, SUBJECT, 10, device_compute_ns=i * MS) for i in range(5)]
    side = summarise(frames, sides=sides, paths=2).sides[SUBJECT]
    assert side.device is not None
    assert (side.device.samples, side.device.p50_ms, side.device.max_ms) == (4, 2.5, 4.0)
    assert {path: s.mean_ms for path, s in side.device_by_path.items()} == {1: 3.0, 2: 2.0}


def test_camera_to_mask_is_split_into_decoding_and_the_rest(
    all_records: tuple[AnyRecord, ...], sides: Sides
) -> None:
    camera = summarise(all_records, sides=sides, paths=2).camera
    assert camera.keys() == {SUBJECT}
    figures = camera[SUBJECT]
    assert figures.overall is not None
    assert figures.decode is not None
    assert figures.push is not None
    assert figures.overall.samples == 2  # frames 1 and 2; frame 0 is cold
    assert (figures.overall.p50_ms, figures.decode.p50_ms, figures.push.p50_ms) == (27.5, 2.5, 25.0)
    assert {path: s.p50_ms for path, s in figures.by_path.items()} == {1: 33.0, 2: 22.0}


def test_rates_are_told_apart_and_sorted(all_records: tuple[AnyRecord, ...], sides: Sides) -> None:
    paced = [r for r in all_records if isinstance(r, PacedRecord)]
    slower = [msgspec.structs.replace(r, fps=2.0) for r in paced]
    summary = summarise((*paced, *slower), sides=sides, paths=2)
    assert [rate.fps for rate in summary.paced] == [2.0, 10.0]
    cold = [r for r in paced if r.cold]
    assert summarise(cold, sides=sides, paths=2).paced == ()


def test_kinds_of_records_do_not_mix(all_records: tuple[AnyRecord, ...], sides: Sides) -> None:
    summary = summarise([r for r in all_records if isinstance(r, CameraRecord)], sides=sides, paths=2)
    assert (summary.sides, summary.paced, summary.comparisons) == ({}, (), ())
