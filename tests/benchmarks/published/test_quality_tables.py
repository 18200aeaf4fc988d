from __future__ import annotations

import msgspec
import pytest
from tests.benchmarks.published.conftest import ReadMachine, Write
from tests.benchmarks.published.tables import link, tables_of

from tdnet_bench.documents.document import Document
from tdnet_bench.published.quality_tables import camvid_class_table, camvid_table, points_cell
from tdnet_bench.records.frames import ClassPixels, FrameRecord
from tdnet_bench.statistics.quality import Accuracy
from tdnet_bench.statistics.summary import summarise

SUBJECT, PEER = "fake:fp32", "pytorch"
WORSE = ClassPixels(hits=(2, 0, 1, 0, 0), truth=(4, 0, 2, 0, 0), labelled=(3, 0, 1, 0, 0))
"""Of the subject: IoU 2/5 and 1/2, mIoU 0.45. PyTorch's: 3/4, 0/2 and 1/2, mIoU 5/12."""


@pytest.fixture
def judged(document: Document) -> Document:
    records = tuple(
        msgspec.structs.replace(record, class_pixels=WORSE)
        if isinstance(record, FrameRecord) and record.side == SUBJECT and record.class_pixels
        else record
        for record in document.records
    )
    summary = summarise(records, sides=document.sides, paths=2)
    return msgspec.structs.replace(document, records=records, summary=summary)


def test_a_row_for_each_side(write: Write, machine: ReadMachine, judged: Document) -> None:
    write("w4", folder="camvid-val", source=judged)
    (rows,) = tables_of(camvid_table(machine(), link))
    common = {
        "network": "td2-fa18, stem 4",
        "split, frames": "val, 1",
        "input": "48×64",
        "consistency, %": "87.50",  # of 0.89, 0.88, 0.87, 0.86
        "file": "[json](w4.json)",
    }
    pytorch, subject = rows
    assert pytorch == common | {
        "side": PEER,
        "mIoU, %": "41.67",
        "to PyTorch, points": "–",
        "labels equal": "–",
        "worst frame": "–",
        "p50": "32.5 ms",
    }
    assert subject == common | {
        "side": SUBJECT,
        "mIoU, %": "45.00",
        "to PyTorch, points": "+3.33",
        "labels equal": "85.00 %",
        "worst frame": "50.00 %",
        "p50": "25.0 ms",
    }


@pytest.mark.parametrize(
    ("miou", "text"), [(0.5473, "−0.07"), (0.54804, "0.00"), (0.54796, "0.00"), (0.5510, "+0.30")]
)
def test_points_have_a_sign(miou: float, text: str) -> None:
    def accuracy(miou: float) -> Accuracy:
        return Accuracy(frames=1, miou=miou, iou_by_class=(miou,))

    assert points_cell(accuracy(miou), accuracy(0.548)) == text
    assert points_cell(None, accuracy(0.548)) == points_cell(accuracy(miou), None) == "–"


def test_order_by_network_split_and_size(write: Write, machine: ReadMachine) -> None:
    small = {"width": 48, "size_resampled": True}
    write("small", folder="camvid-val", config=small)
    write("large", folder="camvid-val")
    write("test", folder="camvid-test")
    write("another", folder="camvid-val", config={"widths": "stem 64, planes 64-128-256-512"})
    (rows,) = tables_of(camvid_table(machine(), link))
    assert [row["file"] for row in rows if row["side"] == PEER] == [
        "[json](another.json)",
        "[json](large.json)",
        "[json](small.json)",
        "[json](test.json)",
    ]
    assert [row["split, frames"] for row in rows[-2:]] == ["test, 1", "test, 1"]


def test_classes_at_the_size_of_the_training(write: Write, machine: ReadMachine, judged: Document) -> None:
    write("large", folder="camvid-test", source=judged)
    write("small", folder="camvid-val", config={"width": 48, "size_resampled": True})
    (rows,) = tables_of(camvid_class_table(machine(), link))
    common = {"network": "td2-fa18, stem 4", "split": "test", "file": "[json](large.json)"}
    absent = {"class [3]": "–", "class [4]": "–"}
    assert rows == [
        common | absent | {"side": PEER, "class [0]": "75.00", "class [1]": "0.00", "class [2]": "50.00"},
        common | absent | {"side": SUBJECT, "class [0]": "40.00", "class [1]": "–", "class [2]": "50.00"},
    ]


def test_other_classes_have_a_table_of_their_own(write: Write, machine: ReadMachine) -> None:
    write("a", folder="camvid-val")
    write("b", folder="camvid-val", config={"classes": tuple("vwxyz")})
    first, second = tables_of(camvid_class_table(machine(), link))
    assert "class [0]" in first[0]
    assert "v" in second[0]


def test_nothing_measured(write: Write, machine: ReadMachine) -> None:
    write("speed")
    assert camvid_table(machine(), link) is None
    assert camvid_class_table(machine(), link) is None
