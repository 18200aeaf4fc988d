"""Within which bounds a configuration's values can be meant."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import msgspec

from tdnet_runtime.errors import OptionError
from tdnet_runtime.file_names import as_utf8
from tdnet_train.settings import TrainSettings

__all__ = ["check_bounds"]

_MAY_BE_ENDLESS = ("run.checkpoint_minutes", "optimizer.clip_norm")  # none but at the end; no limit


def check_bounds(settings: TrainSettings, name: str) -> None:
    """Raise OptionError for values in the configuration called `name` that cannot be meant."""
    for field, value in _values(settings):
        endless = value == math.inf and field in _MAY_BE_ENDLESS
        if isinstance(value, float) and not math.isfinite(value) and not endless:
            raise _error(name, field, value, "a finite number")
        if isinstance(value, str) and value != as_utf8(value):
            raise OptionError(
                f"the configuration {name!r}: {field} is {value!r}, which is not UTF-8, as the run's own configuration has "
                "to be; rename it, or make a link to it"
            )
    for field, value, bound in _least(settings):
        if not value >= bound:
            raise _error(name, field, value, f"{bound} or more")
    for field, value in _shares(settings):
        if not 0 <= value < 1:
            raise _error(name, field, value, "0 or more, below 1")
    for field, value in _above(settings):
        if not value > 0:
            raise _error(name, field, value, "a value above 0")
    loss = settings.loss
    if loss.ohem_threshold is not None and not 0 < loss.ohem_threshold < 1:
        raise _error(name, "loss.ohem_threshold", loss.ohem_threshold, "a probability between 0 and 1")
    if loss.ohem_share > 1:
        raise _error(name, "loss.ohem_share", loss.ohem_share, "1 at the most")
    if not loss.cross_entropy and not loss.dice:
        raise OptionError(
            f"the configuration {name!r}: loss.cross_entropy and loss.dice are both 0; nothing would be learnt from labels"
        )
    if loss.class_weights and not any(loss.class_weights):
        raise OptionError(
            f"the configuration {name!r}: loss.class_weights are all 0; nothing would be learnt from labels"
        )
    if settings.data.weight != 1:
        raise OptionError(
            f"the configuration {name!r}: data.weight is {settings.data.weight:g}, but weight is for the data sets that a "
            "stage mixes, [[stages.data]]; leave it out of [data]"
        )
    if not settings.stages:
        raise OptionError(f"the configuration {name!r} has no [[stages]]; nothing would be trained")


def _error(name: str, field: str, value: float, expected: str) -> OptionError:
    return OptionError(f"the configuration {name!r}: {field} is {value}, expected {expected}")


def _values(value: Any, field: str = "") -> Iterator[tuple[str, Any]]:
    """All in the settings, by their fields; keys of tables too."""
    inner: list[tuple[Any, Any]] = []
    if isinstance(value, msgspec.Struct):
        inner = [(each, getattr(value, each)) for each in value.__struct_fields__]
    elif isinstance(value, dict):
        inner = [*value.items(), *(("key", key) for key in value)]
    elif isinstance(value, (list, tuple)):
        inner = list(enumerate(value))
    else:
        yield as_utf8(field), value
    for key, each in inner:
        yield from _values(each, f"{field}.{key}" if field else f"{key}")


def _least(settings: TrainSettings) -> Iterator[tuple[str, float, int]]:
    """What must not be smaller than so much."""
    run, network, validation = settings.run, settings.network, settings.validation
    for field in ("batch", "accumulate", "log_steps"):
        yield f"run.{field}", getattr(run, field), 1
    yield "run.workers", run.workers, 0
    yield "run.checkpoint_minutes", run.checkpoint_minutes, 0
    yield "network.memory_stride", network.memory_stride, 1
    for field in ("cross_entropy", "dice", "own", "auxiliary", "alpha", "beta"):
        yield f"loss.{field}", getattr(settings.loss, field), 0
    if isinstance(settings.loss.class_weights, tuple):
        yield from (
            (f"loss.class_weights.{i}", value, 0) for i, value in enumerate(settings.loss.class_weights)
        )
    for field in ("weight_decay", "map_smoothness", "head_factor", "clip_norm"):
        yield f"optimizer.{field}", getattr(settings.optimizer, field), 0
    for index, stage in enumerate(settings.stages):
        yield f"stages.{index}.power", stage.power, 0
        yield f"stages.{index}.warmup_steps", stage.warmup_steps, 0
    yield from (("network.planes", value, 1) for value in network.planes or ())
    optional = [
        *((f"network.{field}", getattr(network, field)) for field in ("stem", "value", "head", "neck")),
        *(
            (f"validation.{field}", getattr(validation, field))
            for field in ("memory_stride", "every_steps", "limit")
        ),
        ("run.threads", run.threads),
    ]
    yield from ((field, value, 1) for field, value in optional if value is not None)


def _shares(settings: TrainSettings) -> Iterator[tuple[str, float]]:
    yield "network.attention_dropout", settings.network.attention_dropout
    yield "run.ema", settings.run.ema
    yield "optimizer.momentum", settings.optimizer.momentum
    yield from ((f"optimizer.betas.{i}", value) for i, value in enumerate(settings.optimizer.betas))


def _above(settings: TrainSettings) -> Iterator[tuple[str, float]]:
    yield "network.width", settings.network.width
    yield "loss.ohem_share", settings.loss.ohem_share
    yield "validation.every_epochs", settings.validation.every_epochs
    for index, stage in enumerate(settings.stages):
        yield f"stages.{index}.learning_rate", stage.learning_rate
        yield f"stages.{index}.warmup_start", stage.warmup_start
    if settings.teacher is not None:
        yield "teacher.temperature", settings.teacher.temperature
    yield "preprocessing.scale", settings.preprocessing.scale
    yield from (("preprocessing.std", value) for value in settings.preprocessing.std or ())
