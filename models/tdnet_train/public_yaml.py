"""The public training code's configuration files (Training/configs/*.yml), read as they are.

Every entry either becomes a setting here, or is named in a note: nothing is passed over in silence.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from tdnet_runtime.errors import OptionError
from tdnet_runtime.os_errors import told_as
from tdnet_train.config_file import settings_from
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
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise OptionError(
            f"cannot read the configuration {str(path)!r}: {error.strerror or error}"
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        text = " ".join(str(error).split())
        raise OptionError(f"the configuration {str(path)!r} is not YAML: {text}") from error
    reading = _Reading(content, str(path))
    settings = reading.settings()
    return settings_from(settings, str(path), overrides), tuple(reading.notes())


class _Reading:
    """Takes entries out of the file's content; what is left at the end was not taken."""

    def __init__(self, content: Any, name: str) -> None:
        self._name = name
        self._left: dict[str, Any] = {}
        self._notes: list[str] = []
        if not isinstance(content, Mapping) or not isinstance(content.get("model"), Mapping):
            raise OptionError(
                f"the configuration {name!r} is no YAML file of the public training code: it has no `model`"
            )
        self._flatten("", content)

    def settings(self) -> dict[str, Any]:
        """As the TOML file's content would be."""
        network = self._network()
        size = network["size"]
        steps = self._take("training.train_iters", 40000)
        stage = self._stage(size, steps)
        settings: dict[str, Any] = {
            "network": network,
            "data": self._data(),
            "stages": [stage],
            "train_split": self._take("data.train_split", "train"),
            "loss": self._loss(),
            "optimizer": self._optimizer(),
            "run": {
                "batch": self._batch(),
                "workers": self._take("training.n_workers", 0),
                "log_steps": self._take("training.print_interval", 25),
                "seed": _SEED,
            },
        }
        settings |= self._files(network["name"])
        interval = self._take("training.val_interval", 500)
        settings["validation"] = {
            "split": self._take("data.val_split", "val"),
            "every_steps": interval,
            "memory_stride": 3,
        }
        self._preprocessing(settings)
        return settings

    def notes(self) -> list[str]:
        """What has no counterpart, a line each."""
        lines = [f"{key} of {self._name!r} has no counterpart here and was left out" for key in self._left]
        return self._notes + lines

    def _flatten(self, prefix: str, value: Mapping[Any, Any]) -> None:
        for key, inner in value.items():
            if isinstance(inner, Mapping):
                self._flatten(f"{prefix}{key}.", inner)
            else:
                self._left[f"{prefix}{key}"] = inner

    def _take(self, key: str, default: Any = None) -> Any:
        value = self._left.pop(key, None)
        return default if value is None else value

    def _network(self) -> dict[str, Any]:
        arch, backbone = self._take("model.arch"), self._take("model.backbone", "resnet18")
        if arch not in _FAMILIES:
            raise OptionError(
                f"the configuration {self._name!r}: model.arch is {arch!r}, expected one of {', '.join(_FAMILIES)}"
            )
        prefix, paths = _FAMILIES[arch]
        named = self._take("model.path_num", paths)
        if named != paths:
            raise OptionError(
                f"the configuration {self._name!r}: model.path_num is {named}, but {arch} has {paths} sub-networks"
            )
        if not str(backbone).startswith("resnet"):
            raise OptionError(
                f"the configuration {self._name!r}: model.backbone is {backbone!r}, expected resnet18, resnet34 or resnet50"
            )
        self._take("model.syncBN")  # statistics are over all ranks wherever there are several
        size = self._take("training.train_augmentations.rcrop")
        size = size or self._left.get("training.train_augmentations.scale")
        if size is None:
            raise OptionError(
                f"the configuration {self._name!r} names no size: training.train_augmentations.rcrop is not there"
            )
        size = list(size) if isinstance(size, (list, tuple)) else [size, size]
        return {"name": f"{prefix}{str(backbone).removeprefix('resnet')}", "size": size}

    def _data(self) -> dict[str, Any]:
        dataset = str(self._take("data.dataset", "cityscapes")).lower()
        if dataset not in _DATASETS:
            raise OptionError(
                f"the configuration {self._name!r}: data.dataset is {dataset!r}, which is a loader of its own; known here "
                f"are {', '.join(_DATASETS)}. Write a TOML file with [data] for it (docs/training-data.md)"
            )
        for key in ("data.test_split", "data.img_rows", "data.img_cols"):
            self._take(key)  # read by no line of the public code
        root = self._take("data.path")
        if root is None:
            raise OptionError(f"the configuration {self._name!r} names no data set: data.path is not there")
        return {"kind": _DATASETS[dataset], "root": root}

    def _stage(self, size: list[int], steps: int) -> dict[str, Any]:
        self._take("training.optimizer.max_iter")
        prefix = "training.train_augmentations."
        clips: dict[str, Any] = {"stage": "video", "gap_min": 1, "gap_max": 2}
        scale = self._take(f"{prefix}scale")
        if scale is not None and list(scale) != size:
            clips["base_hw"] = list(scale)
        factors = self._take(f"{prefix}rscale")
        if factors is None:
            clips["scale"] = [1.0, 1.0]
        else:
            clips["scales"] = list(factors)
            if min(factors) < 1:
                self._notes.append(
                    f"{prefix}rscale: a picture scaled below the crop's size is padded here and the padding ignored; the "
                    "public code stretches it back to the crop"
                )
        clips["rotate"] = self._take(f"{prefix}rotate", 0.0)
        clips["flip"] = self._take(f"{prefix}hflip", 0.0)
        colors = self._take(f"{prefix}colorjtr", [0.0, 0.0, 0.0])
        clips |= dict(zip(("brightness", "contrast", "saturation"), colors, strict=False))
        rate = self._take("training.optimizer.lr0", 1e-2)
        return {
            "name": "video",
            "steps": steps,
            "learning_rate": float(rate),
            "power": self._take("training.optimizer.power", 0.9),
            "warmup_steps": self._take("training.optimizer.warmup_steps", 0),
            "warmup_start": float(self._take("training.optimizer.warmup_start_lr", 1e-5)),
            "clips": clips,
        }

    def _batch(self) -> Any:
        """Of each process: the public code's is of all GPUs together."""
        batch, processes = self._take("training.batch_size", 8), int(os.environ.get("WORLD_SIZE", "1"))
        if isinstance(batch, int) and batch % processes:
            raise OptionError(
                f"the configuration {self._name!r}: training.batch_size is {batch} for all processes together, and "
                f"{processes} of them were started; expected a multiple"
            )
        return batch // processes if isinstance(batch, int) else batch

    def _loss(self) -> dict[str, Any]:
        name = self._take("training.loss.name", "OhemCELoss2D")
        self._take("training.loss.ignore_index")  # each data set's own becomes 255
        if name == "OhemCELoss2D":
            return {"ohem_threshold": self._take("training.loss.thresh", 0.7)}
        if name == "SegmentationLosses":
            weights = self._take("training.loss.weight")
            return {} if weights is None else {"class_weights": list(weights)}
        raise OptionError(
            f"the configuration {self._name!r}: training.loss.name is {name!r}, expected OhemCELoss2D or SegmentationLosses"
        )

    def _optimizer(self) -> dict[str, Any]:
        name = self._take("training.optimizer.name", "adaoptimizer")
        if name != "adaoptimizer":
            raise OptionError(
                f"the configuration {self._name!r}: training.optimizer.name is {name!r}, expected adaoptimizer"
            )
        return {
            "kind": "sgd",
            "momentum": self._take("training.optimizer.momentum", 0.9),
            "weight_decay": float(self._take("training.optimizer.wd", 1e-4)),
        }

    @told_as(OptionError, "looking for what the configuration names")
    def _files(self, network: str) -> dict[str, Any]:
        """Teacher and starting point. The public code goes on without a file that is not there; here it is told."""
        found: dict[str, Any] = {}
        for key in (
            "teacher.arch",
            "teacher.backbone",
            "teacher.path_num",
            "teacher.fixed",
            "teacher.syncBN",
        ):
            self._take(key)  # the teacher's file tells its network, and it is always fixed
        teacher = self._take("teacher.teacher_model")
        if teacher is not None and Path(teacher).is_file():
            found["teacher"] = {"checkpoint": str(teacher)}
        elif teacher is not None:
            self._notes.append(
                f"teacher.teacher_model {str(teacher)!r} is not there: training goes on without distillation (the public "
                "code would distil from a random network)"
            )
        start = self._take("training.resume")
        if start is not None and Path(start).is_file():
            found["start"] = {"kind": "pspnet", "checkpoint": str(start)}
        elif start is not None:
            self._notes.append(
                f"training.resume {str(start)!r} is not there: training begins with random weights (the public code would "
                "fetch ImageNet's, from addresses that are gone)"
            )
        self._take("training.visdom")
        for key in ("resume", "n_workers", "batch_size"):
            self._take(f"validating.{key}")  # validation streams one frame after the other here
        self._take("validating.val_augmentations.scale")
        return found

    def _preprocessing(self, settings: dict[str, Any]) -> None:
        self._take("validating.val_augmentations.colornorm")
        norm = self._take("training.train_augmentations.colornorm")
        if norm is not None:
            settings["preprocessing"] = {"mean": list(norm[0]), "std": list(norm[1])}
