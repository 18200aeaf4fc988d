from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.benchmarks.published.tables import link

from tdnet_bench.machine.environment import Environment
from tdnet_bench.published.results import read_machines
from tdnet_bench.published.settings_tables import settings_tables
from tdnet_runtime.errors import OptionError

RATIO = {"pairs": 3, "of_p50s": 1.25, "median_of_pairs": 0.8, "low": 0.5, "high": 1.25}
MARKDOWN = """\
| settings | load, ms | subnet1, ms | over base | apm1, ms | over base |
|---|---|---|---|---|---|
| base: what the runtime does | 110.00 | 20.00 |  | 4.00 |  |
| spinning: no waking | 120.00 | 25.00 | 0.800 (0.500 to 1.250) | 4.00 | 0.800 |

| graphs kept | MB | load, ms |
|---|---|---|
| as exported: the bundle's | 1.2 | 80.00 |
| all: as fast | 1.5 | 25.00 |

td2-fa18 at 48×64, fp32, path 1: medians of 3 calls of each graph in turn, and of 2 loads of all its graphs together. \
ONNX Runtime {version}, 2 thread(s), on Some CPU (avx2), 2026-01-01.

With 'spinning', 87.5000 % of a frame's labels are base's.

BUSY MACHINE: very

[json](a.json)"""


def graph(ms: float, ratio: dict[str, Any] | None) -> dict[str, Any]:
    return {"median_ms": ms, "ratio": ratio}


@pytest.fixture
def written(tmp_path: Path, environment: Environment) -> dict[str, Any]:
    """What `save` writes; records and the like, which a table does not show, may be there."""
    open_ended = RATIO | {"low": None, "high": None}
    variants: dict[str, Any] = {
        "base": {
            "load_ms": 110.0,
            "labels_equal": 1.0,
            "graphs": {"subnet1": graph(20, None), "apm1": graph(4, None)},
        },
        "spinning": {
            "load_ms": 120.0,
            "labels_equal": 0.875,
            "graphs": {"subnet1": graph(25, RATIO), "apm1": graph(4, open_ended)},
        },
    }
    return {
        "kind": "onnxruntime settings", "schema_version": 1, "environment": msgspec.to_builtins(environment),
        "network": "td2-fa18", "height": 48, "width": 64, "precision": "fp32", "graphs": ["subnet1", "apm1"],
        "threads": 2, "rounds": 3, "repeats": 2, "notes": ["BUSY MACHINE: very"],
        "variants": [{"name": "base", "why": "what the runtime does"}, {"name": "spinning", "why": "no waking"}],
        "forms": [{"name": "as exported", "why": "the bundle's"}, {"name": "all", "why": "as fast"}],
        "summary": {"variants": variants, "forms": {
            "as exported": {"size_bytes": 1_200_000, "load_ms": 80.0}, "all": {"size_bytes": 1_500_000, "load_ms": 25.0}}},
        "records": [{"kind": "load"}],
    }  # fmt: skip


def tables(folder: Path, content: object, name: str = "a") -> str | None:
    (folder / "box").mkdir(exist_ok=True)
    (folder / "box" / f"{name}.json").write_text(json.dumps(content))
    (machine,) = read_machines(folder)
    return settings_tables(machine, link)


def test_both_tables_and_the_file(written: dict[str, Any], tmp_path: Path) -> None:
    assert tables(tmp_path, written) == MARKDOWN.format(version="of unknown version")
    written["environment"]["packages"] = {"onnxruntime": "1.2.3"}
    text = tables(tmp_path, written, "b")
    one = MARKDOWN.format(version="1.2.3")
    assert text == "\n\n".join(
        (MARKDOWN.format(version="of unknown version"), one.replace("a.json", "b.json"))
    )


def test_nothing_measured(tmp_path: Path) -> None:
    assert tables(tmp_path, {"kind": "something else"}) is None


@pytest.mark.parametrize("change", [{"schema_version": 2}, {"summary": {}}, {"rounds": "many"}])
def test_another_version_is_named(written: dict[str, Any], tmp_path: Path, change: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match=r"no document of the settings of ONNX Runtime .*a\.json"):
        tables(tmp_path, written | change)
