"""Label images, colour images and overlay videos as sinks of results."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from tdnet_runtime.closeable import Closeable
from tdnet_runtime.errors import MediaError, OptionError
from tdnet_runtime.media.frames import SourceFrame
from tdnet_runtime.media.output_folder import check_folder
from tdnet_runtime.media.sinks import LabelForm, LabelWriter, Sink
from tdnet_runtime.sinks.sink import SinkNetwork
from tdnet_runtime.sinks.source_names import SourceNames, file_part
from tdnet_runtime.sources.source_url import SourceUrl

if TYPE_CHECKING:
    from tdnet_runtime.live.result import LiveResult

__all__ = ["SOURCE", "MediaSink", "colors_sink", "labels_sink", "overlay_sink"]

SOURCE = "{source}"
"""In a path: the name of the source."""


class MediaSink(Closeable):
    """Files for each source: the first one's, or with `{source}` in the path one for each.

    Frames of a live source are named by their stamps, since a source that was opened again counts anew. Where that is no
    larger than all before it of that source (a driver without a clock, a log that is played in a loop), a number follows
    that counts such frames: `…042`, `…042_000000001`.

    Args:
        path: where to.
        name: for messages and health.
        open: the writer of one source's, by its path and its first frame.
        one_size: it takes frames of one size alone.

    Raises:
        MediaError: from `write`: another source's results come and the path has no `{source}`, or would become the same
            one; or the size changed.
    """

    def __init__(
        self, path: Path, *, name: str, open: Callable[[Path, SourceFrame], Sink], one_size: bool = False
    ) -> None:
        self.name = name
        self._path = path
        self._open = open
        self._one_size = one_size
        self._writers: dict[str, Sink] = {}
        self._stamps: dict[str, _StampNames] = {}
        self.source_names = SourceNames(f"writing {name}", file_part)
        self._sizes: dict[str, tuple[int, ...]] = {}
        self._stack = ExitStack()
        self._closed = False

    def write(self, result: LiveResult) -> None:
        """See `LiveSink`."""
        if self._closed:
            raise MediaError(f"writing {self.name}: it was finished before and takes no more")
        frame = result.frame
        writer = self._writers.get(result.source)
        if writer is None:
            if self._writers and SOURCE not in str(self._path):
                raise MediaError(
                    f"writing {self.name}: a second source, {result.source!r}, would write to '{self._path}'; put "
                    f"{SOURCE} into its name"
                )
            path = Path(str(self._path).replace(SOURCE, self.source_names.of(result.source)))
            writer = self._writers[result.source] = self._stack.enter_context(self._open(path, frame))
            self._sizes[result.source] = result.labels.shape
            self._stamps[result.source] = _StampNames()
        if not self._one_size and "/" in frame.name:
            raise MediaError(
                f"writing {self.name}: its frames come in several sequences; use --labels or --colors, "
                "which keep them apart"
            )
        if self._one_size and result.labels.shape != self._sizes[result.source]:
            raise MediaError(f"writing {self.name}: the size of its frames changed, and a video has one")
        if frame.arrival_ns is not None:
            frame = dataclasses.replace(frame, name=self._stamps[result.source].of(frame.stamp_ns))
        writer.write(frame, result.labels)

    def close(self) -> None:
        """See `LiveSink`."""
        self._closed = True
        self._stack.close()


class _StampNames:
    """Names for the frames of one source by their stamps, none twice; those of one stamp sort as they came."""

    def __init__(self) -> None:
        self._largest = -1
        self._repeats = 0

    def of(self, stamp_ns: int) -> str:
        """The next frame's."""
        stamp = max(stamp_ns, 0)
        if stamp > self._largest:
            self._largest = stamp
            return f"{stamp:019d}"
        self._repeats += 1
        return f"{stamp:019d}_{self._repeats:09d}"


def labels_sink(url: SourceUrl, network: SinkNetwork) -> MediaSink:
    """`labels:DIR?form=grey|palette&overwrite=1`: class indices as PNGs."""
    form = url.params.get("form", LabelForm.GREY.value)
    if form not in (LabelForm.GREY.value, LabelForm.PALETTE.value):
        raise OptionError(f"--output {url.text!r}: form is {form!r}; expected grey or palette")
    return _images(url, network, LabelForm(form))


def colors_sink(url: SourceUrl, network: SinkNetwork) -> MediaSink:
    """`colors:DIR?overwrite=1`: the classes' colours as PNGs."""
    return _images(url, network, LabelForm.COLOR)


def overlay_sink(url: SourceUrl, network: SinkNetwork) -> MediaSink:
    """`overlay:OUT.mp4`: the frames with the classes' colours over them, as an H.264 video with the frames' own times."""
    from tdnet_runtime.media.overlay import OverlayWriter, check_output  # only here: images do without PyAV

    path = Path(url.rest)
    if path.suffix.lower() != ".mp4":
        raise OptionError(f"--output {url.text!r}: an overlay is always an MP4 video; end its name in .mp4")
    check_output(path)
    colors = [color for _, color in network.classes]
    return MediaSink(
        path,
        name=f"overlay '{path}'",
        open=lambda path, frame: OverlayWriter(
            path, size_hw=(frame.image.shape[0], frame.image.shape[1]), fps=None, colors=colors
        ),
        one_size=True,
    )


def _images(url: SourceUrl, network: SinkNetwork, form: LabelForm) -> MediaSink:
    path = Path(url.rest)
    words = "colour images" if form is LabelForm.COLOR else "label images"
    overwrite = url.params.get("overwrite", "0")
    if overwrite not in ("0", "1"):
        raise OptionError(f"--output {url.text!r}: overwrite is {overwrite!r}; expected 0 or 1")
    if SOURCE not in str(path):
        check_folder(path, purpose=words)
    colors = [color for _, color in network.classes]

    def open(path: Path, frame: SourceFrame) -> Sink:
        return LabelWriter(path, form=form, colors=colors, overwrite=overwrite == "1", keep_all=True)

    if SOURCE not in str(path):
        LabelWriter(
            path, form=form, colors=colors, overwrite=overwrite == "1"
        ).close()  # refuses now what it would
    return MediaSink(path, name=f"{words} in '{path}'", open=open)
