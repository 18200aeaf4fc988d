"""Records on the disk as they are made, so that a run that is killed leaves what it measured.

`--json run.json` writes `run.records.jsonl` beside it: a line with everything known before the first
timed frame, then a line for each record, each flushed at once. When the run ends well its document has
all of it, and the journal is removed; otherwise it stays, and `tdnet-bench show run.records.jsonl` reads it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from io import FileIO
from pathlib import Path

import msgspec

from tdnet_bench.documents.document import SCHEMA_VERSION, Document, RunStart, read_document
from tdnet_bench.documents.notes import DEFINITIONS
from tdnet_bench.records.config import RunConfig
from tdnet_bench.records.frames import AnyRecord
from tdnet_bench.statistics.summary import summarise
from tdnet_eval.result_file import write_document
from tdnet_runtime.closeable import Closeable
from tdnet_runtime.errors import OptionError
from tdnet_runtime.file_names import utf8_content
from tdnet_runtime.os_errors import told_as

__all__ = [
    "JOURNAL_SUFFIX", "Journal", "JournalHeader", "complete", "document_from_header", "document_from_journal",
    "journal_path", "read_run", "refuse_other_run",
]  # fmt: skip

JOURNAL_SUFFIX = ".records.jsonl"

logger = logging.getLogger(__name__)

_DERIVED = ("reference", "reference_note")  # of the sides that could be opened, so not known at the start


class JournalHeader(RunStart, frozen=True, kw_only=True, tag_field="kind", tag="header"):
    """First line of a journal."""


class Journal(Closeable):
    """The records of a run, in memory and, with a path (see `journal_path`; replaced if it exists), in a journal.

    Its context closes the file.

    Raises:
        OptionError: the disk is full, or the file cannot be written.
    """

    def __init__(self, path: Path | None, header: JournalHeader) -> None:
        self._path = path
        self._encoder = msgspec.json.Encoder()
        self._file: FileIO | None = None
        self.records: list[AnyRecord] = []
        if path is not None:
            try:
                self._file = FileIO(path, "wb")
            except OSError as error:
                raise self._failed(error) from error
            try:
                self._append(self._file, utf8_content(msgspec.to_builtins(header)))
            except OptionError:
                self.close()
                raise

    def write(self, record: AnyRecord) -> None:
        """Keep a record; in a journal it is with the operating system on return.

        Raises:
            OptionError: the disk is full.
        """
        self.records.append(record)
        if self._file is not None:
            self._append(self._file, record)

    def close(self) -> None:
        """Close the file; what was written stays. A loss that is told only now is logged, since all is here, too."""
        try:
            if self._file is not None:
                self._file.close()
        except OSError as error:
            logger.warning("%s", self._failed(error))

    def _append(self, file: FileIO, line: object) -> None:
        rest = memoryview(self._encoder.encode(line) + b"\n")
        try:
            while rest:
                rest = rest[file.write(rest) :]
        except OSError as error:
            raise self._failed(error) from error

    def _failed(self, error: OSError) -> OptionError:
        why = f"the records cannot be written: {error.strerror or error}"
        return OptionError(f"{why}; choose another --json: {str(self._path)!r}")


def journal_path(document: Path) -> Path:
    """Where the records go while the run that makes `document` goes on."""
    return document.with_name(f"{document.stem}{JOURNAL_SUFFIX}")


def complete(document: Document, path: Path) -> None:
    """Write the document of a run that came to its end, then remove its journal; that this fails is only logged.

    Raises:
        OptionError: the document could not be written; the journal is still there.
    """
    write_document(document, path)
    try:
        journal_path(path).unlink(missing_ok=True)
    except OSError as error:
        logger.warning("the journal of a run that is whole cannot be removed, remove it yourself: %s", error)


def document_from_header(header: JournalHeader, records: Iterable[AnyRecord]) -> Document:
    """The document of a run that did not come to its end: figures, and nothing that is known only after them."""
    kept = tuple(records)
    return Document(
        **{name: getattr(header, name) for name in RunStart.__struct_fields__},
        run_peak_rss_mib=None,
        other_busy_cores=None,
        exit_code=1,
        definitions=DEFINITIONS,
        summary=summarise(kept, sides=header.sides, paths=header.config.paths),
        records=kept,
    )


def document_from_journal(path: Path) -> Document:
    """What a run that was cut short had measured; a last line that was cut off is left out.

    Raises:
        OptionError: no journal, or of another schema version.
    """
    try:
        first, *lines = path.read_bytes().split(b"\n")
        header = msgspec.json.decode(first, type=JournalHeader)
        complete = lines[:-1]  # what follows the last line end is empty, or a line that was cut off
        records = tuple(msgspec.json.decode(line, type=AnyRecord) for line in complete)
    except OSError as error:
        raise OptionError(f"the records cannot be read: {error.strerror or error}: {str(path)!r}") from error
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise OptionError(f"these are no records of tdnet-bench ({error}): {str(path)!r}") from error
    if header.schema_version != SCHEMA_VERSION:
        raise OptionError(
            f"records of schema {header.schema_version} were given, expected {SCHEMA_VERSION}: {str(path)!r}"
        )
    cut = f"CUT SHORT: the run did not come to its end; {len(records)} records are there"
    document = document_from_header(header, records)
    return msgspec.structs.replace(document, notes=(*document.notes, cut))


def read_run(path: Path) -> Document:
    """A document, or what a journal has; raises OptionError."""
    return document_from_journal(path) if path.name.endswith(JOURNAL_SUFFIX) else read_document(path)


@told_as(OptionError, "--json")
def refuse_other_run(path: Path, config: RunConfig) -> None:
    """Make sure that a run may write to `path` and its journal: nothing there, or the same configuration.

    A run of the same configuration is replaced, as is an empty file. `reference` and `reference_note` are
    not compared.

    Raises:
        OptionError: the file is of another configuration, or no document of this version.
    """
    for existing in (path, journal_path(path)):
        if not existing.exists() or existing.stat().st_size == 0:
            continue
        try:
            found = read_run(existing).config
        except OptionError as error:
            raise OptionError(f"--json would replace another file: {error}; choose another one") from error
        fields = [f for f in config.__struct_fields__ if f not in _DERIVED]
        different = [f for f in fields if getattr(found, f) != getattr(config, f)]
        if different:
            details = ", ".join(f"{f} {getattr(found, f)!r}, now {getattr(config, f)!r}" for f in different)
            raise OptionError(
                f"--json holds a run of another configuration ({details}); choose another file or remove it: "
                f"{str(existing)!r}"
            )
