"""`--data`: a folder, a known data set's folder, or a TOML file of settings."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, cast, get_args

import msgspec

from tdnet_data.settings import DataSettings, Kind
from tdnet_runtime.errors import OptionError
from tdnet_runtime.extras import require
from tdnet_runtime.os_errors import told_as

__all__ = ["settings_from_option"]

_KINDS = get_args(Kind)


@told_as(OptionError, "--data")
def settings_from_option(text: str) -> DataSettings:
    """What `--data` names: `FOLDER`, `KIND:FOLDER`, or `X.toml` with settings, as they are or in a training's `[data]`.

    Raises:
        OptionError: no such file or folder, or a file that is no settings.
        MissingExtraError: a TOML file, and tomli is not installed.
    """
    kind, colon, folder = text.partition(":")
    if colon and kind in _KINDS:
        return DataSettings(kind=cast(Kind, kind), root=str(_folder(folder, text)))
    path = Path(text)
    if path.suffix.lower() == ".toml":
        return _settings_from_toml(path)
    if colon and not path.exists() and "/" not in kind:
        raise OptionError(
            f"--data knows no kind of data set {kind!r}; known are {', '.join(_KINDS)}, as in camvid:/data/camvid: {text!r}"
        )
    return DataSettings(root=str(_folder(text, text)))


def _folder(folder: str, text: str) -> Path:
    path = Path(os.path.expanduser(folder))  # noqa: PTH111 - Path's raises for a user who is not there
    if not folder or not path.is_dir():
        found = "no name after the colon" if not folder else "a file" if path.exists() else "nothing"
        raise OptionError(f"--data needs a folder or a .toml file, but there is {found}: {text!r}")
    return path


def _settings_from_toml(path: Path) -> DataSettings:
    tomli: Any = require("tomli", extra="eval")
    try:
        content = tomli.loads(path.read_text(encoding="utf-8"))
        table = content if "root" in content else content.get("data", content)
        return msgspec.convert(table, type=DataSettings)
    except OSError as error:
        raise OptionError(f"--data cannot be read: {error.strerror or error}: {str(path)!r}") from error
    except (msgspec.MsgspecError, ValueError) as error:
        raise OptionError(f"--data is no settings of a data set ({error}): {str(path)!r}") from error
