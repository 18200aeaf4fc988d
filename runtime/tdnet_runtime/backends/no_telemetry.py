"""Imports of packages that call home when they are imported, without the call.

`import openvino` (2026.4.1) and `import nncf` (3.4.0) tell an analytics host about it where the package
openvino_telemetry is installed, which pip installs beside them: they write a user's number to ~/intel, fork the
process, and wait up to 3 s for the host. No environment variable of OpenVINO switches that off; without
openvino_telemetry both use a stub that does nothing, so it is hidden from them while they are imported.

`import onnxruntime` (1.29 and later, Linux wheels) makes a number of the device and a queue in the user's cache folder
and a file `.ses` in the temporary one, and looks the collector's host up seconds later. It reads the variable
ORT_DISABLE_TELEMETRY once, while it is imported (its `disable_telemetry_events` comes too late), so that is set before,
for the process and its children, unless the user has set it: when tdnet_runtime is imported (`ort_reports`), since an
application may import onnxruntime itself after that.
"""

from __future__ import annotations

import importlib
import logging
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tdnet_runtime.ort_reports import ORT, ORT_SETTING, switch_off
from tdnet_runtime.signals import importing

__all__ = ["import_without_telemetry"]

logger = logging.getLogger(__name__)

_REPORTER = "openvino_telemetry"
_ORT_REPORTS_SINCE = (1, 29)
_lock = threading.Lock()
_ort_seen = False


def import_without_telemetry(name: str) -> Any:
    """The module `name`, which is imported if it is not yet, and then sends nothing.

    The first call says in the log where onnxruntime, imported before by someone else, reports already.

    Raises:
        ImportError: it is not installed, or does not load.
    """
    global _ort_seen
    with importing(), _lock, _hidden(_REPORTER):
        if not _ort_seen:
            _ort_seen = True
            _tell_of_earlier_import()
        switch_off()
        return importlib.import_module(name)


def _tell_of_earlier_import() -> None:
    module = sys.modules.get(ORT)
    if module is None or os.environ.get(ORT_SETTING):
        return
    parts = str(getattr(module, "__version__", "")).split(".")[:2]
    if tuple(int(part) for part in parts if part.isdigit()) >= _ORT_REPORTS_SINCE:
        logger.warning(
            "onnxruntime was imported before tdnet_runtime could keep it from reporting to its makers: set "
            "%s=1 before it is imported",
            ORT_SETTING,
        )


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
