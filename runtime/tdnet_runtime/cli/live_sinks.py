"""The outputs of a live run, behind the live layer's queues."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from tdnet_runtime.cli.engine import AnySegmenter
from tdnet_runtime.cli.live_inputs import LiveInput
from tdnet_runtime.cli.run_options import LabelOrientation, RunOptions
from tdnet_runtime.cli.run_outputs import check_outputs, label_form, sequences_of
from tdnet_runtime.closeable import Output
from tdnet_runtime.errors import MediaError, OptionError
from tdnet_runtime.live import LiveResult
from tdnet_runtime.media.frames import SourceFrame
from tdnet_runtime.media.overlay import OverlayWriter
from tdnet_runtime.media.sinks import LabelWriter
from tdnet_runtime.sinks.media_files import SOURCE, MediaSink
from tdnet_runtime.sinks.registry import open_sink, sink_url
from tdnet_runtime.sinks.sink import SinkNetwork
from tdnet_runtime.sinks.source_names import SourceNames

if TYPE_CHECKING:
    from tdnet_runtime.sinks.sink import LiveSink

__all__ = ["RunSink", "check_live_outputs", "open_live_sinks"]


class RunSink(Output):
    """A sink as one run uses it.

    Args:
        sink: it.
        most: results that it is given at most; None for all.
        nameless: the source has no name of its own.

    Attributes:
        name: the sink's.
        warning: of what will go wrong; empty where nothing is known.
        error: what it raised first.
        surplus: results beyond `most`, which it was spared.
        left: its thread is still at work, so that it is not closed.
    """

    def __init__(self, sink: LiveSink | MediaSink, *, most: int | None, nameless: bool) -> None:
        self.name = sink.name
        self.warning: str = getattr(sink, "warning", "")
        self.error: Exception | None = None
        self.surplus = 0
        self.left = False
        self._sink = sink
        self._most = most
        self._nameless = nameless

    def close(self) -> None:
        """Close the sink, unless its thread is still at work."""
        if not self.left:
            self._sink.close()

    def leave(self) -> None:
        """Its thread is at work at the run's end and is waited for no longer."""
        self.left = True
        self.error = MediaError(
            f"{self.name}: it was still writing when the run was over and was left behind; it lacks its last results, and "
            "perhaps its end"
        )

    def write(self, result: LiveResult) -> None:
        """See `LiveSink`."""
        if self._most is not None:
            if self._most == 0:
                self.surplus += 1
                return
            self._most -= 1
        try:
            self._sink.write(replace(result, source="") if self._nameless else result)
        except Exception as error:
            self.error = self.error or error
            raise


def check_live_outputs(options: RunOptions, inputs: Sequence[LiveInput]) -> None:
    """Check the outputs before the engine is loaded; several sources need files of their own.

    Raises:
        OptionError: they would share one, or a topic; and see `check_outputs`.
        MediaError: an output folder holds PNGs already.
        MissingExtraError: an output needs a package that is not installed.
    """
    named: list[tuple[str, Path]] = list(options.folders)
    if options.overlay is not None:
        named.append(("--overlay", options.overlay))
    for spec in options.outputs:
        url, path = sink_url(spec)
        if path is not None and url.scheme in ("labels", "colors", "overlay"):
            named.append(("--output", path))
        else:
            SourceNames(f"--output {url.shown!r}").check(each.name for each in inputs)
    for name, path in named:
        if len(inputs) > 1 and SOURCE not in str(path):
            example = Path(f"{path.stem}-{SOURCE}{path.suffix}") if path.suffix else path / SOURCE
            raise OptionError(
                f"{name} '{path}' would hold what {len(inputs)} inputs give; put {SOURCE} into its name, such as "
                f"'{path.parent / example if path.suffix else example}'"
            )
    for each in inputs:
        check_outputs(options, each.source, each.name)


def open_live_sinks(
    stack: ExitStack, options: RunOptions, inputs: Sequence[LiveInput], segmenter: AnySegmenter
) -> list[RunSink]:
    """All that `options` ask for, closed with `stack`.

    Raises:
        TdnetError: see `open_sink`.
    """
    nameless = [each.name for each in inputs] == [""]
    network = SinkNetwork.of(segmenter)
    opened: Iterator[LiveSink | MediaSink] = chain(
        _files(options, inputs, segmenter), (open_sink(spec, network) for spec in options.outputs)
    )
    return [stack.enter_context(RunSink(sink, most=options.max_frames, nameless=nameless)) for sink in opened]


def _files(options: RunOptions, inputs: Sequence[LiveInput], segmenter: AnySegmenter) -> Iterator[MediaSink]:
    """Those of `--labels`, `--colors` and `--overlay`."""
    colors = [spec.color for spec in segmenter.manifest.classes]
    sequences = sequences_of(inputs[0].source) if len(inputs) == 1 else []
    for name, folder in options.folders:

        def labels(path: Path, frame: SourceFrame, name: str = name) -> LabelWriter:
            return LabelWriter(
                path,
                form=label_form(name, options),
                colors=colors,
                as_stored=options.orientation is LabelOrientation.STORED,
                sequences=sequences,
                overwrite=options.overwrite,
                keep_all=True,
            )

        yield MediaSink(folder, name=f"{name} '{folder}'", open=labels)
    if options.overlay is not None:
        fps = inputs[0].source.fps if len(inputs) == 1 and inputs[0].source else None

        def video(path: Path, frame: SourceFrame) -> OverlayWriter:
            size_hw = (frame.image.shape[0], frame.image.shape[1])
            return OverlayWriter(path, size_hw=size_hw, fps=fps, colors=colors)

        yield MediaSink(options.overlay, name=f"overlay '{options.overlay}'", open=video, one_size=True)
