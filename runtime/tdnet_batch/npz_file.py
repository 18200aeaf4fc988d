"""Labels of frames as a NumPy archive: a form of outputs, and what pieces of a cut video are kept as."""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tdnet_runtime.closeable import Output
from tdnet_runtime.errors import MediaError
from tdnet_runtime.file_names import as_utf8
from tdnet_runtime.media.frames import reason

__all__ = ["LabelledFrame", "NpzFile", "read_npz"]

Labels = npt.NDArray[np.uint8]

_FRAMES = "frames.json"
_KNOWN = ("name", "stamp_ns", "path", "cold", "frame_id", "begins", "lost_before")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LabelledFrame:
    """One frame without its picture.

    Attributes:
        name: of a file made from it; `stamp_ns`, `frame_id`, `begins` and `lost_before` likewise as in `SourceFrame`.
        labels: uint8 [H, W], class indices; valid until the next frame.
        path: the sub-network that ran; `cold` and `frame_index` likewise as in `tdnet_runtime.Result`.
    """

    name: str
    stamp_ns: int
    labels: Labels
    path: int
    cold: bool
    frame_index: int
    frame_id: str = ""
    begins: bool = False
    lost_before: int = 0


class NpzFile(Output):
    """A NumPy archive: `numpy.load(path)["000000"]` are a frame's labels, `frames.json` in it are the frames.

    A name that is not UTF-8 is escaped in both; `bytes` of the frame is then the name itself, in hexadecimal digits.

    Args:
        path: of the file, which is replaced.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._frames: list[dict[str, object]] = []
        self._closed = False
        try:
            self._zip = zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1)
        except OSError as error:
            raise self._failure(error) from error

    def write(self, frame: LabelledFrame) -> None:
        """See `LabelFiles`."""
        name = as_utf8(frame.name)
        known = {each: getattr(frame, each) for each in _KNOWN} | {"name": name}
        if name != frame.name:
            known["bytes"] = os.fsencode(frame.name).hex()
        self._frames.append(known)
        content = io.BytesIO()
        np.save(content, frame.labels)
        self._put(f"{name}.npy", content.getvalue())

    def close(self) -> None:
        """Complete the file. Safe to call twice.

        Raises:
            MediaError: it cannot be written.
        """
        if self._closed:
            return
        self._closed = True
        try:
            self._put(_FRAMES, json.dumps(self._frames).encode())
        finally:
            try:
                self._zip.close()
            except OSError as error:
                raise self._failure(error) from error

    def _put(self, name: str, data: bytes) -> None:
        try:
            member = zipfile.ZipInfo(name)  # without the time, so that the same labels are the same bytes
            member.compress_type = zipfile.ZIP_DEFLATED
            self._zip.writestr(member, data, compresslevel=1)
        except OSError as error:
            raise self._failure(error) from error

    def _failure(self, error: OSError) -> MediaError:
        return MediaError(f"writing labels: {reason(error)}: '{self._path}'")


def read_npz(path: Path) -> Iterator[LabelledFrame]:
    """The frames of an archive in order, but `frame_index`, which counts within it.

    Raises:
        MediaError: it cannot be read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            for index, known in enumerate(json.loads(archive.read(_FRAMES))):
                labels = np.load(io.BytesIO(archive.read(f"{known['name']}.npy")))
                if raw := known.pop("bytes", None):
                    known["name"] = os.fsdecode(bytes.fromhex(raw))
                yield LabelledFrame(labels=labels, frame_index=index, **known)
    except (OSError, zipfile.BadZipFile, ValueError, KeyError, TypeError) as error:
        raise MediaError(f"reading labels back: {reason(error)}: '{path}'") from error
