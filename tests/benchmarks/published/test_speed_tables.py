from __future__ import annotations

from tests.benchmarks.published.conftest import OTHER, SUBJECT, ReadMachine, Write
from tests.benchmarks.published.tables import link, tables_of

from tdnet_bench.documents.document import Document
from tdnet_bench.published.speed_tables import sizes_table, speed_table, times_faster
from tdnet_bench.quality.features import FeatureErrors
from tdnet_bench.statistics.ratios import Ratio
from tdnet_bench.statistics.summary import summarise

FASTER = "faster by (95 % interval)"


def test_a_row_for_each_bundle_side(write: Write, machine: ReadMachine, two_sides: Document) -> None:
    features = {OTHER: FeatureErrors(reference=SUBJECT, by_path=(0.0351, 0.0288))}
    write("demo", source=two_sides, features=features)
    (rows,) = tables_of(speed_table(machine(), link))
    first, second = rows
    assert first.pop(FASTER).startswith("1.29× (")  # frames' ratios 0.5, 0.8, 0.75, 1.2: median 0.775
    assert first == {
        "network": "td2-fa18, stem 4",
        "input": "48×64",
        "bundle on": SUBJECT,
        "p50": "25.0 ms",  # of 10, 20, 30, 60
        "eager PyTorch, p50": "32.5 ms",  # of 20, 25, 40, 50
        "labels equal": "85.00 %",  # of 1, 0.75, 1, 0.5, 1
        "features off": "–",
        "file": "[json](demo.json)",
    }
    assert second["bundle on"] == OTHER
    assert second["p50"] == "12.5 ms"
    assert second[FASTER].startswith("2.58× (")
    assert second["features off"] == "3.51 %"


def test_the_ratio_is_turned_upside_down_and_the_ends_change_places() -> None:
    ratio = Ratio(pairs=9, of_p50s=0.9, median_of_pairs=0.625, low=0.5, high=0.8)
    assert times_faster(ratio) == "1.60× (1.25 to 2.00)"
    slower = Ratio(pairs=9, of_p50s=0.9, median_of_pairs=2.0, low=1.6, high=2.5)
    assert times_faster(slower) == "0.50× (0.40 to 0.62)"


def test_a_ratio_of_one_pair_has_no_interval() -> None:
    ratio = Ratio(pairs=1, of_p50s=0.05, median_of_pairs=0.05, low=None, high=None)
    assert times_faster(ratio) == "20.0×"


def test_approximations_are_among_the_sizes_only(write: Write, machine: ReadMachine) -> None:
    write("full")
    write("small", config={"width": 48, "size_resampled": True})
    (rows,) = tables_of(speed_table(machine(), link))
    assert [row["input"] for row in rows] == ["48×64"]
    text = sizes_table(machine(), link)
    (rows,) = tables_of(text)
    assert [row["input"] for row in rows] == ["48×64", "48×48 ‡"]
    assert text is not None
    assert "\n\n‡ an approximation: " in text
    assert "†" not in text


def test_sizes_have_a_column_for_each_side_and_a_dash_for_a_missing_one(
    write: Write, machine: ReadMachine, two_sides: Document
) -> None:
    write("a-small", config={"width": 48})
    write("b-large", source=two_sides)
    (rows,) = tables_of(sizes_table(machine(), link))
    network = {"network": "td2-fa18, stem 4"}
    assert rows == [
        network
        | {
            "input": "48×64",
            "eager PyTorch": "32.5 ms",
            SUBJECT: "25.0 ms · 85.00 %",
            OTHER: "12.5 ms · 85.00 %",
            "file": "[json](b-large.json)",
        },
        network
        | {
            "input": "48×48",
            "eager PyTorch": "32.5 ms",
            SUBJECT: "25.0 ms · 85.00 %",
            OTHER: "–",
            "file": "[json](a-small.json)",
        },
    ]


def test_labels_that_were_compared_with_another_side_are_not_told(write: Write, machine: ReadMachine) -> None:
    write("demo", config={"reference": SUBJECT})
    (rows,) = tables_of(speed_table(machine(), link))
    assert rows[0]["labels equal"] == "–"
    (rows,) = tables_of(sizes_table(machine(), link))
    assert rows[0][SUBJECT] == "25.0 ms"


def test_a_run_without_pytorch_is_among_the_sizes_only(
    write: Write, machine: ReadMachine, document: Document
) -> None:
    alone = summarise(document.records, sides={SUBJECT: document.sides[SUBJECT]}, paths=2)
    write("demo", summary=alone)
    assert speed_table(machine(), link) is None
    (rows,) = tables_of(sizes_table(machine(), link))
    assert rows[0]["eager PyTorch"] == "–"


def test_nothing_measured(write: Write, machine: ReadMachine) -> None:
    write("one", folder="camvid-val")
    assert speed_table(machine(), link) is None
    assert sizes_table(machine(), link) is None
