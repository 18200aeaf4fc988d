"""The JSON document of a run, with every record behind its figures, written and read."""

from __future__ import annotations

from pathlib import Path

import msgspec

from tdnet_bench.machine.environment import Environment
from tdnet_bench.quality.features import FeatureErrors
from tdnet_bench.records import Record
from tdnet_bench.records.config import LeftOut, RunConfig, SideSetup, SideSpec, StreamMemory
from tdnet_bench.records.frames import AnyRecord
from tdnet_bench.roofline.model import Ceilings, Roofline
from tdnet_bench.statistics.summary import Summary
from tdnet_eval.result_file import read_result
from tdnet_runtime.errors import OptionError

__all__ = ["SCHEMA_VERSION", "Document", "RunStart", "read_document"]

SCHEMA_VERSION = 2


class RunStart(Record, frozen=True, kw_only=True):
    """What is known of a run when all sides are open, the subject first, then the peers in the order asked for.

    `left_out` was asked for and not measured; without `notes` the figures would mislead.
    """

    schema_version: int
    config: RunConfig
    sides: dict[str, SideSpec]
    left_out: tuple[LeftOut, ...]
    environment: Environment
    setup: dict[str, SideSetup]
    notes: tuple[str, ...]


class Document(RunStart, frozen=True, kw_only=True):
    """A whole run. `summary` follows from `config` and `records` alone; see `statistics/summary.py`.

    Attributes:
        run_peak_rss_mib: largest resident memory of the process, all sides included.
        other_busy_cores: that other programs kept busy while frames were timed; both None for a run that was cut short.
        definitions: what each figure means, by its name in the report.
        ceilings: what the machine can do; None where no roofline was asked for.
        rooflines: by side, as are features (how far from FP32's) and streams (what further ones take).
        records: back-to-back ones by frame, then in the order of the calls; camera to mask, likewise; paced parts.
    """

    run_peak_rss_mib: float | None
    other_busy_cores: float | None
    exit_code: int
    definitions: dict[str, str]
    summary: Summary
    records: tuple[AnyRecord, ...]
    ceilings: Ceilings | None = None
    rooflines: dict[str, Roofline] = msgspec.field(default_factory=dict)
    features: dict[str, FeatureErrors] = msgspec.field(default_factory=dict)
    streams: dict[str, StreamMemory] = msgspec.field(default_factory=dict)


def read_document(path: Path) -> Document:
    """Read a document of this schema version.

    Raises:
        OptionError: not there, not a document of `tdnet-bench`, or of another schema version.
    """

    def decode(data: bytes) -> Document:
        version = msgspec.json.decode(data, type=dict[str, msgspec.Raw]).get("schema_version")
        if version is not None and bytes(version) != str(SCHEMA_VERSION).encode():
            raise OptionError(
                f"a document of schema {bytes(version).decode()} was given, expected {SCHEMA_VERSION}; "
                f"repeat the run: {str(path)!r}"
            )
        return msgspec.json.decode(data, type=Document)

    return read_result(path, decode, what="tdnet-bench")
