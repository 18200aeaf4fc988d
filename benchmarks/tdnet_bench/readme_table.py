"""The README's table of figures, made from the committed result files: no number is typed by hand.

python -m tdnet_bench.readme_table     # rewrites the block between the markers
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

__all__ = ["BEGIN", "END", "readme_with_results", "table_from_results"]

BEGIN, END = "<!-- results -->", "<!-- /results -->"
_COLUMNS = (
    "network",
    "input",
    "bundle (ONNX Runtime, FP32), p50",
    "eager PyTorch, p50",
    "ratio, median of pairs",
    "labels equal",
    "file",
)
_HEADER = f"| {' | '.join(_COLUMNS)} |\n|{'---|' * len(_COLUMNS)}"


def table_from_results(folder: Path) -> str:
    """A Markdown table of all `*.json` results of `tdnet-bench` in `folder`, and where they were measured."""
    documents = {path.name: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}
    rows = [_row(name, document) for name, document in documents.items()]
    places = {_place(document) for document in documents.values()}
    return "\n".join(
        [_HEADER, *rows, "", f"Host call, one frame in flight. Measured on {'; '.join(sorted(places))}."]
    )


def readme_with_results(readme: str, folder: Path) -> str:
    """`readme` with the block between the markers made anew."""
    head, rest = readme.split(BEGIN)
    _, tail = rest.split(END)
    return f"{head}{BEGIN}\n{table_from_results(folder)}\n{END}{tail}"


def _row(name: str, document: dict[str, Any]) -> str:
    config, summary = document["config"], document["summary"]
    sides, (comparison,) = summary["sides"], summary["comparisons"]
    agreement = comparison["agreement"]["mean"]
    cells = [
        config["network"],
        f"{config['height']}×{config['width']}",
        f"{sides['bundle']['overall']['p50_ms']:.0f} ms",
        f"{sides['reference']['overall']['p50_ms']:.0f} ms",
        f"{comparison['overall']['median_of_pairs']:.2f}",
        f"{agreement:.4%}".replace("%", " %"),
        f"[{name}](benchmarks/results/{name})",
    ]
    return f"| {' | '.join(cells)} |"


def _place(document: dict[str, Any]) -> str:
    environment = document["environment"]
    packages = environment["packages"]
    flags = ", ".join(environment["cpu_flags"])
    return (
        f"{document['config']['threads']} cores of an {environment['cpu']} ({flags}) with ONNX Runtime "
        f"{packages['onnxruntime']} and PyTorch {packages['torch']} on {environment['started_at'][:10]}"
    )


def main() -> None:
    """Rewrite README.md of the checkout that this file belongs to."""
    root = Path(__file__).parents[2]
    readme = root / "README.md"
    readme.write_text(readme_with_results(readme.read_text(), root / "benchmarks" / "results"))


if __name__ == "__main__":
    main()
