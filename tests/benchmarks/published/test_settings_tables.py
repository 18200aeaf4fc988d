from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
from tests.benchmarks.published.tables import link

from tdnet_bench.published import settings_tables
from tdnet_bench.published.results import Machine


def test_each_document_has_its_tables_and_its_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings_tables, "table", lambda document: f"table of {document}")
    documents = cast(Any, ((Path("a.json"), "a"), (Path("b.json"), "b")))
    machine = Machine(name="box", speed=(), camvid={}, settings=documents)
    expected = "\n\n".join(f"table of {name}\n\n[json]({link(Path(f'{name}.json'))})" for name in ("a", "b"))
    assert settings_tables.settings_tables(machine, link) == expected


def test_nothing_measured() -> None:
    assert settings_tables.settings_tables(Machine(name="box", speed=(), camvid={}), link) is None
