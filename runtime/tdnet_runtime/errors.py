"""Every error that a user's mistake, file or machine can cause, in one tree.

::

    TdnetError
    ├── OptionError            an option or argument that cannot be meant
    ├── MissingExtraError      an optional package is not installed
    ├── CheckpointError        a checkpoint that cannot be read or does not fit a network
    ├── DataError              a data set that cannot be read or trained on
    ├── SizeError              an input size that the network cannot take
    ├── ExportError            a graph or bundle could not be made
    │   └── ParityError        the exported graphs do not compute what PyTorch computes
    ├── BundleError            a bundle that cannot be trusted
    │   ├── BundleFormatError  not a bundle: truncated, not a zip, unsafe names, wrong JSON types
    │   ├── BundleDigestError  a member is not what the manifest says, or the file not the one that was asked for
    │   └── BundleVersionError written in a schema that this version does not read
    ├── BackendError           an inference engine is absent or failed
    ├── FrameError             a frame of the wrong type, shape or size
    ├── StreamError            a stream used in a state that does not allow it
    └── MediaError             a video, camera or output file that cannot be read or written

A message says what was being done, what came, what was expected and what to do. A defect of this
project's own code is not in the tree and keeps its traceback.
"""

from __future__ import annotations

__all__ = [
    "BackendError",
    "BundleDigestError",
    "BundleError",
    "BundleFormatError",
    "BundleVersionError",
    "CheckpointError",
    "DataError",
    "ExportError",
    "FrameError",
    "MediaError",
    "MissingExtraError",
    "OptionError",
    "ParityError",
    "SizeError",
    "StreamError",
    "TdnetError",
]


class TdnetError(Exception):
    """Base of all errors that this project raises on purpose."""


class OptionError(TdnetError):
    """An option or argument that cannot be meant."""


class MissingExtraError(TdnetError):
    """An optional package is not installed; the message holds the command that installs it."""


class CheckpointError(TdnetError):
    """A checkpoint that cannot be read or does not fit a network."""


class DataError(TdnetError):
    """A data set that cannot be read or trained on; the message names the file."""


class SizeError(TdnetError):
    """An input size that the network cannot take; the message names the nearest valid ones."""


class ExportError(TdnetError):
    """A graph or bundle could not be made. Nothing was written."""


class ParityError(ExportError):
    """The exported graphs do not compute what PyTorch computes. Nothing was written."""


class BundleError(TdnetError):
    """A bundle that cannot be trusted. Nothing of it was loaded."""


class BundleFormatError(BundleError):
    """Not a bundle: truncated, not a zip, unsafe or missing members, wrong JSON types."""


class BundleDigestError(BundleError):
    """A member's size or SHA-256 is not what the manifest says, or the file's not what was asked for."""


class BundleVersionError(BundleError):
    """Written in a schema that this version does not read; the message names the range it reads."""


class BackendError(TdnetError):
    """An inference engine is absent or failed."""


class FrameError(TdnetError):
    """A frame of the wrong type, shape or size. The stream's state is as it was."""


class StreamError(TdnetError):
    """A stream used in a state that does not allow it. The stream's state is as it was."""


class MediaError(TdnetError):
    """A video, camera or output file that cannot be read or written."""
