"""ONNX Runtime's reports to its makers, switched off: this acts when it is imported, as `import tdnet_runtime` does.

It needs nothing. See `tdnet_runtime.backends.no_telemetry`.
"""

from __future__ import annotations

import os
import sys

__all__ = ["ORT", "ORT_SETTING", "switch_off"]

ORT, ORT_SETTING = "onnxruntime", "ORT_DISABLE_TELEMETRY"


def switch_off() -> None:
    """For this process and its children, unless the user has said otherwise."""
    if not os.environ.get(ORT_SETTING):  # empty is what scripts have for not set
        os.environ[ORT_SETTING] = "1"


if ORT not in sys.modules:  # else the user is told, when a bundle is opened
    switch_off()
