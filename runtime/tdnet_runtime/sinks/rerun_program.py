"""Rerun's own program, which comes with rerun-sdk, kept from reporting its use to its makers."""

from __future__ import annotations

import errno
import importlib.util
import os
import subprocess
from pathlib import Path

__all__ = ["rerun_program", "silent_environment"]

_START_S = 20.0


def rerun_program() -> str:
    """Its path. `python -m rerun_cli` exits with 0 whatever the program did (rerun-sdk 0.41).

    Raises:
        OSError: this rerun-sdk comes without it.
    """
    spec = importlib.util.find_spec("rerun_cli")
    if spec is None or spec.origin is None:
        raise FileNotFoundError(errno.ENOENT, "rerun-sdk is installed without its program")
    return str(Path(spec.origin).with_name("rerun"))


def silent_environment(folder: str) -> dict[str, str]:
    """The environment in which it is silent, with its settings in `folder`.

    Raises:
        OSError, subprocess.SubprocessError: the program does not start, or fails.
    """
    own = {**os.environ, "XDG_CONFIG_HOME": folder, "XDG_DATA_HOME": folder}
    subprocess.run(
        [rerun_program(), "analytics", "disable"],
        env=own,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=_START_S,
        check=True,
    )
    return own
