from __future__ import annotations

import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from io import FileIO
from pathlib import Path

import msgspec
import pytest

from tdnet_bench.documents.document import Document
from tdnet_bench.documents.journal import (
    Journal,
    JournalHeader,
    complete,
    document_from_journal,
    journal_path,
    read_run,
    refuse_other_run,
)
from tdnet_bench.records.frames import AnyRecord
from tdnet_bench.statistics.summary import summarise
from tdnet_eval.result_file import records_as_json, write_document
from tdnet_runtime.errors import OptionError


def _journal(path: Path, header: JournalHeader, records: tuple[AnyRecord, ...]) -> Path:
    with Journal(path, header) as journal:
        for record in records:
            journal.write(record)
    return path


def test_each_record_is_on_the_disk_when_it_is_written(
    tmp_path: Path, header: JournalHeader, all_records: tuple[AnyRecord, ...]
) -> None:
    path = tmp_path / "run.records.jsonl"
    with Journal(path, header) as journal:
        for count, record in enumerate(all_records, start=1):
            journal.write(record)
            lines = path.read_bytes().splitlines()
            assert len(lines) == 1 + count
        assert [json.loads(line)["kind"] for line in lines] == (
            ["header"] + ["frame"] * 10 + ["camera"] * 3 + ["paced"] * 4
        )
        assert tuple(journal.records) == all_records


def test_a_run_that_was_cut_short_is_read_without_its_last_half_line(
    tmp_path: Path, header: JournalHeader, all_records: tuple[AnyRecord, ...]
) -> None:
    path = _journal(tmp_path / "run.records.jsonl", header, all_records)
    whole = path.read_bytes()
    for cut, expected in ((0, 17), (1, 16), (60, 16), (300, 15)):
        path.write_bytes(whole[: len(whole) - cut])
        document = document_from_journal(path)
        assert len(document.records) == expected
        assert document.summary == summarise(all_records[:expected], sides=header.sides, paths=2)
        assert (document.config, document.exit_code) == (header.config, 1)
        assert any(note.startswith("CUT SHORT") for note in document.notes)


def test_a_killed_process_leaves_its_records(
    tmp_path: Path, document: Document, header: JournalHeader
) -> None:
    """Without any chance to clean up."""
    path = tmp_path / "run.records.jsonl"
    (tmp_path / "header.json").write_bytes(msgspec.json.encode(header))
    (tmp_path / "document.json").write_bytes(records_as_json(document))
    code = f"""
import os, pathlib, signal, msgspec
from tdnet_bench.documents.document import read_document
from tdnet_bench.documents.journal import Journal, JournalHeader
folder = pathlib.Path({str(tmp_path)!r})
header = msgspec.json.decode((folder / "header.json").read_bytes(), type=JournalHeader)
journal = Journal(folder / "run.records.jsonl", header)
for record in read_document(folder / "document.json").records:
    journal.write(record)
os.kill(os.getpid(), signal.SIGKILL)
"""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, timeout=60)
    assert done.returncode == -signal.SIGKILL
    assert read_run(path).summary == document.summary


def test_a_document_that_is_whole_takes_the_journals_place(
    tmp_path: Path, header: JournalHeader, document: Document
) -> None:
    target = tmp_path / "run.json"
    _journal(journal_path(target), header, document.records)
    assert {path.name for path in tmp_path.iterdir()} == {"run.records.jsonl"}
    complete(document, target)
    assert {path.name for path in tmp_path.iterdir()} == {"run.json"}
    assert read_run(target) == document


def test_a_document_that_cannot_be_written_leaves_the_journal(
    tmp_path: Path, header: JournalHeader, document: Document
) -> None:
    target = tmp_path / "run.json"
    target.mkdir()
    journal = _journal(journal_path(target), header, document.records)
    with pytest.raises(OptionError, match="document was not written"):
        complete(document, target)
    assert len(document_from_journal(journal).records) == len(document.records)


def test_without_a_path_records_stay_in_memory(
    header: JournalHeader, all_records: tuple[AnyRecord, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with Journal(None, header) as journal:
        for record in all_records:
            journal.write(record)
    assert tuple(journal.records) == all_records
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_full_disk_is_one_line(header: JournalHeader) -> None:
    with pytest.raises(OptionError, match="the records cannot be written: No space left on device"):
        Journal(Path("/dev/full"), header)


@pytest.mark.parametrize("content", [b"", b"{}\n", b"not json\n", b'{"kind":"header"}\n', b"\xff\n"])
def test_what_is_no_journal_is_a_users_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.records.jsonl"
    path.write_bytes(content)
    with pytest.raises(OptionError, match="these are no records of tdnet-bench"):
        read_run(path)
    with pytest.raises(OptionError, match="the records cannot be read: No such file"):
        read_run(tmp_path / "absent.records.jsonl")


def test_another_schema_is_named(tmp_path: Path, header: JournalHeader) -> None:
    path = _journal(tmp_path / "x.records.jsonl", msgspec.structs.replace(header, schema_version=9), ())
    with pytest.raises(OptionError, match="records of schema 9 were given, expected 2"):
        read_run(path)


def test_a_run_of_the_same_configuration_may_be_replaced(tmp_path: Path, document: Document) -> None:
    path = tmp_path / "run.json"
    refuse_other_run(path, document.config)
    path.touch()  # as mktemp leaves it
    refuse_other_run(path, document.config)
    write_document(document, path)
    undecided = msgspec.structs.replace(document.config, reference=None, reference_note="")
    refuse_other_run(path, undecided)


@pytest.mark.parametrize("field", ["threads", "footage", "bundle_digest", "fps", "requested", "subject"])
@pytest.mark.parametrize("kind", ["document", "journal"])
def test_a_run_of_another_configuration_is_refused(
    tmp_path: Path, document: Document, header: JournalHeader, field: str, kind: str
) -> None:
    path = tmp_path / "run.json"
    if kind == "document":
        write_document(document, path)
    else:
        _journal(journal_path(path), header, document.records)
    changes: dict[str, object] = {"threads": 7, "fps": (), "requested": ("fake",)}
    other = msgspec.structs.replace(document.config, **{field: changes.get(field, "another")})
    with pytest.raises(OptionError, match=rf"--json holds a run of another configuration .*{field} "):
        refuse_other_run(path, other)


@pytest.mark.parametrize("content", ["precious", '{"schema_version": 1}', '{"a": 1}', "[]"])
def test_a_file_of_something_else_is_not_overwritten(
    tmp_path: Path, document: Document, content: str
) -> None:
    path = tmp_path / "run.json"
    path.write_text(content)
    with pytest.raises(OptionError, match=r"--json would replace another file: .*; choose another one"):
        refuse_other_run(path, document.config)
    assert path.read_text() == content


class LateFile(FileIO):
    """Of a network file system that tells only at the end what was lost."""

    def close(self) -> None:
        if not self.closed:
            super().close()
            raise OSError(errno.EIO, "Input/output error")


def test_a_loss_that_is_told_when_the_journal_is_closed_costs_no_run(
    tmp_path: Path,
    header: JournalHeader,
    document: Document,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("tdnet_bench.documents.journal.FileIO", LateFile)
    _journal(tmp_path / "run.records.jsonl", header, document.records)
    assert "the records cannot be written: Input/output error" in caplog.text


def test_a_journal_that_cannot_be_removed_costs_no_document(
    tmp_path: Path,
    header: JournalHeader,
    document: Document,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def refuse(path: Path, *, missing_ok: bool = False) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted", str(path))

    target = tmp_path / "run.json"
    _journal(journal_path(target), header, document.records)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", refuse)
        complete(document, target)
    assert read_run(target) == document
    assert "remove it yourself: [Errno 1] Operation not permitted" in caplog.text


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
@pytest.mark.parametrize("goal", ["demo", "bench-speed"])
def test_make_removes_the_journal_of_an_interrupted_run(goal: str) -> None:
    """Of each document that it makes; nothing is run."""
    root = Path(__file__).parents[3]
    command = ["make", "--dry-run", "--no-print-directory", goal, "MACHINE=none"]
    said = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout
    removed = {name for line in re.findall(r"^rm -f (.*)$", said, re.MULTILINE) for name in line.split()}
    made = re.findall(r"tdnet-bench .*--json (\S+)", said)
    assert made
    for name in made:
        assert {name, str(journal_path(Path(name)))} <= removed
