"""The README's table of figures, made from the committed result files: no number is typed by hand.

python -m tdnet_bench.readme_table     # rewrites the block between the markers
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tdnet_bench.records.config import PYTORCH
from tdnet_bench.views.formats import format_share

__all__ = ["BEGIN", "END", "readme_with_results", "table_from_results"]

BEGIN, END = "<!-- results -->", "<!-- /results -->"
_COLUMNS = (
    "network",
    "input",
    "bundle on",
    "p50",
    "eager PyTorch, p50",
    "ratio, median of pairs",
    "labels equal",
    "file",
)
_HEADER = f"| {' | '.join(_COLUMNS)} |\n|{'---|' * len(_COLUMNS)}"
_ENGINES = {"onnxruntime": "ONNX Runtime", "openvino": "OpenVINO", "torch": "PyTorch", "tensorrt": "TensorRT"}


def table_from_results(folder: Path) -> str:
    """A Markdown table of all `*.json` results of `tdnet-bench` in `folder`, and where they were measured.

    A row for each side that runs the bundle and was compared with eager PyTorch. Documents of schema 1, from
    before there were peers, are read, too; those of the GPU check are passed over.
    """
    documents = {path.name: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}
    documents = {name: document for name, document in documents.items() if "kind" not in document}
    rows = [row for name, document in documents.items() for row in _rows(name, document)]
    places = {_place(document) for document in documents.values()}
    return "\n".join(
        [_HEADER, *rows, "", f"Host call, one frame in flight. Measured on {'; '.join(sorted(places))}."]
    )


def readme_with_results(readme: str, folder: Path) -> str:
    """`readme` with the block between the markers made anew."""
    head, rest = readme.split(BEGIN)
    _, tail = rest.split(END)
    return f"{head}{BEGIN}\n{table_from_results(folder)}\n{END}{tail}"


def _rows(name: str, document: dict[str, Any]) -> Iterator[str]:
    config, summary = document["config"], document["summary"]
    for comparison in summary["comparisons"]:
        if comparison["overall"] is None:
            continue
        if document["schema_version"] == 1:
            side, agreement = f"{config['backend']}:{config['precision']}", comparison["agreement"]
        elif comparison["baseline"] == PYTORCH:
            side, agreement = comparison["side"], summary["sides"][comparison["side"]]["quality"]["agreement"]
        else:
            continue
        p50s_ms = [summary["sides"][comparison[end]]["overall"]["p50_ms"] for end in ("side", "baseline")]
        cells = [
            config["network"],
            f"{config['height']}×{config['width']}",
            side,
            *(f"{p50_ms:.0f} ms" for p50_ms in p50s_ms),
            _ratio(comparison["overall"]),
            "not measured" if agreement is None else f"{format_share(agreement['mean'])} %",
            f"[{name}](benchmarks/results/{name})",
        ]
        yield f"| {' | '.join(cells)} |"


def _ratio(ratio: dict[str, Any]) -> str:
    """The ratio, and its interval where there is one: documents of schema 1 have none."""
    text = f"{ratio['median_of_pairs']:.2f}"
    low, high = ratio.get("low"), ratio.get("high")
    return text if low is None else f"{text} ({low:.2f} to {high:.2f})"


def _place(document: dict[str, Any]) -> str:
    environment = document["environment"]
    flags = ", ".join(environment["cpu_flags"])
    packages = environment["packages"]
    versions = [f"{name} {packages[package]}" for package, name in _ENGINES.items() if package in packages]
    gpus = "".join(f" and {gpu['name']}" for gpu in environment.get("gpus", ()))
    return (
        f"{document['config']['threads']} cores of {environment['cpu']} ({flags}){gpus} with "
        f"{', '.join(versions)} on {environment['started_at'][:10]}"
    )


def main() -> None:
    """Rewrite README.md of the checkout that this file belongs to."""
    root = Path(__file__).parents[2]
    readme = root / "README.md"
    readme.write_text(readme_with_results(readme.read_text(), root / "benchmarks" / "results"))


if __name__ == "__main__":
    main()
