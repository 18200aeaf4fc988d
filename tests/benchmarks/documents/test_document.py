from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from tdnet_bench.documents.document import Document, read_document
from tdnet_bench.statistics.summary import summarise
from tdnet_eval.result_file import records_as_json, write_document
from tdnet_runtime.errors import OptionError


def test_the_document_is_read_back_as_it_was(document: Document, tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    write_document(document, path)
    assert read_document(path) == document


def test_its_records_give_its_figures(document: Document) -> None:
    read = msgspec.json.decode(records_as_json(document), type=Document)
    assert summarise(read.records, sides=read.sides, paths=read.config.paths) == read.summary


def test_each_record_is_one_line(document: Document) -> None:
    lines = records_as_json(document).decode().splitlines()
    kinds = [json.loads(line.rstrip(","))["kind"] for line in lines if line.startswith('  {"kind"')]
    assert kinds == ["frame"] * 10 + ["camera"] * 3 + ["paced"] * 4


def test_it_has_a_version(document: Document) -> None:
    assert json.loads(records_as_json(document))["schema_version"] == 2


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


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no document of tdnet-bench"),
        (b"[]", "no document of tdnet-bench"),
        (b"\xff\xfe", "no document of tdnet-bench"),
        (b"[" * 100_000, "no document of tdnet-bench"),
        (b'{"schema_version": 2, "config": {}}', "no document of tdnet-bench"),
        (b'{"schema_version": 1}', "a document of schema 1 was given, expected 2"),
    ],
)
def test_what_is_no_document_is_a_users_error(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "run.json"
    path.write_bytes(content)
    with pytest.raises(OptionError, match=message):
        read_document(path)


def test_a_document_that_is_not_there_is_a_users_error(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="the document cannot be read: No such file"):
        read_document(tmp_path / "absent.json")
