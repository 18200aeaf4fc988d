"""One input through the network, whole or a piece of it, and what there is to count."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import cv2
import numpy as np
import numpy.typing as npt

from tdnet_batch.label_files import LabelFiles
from tdnet_batch.npz_file import LabelledFrame, NpzFile
from tdnet_batch.record import ClassCount
from tdnet_batch.settings import Settings
from tdnet_batch.span import SpanReader
from tdnet_runtime.errors import BackendError, MediaError
from tdnet_runtime.media.damage import OnDamage
from tdnet_runtime.media.frames import FrameSource, SourceFrame
from tdnet_runtime.media.pipeline import run_video
from tdnet_runtime.os_errors import told_as
from tdnet_runtime.segmenter import Segmenter
from tdnet_runtime.sources.log_folder import is_log
from tdnet_runtime.sources.registry import open_source
from tdnet_runtime.stream import Result

__all__ = ["Counts", "open_input", "segment"]

_EXACT_PIXELS = 1 << 24  # up to which OpenCV counts in float32 without loss


@dataclass(slots=True)
class Counts:
    """What is counted while labels are written.

    Attributes:
        names: of the classes.
        frames: written.
        pixels: by class; `present` are frames with any.
        warm_up: frames that were segmented but not written.
    """

    names: tuple[str, ...]
    frames: int = 0
    warm_up: int = 0
    pixels: list[int] = field(default_factory=list)
    present: list[int] = field(default_factory=list)

    def add(self, labels: npt.NDArray[np.uint8]) -> None:
        """Count one frame's, uint8 [H, W].

        Raises:
            BackendError: a label is no class.
        """
        if not self.pixels:
            self.pixels, self.present = [0] * len(self.names), [0] * len(self.names)
        if labels.size <= _EXACT_PIXELS:
            # [256, 1] before OpenCV 5, [256] from there on.
            counts = cv2.calcHist([labels], [0], None, [256], [0, 256]).ravel().astype(np.int64)
        else:
            counts = np.bincount(labels.ravel(), minlength=256)
        if counts[len(self.names) :].any():
            raise BackendError(
                f"the network gave a label {int(np.flatnonzero(counts)[-1])}, but has {len(self.names)} classes: what runs "
                "is not this network; build its engines anew (tdnet-export --rebuild)"
            )
        self.frames += 1
        for index, count in enumerate(counts[: len(self.names)].tolist()):
            self.pixels[index] += count
            self.present[index] += count > 0

    @property
    def classes(self) -> dict[str, ClassCount]:
        """By name, for a record; of two classes of one name the second is called by its index as well."""
        found: dict[str, ClassCount] = {}
        for index, (name, pixels, present) in enumerate(
            zip(self.names, self.pixels, self.present, strict=False)
        ):
            found[f"{name} ({index})" if name in found else name] = ClassCount(pixels=pixels, frames=present)
        return found


def open_input(path: Path, topic: str, settings: Settings) -> FrameSource:
    """The frames of a file or folder of this machine.

    Raises:
        TdnetError: see `open_source`.
    """
    spec = f"mcap:{quote(os.fsencode(path))}?topic={quote(os.fsencode(topic))}" if topic else os.fspath(path)
    with told_as(MediaError, "opening the input"):
        depth = settings.bit_depth if path.is_dir() and not is_log(path) else None
    return open_source(spec, on_damage=OnDamage(settings.on_damage), bit_depth=depth)


def segment(
    segmenter: Segmenter,
    source: FrameSource,
    files: LabelFiles,
    *,
    on_frame: Callable[[int], None],
    reader: SpanReader | None = None,
    after: NpzFile | None = None,
) -> Counts:
    """Segment all frames of a source in order on one stream, and write their labels.

    Args:
        segmenter: the network.
        source: at its first frame.
        files: what the labels are written to.
        on_frame: called after each frame with the number of frames segmented.
        reader: of a piece; None for the whole.
        after: takes the labels of the frames behind the piece.

    Raises:
        TdnetError: from the source, the network or the files.
    """
    counts = Counts(tuple(spec.name for spec in segmenter.manifest.classes))

    def write(frame: SourceFrame, labels: npt.NDArray[np.uint8], pushed: object, infer_ns: int) -> None:
        assert isinstance(pushed, Result)
        target: LabelFiles | None = files
        if reader is not None and not reader.inside:
            target = after if reader.after else None
        if target is None:
            return
        if target is files:
            counts.add(labels)
        target.write(
            LabelledFrame(
                name=frame.name,
                stamp_ns=frame.stamp_ns,
                labels=labels,
                path=pushed.path,
                cold=pushed.cold,
                frame_index=pushed.frame_index,
                frame_id=frame.frame_id,
                begins=frame.begins,
                lost_before=frame.lost_before,
            )
        )

    with ExitStack() as stack:
        stack.enter_context(files)
        if after is not None:
            stack.enter_context(after)
        run_video(segmenter, source, (), on_frame=on_frame, on_result=write, read=reader or iter)
    counts.warm_up = 0 if reader is None else reader.warm_up
    return counts
