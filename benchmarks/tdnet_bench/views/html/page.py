"""Write a run's document as one HTML page: no script, no font, no picture from anywhere else."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tdnet_bench.documents.document import Document
from tdnet_eval.judge import Picture
from tdnet_eval.private_caches import use_private_caches
from tdnet_eval.result_file import records_as_json, write_result
from tdnet_runtime.extras import require

if TYPE_CHECKING:
    from markupsafe import Markup

    from tdnet_eval.painting import ClassColors

__all__ = ["page_from_document", "require_libraries", "write_page"]


def require_libraries() -> None:
    """Import what a page needs, so that a long run does not end without one.

    Raises:
        MissingExtraError: something is not installed.
        OptionError: no temporary folder can be made.
    """
    use_private_caches()
    for module in ("jinja2", "matplotlib", "cv2"):
        require(module, extra="bench")


def write_page(
    document: Document, path: Path, *, picture: Picture | None, class_colors: ClassColors = ()
) -> None:
    """Write the page of `document` to `path`, whole or not at all; an existing file is replaced.

    `picture` is of one frame of the run, if it is to be shown, in `class_colors` (R, G, B).

    Raises:
        MissingExtraError: jinja2, matplotlib or OpenCV is not installed.
        OptionError: the file could not be written, or a label of `picture` has no colour.
    """
    require_libraries()
    text = page_from_document(document, picture=picture, class_colors=class_colors)
    write_result(text.encode(errors="backslashreplace"), path, what="the page", option="--html")


def page_from_document(document: Document, *, picture: Picture | None, class_colors: ClassColors = ()) -> str:
    """The page's text; see `write_page`."""
    # here, so that this module can be imported where a page is only asked for
    from tdnet_bench.views.html.picture import block_from_picture
    from tdnet_bench.views.html.values import FORMATS, Value, span

    config = document.config
    environment = _environment()
    for name in (*FORMATS, "key"):
        environment.filters[name] = partial(span, name=name)
    block = None
    if picture is not None:
        block = block_from_picture(
            picture, subject=config.subject, reference=config.reference, colors=class_colors
        )
    content = Value(json.loads(records_as_json(document)))
    shown = {"kind": "frame", "side": config.subject, "frame": None if picture is None else picture.frame}
    return str(
        environment.get_template("page.html.jinja").render(
            run=content,
            subject=content["summary"]["sides"].get(config.subject),
            charts=_charts(document),
            picture=block,
            picture_record=next((r for r in content["records"] if shown.items() <= r.raw.items()), None),
            warnings=[
                note for note in content["notes"] if note.raw.partition(":")[0].isupper()
            ],  # the loud ones
            style=Path(__file__).with_name("style.css").read_text(encoding="utf-8"),
        )
    )


def _environment() -> Any:
    jinja2: Any = require("jinja2", extra="bench")
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _charts(document: Document) -> dict[str, Markup]:
    """Each chart that has something to show, for both widths."""
    from markupsafe import Markup

    use_private_caches()
    from tdnet_bench.views.html import charts, series
    from tdnet_bench.views.html.svg import svg_from_figure

    sides = series.side_series(document)
    drawings: dict[str, tuple[Any, Any, str]] = {
        "latency": (charts.latency_chart, sides, "Host call of each frame over time, by side and path"),
        "distribution": (
            charts.distribution_chart,
            [side for side in sides if side.warm],
            "Share of the warm frames that were done within a time, by side and path",
        ),
        "ratios": (charts.ratio_chart, series.ratio_rows(document), "Ratios of times with their intervals"),
        "paced": (charts.paced_chart, series.paced_series(document), "Latency of each paced frame over time"),
    }
    return {
        name: Markup("\n").join(
            svg_from_figure(
                draw(data, paper),
                name=f"{name}-{paper.name}",
                description=f"{description}. The figures are in the tables of this section.",
                css_class=paper.name,
            )
            for paper in (charts.WIDE, charts.NARROW)
        )
        for name, (draw, data, description) in drawings.items()
        if data
    }
