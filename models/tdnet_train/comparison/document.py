"""What a comparison found, as one JSON document: each run's scores, and what each row of the table was made of."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec

from tdnet_eval.result_file import read_result, write_result
from tdnet_train.comparison.plan import Plan, Row
from tdnet_train.comparison.scores import SplitScore, kept_scores, score_key
from tdnet_train.comparison.settings import ComparisonSettings
from tdnet_train.networks.building import spec_from_settings

__all__ = ["Document", "RowRecord", "RunRecord", "document_from", "read_document", "write_document"]

SCHEMA_VERSION = 1
KIND = "comparison"


class Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of the document's parts: immutable, unknown fields refused."""


class RunRecord(Record, frozen=True, kw_only=True):
    """One run.

    Attributes:
        run: name of its folder.
        seed: of weights, clips and order.
        scores: by split.
    """

    run: str
    seed: int
    scores: dict[str, SplitScore]


class RowRecord(Record, frozen=True, kw_only=True):
    """A variant and its runs.

    Attributes:
        label: of the row.
        network: its name, with the input's size.
        set: fields of the configuration that make it.
        memory_stride: n of the stream that it was judged by.
        against: label of the row that it is compared with; None for none.
        runs: one for each seed.
    """

    label: str
    network: str
    set: tuple[str, ...]
    memory_stride: int
    against: str | None
    runs: tuple[RunRecord, ...]


class Document(Record, frozen=True, kw_only=True):
    """A whole comparison.

    Attributes:
        version: of this toolkit.
        name: of the comparison's file, without its folder and ending.
        config: name of the configuration's file.
        overrides: fields that were set in all runs, on the command line.
        splits: in which all were judged.
        rows: helpers first.
    """

    schema_version: int
    kind: str
    version: str
    name: str
    question: str
    config: str
    overrides: tuple[str, ...]
    splits: tuple[str, ...]
    rows: tuple[RowRecord, ...]


def document_from(
    name: str, comparison: ComparisonSettings, plan: Plan, *, overrides: tuple[str, ...], version: str
) -> Document:
    """What the runs' folders have.

    Raises:
        OptionError: the scores of a run are something else.
    """
    return Document(
        schema_version=SCHEMA_VERSION,
        kind=KIND,
        version=version,
        name=name,
        question=comparison.question,
        config=comparison.config,
        overrides=overrides,
        splits=comparison.splits,
        rows=tuple(_record(row, comparison.splits) for row in plan.rows),
    )


def _record(row: Row, splits: tuple[str, ...]) -> RowRecord:
    network = row.members[0].settings.network
    runs = []
    for member in row.members:
        scores = kept_scores(member.folder)
        runs.append(
            RunRecord(
                run=member.folder.name,
                seed=member.seed,
                scores={split: scores[score_key(split, row.stride)] for split in splits},
            )
        )
    size = spec_from_settings(network, classes=2).input_size
    return RowRecord(
        label=row.label,
        network=f"{network.name} at {size[0]}x{size[1]}",
        set=row.overrides,
        memory_stride=row.stride,
        against=row.against,
        runs=tuple(runs),
    )


def write_document(document: Document, path: Path) -> None:
    """Write it to `path`, each row on one line; an existing file is replaced.

    Raises:
        OptionError: the file could not be written.
    """
    content = msgspec.to_builtins(document, str_keys=True)
    rows = ",\n  ".join(json.dumps(row) for row in content.pop("rows"))
    head = json.dumps(content, indent=1).removesuffix("\n}")
    data = f'{head},\n "rows": [\n  {rows}\n ]\n}}\n'.encode()
    write_result(data, path, what="the comparison", option="--out")


def read_document(path: Path) -> Document:
    """Read a document of this schema version.

    Raises:
        OptionError: not there, no comparison, or of another schema version.
    """

    def decode(data: bytes) -> Document:
        document = msgspec.json.decode(data, type=Document)
        if (document.kind, document.schema_version) != (KIND, SCHEMA_VERSION):
            raise ValueError(f"it is {document.kind!r} of schema {document.schema_version}")
        return document

    return read_result(path, decode, what="a comparison")
