"""The pages with blocks of figures, README.md and docs/*.md, and the command that makes all of them anew."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeAlias
from urllib.parse import quote

import typer

from tdnet_bench.published.gpu_table import gpu_table
from tdnet_bench.published.markdown import Link
from tdnet_bench.published.quality_tables import camvid_class_table, camvid_table
from tdnet_bench.published.results import Machine, Results, read_results
from tdnet_bench.published.roofline_tables import roofline_table
from tdnet_bench.published.settings_tables import settings_tables
from tdnet_bench.published.signed_table import signed_table
from tdnet_bench.published.speed_tables import headline_table, sizes_table, speed_table
from tdnet_eval.result_file import write_result
from tdnet_runtime.errors import OptionError

__all__ = [
    "BLOCKS", "NOT_MEASURED", "RESULTS", "app", "block", "page_with_results", "pages_of", "publish", "run",
]  # fmt: skip

Table: TypeAlias = Callable[[Results, Link], str | None]


def _by_machine(table: Callable[[Machine, Link], str | None]) -> Table:
    """A table for each machine, under its name; machines that have none are left out."""

    def tables(results: Results, link: Link) -> str | None:
        made = [(machine.name, table(machine, link)) for machine in results.machines]
        return "\n\n".join(f"**{name}**\n\n{text}" for name, text in made if text is not None) or None

    return tables


BLOCKS: Mapping[str, Table] = {
    "headline": headline_table,
    "gpu": gpu_table,
    "speed": _by_machine(speed_table),
    "sizes": _by_machine(sizes_table),
    "camvid": _by_machine(camvid_table),
    "camvid-classes": _by_machine(camvid_class_table),
    "roofline": _by_machine(roofline_table),
    "settings": _by_machine(settings_tables),
    "int8-engines": signed_table,
}
"""Text without an end of line at its end; None where nothing of it was measured."""

NOT_MEASURED = "Not measured yet."


def block(name: str, results: Results, link: Link) -> str:
    """The block `name`, a key of `BLOCKS`."""
    return BLOCKS[name](results, link) or NOT_MEASURED


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
    """`text` of `page` with what stands between the markers made anew; links are relative to its folder.

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


_ROOT = Path(__file__).parents[3]

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command()
def published() -> None:
    """Make the tables of README.md and docs/*.md anew from benchmarks/results."""
    changed = publish(_ROOT)
    for page in pages_of(_ROOT):
        typer.echo(f"{page.relative_to(_ROOT)}: {'written' if page in changed else 'as it was'}")


def run() -> None:
    """The command under the name by which it is started."""
    app(prog_name="python -m tdnet_bench.published")
