"""What an evaluation found, as one JSON document: every figure, and every frame's scores behind them."""

from __future__ import annotations

from pathlib import Path

import msgspec

from tdnet_eval.gaps import GapScore
from tdnet_eval.result_file import read_result
from tdnet_eval.tally import Evaluation, Tally
from tdnet_runtime.errors import OptionError
from tdnet_runtime.os_errors import told_as

__all__ = [
    "KIND", "SCHEMA_VERSION", "DataInfo", "Document", "FrameRecord", "FrameScore", "GapRecord", "LeftOut",
    "Score", "SideInfo", "SideScores", "check_json_path", "gap_record", "read_document", "score_from_tally",
    "scores_from_evaluation",
]  # fmt: skip

SCHEMA_VERSION = 1
KIND = "evaluation"
"""What tells these documents from others'."""

_TOOL = "tdnet-eval"


class Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of the document's parts: immutable, unknown fields refused."""


class SideInfo(Record, frozen=True, kw_only=True):
    """What was judged.

    Attributes:
        kind: `bundle` (the runtime's own call, as on a robot) or `pytorch`.
        file: name of the bundle or checkpoint, without its folder.
        sha256: of the bundle's members together, or of the checkpoint.
        engine: version and device in one line.
        size_hw: the network's input; `size_is` says `exact`, `resampled` (an approximation) or `assumed`.
        paths: m; memory_stride: n of the memory.
    """

    kind: str
    file: str
    sha256: str
    network: str
    precision: str
    engine: str
    size_hw: tuple[int, int]
    size_is: str
    paths: int
    memory_stride: int


class DataInfo(Record, frozen=True, kw_only=True):
    """What it was judged by; `description` has the numbers of frames and label images."""

    name: str
    split: str
    description: str
    classes: tuple[str, ...]
    sequences: tuple[str, ...]


class LeftOut(Record, frozen=True, kw_only=True):
    """Something that was asked for and not judged, and why."""

    what: str
    reason: str


class Score(Record, frozen=True, kw_only=True):
    """Of some frames of one side, 0 to 1; None where there was nothing to measure by. See `definitions.py`."""

    frames: int
    labelled_frames: int
    miou: float | None
    pixel_accuracy: float | None
    boundary_f: float | None
    temporal_consistency: float | None
    agreement: float | None
    iou_by_class: tuple[float | None, ...]
    boundary_f_by_class: tuple[float | None, ...]


class SideScores(Record, frozen=True, kw_only=True):
    """Of one side: over all frames, warm ones alone, cold ones alone, and warm ones by the sub-network that ran.

    Attributes:
        every_path: the same frames by each sub-network in turn; None where that was not asked for.
        confusion: [K][K] pixels, by class in the label image, then as labelled; over all frames.
    """

    overall: Score
    warm: Score
    cold: Score | None
    by_path: dict[int, Score]
    every_path: dict[int, Score] | None
    confusion: tuple[tuple[int, ...], ...]


class GapRecord(Record, frozen=True, kw_only=True):
    """Of frames after a gap; see `GapScore`. The first is of the run without gap that the others are compared with."""

    what: str
    dropped: int | None
    after: int
    frames: int
    labelled_frames: int
    agreement: float
    worst_agreement: float
    miou: float | None
    pixel_accuracy: float | None


class FrameScore(Record, frozen=True, kw_only=True):
    """One frame of one side."""

    path: int
    cold: bool
    miou: float | None
    pixel_accuracy: float | None
    agreement: float | None
    temporal_consistency: float | None


class FrameRecord(Record, frozen=True, kw_only=True):
    """One frame of the data set, by side; `place` is its index in the sequence."""

    sequence: str
    place: int
    name: str
    sides: dict[str, FrameScore]


class Document(Record, frozen=True, kw_only=True):
    """A whole evaluation.

    Attributes:
        command: that made it, outputs left out and files without their folders.
        reference: the side that labels were compared with; None without one.
        quick: outlines, consistency, and frames that no label image needs were left out.
        notes: without them the figures would mislead.
        gaps: by side.
        records: of the frames that ran, in order.
    """

    schema_version: int
    kind: str
    version: str
    started_at: str
    command: str
    data: DataInfo
    sides: dict[str, SideInfo]
    reference: str | None
    quick: bool
    left_out: tuple[LeftOut, ...]
    notes: tuple[str, ...]
    scores: dict[str, SideScores]
    gaps: dict[str, tuple[GapRecord, ...]]
    definitions: dict[str, str]
    records: tuple[FrameRecord, ...]


def score_from_tally(tally: Tally) -> Score:
    """Its figures."""
    return Score(
        frames=tally.frames,
        labelled_frames=tally.labelled_frames,
        miou=tally.miou,
        pixel_accuracy=tally.pixel_accuracy,
        boundary_f=tally.boundary_f,
        temporal_consistency=tally.temporal_consistency,
        agreement=tally.agreement,
        iou_by_class=tally.iou,
        boundary_f_by_class=tally.f_score,
    )


def scores_from_evaluation(found: Evaluation, *, every_path: dict[int, Tally] | None) -> SideScores:
    """The figures of one side."""
    return SideScores(
        overall=score_from_tally(found.overall),
        warm=score_from_tally(found.warm),
        cold=None if found.cold is None else score_from_tally(found.cold),
        by_path={path: score_from_tally(tally) for path, tally in found.by_path.items()},
        every_path=None
        if every_path is None
        else {path: score_from_tally(tally) for path, tally in sorted(every_path.items())},
        confusion=tuple(map(tuple, found.overall.confusion.counts.tolist())),
    )


def gap_record(score: GapScore) -> GapRecord:
    """Its figures."""
    confusion = score.confusion
    return GapRecord(
        what=score.what,
        dropped=score.dropped,
        after=score.after,
        frames=len(score.agreements),
        labelled_frames=confusion.frames,
        agreement=sum(score.agreements) / len(score.agreements),
        worst_agreement=min(score.agreements),
        miou=confusion.miou,
        pixel_accuracy=confusion.pixel_accuracy,
    )


@told_as(OptionError, "--json")
def check_json_path(path: Path) -> None:
    """Make sure that nothing else would be replaced.

    Raises:
        OptionError: the file is there and no document of this tool.
    """
    if path.exists():
        try:
            read_document(path)
        except OptionError as error:
            raise OptionError(
                f"--json would replace a file that is no document of {_TOOL}; name another: {str(path)!r}"
            ) from error


def read_document(path: Path) -> Document:
    """Read a document of this schema version.

    Raises:
        OptionError: not there, not a document of `tdnet-eval`, or of another schema version.
    """

    def decode(data: bytes) -> Document:
        document = msgspec.json.decode(data, type=Document)
        if (document.kind, document.schema_version) != (KIND, SCHEMA_VERSION):
            raise ValueError(f"it is {document.kind!r} of schema {document.schema_version}")
        return document

    return read_result(path, decode, what=_TOOL)
