"""The tables, number by number."""

from __future__ import annotations

import io

import msgspec
from rich.console import Console

from tdnet_bench.ort_settings.document import SettingsDocument
from tdnet_bench.ort_settings.tables import table, view_of

# Pairs of subnet1: 5/10, 25/20 and 32/40; medians 20 and 25 ms. Of three pairs the interval is the extremes.
MARKDOWN = """\
| settings | load, ms | subnet1, ms | over base | apm1, ms | over base |
|---|---|---|---|---|---|
| base: what the runtime does | 110.00 | 20.00 |  | 4.00 |  |
| spinning: no waking | 120.00 | 25.00 | 0.800 (0.500 to 1.250) | 4.00 | 1.000 (1.000 to 1.000) |

| graphs kept | MB | load, ms |
|---|---|---|
| as exported: the bundle's | 1.2 | 80.00 |
| all: as fast | 1.5 | 25.00 |

td2-fa18 at 48×64, fp32, path 1: medians of 3 calls of each graph in turn, and of 2 loads of all its graphs together. \
ONNX Runtime of unknown version, 2 thread(s), on Some CPU (avx2), 2026-01-01.

With 'spinning', 87.5000 % of a frame's labels are base's.

BUSY MACHINE: very"""


def test_markdown(settings_document: SettingsDocument) -> None:
    assert table(settings_document) == MARKDOWN


def test_the_version_is_told(settings_document: SettingsDocument) -> None:
    environment = msgspec.structs.replace(settings_document.environment, packages={"onnxruntime": "1.2.3"})
    assert "ONNX Runtime 1.2.3, 2" in table(
        msgspec.structs.replace(settings_document, environment=environment)
    )


def test_a_terminal_of_80_columns(settings_document: SettingsDocument) -> None:
    console = Console(file=io.StringIO(), width=80)
    console.print(view_of(settings_document))
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    rows = [line.split() for line in lines]
    assert ["base", "110.00", "subnet1", "20.00"] in rows
    assert ["spinning", "120.00", "subnet1", "25.00", "0.800", "0.500", "to", "1.250"] in rows
    assert ["apm1", "4.00", "1.000", "1.000", "to", "1.000"] in rows
    assert ["as", "exported", "1.2", "80.00"] in rows
    assert ["all", "1.5", "25.00"] in rows
    text = " ".join(" ".join(lines).split())
    assert "With 'spinning', 87.5000 % of a frame's labels are base's. * BUSY MACHINE: very" in text
