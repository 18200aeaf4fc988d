"""The page in a real browser: nothing fetched, nothing complained about, nothing overlapping, no sideways scroll."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
WIDTHS = (360, 1280)
DARK, LIGHT = 0, 1  # Chromium's numbers of the preferred colour scheme

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium on the PATH")

LOOK = """
function look(frame) {
  const page = frame.contentDocument, root = page.documentElement, boxes = [];
  const walker = page.createTreeWalker(page.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const text = walker.currentNode;
    if (!text.data.trim()) continue;
    const range = page.createRange();
    range.selectNodeContents(text);
    for (const r of range.getClientRects()) {
      const dy = r.height * 0.2;  // fonts' boxes are higher than their letters
      if (r.width > 2) boxes.push([r.left + 1, r.top + dy, r.right - 1, r.bottom - dy, text.data.trim()]);
    }
  }
  const overlaps = [];
  boxes.sort((a, b) => a[1] - b[1]);
  for (let i = 0; i < boxes.length; i++)
    for (let j = i + 1; j < boxes.length && boxes[j][1] < boxes[i][3]; j++)
      if (boxes[i][0] < boxes[j][2] && boxes[j][0] < boxes[i][2]) overlaps.push([boxes[i][4], boxes[j][4]]);
  const style = element => frame.contentWindow.getComputedStyle(element);
  return {
    width: frame.contentWindow.innerWidth, scrollWidth: root.scrollWidth, texts: boxes.length, overlaps,
    charts: [...page.querySelectorAll('.chart')].filter(c => c.getBoundingClientRect().width > 0)
      .map(c => c.classList[1]),
    cut: [...page.querySelectorAll('.chart text')].filter(t => {
      const box = t.getBoundingClientRect(), chart = t.closest('.chart').getBoundingClientRect();
      return box.width > 0 && (box.left < chart.left - 1 || box.right > chart.right + 1);
    }).map(t => t.textContent),
    images: [...page.images].map(i => i.naturalWidth),
    paper: style(page.body).backgroundColor, ink: style(page.body).color,
    chartInk: style(page.querySelector('.chart text')).fill,
  };
}
window.onload = () => {
  const seen = JSON.stringify([...document.querySelectorAll('iframe')].map(look));
  document.body.replaceChildren();
  document.body.appendChild(document.createElement('pre')).textContent = seen;
};
"""


def _look(page: str, folder: Path, *, scheme: int = LIGHT) -> tuple[list[dict[str, Any]], list[str]]:
    """What the browser sees at each of `WIDTHS`, and the lines of its console."""
    assert BROWSER is not None
    frames = "".join(
        f'<iframe style="width: {width}px; height: 900px" srcdoc="{html.escape(page)}"></iframe>'
        for width in WIDTHS
    )
    path = folder / "frames.html"
    path.write_text(
        f"<!DOCTYPE html><style>iframe {{ border: 0 }}</style>{frames}<script>{LOOK}</script>",
        encoding="utf-8",
    )
    done = subprocess.run(
        [
            BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
            "--disable-background-networking", "--host-resolver-rules=MAP * ~NOTFOUND",
            f"--blink-settings=preferredColorScheme={scheme}", f"--user-data-dir={folder / 'profile'}",
            "--enable-logging=stderr", "--window-size=1400,1000", "--dump-dom", path.as_uri(),
        ],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    found = re.search(r"<pre>(.*)</pre>", done.stdout, re.DOTALL)
    assert found is not None, done.stdout[:1000] + done.stderr[-2000:]
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return json.loads(html.unescape(found[1])), console


def test_the_page_in_light(rich_text: str, tmp_path: Path) -> None:
    seen, console = _look(rich_text, tmp_path)
    assert console == []
    for width, at_width in zip(WIDTHS, seen, strict=True):
        assert at_width["width"] == width
        assert at_width["scrollWidth"] <= width
        assert at_width["texts"] > 200
        assert at_width["overlaps"] == []
        assert at_width["cut"] == []
        assert at_width["images"] == [64, 64, 64]
        assert at_width["charts"] == ["narrow" if width < 700 else "wide"] * 4
        assert at_width["paper"] == "rgb(255, 255, 255)"


def test_the_page_in_dark(rich_text: str, tmp_path: Path) -> None:
    seen, console = _look(rich_text, tmp_path, scheme=DARK)
    assert console == []
    for at_width in seen:
        assert at_width["overlaps"] == []
        assert at_width["paper"] == "rgb(20, 23, 27)"
        assert (at_width["ink"], at_width["chartInk"]) == ("rgb(232, 235, 239)", "rgb(163, 173, 187)")


def test_the_look_sees_what_is_wrong(rich_text: str, tmp_path: Path) -> None:
    """A request, an overlap and a sideways scroll, put in by hand."""
    wrong = (
        '<img src="https://example.org/x.png" alt=""><p style="height: 0; margin: 0">over</p><p>under</p>'
        '<div style="width: 2000px">wide</div>'
    )
    seen, console = _look(rich_text.replace("<main>", f"<main>{wrong}"), tmp_path)
    assert any("Content Security Policy" in line for line in console)
    for width, at_width in zip(WIDTHS, seen, strict=True):
        assert ["over", "under"] in at_width["overlaps"]
        assert at_width["scrollWidth"] > width
