from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from tdnet_bench.document import Document, encode_document, write_document
from tdnet_bench.stats import summarise
from tdnet_runtime.errors import OptionError


def test_the_document_is_read_back_as_it_was(document: Document) -> None:
    encoded = encode_document(document)
    assert msgspec.json.decode(encoded, type=Document) == document


def test_its_records_give_its_figures(document: Document) -> None:
    read = msgspec.json.decode(encode_document(document), type=Document)
    assert summarise(read.records, baseline="reference") == read.summary


def test_each_record_is_one_line(document: Document) -> None:
    lines = encode_document(document).decode().splitlines()
    assert sum(json.loads(line.rstrip(","))["side"] == "bundle" for line in lines if '"turn"' in line) == 5


def test_it_has_a_version(document: Document) -> None:
    assert json.loads(encode_document(document))["schema_version"] == 1


def test_an_existing_file_is_replaced_whole(tmp_path: Path, document: Document) -> None:
    path = tmp_path / "run.json"
    path.write_text("old")
    write_document(document, path)
    assert json.loads(path.read_text())["config"]["network"] == "td2-fa18"
    assert [entry.name for entry in tmp_path.iterdir()] == ["run.json"]


def test_failure_to_write_is_one_line_and_leaves_nothing(tmp_path: Path, document: Document) -> None:
    with pytest.raises(OptionError, match="document was not written: No such file or directory"):
        write_document(document, tmp_path / "gone" / "run.json")
    assert list(tmp_path.iterdir()) == []
