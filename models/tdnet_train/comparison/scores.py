"""What a run of a comparison is worth: kept beside it, by split and memory stride."""

from __future__ import annotations

from pathlib import Path

import msgspec

from tdnet_eval.result_file import read_result
from tdnet_eval.tally import Evaluation
from tdnet_runtime.errors import OptionError
from tdnet_runtime.os_errors import told_as
from tdnet_train.running.folder import RunFolder

__all__ = ["SplitScore", "keep_scores", "kept_scores", "score_key", "split_score"]


class SplitScore(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of all frames of a split, streamed in order, 0 to 1; None where there was nothing to measure by.

    Attributes:
        labelled_frames: that were judged.
        iou: by class.
        miou_by_path: warm frames by the sub-network that ran.
        temporal_consistency: see `tdnet_eval.flow`; None where it was not asked for.
    """

    labelled_frames: int
    miou: float | None
    pixel_accuracy: float | None
    iou: dict[str, float | None]
    miou_by_path: dict[int, float | None]
    temporal_consistency: float | None


def split_score(found: Evaluation) -> SplitScore:
    """The figures of an evaluation."""
    return SplitScore(
        labelled_frames=found.overall.labelled_frames,
        miou=found.miou,
        pixel_accuracy=found.pixel_accuracy,
        iou=dict(zip(found.classes, found.iou, strict=True)),
        miou_by_path={path: tally.miou for path, tally in found.by_path.items()},
        temporal_consistency=found.overall.temporal_consistency,
    )


def score_key(split: str, stride: int) -> str:
    """Name of a score among those of a run."""
    return f"{split}, stride {stride}"


@told_as(OptionError, "reading a run's scores")
def kept_scores(folder: Path) -> dict[str, SplitScore]:
    """Of the run in `folder`, by `score_key`; empty where it was not judged yet.

    Raises:
        OptionError: the file is something else.
    """
    path = _path(folder)
    if not path.exists():
        return {}
    return read_result(
        path, lambda data: msgspec.json.decode(data, type=dict[str, SplitScore]), what="a run's scores"
    )


def keep_scores(folder: Path, scores: dict[str, SplitScore]) -> None:
    """Write them beside the run.

    Raises:
        TrainingError: they cannot be written.
    """
    RunFolder(folder).write_whole(_path(folder), msgspec.json.format(msgspec.json.encode(scores)))


def _path(folder: Path) -> Path:
    return folder / "scores.json"
