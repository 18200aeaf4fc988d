"""Run a TDNet bundle inside a robot's application. Needs NumPy, msgspec and one inference engine.

with Segmenter.open("tdnet50.plan") as segmenter, segmenter.stream() as stream:
    for frame in camera:                    # uint8 [H, W, 3], RGB
        labels = stream.push(frame).labels  # uint8 [H, W]
"""

from __future__ import annotations

import importlib.util
import threading
from typing import TYPE_CHECKING

from tdnet_runtime import ort_reports  # noqa: F401  # it acts when it is imported
from tdnet_runtime.errors import (
    BackendError,
    BundleDigestError,
    BundleError,
    BundleFormatError,
    BundleVersionError,
    CheckpointError,
    ExportError,
    FrameError,
    MediaError,
    MissingExtraError,
    OptionError,
    ParityError,
    SizeError,
    StreamError,
    TdnetError,
)

if TYPE_CHECKING:
    from tdnet_runtime.backends.base import MemoryUse
    from tdnet_runtime.bundle import Bundle
    from tdnet_runtime.device_stream import DeviceResult, DeviceStream
    from tdnet_runtime.gpu.labels import DeviceLabels
    from tdnet_runtime.segmenter import Segmenter
    from tdnet_runtime.stream import Result, Stream, StreamSnapshot, StreamState

__all__ = [
    "BackendError",
    "Bundle",
    "BundleDigestError",
    "BundleError",
    "BundleFormatError",
    "BundleVersionError",
    "CheckpointError",
    "DeviceLabels",
    "DeviceResult",
    "DeviceStream",
    "ExportError",
    "FrameError",
    "MediaError",
    "MemoryUse",
    "MissingExtraError",
    "OptionError",
    "ParityError",
    "Result",
    "Segmenter",
    "SizeError",
    "Stream",
    "StreamError",
    "StreamSnapshot",
    "StreamState",
    "TdnetError",
]

__version__ = "0.1.0"

_HOMES = {
    "Bundle": "bundle",
    "DeviceLabels": "gpu.labels",
    "DeviceResult": "device_stream",
    "DeviceStream": "device_stream",
    "MemoryUse": "backends.base",
    "Result": "stream",
    "Segmenter": "segmenter",
    "Stream": "stream",
    "StreamSnapshot": "stream",
    "StreamState": "stream",
}

_turn = threading.RLock()
"""Of threads: NumPy does not bear to be imported by two at once."""

if not TYPE_CHECKING:  # which would take any name for one that is here

    def __getattr__(name: str) -> object:
        """Modules, and all but the errors, when asked for: a command puts up its handlers before NumPy is there."""
        if name in _HOMES:
            with _turn:
                home = importlib.import_module(f"{__name__}.{_HOMES[name]}")
            globals()[name] = value = getattr(home, name)
            return value
        public = name.isidentifier() and not name.startswith("_")
        if not public or importlib.util.find_spec(f"{__name__}.{name}") is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return importlib.import_module(
            f"{__name__}.{name}"
        )  # without the turn: it may be ours that imports a module

    def __dir__() -> list[str]:
        return sorted({*globals(), *_HOMES})
