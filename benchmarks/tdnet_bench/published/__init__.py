"""The tables of figures in README.md and docs, made from the committed result files: no number is typed by hand.

    python -m tdnet_bench.published     # makes every block `<!-- results:NAME -->` anew

`results.py` reads the files, `pages.py` finds the blocks and knows what each is called; tables are in `*_table(s).py`.
"""

from __future__ import annotations

from tdnet_runtime.extras import launch

__all__ = ["main"]


def main() -> None:
    """`python -m tdnet_bench.published`."""
    launch("published", "tdnet_bench.published.pages:run", extra="bench")
