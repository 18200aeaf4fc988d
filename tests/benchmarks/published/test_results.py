from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.benchmarks.published.conftest import Write

from tdnet_bench.published.results import read_machines
from tdnet_runtime import TdnetError


def test_machines_by_name_and_documents_by_size(write: Write, results: Path) -> None:
    write("small", config={"width": 48})
    write("large")
    write("val", folder="camvid-val")
    write("other", machine="amd")
    amd, box = read_machines(results)
    assert (amd.name, box.name) == ("amd", "box")
    assert [result.path.stem for result in box.speed] == ["large", "small"]
    assert {split: len(found) for split, found in box.camvid.items()} == {"val": 1}
    assert amd.camvid == {}


def test_documents_of_other_kinds_and_files_of_no_machine_are_passed_over(
    write: Write, results: Path
) -> None:
    write("one")
    before = read_machines(results)
    (results / "box" / "other.json").write_text('{"kind": "something else", "schema_version": 1}')
    (results / "gpu.json").write_text('{"kind": "gpu-check"}')
    (results / "old.json").write_text('{"schema_version": 1}')
    assert read_machines(results) == before


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"schema_version": 1}', "a document of schema 1 was given, expected 2.*broken.json"),
        ("[]", "no document of tdnet-bench"),
        ("{", "no document of tdnet-bench"),
    ],
)
def test_a_broken_document_is_named(write: Write, results: Path, text: str, message: str) -> None:
    write("one").with_name("broken.json").write_text(text)
    with pytest.raises(TdnetError, match=message):
        read_machines(results)


def test_an_unknown_field_is_an_error(write: Write, results: Path) -> None:
    path = write("one")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"surprise": 1}))
    with pytest.raises(TdnetError, match="surprise"):
        read_machines(results)


def test_no_results(tmp_path: Path) -> None:
    assert read_machines(tmp_path / "nothing") == ()
