"""`tdnet-run`: segment a video, a folder of images, a camera or a robot's log."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from tdnet_runtime.cli.bit_depth_option import BitDepth
from tdnet_runtime.cli.engine import AnySegmenter, open_engine
from tdnet_runtime.cli.frame_progress import FrameProgress
from tdnet_runtime.cli.interrupt import StopRequest, stop_on_interrupt
from tdnet_runtime.cli.live_command import run_live_command
from tdnet_runtime.cli.live_options import (
    Degrade,
    Late,
    LiveOptions,
    parse_inputs,
    parse_metrics,
    parse_policy,
)
from tdnet_runtime.cli.notices import notice_console
from tdnet_runtime.cli.pinning import Sha256
from tdnet_runtime.cli.run_document import forget_run_document, run_document
from tdnet_runtime.cli.run_options import STDOUT, LabelOrientation, RunOptions
from tdnet_runtime.cli.run_outputs import check_outputs, open_results, open_sinks
from tdnet_runtime.cli.run_telling import tell_damage, tell_summary
from tdnet_runtime.cli.run_view import show_run
from tdnet_runtime.cli.size_option import parse_size
from tdnet_runtime.media.camera import CameraRequest
from tdnet_runtime.media.damage import OnDamage
from tdnet_runtime.media.frames import FrameSource
from tdnet_runtime.media.pipeline import RunSummary, run_video
from tdnet_runtime.serving.address import is_triton
from tdnet_runtime.sources.registry import open_source

__all__ = ["app"]

_EPILOG = """Examples:

    tdnet-run --engine td2-fa18.plan --input street.mp4 --overlay out.mp4

    tdnet-run --engine td2-fa18.plan --input camera:0 --labels out/

    tdnet-run --engine X.plan --input a=camera:0 --input b=rtsp://10.0.0.5/live

    tdnet-run --engine triton://10.0.0.5/td2-fa18 --input camera:0 --labels out/

    tdnet-run --engine td2-fa18.plan --input "drive.mcap?topic=/camera/image_raw" --output mcap:masks.mcap"""

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command(epilog=_EPILOG)
def run(
    *,
    engine: Annotated[
        str,
        typer.Option(
            metavar="X.plan|triton://HOST[:PORT]/MODEL",
            help="Bundle to run, or one that a Triton server serves.",
            show_default=False,
        ),
    ],
    input: Annotated[
        list[str],
        typer.Option(
            metavar="[NAME=]VIDEO|FOLDER|CAMERA|LOG|URL",
            help="Video file; folder of images, in natural order, or of such folders, each a sequence of its own; "
            "camera: 0, camera:0, /dev/video0 or a link to it, rtsp://...; ROS 2 topic: ros2:///camera/image_raw; or log: "
            "MCAP or rosbag2, with ?topic=/NAME behind it where several topics have images. May be given several "
            "times, then best with a name each: front=camera:0.",
            show_default=False,
        ),
    ],
    labels: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write the class index of each pixel here, as 8-bit grey PNGs."),
    ] = None,
    palette: Annotated[
        bool, typer.Option("--palette", help="Give --labels the classes' colours as a palette.")
    ] = False,
    colors: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write the classes' colours here, as RGB PNGs.")
    ] = None,
    orientation: Annotated[
        LabelOrientation,
        typer.Option(
            help="How --labels and --colors lie where frames are marked as turned: as people see them, or on the "
            "stored pixels."
        ),
    ] = LabelOrientation.UPRIGHT,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite", help="Remove the PNGs of an earlier run from --labels and --colors first."
        ),
    ] = False,
    overlay: Annotated[
        Path | None,
        typer.Option(metavar="OUT.mp4", help="Write a video of the frames with the classes in colour."),
    ] = None,
    output: Annotated[
        list[str] | None,
        typer.Option(
            metavar="URL",
            help="Write results here, too: mcap:OUT.mcap, rerun:OUT.rrd, rerun+serve://, foxglove://, "
            "ros2:///segmentation, labels:DIR, colors:DIR, overlay:OUT.mp4; may be given several times.",
        ),
    ] = None,
    json: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE|-", help="Write the summary here as JSON; - for stdout, and nothing else there."
        ),
    ] = None,
    on_damage: Annotated[
        OnDamage,
        typer.Option(help="Damaged frames: leave out and count, end there, or use what was decoded of them."),
    ] = OnDamage.SKIP,
    bit_depth: BitDepth = None,
    camera_size: Annotated[
        str | None, typer.Option(metavar="HxW", help="Ask the camera for it, height first.")
    ] = None,
    camera_format: Annotated[
        str | None, typer.Option(metavar="MJPG|YUYV|...", help="Ask the camera for this pixel format.")
    ] = None,
    camera_fps: Annotated[float | None, typer.Option(help="Ask the camera for so many frames/s.")] = None,
    max_frames: Annotated[int | None, typer.Option(min=1, help="Stop after so many frames.")] = None,
    policy: Annotated[
        str | None,
        typer.Option(
            metavar="newest|every|every:K|rate:HZ",
            help="Live: which frames are segmented where there are more than the network takes: the newest (what cameras "
            "and topics get unasked), every one in order (files, logs), one of K, or so many a second.",
        ),
    ] = None,
    deadline_ms: Annotated[
        float | None,
        typer.Option(help="Live: results that take longer, from the frame's arrival on, are late."),
    ] = None,
    late: Annotated[
        Late | None,
        typer.Option(help="Live: late results are delivered, marked (as they are unasked), or skipped."),
    ] = None,
    degrade: Annotated[
        list[Degrade] | None,
        typer.Option(
            help="Live, with --deadline-ms: what to do where results keep being late, the mildest first; may be repeated. "
            "no_attention: labels of each sub-network alone (bundles exported with --own-labels); half_rate: half as many "
            "frames; hold: the same, and the others get the last labels. Each on top of those before it.",
        ),
    ] = None,
    gap_ms: Annotated[
        float | None,
        typer.Option(help="Live: begin anew after a longer pause between frames; never if not given."),
    ] = None,
    max_seconds: Annotated[float | None, typer.Option(help="Live: stop after so many seconds.")] = None,
    metrics: Annotated[
        str | None,
        typer.Option(
            metavar="[HOST:]PORT",
            help="Live: serve metrics for Prometheus here; to this machine alone if no host is given.",
        ),
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Live: wait for cameras and topics that are absent at the start.")
    ] = False,
    backend: Annotated[str, typer.Option(help="Inference engine; auto is the best one present.")] = "auto",
    precision: Annotated[
        str | None,
        typer.Option(
            metavar="fp32|fp16|bf16|int8|int8-bf16|int8_fp16",
            help="To compute in; the best that the backend runs unasked if not given.",
        ),
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="CPU threads of the engine; all usable cores if not given.")
    ] = None,
    sha256: Sha256 = None,
) -> None:
    """Segment a video, a folder of images, a camera or a robot's log. Without an output it only measures.

    Cameras, topics, several inputs, and anything with an option that says Live, run live: a camera that dies is opened
    again, old frames make way for new ones.

    Ctrl-C, SIGTERM and SIGHUP end the run after the current frame and complete the files; a second one ends it at once.
    """
    options = RunOptions(
        engine=engine if is_triton(engine) else Path(engine),
        inputs=parse_inputs(input),
        labels=labels,
        palette=palette,
        colors=colors,
        orientation=orientation,
        overwrite=overwrite,
        overlay=overlay,
        outputs=tuple(output or ()),
        json=json,
        on_damage=on_damage,
        bit_depth=bit_depth,
        camera=CameraRequest(
            size_hw=None
            if camera_size is None
            else parse_size(camera_size, option="--camera-size", example="720x1280"),
            pixel_format=None if camera_format is None else camera_format.upper(),
            fps=camera_fps,
        ),
        max_frames=max_frames,
        backend=backend,
        precision=precision,
        threads=threads,
        sha256=sha256,
        live=LiveOptions(
            policy=None if policy is None else parse_policy(policy),
            deadline_ms=deadline_ms,
            late=late,
            degrade=tuple(degrade or ()),
            gap_ms=gap_ms,
            max_seconds=max_seconds,
            metrics=None if metrics is None else parse_metrics(metrics),
            wait=wait,
        ),
    )
    if options.is_live:
        run_live_command(options, open_source=open_source, open_segmenter=open_engine)
        return
    with open_source(
        options.input, on_damage=options.on_damage, bit_depth=options.bit_depth, camera=options.camera
    ) as source:
        check_outputs(options, source)
        with open_engine(
            options.engine,
            backend=options.backend,
            precision=options.precision,
            threads=options.threads,
            sha256=options.sha256,
        ) as segmenter:
            summary, stop = _run(options, source, segmenter)
            _tell(options, source, segmenter, summary)
            stop.leave_stuck()


def _run(options: RunOptions, source: FrameSource, segmenter: AnySegmenter) -> tuple[RunSummary, StopRequest]:
    """Run with the sinks that `options` ask for, closed on return."""
    totals = [n for n in (options.max_frames, source.frame_count) if n is not None]
    progress = FrameProgress(notice_console(), total=min(totals, default=None))
    with ExitStack() as stack:
        should_stop = stack.enter_context(stop_on_interrupt())
        sinks = open_sinks(stack, options, source, segmenter)
        on_result = open_results(stack, options, segmenter)
        if options.json is not None and options.json != STDOUT:
            forget_run_document(options.json)
        stack.enter_context(progress)
        summary = run_video(
            segmenter,
            source,
            sinks,
            max_frames=options.max_frames,
            on_frame=progress.update,
            on_result=on_result,
            should_stop=should_stop,
            read=should_stop.frames,
        )
    return summary, should_stop


def _tell(options: RunOptions, source: FrameSource, segmenter: AnySegmenter, summary: RunSummary) -> None:
    tell_damage(source.damage, source.facts)
    tell_summary(
        options,
        run_document(options, source, segmenter, summary),
        show=lambda: show_run(options, source, segmenter, summary),
    )
