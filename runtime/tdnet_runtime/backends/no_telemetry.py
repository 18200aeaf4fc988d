"""Imports of packages that call home when they are imported, without the call.

`import openvino` (2026.4.1) and `import nncf` (3.4.0) tell an analytics host about it where the package
openvino_telemetry is installed, which pip installs beside them: they write a user's number to ~/intel, fork the
process, and wait up to 3 s for the host. No environment variable of OpenVINO switches that off; without
openvino_telemetry both use a stub that does nothing, so it is hidden from them while they are imported.
"""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["import_without_telemetry"]

_REPORTER = "openvino_telemetry"
_lock = threading.Lock()


def import_without_telemetry(name: str) -> Any:
    """The module `name`, which is imported if it is not yet, and then sends nothing.

    Raises:
        ImportError: it is not installed, or does not load.
    """
    with _lock, _hidden(_REPORTER):
        return importlib.import_module(name)


@contextmanager
def _hidden(name: str) -> Iterator[None]:
    """Importing `name`, or anything in it, raises ImportError in here; what was imported before comes back."""
    before = {key: module for key, module in sys.modules.items() if f"{key}.".startswith(f"{name}.")}
    for key in before:
        del sys.modules[key]
    sys.modules[name] = None  # type: ignore[assignment]  # the import system's own mark for "not there"
    try:
        yield
    finally:
        del sys.modules[name]
        sys.modules.update(before)
