"""The data sets of a run: opened, looked through before anything long begins, and what their labels weigh."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import msgspec
import numpy as np
import numpy.typing as npt

from tdnet_data.checking import Findings, check_apart, check_dataset
from tdnet_data.dataset import DataSet
from tdnet_data.mixture import Mixture, open_mixture
from tdnet_data.opening import open_dataset
from tdnet_models.variants import PUBLISHED
from tdnet_runtime.errors import DataError, OptionError
from tdnet_train.errors import TrainingError
from tdnet_train.running.folder import RunFolder
from tdnet_train.settings import StageSettings, TrainSettings

__all__ = ["RunData", "balanced_weights", "looked_through", "open_data"]


_ALL = 1 << 62  # frames before a labelled one


@dataclass(frozen=True, kw_only=True)
class RunData:
    """Data sets of the same classes.

    Attributes:
        train: the split that is learnt from, where a stage has no data of its own.
        stages: of each stage.
        validation: the split that is validated on; None for none.
    """

    train: DataSet
    stages: tuple[DataSet | Mixture, ...]
    validation: DataSet | None

    @cached_property
    def marks(self) -> dict[str, tuple[str, str]]:
        """By what is learnt from, or validated on: its description, and a digest of what decides which clip comes when.

        That is the names of the frames up to each sequence's last label, which of them have one, and what is mixed how.
        """
        used = {f"stage {index + 1}": stage for index, stage in enumerate(self.stages)}
        if self.validation is not None:
            used["validation"] = self.validation
        return {name: _mark(data) for name, data in used.items()}

    def require_marks(self, before: Mapping[str, tuple[str, str]], run: RunFolder) -> None:
        """Raise TrainingError where `before`, the `marks` that `run` began with, are others than now."""
        now = self.marks
        for name, (was, digest) in before.items():
            if name in now and now[name][1] != digest:
                raise TrainingError(
                    f"the data of the run in {str(run.path)!r} ({name}) are not what they were: then {was}, now "
                    f"{'the same by other names' if now[name][0] == was else now[name][0]}; put them back as they were, or "
                    f"begin another run, with start.kind = 'tdnet' and start.checkpoint = {str(run.last)!r}"
                )

    def require_apart(self) -> None:
        """Raise DataError where a frame that is validated on is learnt from as well."""
        if self.validation is not None:
            for dataset in self.stages:
                check_apart(dataset, self.validation)


def _mark(data: DataSet | Mixture) -> tuple[str, str]:
    parts = ((data, 1.0),) if isinstance(data, DataSet) else data.parts
    content = [
        (weight, dataset.labelled, [frame.name for frame in dataset.clip_frames(_ALL)])
        for dataset, weight in parts
    ]
    digest = hashlib.sha256(json.dumps(content).encode()).hexdigest()
    return " and ".join(dataset.description for dataset, _ in parts), digest


def open_data(settings: TrainSettings) -> RunData:
    """Open all data sets; only lists of files are read.

    Raises:
        OptionError: fewer than two classes, or a stage's data have other classes than the run's.
        DataError: one of them cannot be opened.
    """
    train = open_dataset(settings.data, settings.train_split, beside=settings.used_splits)
    if len(train.classes) < 2:
        raise OptionError(
            f"the data set {train.name!r} has one class, {train.classes.names[0]!r}; expected two or more: name what is "
            "not it as a class too"
        )
    split = settings.validation.split
    validation = open_dataset(settings.data, split, beside=settings.used_splits) if split else None
    if validation is not None and not validation.labelled:
        raise DataError(
            f"validation.split is {split!r}, and none of its frames has labels: {validation.description}; name one that "
            "has, or leave validation out with validation.split = ''"
        )
    return RunData(
        train=train,
        stages=tuple(_stage_data(settings, stage, train) for stage in settings.stages),
        validation=validation,
    )


def looked_through(settings: TrainSettings, data: RunData) -> tuple[TrainSettings, tuple[str, ...]]:
    """Read all that the run will read, once; the settings with `class_weights` in figures, and notes for the user.

    Raises:
        DataError: the first fault, with its file.
    """
    frames = PUBLISHED[settings.network.name].variant.paths
    notes: list[str] = []
    of_train: Findings | None = None
    for stage, dataset in zip(settings.stages, data.stages, strict=True):
        findings = check_dataset(dataset, reach=stage.clips.reach(frames))
        findings.require()
        notes += findings.notes
        if dataset is data.train:
            of_train = findings
    if data.validation is not None:
        validation = copy.copy(data.validation)
        validation.may_be_empty = validation.classes.names
        findings = check_dataset(validation, reach=frames - 1)
        findings.require()
        data.require_apart()
    if settings.loss.class_weights == "balanced":
        if of_train is None:
            of_train = check_dataset(data.train)
            of_train.require()
        weights = balanced_weights(of_train.pixels)
        loss = msgspec.structs.replace(settings.loss, class_weights=weights)
        settings = msgspec.structs.replace(settings, loss=loss)
    return settings, tuple(dict.fromkeys(notes))


def balanced_weights(pixels: npt.NDArray[np.int64]) -> tuple[float, ...]:
    """1/ln(1.02 + a class's share of the labelled pixels) (ENet's), scaled to a mean of 1."""
    weights = 1 / np.log(1.02 + pixels / max(pixels.sum(), 1))
    return tuple(round(float(weight), 4) for weight in weights / weights.mean())


def _stage_data(settings: TrainSettings, stage: StageSettings, train: DataSet) -> DataSet | Mixture:
    if stage.data is None:
        return train
    mixture = open_mixture(stage.data, settings.train_split, beside=settings.used_splits)
    names = mixture.parts[0][0].classes.names
    if names != train.classes.names:
        raise OptionError(
            f"a stage's data have the classes {', '.join(names)}; expected those of [data], "
            f"{', '.join(train.classes.names)}; names and map bring them together"
        )
    return mixture
