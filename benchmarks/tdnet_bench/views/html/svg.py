"""A Matplotlib figure as SVG inside a page: its colours are the page's, its text is the page's font.

Matplotlib writes fixed colours, so charts are drawn in the stand-ins of `INKS`, each of which becomes the CSS
variable that the page defines for light and for dark.
"""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from markupsafe import Markup

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["INKS", "svg_from_figure"]

INKS = {
    name: f"#0000{index:02x}"
    for index, name in enumerate(
        ("ink", "muted", "line", "paper", "bad", "accent", "path-1", "path-2", "path-3", "path-4"), start=1
    )
}
"""By CSS variable without its dashes, the colour that stands for it; no other colour may be used."""

_VARIABLES = {color: f"var(--{name})" for name, color in INKS.items()}
_SVG = "{http://www.w3.org/2000/svg}"
_XLINK = "{http://www.w3.org/1999/xlink}href"
_DROPPED = {f"{_SVG}metadata", f"{_SVG}style"}  # a style sheet inside SVG rules the whole page
_REFERENCE = re.compile(r"url\(#([^)]+)\)")
_FONT = re.compile(r"font(?:-family|-size)?:[^;]*;?\s*")  # older versions write the shorthand, `font:`
_SIZE = re.compile(r"([\d.]+)px")


def svg_from_figure(figure: Figure, *, name: str, description: str, css_class: str = "") -> Markup:
    """`figure`, drawn in the colours of `INKS`, as an `<svg>` as wide as its container, at most as wide as it was drawn.

    `name` is unique in the page, a prefix for all ids; `description` is read aloud instead of the chart.

    Raises:
        ValueError: a colour that is none of `INKS`.
    """
    # here, since Matplotlib is loaded only for a page
    import matplotlib as mpl

    file = io.BytesIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    root = ElementTree.fromstring(file.getvalue())
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in _DROPPED:
                parent.remove(child)
    for element in root.iter():
        element.tag = element.tag.removeprefix(_SVG)  # the page's parser knows where it is
        _own_attributes(element, name)
    for attribute in ("width", "height", "version"):
        root.attrib.pop(attribute, None)
    width = root.attrib["viewBox"].split()[2]
    root.attrib |= {
        "class": f"chart {css_class}".strip(),
        "role": "img",
        "aria-label": description,
        "style": f"--drawn: {float(width):g}px",
    }
    return Markup(ElementTree.tostring(root, encoding="unicode"))


def _own_attributes(element: ElementTree.Element, name: str) -> None:
    """Prefix ids and what refers to them, and put the page's colours and font in."""
    attributes = element.attrib
    if "id" in attributes:
        attributes["id"] = f"{name}-{attributes['id']}"
    if _XLINK in attributes:
        attributes["href"] = f"#{name}-{attributes.pop(_XLINK).removeprefix('#')}"
    for key, value in attributes.items():
        value = _REFERENCE.sub(rf"url(#{name}-\1)", value)
        if key == "style":
            value = _page_font(value) if element.tag == "text" else value
            value = re.sub(r"#[0-9a-f]{6}", _variable, value)
        attributes[key] = value


def _variable(found: re.Match[str]) -> str:
    if found[0] not in _VARIABLES:
        raise ValueError(f"a chart was drawn in {found[0]}, expected a colour of INKS")
    return _VARIABLES[found[0]]


def _page_font(style: str) -> str:
    """Without the family, which is the page's; the size stays, since the layout was made with it."""
    size = _SIZE.search(style)
    rest = _FONT.sub("", style)
    return f"font-size: {size[1]}px; {rest}" if size else rest
