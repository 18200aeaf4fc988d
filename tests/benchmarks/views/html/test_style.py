from __future__ import annotations

import re
from pathlib import Path

import pytest

from tdnet_bench.views import html
from tdnet_bench.views.html.svg import INKS

STYLE = (Path(html.__file__).parent / "style.css").read_text(encoding="utf-8")
LIGHT, DARK = (
    dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", part)) for part in STYLE.split("@media", 2)[:2]
)


def _contrast(one: str, other: str) -> float:
    """WCAG 2.2's contrast ratio, 1 to 21."""

    def luminance(color: str) -> float:
        parts = [int(color[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def test_contrast_of_black_and_white() -> None:
    assert _contrast("#000000", "#ffffff") == pytest.approx(21)


@pytest.mark.parametrize("colors", [LIGHT, DARK], ids=["light", "dark"])
def test_text_and_lines_can_be_seen(colors: dict[str, str]) -> None:
    for name in ("ink", "muted", "accent", "bad"):
        assert _contrast(colors[name], colors["paper"]) >= 4.5, name
    for name, paper in (("ink", "panel"), ("muted", "panel"), ("ink", "bad-paper"), ("bad", "bad-paper")):
        assert _contrast(colors[name], colors[paper]) >= 4.5, name
    for path in range(1, 5):
        assert _contrast(colors[f"path-{path}"], colors["paper"]) >= 4.5, path


def test_charts_and_page_have_the_same_colours() -> None:
    assert set(INKS) <= set(LIGHT)
    assert LIGHT.keys() == DARK.keys()
