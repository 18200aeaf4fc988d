from __future__ import annotations

import msgspec
import pytest

from tdnet_bench.documents.notes import (
    EXIT_CODES,
    MIN_AGREEMENT,
    disagreeing_sides,
    exit_code,
    notes_after,
    notes_before,
)
from tdnet_bench.records.config import LeftOut, SideSpec
from tdnet_bench.records.frames import FrameRecord
from tdnet_bench.statistics.summary import Summary, summarise
from tdnet_runtime.manifest import Manifest

SUBJECT = "fake:fp32"
LEFT = (LeftOut(what="torch-compile", reason="no compiler"),)


def _summary(records: tuple[FrameRecord, ...], sides: dict[str, SideSpec], agreement: float) -> Summary:
    changed = [
        msgspec.structs.replace(r, agreement=agreement if r.side == SUBJECT else None) for r in records
    ]
    return summarise(changed, sides=sides, paths=2)


@pytest.mark.parametrize(
    ("agreement", "left_out", "code"),
    [
        (1.0, (), 0),
        (MIN_AGREEMENT, (), 0),
        (1.0, LEFT, 3),
        (MIN_AGREEMENT - 0.001, (), 4),
        (MIN_AGREEMENT - 0.001, LEFT, 4),
    ],
)
def test_the_exit_code_tells(
    records: tuple[FrameRecord, ...],
    sides: dict[str, SideSpec],
    agreement: float,
    left_out: tuple[LeftOut, ...],
    code: int,
) -> None:
    summary = _summary(records, sides, agreement)
    assert exit_code(summary, left_out) == code
    assert code in EXIT_CODES
    assert disagreeing_sides(summary) == ((SUBJECT,) if code == 4 else ())


def test_a_side_that_disagrees_is_a_loud_note(
    records: tuple[FrameRecord, ...], sides: dict[str, SideSpec]
) -> None:
    summary = _summary(records, sides, 0.5)
    (note,) = notes_after(summary, measured=5, wanted=5, busy_cores=0, usable_cores=2)
    assert note.startswith("THE REFERENCE DISAGREES: 50.00% of the labels of fake:fp32")
    short = _summary(records, sides, 1.0)
    (note,) = notes_after(short, measured=5, wanted=61, busy_cores=0, usable_cores=2)
    assert note == "the input ended after 5 of the 61 frames that --frames asks for"


def test_what_is_known_before(manifest: Manifest) -> None:
    assert list(notes_before(manifest, "no reference", {})) == ["no reference"]
    resampled = msgspec.structs.replace(manifest, size_resampled=True)
    notes = list(notes_before(resampled, "no reference", {"auto": SUBJECT}))
    assert "approximation" in notes[1]
    assert notes[2] == "auto is fake:fp32, which was measured once"


def test_a_busy_machine_is_called_one(records: tuple[FrameRecord, ...], sides: dict[str, SideSpec]) -> None:
    summary = _summary(records, sides, 1.0)
    assert list(notes_after(summary, measured=5, wanted=5, busy_cores=0.09, usable_cores=2)) == []
    (note,) = notes_after(summary, measured=5, wanted=5, busy_cores=0.26, usable_cores=2)
    assert "other programs kept 0.3 of 2 cores busy" in note


def test_why_a_clock_is_missing(records: tuple[FrameRecord, ...], sides: dict[str, SideSpec]) -> None:
    summary, obstacles = _summary(records, sides, 1.0), {SUBJECT: "no room"}
    (note,) = notes_after(summary, measured=5, wanted=5, busy_cores=0, usable_cores=2, obstacles=obstacles)
    assert note == "device compute of fake:fp32 was NOT measured: no room"
