from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from tdnet_bench.documents.document import Document
from tdnet_bench.views.html.charts import (
    NARROW,
    WIDE,
    Paper,
    distribution_chart,
    latency_chart,
    paced_chart,
    ratio_chart,
)
from tdnet_bench.views.html.series import PacedSeries, Points, RatioRow, SideSeries, side_series
from tdnet_bench.views.html.svg import INKS, svg_from_figure

SIDE = SideSeries(
    side="side",
    warm={1: Points((2.0, 4.0), (20.0, 60.0)), 2: Points((1.0, 3.0), (10.0, 30.0))},
    kept_apart=Points((0.0,), (90.0,)),
)
RATE = PacedSeries(
    fps=10.0,
    period_ms=100.0,
    met=Points((0.1,), (50.0,)),
    missed=Points((0.2,), (120.0,)),
    kept_apart=Points(),
    dropped_s=(0.3,),
)


def _points(line: Line2D) -> list[tuple[float, float]]:
    return list(zip(np.ravel(line.get_xdata()), np.ravel(line.get_ydata()), strict=True))


def _legend(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


@pytest.mark.parametrize("paper", [WIDE, NARROW], ids=lambda paper: paper.name)
def test_latency_has_every_frame_from_zero_on(paper: Paper) -> None:
    figure = latency_chart([SIDE, SIDE], paper)
    for axes in figure.axes:
        assert [_points(line) for line in axes.lines] == [
            [(2, 20), (4, 60)],
            [(1, 10), (3, 30)],
            [(0, 90)],
        ]
        assert axes.get_ylim()[0] == 0
        assert axes.get_ylim()[1] >= 90
    assert _legend(figure) == ["path 1", "path 2", "first or cold"]


def test_paths_differ_by_more_than_colour() -> None:
    lines = latency_chart([SIDE], WIDE).axes[0].lines
    assert lines[0].get_marker() != lines[1].get_marker()
    assert lines[0].get_linestyle() != lines[1].get_linestyle()


def test_distribution_reaches_a_hundred_at_the_slowest_frame() -> None:
    axes = distribution_chart([SIDE], WIDE).axes[0]
    assert _points(axes.lines[0])[1:] == [(20, 0.5), (60, 1.0)]


def test_a_panel_without_a_side_is_empty() -> None:
    cold = SideSeries(side="cold", warm={}, kept_apart=SIDE.kept_apart)
    figure = distribution_chart([SIDE, cold, SIDE, SIDE], WIDE)
    assert [axes.axison for axes in figure.axes] == [True, True, True, False]
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["side, ms"] * 3 + [""]


def test_ratios_have_interval_paths_and_a_line_at_one() -> None:
    row = RatioRow(label="a over b", overall=0.5, low=0.4, high=0.6, by_path={1: 0.45, 2: 0.55})
    axes = ratio_chart([row], WIDE).axes[0]
    assert [_points(line)[0][0] for line in axes.lines] == [0.45, 0.55, 0.4, 0.5, 1]
    assert _points(axes.lines[2]) == [(0.4, 0), (0.6, 0)]
    assert axes.get_xlim() == (0, 1.1)
    bare = ratio_chart([RatioRow(label="a over b", overall=2.0, low=None, high=None, by_path={})], WIDE)
    assert bare.axes[0].get_xlim()[1] == pytest.approx(2.1)


def test_paced_tells_missed_and_dropped_apart() -> None:
    figure = paced_chart([RATE], NARROW)
    met, missed, _, deadline, dropped = figure.axes[0].lines
    assert _points(met) == [(0.1, 50)]
    assert _points(missed) == [(0.2, 120)]
    assert _points(dropped) == [(0.3, 0)]
    assert deadline.get_ydata() == [100, 100]
    assert met.get_marker() != missed.get_marker()
    assert _legend(figure) == ["in time", "missed", "dropped", "next arrival"]


def test_an_idle_rate_has_room_for_its_deadline() -> None:
    quiet = PacedSeries(
        fps=1.0, period_ms=1000.0, met=RATE.met, missed=Points(), kept_apart=Points(), dropped_s=()
    )
    assert paced_chart([quiet], WIDE).axes[0].get_ylim()[1] > 1000


def test_charts_take_the_pages_colours_and_font(rich: Document) -> None:
    figure = latency_chart(side_series(rich), WIDE)
    svg = svg_from_figure(figure, name="some", description="a <b>", css_class="wide")
    root = ElementTree.fromstring(svg)
    assert root.get("aria-label") == "a <b>"
    assert root.get("role") == "img"
    assert "width" not in root.attrib
    assert not re.search(r"#[0-9a-f]{6}\b", svg)
    assert "font-family" not in svg
    assert {"var(--path-1)", "var(--path-2)", "var(--muted)"} <= set(re.findall(r"var\(--[\w-]+\)", svg))
    assert "<style" not in svg
    assert "<metadata" not in svg
    assert all(element.get("id", "some-").startswith("some-") for element in root.iter())


def test_the_same_chart_is_the_same_text() -> None:
    first, second = (svg_from_figure(latency_chart([SIDE], WIDE), name="a", description="") for _ in "ab")
    assert first == second


def test_a_foreign_colour_is_refused() -> None:
    figure = Figure()
    figure.subplots().plot([1, 2], color="#123456")
    with pytest.raises(ValueError, match="drawn in #"):
        svg_from_figure(figure, name="a", description="")
    assert "#123456" not in INKS.values()
