"""The page's charts, drawn with Matplotlib; each is drawn twice, for a desk and for a phone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, PercentFormatter

from tdnet_bench.views.html.series import PacedSeries, Points, RatioRow, SideSeries
from tdnet_bench.views.html.svg import INKS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["NARROW", "WIDE", "Paper", "distribution_chart", "latency_chart", "paced_chart", "ratio_chart"]


class Paper(NamedTuple):
    """What a chart is drawn on: its width and markers in CSS pixels, columns of panels and of the legend at most."""

    name: str
    width: int
    columns: int
    legend_columns: int
    marker: float


WIDE = Paper(name="wide", width=860, columns=2, legend_columns=6, marker=3.5)
NARROW = Paper(name="narrow", width=336, columns=1, legend_columns=2, marker=2.5)

_PX_PER_INCH = 72  # of Matplotlib's SVG
_MANY = 400  # points of a panel above which a line without markers says more
_DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)))
_APART: dict[str, Any] = {"marker": "o", "color": INKS["muted"], "linestyle": "", "fillstyle": "none"}
_MARKERS = ("o", "s", "^", "D")
_TEXT_PX = 12
_STYLE: dict[Any, Any] = {
    "font.size": _TEXT_PX,
    "axes.titlesize": _TEXT_PX,
    "axes.titlelocation": "left",
    "axes.edgecolor": INKS["muted"],
    "axes.labelcolor": INKS["muted"],
    "axes.titlecolor": INKS["ink"],
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": INKS["line"],
    "grid.linewidth": 1,
    "text.color": INKS["ink"],
    "text.parse_math": False,
    "legend.frameon": False,
    "legend.handlelength": 3,
    "lines.linewidth": 1.5,
    "xtick.color": INKS["muted"],
    "ytick.color": INKS["muted"],
}


def latency_chart(sides: Sequence[SideSeries], paper: Paper) -> Figure:
    """Host call of each frame over time: a panel for each side, a line for each path, from 0 on."""
    with _figure(paper, height=150 * len(sides) + 70) as figure:
        panels = figure.subplots(len(sides), sharex=True, squeeze=False)[:, 0]
        for axes, side in zip(panels, sides, strict=True):
            count = sum(len(points.x) for points in side.warm.values())
            size = paper.marker if count <= _MANY else 0
            for path, points in side.warm.items():
                axes.plot(points.x, points.y, **_path_style(path), markersize=size, linewidth=1)
            _apart(axes, side.kept_apart, paper)
            axes.set_title(f"{side.side}, ms")
            axes.set_ylim(bottom=0)
            axes.yaxis.set_major_locator(MaxNLocator(4))
            axes.grid(visible=False, axis="x")
        panels[-1].set_xlabel("frame")
        panels[-1].xaxis.set_major_locator(MaxNLocator(8 if paper is WIDE else 5, integer=True))
        apart = [_apart_handle(paper)] if any(side.kept_apart.x for side in sides) else []
        _legend(figure, [*_path_handles(_paths(sides), paper.marker), *apart], paper)
    return figure


def distribution_chart(sides: Sequence[SideSeries], paper: Paper) -> Figure:
    """Share of the warm frames that were done within a time: a panel for each side, a line for each path."""
    shown = [side for side in sides if side.warm]
    columns = min(paper.columns, len(shown))
    rows = -(-len(shown) // columns)
    with _figure(paper, height=190 * rows + 60) as figure:
        panels = list(figure.subplots(rows, columns, squeeze=False).flat)
        for axes, side in zip(panels, shown, strict=False):
            for path, points in side.warm.items():
                style = _path_style(path)
                axes.ecdf(points.y, color=style["color"], linestyle=style["linestyle"])
            axes.set_title(f"{side.side}, ms")
            axes.set_ylim(0, 1.02)
            axes.set_yticks([0, 0.5, 0.9, 1])
            axes.yaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
            axes.xaxis.set_major_locator(MaxNLocator(5))
        for axes in panels[len(shown) :]:
            axes.set_axis_off()
        _legend(figure, _path_handles(_paths(shown), 0), paper)
    return figure


def ratio_chart(rows: Sequence[RatioRow], paper: Paper) -> Figure:
    """Ratios from 0 on, a row for each comparison: its interval, and each path; a dashed line at 1."""
    with _figure(paper, height=48 * len(rows) + 80) as figure:
        axes = figure.subplots()
        for place, row in enumerate(rows):
            for path, ratio in row.by_path.items():
                axes.plot(ratio, place, **_path_style(path), markersize=5)
            if row.low is not None and row.high is not None:
                axes.plot([row.low, row.high], [place] * 2, color=INKS["ink"], linewidth=2)
            axes.plot(row.overall, place, "|", color=INKS["ink"], markersize=16, markeredgewidth=2.5)
            label = axes.annotate(row.label, (0, place - 0.42), xytext=(4, 0), textcoords="offset points")
            label.set(verticalalignment="center", in_layout=False)
            label.set_bbox({"facecolor": INKS["paper"], "edgecolor": "none", "pad": 1})
        axes.axvline(1, color=INKS["ink"], linestyle=_DASHES[1], linewidth=1)
        axes.set_yticks([])
        axes.set_ylim(len(rows) - 0.5, -0.8)
        axes.set_xlim(0, max(1.1, 1.05 * max(row.high or row.overall for row in rows)))
        axes.set_xlabel("ratio of times")
        paths = sorted({path for row in rows for path in row.by_path})
        whole = Line2D(
            [], [], color=INKS["ink"], marker="|", markersize=12, markeredgewidth=2.5, label="all, interval"
        )
        _legend(figure, [whole, *_path_handles(paths, 5, lines=False)], paper)
    return figure


def paced_chart(rates: Sequence[PacedSeries], paper: Paper) -> Figure:
    """Latency of each paced frame over its arrival: a panel for each rate, a dashed line at the deadline."""
    with _figure(paper, height=170 * len(rates) + 90) as figure:
        panels = figure.subplots(len(rates), squeeze=False)[:, 0]
        for axes, rate in zip(panels, rates, strict=True):
            axes.plot(rate.met.x, rate.met.y, "o", color=INKS["path-1"], markersize=paper.marker)
            axes.plot(rate.missed.x, rate.missed.y, "x", color=INKS["bad"], markersize=paper.marker + 3)
            _apart(axes, rate.kept_apart, paper)
            axes.axhline(rate.period_ms, color=INKS["ink"], linestyle=_DASHES[1], linewidth=1)
            if rate.dropped_s:  # an empty line that is not clipped has no place in the layout
                at_bottom = axes.plot(rate.dropped_s, [0] * len(rate.dropped_s), "|", color=INKS["bad"])
                at_bottom[0].set(markersize=12, clip_on=False)
            axes.set_title(f"{rate.fps:g} frames/s: from arrival to labels, ms")
            axes.set_ylim(0, 1.1 * max(rate.period_ms, axes.get_ylim()[1]))
            axes.yaxis.set_major_locator(MaxNLocator(4))
            axes.grid(visible=False, axis="x")
        panels[-1].set_xlabel("arrival, s")
        _legend(figure, _paced_handles(rates, paper), paper)
    return figure


@contextmanager
def _figure(paper: Paper, *, height: int) -> Iterator[Figure]:
    with mpl.rc_context(_STYLE):
        size = (paper.width / _PX_PER_INCH, height / _PX_PER_INCH)
        yield Figure(figsize=size, dpi=_PX_PER_INCH, layout="constrained")


def _path_style(path: int) -> dict[str, Any]:
    place = (path - 1) % len(_MARKERS)
    return {"color": INKS[f"path-{place + 1}"], "linestyle": _DASHES[place], "marker": _MARKERS[place]}


def _paths(sides: Sequence[SideSeries]) -> list[int]:
    return sorted({path for side in sides for path in side.warm})


def _path_handles(paths: Sequence[int], marker: float, *, lines: bool = True) -> list[Line2D]:
    styles = {path: _path_style(path) | ({} if lines else {"linestyle": ""}) for path in paths}
    return [
        Line2D([], [], **style, markersize=marker, label=f"path {path}") for path, style in styles.items()
    ]


def _paced_handles(rates: Sequence[PacedSeries], paper: Paper) -> list[Line2D]:
    """Of what occurs."""
    bad, size = INKS["bad"], paper.marker
    shown = (
        (any(r.met.x for r in rates), "in time", "o", INKS["path-1"], size),
        (any(r.missed.x for r in rates), "missed", "x", bad, size + 3),
        (any(r.dropped_s for r in rates), "dropped", "|", bad, 12),
    )
    handles = [
        Line2D([], [], linestyle="", label=label, marker=marker, color=color, markersize=large)
        for holds, label, marker, color, large in shown
        if holds
    ]
    handles.append(Line2D([], [], color=INKS["ink"], linestyle=_DASHES[1], linewidth=1, label="next arrival"))
    return handles + ([_apart_handle(paper)] if any(rate.kept_apart.x for rate in rates) else [])


def _apart(axes: Axes, points: Points, paper: Paper) -> None:
    axes.plot(points.x, points.y, **_APART, markersize=paper.marker + 2)


def _apart_handle(paper: Paper) -> Line2D:
    return Line2D([], [], **_APART, markersize=paper.marker + 2, label="first or cold")


def _legend(figure: Figure, handles: Sequence[Line2D], paper: Paper) -> None:
    columns = min(len(handles), paper.legend_columns)
    figure.legend(handles=handles, loc="outside upper left", ncols=columns, borderaxespad=0)
