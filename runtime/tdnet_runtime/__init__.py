"""Run a TDNet bundle inside a robot's application. Needs NumPy, msgspec and one inference engine.

with Segmenter.open("tdnet50.plan") as segmenter, segmenter.stream() as stream:
    for frame in camera:                    # uint8 [H, W, 3], RGB
        labels = stream.push(frame).labels  # uint8 [H, W]
"""

from __future__ import annotations

from tdnet_runtime.backends.base import MemoryUse
from tdnet_runtime.bundle import Bundle
from tdnet_runtime.device_stream import DeviceResult, DeviceStream
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
