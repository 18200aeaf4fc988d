"""The public training code's configuration files (Training/configs/*.yml), read as they are.

Every entry either becomes a setting here, or is named in a note: nothing is passed over in silence.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from tdnet_runtime.errors import OptionError
from tdnet_runtime.os_errors import told_as
from tdnet_train.config_file import settings_from
from tdnet_train.public_clips import public_clips, public_norm
from tdnet_train.public_entries import PublicEntries
from tdnet_train.settings import TrainSettings

__all__ = ["is_public_yaml", "read_public_yaml"]

_FAMILIES = {"td2_psp": ("td2-psp", 2), "td4_psp": ("td4-psp", 4), "td2_fa": ("td2-fa", 2)}
_DATASETS = {
    "cityscapes": "cityscapes",
    "camvid": "camvid",
    "nyuv2": "nyudv2",
    "nyudv2": "nyudv2",
    "nyu": "nyudv2",
}
_NATIVE_HW: dict[str, list[float]] = {"cityscapes": [1024, 2048]}
"""(H, W) of their frames, which the public code crops from where it is told no size to bring them to."""
_SEED = 11733  # `init_seed(11733)` of the public train.py


def is_public_yaml(path: Path) -> bool:
    """True for a file whose name ends as YAML's do."""
    return path.suffix.lower() in (".yml", ".yaml")


def read_public_yaml(path: Path, overrides: Iterable[str] = ()) -> tuple[TrainSettings, tuple[str, ...]]:
    """The configuration in a YAML file of the public training code, and what of it has no counterpart.

    Args:
        path: of the file.
        overrides: see `config_file.read_settings`.

    Raises:
        OptionError: unreadable, not YAML, not of that code, or a value that cannot be meant.
    """
    try:
        reading = _Reading(yaml.safe_load(path.read_text(encoding="utf-8")), str(path))
    except OSError as error:
        raise OptionError(
            f"cannot read the configuration {str(path)!r}: {error.strerror or error}"
        ) from error
    except (
        yaml.YAMLError,
        ValueError,
        RecursionError,
    ) as error:  # ValueError: no UTF-8, or a date that is none
        text = " ".join(str(error).split())
        raise OptionError(f"the configuration {str(path)!r} is not YAML: {text}") from error
    settings = settings_from(reading.settings(), str(path), overrides)
    stage = settings.stages[0] if settings.stages else None
    if reading.crops_frames_as_they_are and stage is not None and stage.clips.base_hw is None:
        raise OptionError(
            f"the configuration {str(path)!r} has no training.train_augmentations.scale: the public code crops from frames "
            "as they are; say how large they are: --set 'stages.0.clips.base_hw=[HEIGHT, WIDTH]'"
        )
    return settings, tuple(reading.notes())


class _Reading(PublicEntries):
    """Makes settings of the entries.

    Attributes:
        crops_frames_as_they_are: the public code takes crops from frames of a size that nothing here knows.
    """

    def __init__(self, content: Any, name: str) -> None:
        super().__init__(content, name)
        self._notes: list[str] = []
        self.crops_frames_as_they_are = False

    def settings(self) -> dict[str, Any]:
        """As the TOML file's content would be."""
        network = self._network()
        size = network["size"]
        steps = self.take("training.train_iters", 40000)
        data = self._data()
        stage = self._stage(size, steps, kind=data["kind"])
        settings: dict[str, Any] = {
            "network": network,
            "data": data,
            "stages": [stage],
            "train_split": self.take("data.train_split", "train"),
            "loss": self._loss(),
            "optimizer": self._optimizer(),
            "run": {
                "batch": self._batch(),
                "workers": self.take("training.n_workers", 0),
                "log_steps": self.take("training.print_interval", 25),
                "seed": _SEED,
            },
        }
        settings |= self._files()
        interval = self.take("training.val_interval", 500)
        settings["validation"] = {
            "split": self.take("data.val_split", "val"),
            "every_steps": interval,
            "memory_stride": 3,
        }
        norm, notes = public_norm(self)
        self._notes += notes
        return settings | norm

    def notes(self) -> list[str]:
        """What has no counterpart, a line each."""
        lines = [f"{key} of {self.name!r} has no counterpart here and was left out" for key in self.left]
        return self._notes + lines

    def _network(self) -> dict[str, Any]:
        arch, backbone = self.take("model.arch"), self.take("model.backbone", "resnet18")
        if not isinstance(arch, str) or arch not in _FAMILIES:
            raise OptionError(
                f"the configuration {self.name!r}: model.arch is {arch!r}, expected one of {', '.join(_FAMILIES)}"
            )
        prefix, paths = _FAMILIES[arch]
        named = self.take("model.path_num", paths)
        if named != paths:
            raise OptionError(
                f"the configuration {self.name!r}: model.path_num is {named}, but {arch} has {paths} sub-networks"
            )
        if not str(backbone).startswith("resnet"):
            raise OptionError(
                f"the configuration {self.name!r}: model.backbone is {backbone!r}, expected resnet18, resnet34 or resnet50"
            )
        self.take("model.syncBN")  # statistics are over all ranks wherever there are several
        size = self.numbers("training.train_augmentations.rcrop", 2)
        size = size or self.numbers("training.train_augmentations.scale", 2, keep=True)
        if size is None:
            raise OptionError(
                f"the configuration {self.name!r} names no size: training.train_augmentations.rcrop is not there"
            )
        return {"name": f"{prefix}{str(backbone).removeprefix('resnet')}", "size": size}

    def _data(self) -> dict[str, Any]:
        dataset = str(self.take("data.dataset", "cityscapes")).lower()
        if dataset not in _DATASETS:
            raise OptionError(
                f"the configuration {self.name!r}: data.dataset is {dataset!r}, which is a loader of its own; known here "
                f"are {', '.join(_DATASETS)}. Write a TOML file with [data] for it (docs/training-data.md)"
            )
        for key in ("data.test_split", "data.img_rows", "data.img_cols"):
            self.take(key)  # read by no line of the public code
        root = self.take("data.path")
        if root is None:
            raise OptionError(f"the configuration {self.name!r} names no data set: data.path is not there")
        return {"kind": _DATASETS[dataset], "root": root}

    def _stage(self, size: list[float], steps: int, *, kind: str) -> dict[str, Any]:
        longest = self.take("training.optimizer.max_iter", steps)
        if longest != steps:
            self._notes.append(
                f"training.optimizer.max_iter is {longest} and training.train_iters {steps}: the learning rate falls to 0 "
                "at the end of the iterations here; in the public code at max_iter"
            )
        is_scaled = self.left.get("training.train_augmentations.scale") is not None
        self.crops_frames_as_they_are = not is_scaled and kind not in _NATIVE_HW
        clips, notes = public_clips(self, size, native_hw=_NATIVE_HW.get(kind))
        self._notes += notes
        return {
            "name": "video",
            "steps": steps,
            "learning_rate": self.number("training.optimizer.lr0", 1e-2),
            "power": self.take("training.optimizer.power", 0.9),
            "warmup_steps": self.take("training.optimizer.warmup_steps", 0),
            "warmup_start": self.number("training.optimizer.warmup_start_lr", 1e-5),
            "clips": clips,
        }

    def _batch(self) -> Any:
        """Of each process: the public code's is of all GPUs together."""
        batch, processes = self.take("training.batch_size", 8), int(os.environ.get("WORLD_SIZE", "1"))
        if isinstance(batch, int) and batch % processes:
            raise OptionError(
                f"the configuration {self.name!r}: training.batch_size is {batch} for all processes together, and "
                f"{processes} of them were started; expected a multiple"
            )
        return batch // processes if isinstance(batch, int) else batch

    def _loss(self) -> dict[str, Any]:
        name = self.take("training.loss.name", "OhemCELoss2D")
        self.take("training.loss.ignore_index")  # each data set's own becomes 255
        if name == "OhemCELoss2D":
            return {"ohem_threshold": self.take("training.loss.thresh", 0.7)}
        if name == "SegmentationLosses":
            weights = self.numbers("training.loss.weight")
            return {} if weights is None else {"class_weights": weights}
        raise OptionError(
            f"the configuration {self.name!r}: training.loss.name is {name!r}, expected OhemCELoss2D or SegmentationLosses"
        )

    def _optimizer(self) -> dict[str, Any]:
        name = self.take("training.optimizer.name", "adaoptimizer")
        if name != "adaoptimizer":
            raise OptionError(
                f"the configuration {self.name!r}: training.optimizer.name is {name!r}, expected adaoptimizer"
            )
        return {
            "kind": "sgd",
            "momentum": self.take("training.optimizer.momentum", 0.9),
            "weight_decay": self.number("training.optimizer.wd", 1e-4),
        }

    @told_as(OptionError, "looking for what the configuration names")
    def _files(self) -> dict[str, Any]:
        """Teacher and starting point. The public code goes on without a file that is not there; here it is told."""
        found: dict[str, Any] = {}
        for key in (
            "teacher.arch",
            "teacher.backbone",
            "teacher.path_num",
            "teacher.fixed",
            "teacher.syncBN",
        ):
            self.take(key)  # the teacher's file tells its network, and it is always fixed
        teacher = self.take("teacher.teacher_model")
        if teacher is not None and Path(str(teacher)).is_file():
            found["teacher"] = {"checkpoint": str(teacher)}
        elif teacher is not None:
            self._notes.append(
                f"teacher.teacher_model {str(teacher)!r} is not there: training goes on without distillation (the public "
                "code would distil from a random network)"
            )
        start = self.take("training.resume")
        if start is not None and Path(str(start)).is_file():
            found["start"] = {"kind": "pspnet", "checkpoint": str(start)}
        elif start is not None:
            self._notes.append(
                f"training.resume {str(start)!r} is not there: training begins with random weights (the public code would "
                "fetch ImageNet's, from addresses that are gone)"
            )
        self.take("training.visdom")
        for key in ("resume", "n_workers", "batch_size"):
            self.take(f"validating.{key}")  # validation streams one frame after the other here
        return found
