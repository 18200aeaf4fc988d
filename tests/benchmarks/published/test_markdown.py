from __future__ import annotations

import pytest
from tests.benchmarks.published.conftest import ReadMachine, Write
from tests.benchmarks.published.tables import link, tables_of

from tdnet_bench.published.markdown import markdown_table, number, share_cell
from tdnet_bench.published.speed_tables import speed_table


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.4, "0.40"), (4.567, "4.57"), (9.996, "10.0"), (25.04, "25.0"), (99.96, "100"), (2950.4, "2950")],
)
def test_three_digits(value: float, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("share", "text"), [(1.0, "100.00 %"), (0.999999, ">99.99 %"), (0.99991, "99.99 %"), (0.85, "85.00 %")]
)
def test_all_labels_are_equal_only_where_they_are(share: float, text: str) -> None:
    assert share_cell(share) == text


def test_a_cell_does_not_end_its_column() -> None:
    assert markdown_table(("a|b",), [("c",)]) == "| a\\|b |\n|---|\n| c |"


def test_where_it_was_measured(write: Write, machine: ReadMachine) -> None:
    write("a", environment={"started_at": "2026-01-03T00:00:00+00:00"})
    write("b", environment={"started_at": "2026-01-01T09:00:00+00:00"})
    text = speed_table(machine(), link)
    assert text is not None
    assert text.endswith(
        "\n\nMeasured on 2 cores of Some CPU (avx2), 2 threads, with eager, no engine on 2026-01-01 to 2026-01-03."
    )


def test_two_processors_are_told_apart(write: Write, machine: ReadMachine) -> None:
    write("a", environment={"cpu": "Other CPU", "cpu_flags": ()})
    write("b")
    text = speed_table(machine(), link)
    assert text is not None
    assert (
        "Measured on 2 cores of Other CPU, 2 threads, with eager, no engine on 2026-01-01; "
        "2 cores of Some CPU (avx2), 2 threads, with" in text
    )


@pytest.mark.parametrize(("busy_cores", "marked"), [(0.09, False), (0.1, True), (1.6, True)])
def test_a_busy_machine_is_marked(
    write: Write, machine: ReadMachine, busy_cores: float, marked: bool
) -> None:
    """5 % of two cores are 0.1 cores."""
    write("busy", other_busy_cores=busy_cores)
    write("idle", config={"network": "td4-psp18", "widths": "stem 64, planes 64-128-256-512, value 256"})
    text = speed_table(machine(), link)
    assert text is not None
    (rows,) = tables_of(text)
    expected = "td2-fa18, stem 4 †" if marked else "td2-fa18, stem 4"
    assert [row["network"] for row in rows] == [expected, "td4-psp18"]
    assert ("\n\n† other programs ran beside it, on more than 5 % of the cores." in text) == marked
