"""The document, and what it may replace."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tdnet_bench.documents.document import Document, write_document
from tdnet_bench.documents.result_file import records_as_json
from tdnet_bench.ort_settings.document import SettingsDocument, check_target, read, write
from tdnet_bench.ort_settings.summary import summarise
from tdnet_runtime.errors import OptionError


def test_it_reads_back(settings_document: SettingsDocument, tmp_path: Path) -> None:
    path = tmp_path / "d.json"
    write(settings_document, path)
    assert path.read_bytes() == records_as_json(settings_document)
    found = read(path)
    assert found == settings_document
    assert found.summary == summarise(found.records)
    content = json.loads(path.read_bytes())
    assert (content["kind"], content["schema_version"]) == ("onnxruntime settings", 1)
    lines = path.read_text().splitlines()
    assert sum(line.startswith('  {"kind": ') for line in lines) == len(content["records"]) == 24


def test_such_a_document_is_replaced_and_nothing_else(
    settings_document: SettingsDocument, document: Document, tmp_path: Path
) -> None:
    path = tmp_path / "d.json"
    check_target(path)
    path.touch()
    check_target(path)
    write(settings_document, path)
    check_target(path)

    other = json.loads(records_as_json(settings_document))
    newer = other | {"schema_version": 2}
    of_another_kind = other | {"kind": "gpu-check"}
    for content in (newer, of_another_kind, {}, [], other | {"more": 1}):
        path.write_text(json.dumps(content))
        with pytest.raises(
            OptionError,
            match=r"^--json would replace another file: this is no document of .*; choose another",
        ):
            check_target(path)
    path.write_bytes(b"\xff\xfe notes of mine")
    with pytest.raises(OptionError, match=r"^--json would replace another file"):
        check_target(path)
    write_document(document, path)  # of tdnet-bench itself
    with pytest.raises(OptionError, match=r"^--json would replace another file"):
        check_target(path)


def test_nowhere_to_write(tmp_path: Path) -> None:
    with pytest.raises(
        OptionError, match=f"no folder {re.escape(repr(str(tmp_path / 'absent')))}; make it first"
    ):
        check_target(tmp_path / "absent" / "d.json")
    with pytest.raises(OptionError, match=r"is a folder$"):
        check_target(tmp_path)
