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
from tdnet_train.bounds import check_bounds
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
    check_bounds(settings, name)
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
