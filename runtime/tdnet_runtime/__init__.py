"""Run a TDNet bundle inside a robot's application. Needs NumPy, msgspec and one inference engine.

with Segmenter.open("tdnet50.plan") as segmenter, segmenter.stream() as stream:
    for frame in camera:                    # uint8 [H, W, 3], RGB
        labels = stream.push(frame).labels  # uint8 [H, W]
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from tdnet_runtime.backends.base import MemoryUse
from tdnet_runtime.bundle import Bundle
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
from tdnet_runtime.segmenter import Segmenter
from tdnet_runtime.stream import Result, Stream, StreamSnapshot, StreamState

if TYPE_CHECKING:
    from tdnet_runtime.device_stream import DeviceResult, DeviceStream
    from tdnet_runtime.gpu.labels import DeviceLabels

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

_OF_GPUS = {"DeviceLabels": "gpu.labels", "DeviceResult": "device_stream", "DeviceStream": "device_stream"}

if not TYPE_CHECKING:  # which would take any name for one that is here

    def __getattr__(name: str) -> object:
        """What only GPUs need, imported where it is asked for: a robot waits for its first mask."""
        if name not in _OF_GPUS:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = value = getattr(importlib.import_module(f"{__name__}.{_OF_GPUS[name]}"), name)
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *_OF_GPUS})
