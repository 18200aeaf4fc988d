"""What `tdnet-run` writes, once the source is known."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path

from tdnet_runtime.cli.engine import AnySegmenter
from tdnet_runtime.cli.result_outputs import ResultOutputs
from tdnet_runtime.cli.run_options import LabelOrientation, RunOptions
from tdnet_runtime.errors import OptionError
from tdnet_runtime.media.frames import FrameSource
from tdnet_runtime.media.images import ImageFolderSource
from tdnet_runtime.media.overlay import OverlayWriter
from tdnet_runtime.media.pipeline import OnResult
from tdnet_runtime.media.sinks import LabelForm, LabelWriter, Sink
from tdnet_runtime.sinks.media_files import SOURCE
from tdnet_runtime.sinks.registry import check_sink, open_sink
from tdnet_runtime.sinks.sink import SinkNetwork

__all__ = ["check_outputs", "label_form", "open_results", "open_sinks", "sequences_of"]


def check_outputs(options: RunOptions, source: FrameSource | None, name: str = "") -> None:
    """Check the outputs, with what is known of the source, before the engine is loaded.

    Args:
        options: of the run.
        source: None where it is absent as yet.
        name: of the source, for `{source}` in paths.

    Raises:
        OptionError: one overlay would have frames of different sizes, or an output folder would be taken for
            a sequence by the next run.
        MediaError: an output folder holds PNGs already.
        MissingExtraError: an output needs a package that is not installed.
    """
    for spec in options.outputs:
        check_sink(spec)
    sequences = sequences_of(source)
    for option, folder in options.folders:
        path = Path(str(folder).replace(SOURCE, name))
        parents = Path(os.path.realpath(path)).parents
        if sequences and any(Path(os.path.realpath(read)) in parents for read in options.input_paths):
            raise OptionError(
                f"{option} lies in --input, whose folders are sequences; name a folder elsewhere: '{path}'"
            )
        LabelWriter(
            path, form=label_form(option, options), sequences=sequences, overwrite=options.overwrite
        ).close()
    if options.overlay is not None and isinstance(source, ImageFolderSource):
        sizes = sorted(source.sizes_hw())
        if len(sizes) > 1:
            told = ", ".join(f"{height}x{width}" for height, width in sizes[:4])
            raise OptionError(
                f"--overlay: the sequences differ in size ({told}; height x width), and a video has one; leave it "
                "out, or run them one by one"
            )


def open_sinks(
    stack: ExitStack, options: RunOptions, source: FrameSource, segmenter: AnySegmenter
) -> list[Sink]:
    """The sinks that `options` ask for, closed with `stack`.

    Raises:
        MediaError: one of them cannot be written.
    """
    class_colors = [spec.color for spec in segmenter.manifest.classes]
    sinks: list[Sink] = []
    for name, path in options.folders:
        writer = LabelWriter(
            path,
            form=label_form(name, options),
            colors=class_colors,
            as_stored=options.orientation is LabelOrientation.STORED,
            sequences=sequences_of(source),
            overwrite=options.overwrite,
        )
        sinks.append(stack.enter_context(writer))
    if options.overlay is not None:
        overlay = OverlayWriter(options.overlay, size_hw=source.size_hw, fps=source.fps, colors=class_colors)
        sinks.append(stack.enter_context(overlay))
    return sinks


def open_results(stack: ExitStack, options: RunOptions, segmenter: AnySegmenter) -> OnResult | None:
    """What hands results to the sinks of `--output`, closed with `stack`; None without any.

    Raises:
        TdnetError: see `open_sink`.
    """
    if not options.outputs:
        return None
    network = SinkNetwork.of(segmenter)
    sinks = [stack.enter_context(open_sink(spec, network)) for spec in options.outputs]
    return ResultOutputs(sinks, paths=len(segmenter.manifest.paths))


def label_form(option: str, options: RunOptions) -> LabelForm:
    """Of the images of `--labels` or `--colors`."""
    if option == "--colors":
        return LabelForm.COLOR
    return LabelForm.PALETTE if options.palette else LabelForm.GREY


def sequences_of(source: FrameSource | None) -> list[str]:
    """Their names, where a source has several."""
    return source.sequences if isinstance(source, ImageFolderSource) else []
