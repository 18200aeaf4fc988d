"""The pages with blocks of figures: README.md and docs/*.md."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import quote

from tdnet_bench.documents.result_file import write_result
from tdnet_bench.published.blocks import BLOCKS, block
from tdnet_bench.published.results import Results, read_results
from tdnet_runtime.errors import OptionError

__all__ = ["RESULTS", "page_with_results", "pages_of", "publish"]

RESULTS = Path("benchmarks", "results")
"""In a checkout."""

_MARKER = re.compile(r"^<!-- (/?)results:(.*?) -->[ \t]*$", re.MULTILINE)


def publish(root: Path) -> tuple[Path, ...]:
    """Make all blocks of the checkout at `root` anew; gives the pages that changed.

    Nothing is written unless every page could be made.

    Raises:
        OptionError: no such checkout; a marker is unknown or without its other end; a document cannot be
            read, or a page not be written.
    """
    if not (root / RESULTS).is_dir():
        raise OptionError(
            f"the figures were to be published, but {str(root)!r} has no {RESULTS}; run it from a checkout "
            "that is installed with: pip install --editable"
        )
    results = read_results(root / RESULTS)
    before = {page: page.read_text(encoding="utf-8") for page in pages_of(root)}
    after = {page: page_with_results(text, results, page=page) for page, text in before.items()}
    changed = tuple(page for page in before if after[page] != before[page])
    for page in changed:
        write_result(after[page].encode(), page, what="the page", option="checkout")
    return changed


def pages_of(root: Path) -> tuple[Path, ...]:
    """Files that may have blocks."""
    return (root / "README.md", *sorted((root / "docs").glob("*.md")))


def page_with_results(text: str, results: Results, *, page: Path) -> str:
    """`text` with what stands between the markers made anew.

    Args:
        text: of the page.
        results: what was measured.
        page: its file; links are relative to its folder.

    Raises:
        OptionError: see `publish`.
    """
    markers = list(_MARKER.finditer(text))
    kept, end = [], 0
    for begin, close in zip(markers[::2], [*markers[1::2], None], strict=False):
        name = begin[2]
        if name not in BLOCKS:
            raise OptionError(
                f"{page.name} has a block of results {name!r}, expected one of: {', '.join(BLOCKS)}"
            )
        if begin[1] or close is None or not close[1] or close[2] != name:
            raise OptionError(
                f"{page.name}: the block of results {name!r} does not begin or end; it needs the lines "
                f"<!-- results:{name} --> and <!-- /results:{name} -->"
            )
        made = block(name, results, lambda path: _target(path, page))
        kept += [text[end : begin.end()], f"\n{made}\n"]
        end = close.start()
    return "".join([*kept, text[end:]])


def _target(path: Path, page: Path) -> str:
    return quote(Path(os.path.relpath(path, page.parent)).as_posix())
