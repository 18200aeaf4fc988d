"""Configuration files: TOML in and out, fields set on the command line, faults named by field."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import tomli
import tomli_w

from tdnet_runtime.errors import OptionError
from tdnet_runtime.file_names import as_utf8
from tdnet_train.settings import TrainSettings

__all__ = ["converted", "digest", "read_settings", "read_table", "settings_from", "written"]

_T = TypeVar("_T")


def read_settings(path: Path, overrides: Iterable[str] = ()) -> TrainSettings:
    """The configuration in a TOML file.

    Args:
        path: of the file.
        overrides: `run.batch=4`, `network.size=[64, 96]`: fields that are set instead, values as in TOML.

    Raises:
        OptionError: unreadable, not TOML, a field that there is not, or a value of another type; the message names it.
    """
    return settings_from(read_table(path, what="configuration"), str(path), overrides)


def read_table(path: Path, *, what: str) -> dict[str, Any]:
    """The content of a TOML file, which is `what`.

    Raises:
        OptionError: unreadable, or not TOML.
    """
    try:
        return tomli.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise OptionError(f"cannot read the {what} {str(path)!r}: {error.strerror or error}") from error
    except (tomli.TOMLDecodeError, UnicodeDecodeError) as error:
        raise OptionError(f"the {what} {str(path)!r} is not TOML: {error}") from error


def converted(content: dict[str, Any], kind: type[_T], *, name: str, what: str) -> _T:
    """The `kind` of settings that `content`, as read from the file `name`, is.

    Raises:
        OptionError: a field that there is not, or a value of another type; the message names it.
    """
    try:
        return msgspec.convert(content, kind)
    except msgspec.ValidationError as error:
        text, _, place = str(error).partition(" - at `$")
        field = place.rstrip("`").removeprefix(".") or "the file"
        raise OptionError(f"the {what} {name!r}: {field}: {text[:1].lower()}{text[1:]}") from error


def settings_from(content: dict[str, Any], name: str, overrides: Iterable[str] = ()) -> TrainSettings:
    """The configuration that `content`, as read from the file `name`, is; see `read_settings`."""
    for override in overrides:
        _put(content, override)
    settings = converted(content, TrainSettings, name=name, what="configuration")
    _check(settings, name)
    return settings


def written(settings: TrainSettings) -> bytes:
    """The whole configuration as TOML, defaults included; fields that are not set are left out."""
    return tomli_w.dumps(_without_none(msgspec.to_builtins(settings))).encode()


def digest(settings: TrainSettings) -> str:
    """Eight characters that follow from all that is not a default: fields that come later leave them as they are."""
    return hashlib.sha256(msgspec.json.encode(_asked(settings), order="deterministic")).hexdigest()[:8]


def _asked(value: Any) -> Any:
    if isinstance(value, msgspec.Struct):
        fields = {field.name: field for field in msgspec.structs.fields(value)}
        found = {name: getattr(value, name) for name in fields}
        return {name: _asked(inner) for name, inner in found.items() if inner != _default(fields[name])}
    return [_asked(inner) for inner in value] if isinstance(value, (list, tuple)) else value


def _default(field: msgspec.structs.FieldInfo) -> Any:
    return field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(inner) for key, inner in value.items() if inner is not None}
    return [_without_none(inner) for inner in value] if isinstance(value, (list, tuple)) else value


def _put(content: dict[str, Any], override: str) -> None:
    """Set one field; of a list, such as `stages.0.epochs`, by its index."""
    path, equals, text = override.partition("=")
    if as_utf8(override) != override:
        raise OptionError(
            f"--set was given {override!r}; a configuration is UTF-8: name the file by a link to it"
        )
    names = path.strip().split(".")
    if not equals or not all(names):
        raise OptionError(f"--set was given {override!r}; expected FIELD=VALUE, such as run.batch=4")
    try:
        value = tomli.loads(f"x = {text}")["x"]
    except tomli.TOMLDecodeError:
        value = text.strip()  # a word needs no quotes
    place: Any = content
    for name in names[:-1]:
        if isinstance(place, list):
            if not name.isdecimal() or int(name) >= len(place):
                raise OptionError(f"--set was given {override!r}; there are {len(place)} of them, from 0")
            place = place[int(name)]
        elif isinstance(place, dict):
            place = place.setdefault(name, {})
        else:
            raise OptionError(f"--set was given {override!r}; {name!r} is in no table of the configuration")
    if not isinstance(place, dict):
        raise OptionError(f"--set was given {override!r}; {names[-1]!r} is no field there")
    place[names[-1]] = value


def _check(settings: TrainSettings, name: str) -> None:
    """Raise OptionError for values that cannot be meant."""
    run, loss = settings.run, settings.loss
    least: list[tuple[str, float, float]] = [
        ("run.batch", run.batch, 1),
        ("run.accumulate", run.accumulate, 1),
        ("run.workers", run.workers, 0),
        ("run.log_steps", run.log_steps, 1),
        ("network.memory_stride", settings.network.memory_stride, 1),
        *((f"loss.{field}", value, 0) for field, value in _weights(settings).items()),
        *(
            (f"network.{field}", value, 1)
            for field in ("stem", "value", "head", "neck")
            if (value := getattr(settings.network, field)) is not None
        ),
        *(("network.planes", value, 1) for value in settings.network.planes or ()),
    ]
    for field in ("memory_stride", "every_steps", "limit"):
        if (value := getattr(settings.validation, field)) is not None:
            least.append((f"validation.{field}", value, 1))
    if run.threads is not None:
        least.append(("run.threads", run.threads, 1))
    for field, value, bound in least:
        if not value >= bound:
            raise OptionError(f"the configuration {name!r}: {field} is {value}, expected {bound} or more")
    shares = [
        ("network.attention_dropout", settings.network.attention_dropout),
        ("run.ema", run.ema),
    ]
    for field, value in shares:
        if not 0 <= value < 1:
            raise OptionError(f"the configuration {name!r}: {field} is {value}, expected 0 or more, below 1")
    above = [
        ("network.width", settings.network.width),
        ("loss.ohem_share", loss.ohem_share),
        ("validation.every_epochs", settings.validation.every_epochs),
        *((f"stages.{i}.learning_rate", s.learning_rate) for i, s in enumerate(settings.stages)),
        *((f"stages.{i}.warmup_start", s.warmup_start) for i, s in enumerate(settings.stages)),
    ]
    if settings.teacher is not None:
        above.append(("teacher.temperature", settings.teacher.temperature))
    for field, value in above:
        if not value > 0:
            raise OptionError(f"the configuration {name!r}: {field} is {value}, expected a value above 0")
    if loss.ohem_threshold is not None and not 0 < loss.ohem_threshold < 1:
        raise OptionError(
            f"the configuration {name!r}: loss.ohem_threshold is {loss.ohem_threshold}, expected a probability between 0 "
            "and 1"
        )
    if not loss.cross_entropy and not loss.dice:
        raise OptionError(
            f"the configuration {name!r}: loss.cross_entropy and loss.dice are both 0; nothing would be learnt from labels"
        )
    if settings.data.weight != 1:
        raise OptionError(
            f"the configuration {name!r}: data.weight is {settings.data.weight:g}, but weight is for the data sets that a "
            "stage mixes, [[stages.data]]; leave it out of [data]"
        )
    if not settings.stages:
        raise OptionError(f"the configuration {name!r} has no [[stages]]; nothing would be trained")


def _weights(settings: TrainSettings) -> dict[str, float]:
    names = ("cross_entropy", "dice", "own", "auxiliary", "alpha", "beta")
    return {name: getattr(settings.loss, name) for name in names}
