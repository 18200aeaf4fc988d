"""`tdnet-export`: a checkpoint in, a verified bundle out; or engines into a bundle that there is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from tdnet_export.bundle_commands import rebuild_bundle, verify_bundle
from tdnet_export.engines import ENGINE_BACKENDS
from tdnet_export.options import PRECISIONS, ExportOptions, RebuildOptions
from tdnet_export.preprocessing import parse_preprocessing
from tdnet_export.triton import TritonOptions
from tdnet_export.triton import command as triton_command
from tdnet_export.view import StageProgress, show_summary
from tdnet_models.preprocessing import PRESETS
from tdnet_runtime.backends.cpu_count import usable_cpus
from tdnet_runtime.cli.notices import notice_console
from tdnet_runtime.cli.pinning import Sha256
from tdnet_runtime.cli.size_option import parse_size
from tdnet_runtime.errors import OptionError
from tdnet_runtime.signals import importing

__all__ = ["app"]

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)

_EPILOG = """Examples:

    tdnet-export --ckpt best.pth

    tdnet-export --ckpt best.pth --out td4.plan --size 512x1024 --frames drive.mp4

    tdnet-export --ckpt best.pth --bgr --mean 103.9,116.8,123.7 --std 1 --scale 1

    tdnet-export --ckpt best.pth --precision fp16 --backend tensorrt-rtx

    tdnet-export --rebuild td4.plan --backend tensorrt

    tdnet-export --verify td4.plan

    tdnet-export --bundle td4.plan --triton model_repository"""


@app.command(epilog=_EPILOG)
def export(
    checkpoint: Annotated[
        Path | None,
        typer.Option("--ckpt", metavar="PATH", help="Trained checkpoint.", show_default=False),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="PATH.plan",
            help="Bundle to write. [default: <network>.plan]",
            show_default=False,
        ),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            metavar="KEY",
            help="Where the checkpoint holds several networks: which one, such as ema or model_state.",
            show_default=False,
        ),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(
            metavar="HxW",
            help="Input size of the training, height first: a checkpoint leaves eight heights and eight widths "
            "open. Outside them it is an approximation. [default: a guess, which the summary tells]",
            show_default=False,
        ),
    ] = None,
    memory_stride: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Subsampling of the memory. [default: the network's]", show_default=False
        ),
    ] = None,
    names: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Class names, one a line: `name` or `name R G B`.", show_default=False
        ),
    ] = None,
    preprocessing: Annotated[
        str | None,
        typer.Option(
            metavar="|".join(PRESETS),
            help="What the training code made of its images. [default: imagenet, and told as assumed]",
            show_default=False,
        ),
    ] = None,
    mean: Annotated[
        str | None,
        typer.Option(
            metavar="N,N,N",
            help="Instead of --preprocessing, with --std: what it subtracted after scaling, in the order of the network's "
            "channels (B,G,R with --bgr).",
            show_default=False,
        ),
    ] = None,
    std: Annotated[
        str | None,
        typer.Option(metavar="N,N,N", help="What it then divided by, likewise.", show_default=False),
    ] = None,
    scale: Annotated[
        str | None,
        typer.Option(
            metavar="N",
            help="With --mean and --std: what it multiplied pixels of 0 to 255 by first. [default: 1/255]",
            show_default=False,
        ),
    ] = None,
    bgr: Annotated[
        bool,
        typer.Option("--bgr", help="It fed BGR, as OpenCV reads. Frames that are pushed stay RGB."),
    ] = False,
    threshold: Annotated[
        float | None,
        typer.Option(
            metavar="P",
            help="For one class (a sigmoid head): label 1 above this probability. [default: 0.5]",
            show_default=False,
        ),
    ] = None,
    frames: Annotated[
        str | None,
        typer.Option(
            metavar="CLIP",
            help="Video or image folder of your own for the proof, instead of a rendered scene.",
            show_default=False,
        ),
    ] = None,
    logits: Annotated[bool, typer.Option("--logits", help="Give the logits beside the labels.")] = False,
    confidence: Annotated[
        bool,
        typer.Option(
            "--confidence",
            help="Give each label's softmax share beside it: uint8, 255 for all. Not calibrated.",
        ),
    ] = False,
    own_labels: Annotated[
        bool,
        typer.Option(
            "--own-labels",
            help="Add graphs for the labels of each sub-network alone, so that frames may go without attention.",
        ),
    ] = False,
    precision: Annotated[
        list[str] | None,
        typer.Option(
            metavar="|".join(PRECISIONS),
            help="Precision of the graphs; may be repeated. int8_fp16 is INT8 for TensorRT, int8 with --backend both. "
            "[default: fp32, and with --backend fp16 too]",
            show_default=False,
        ),
    ] = None,
    calibration: Annotated[
        str | None,
        typer.Option(
            metavar="CLIP",
            help="With --precision int8: video or image folder to calibrate on, such as the robot will see.",
            show_default=False,
        ),
    ] = None,
    max_loss: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            help="With --precision int8: share of the labels that may change, instead of the usual bounds.",
            show_default=False,
        ),
    ] = None,
    backend: Annotated[
        list[str] | None,
        typer.Option(
            metavar="|".join(ENGINE_BACKENDS),
            help="Build engines for it, FP16 if the graphs are, and INT8 if asked; may be repeated.",
            show_default=False,
        ),
    ] = None,
    rebuild: Annotated[
        Path | None,
        typer.Option(
            metavar="X.plan",
            help="Build engines from this bundle's own graphs and put them into it; needs no checkpoint and no torch.",
            show_default=False,
        ),
    ] = None,
    verify: Annotated[
        Path | None,
        typer.Option(
            metavar="X.plan",
            help="Run this bundle's engines on this GPU beside ONNX Runtime, and write what was found into the bundle.",
            show_default=False,
        ),
    ] = None,
    triton: triton_command.Repository = None,
    bundle: triton_command.PresentBundle = None,
    triton_backend: triton_command.Backends = None,
    triton_streams: triton_command.Streams = None,
    drop_stale: Annotated[
        bool, typer.Option("--drop-stale", help="With --rebuild: drop the other engines of these backends.")
    ] = False,
    sha256: Sha256 = None,
) -> None:
    """Export a TDNet checkpoint to ONNX graphs, prove them against PyTorch, and pack one bundle."""
    precisions, backends = tuple(precision or ()), tuple(backend or ())
    others: dict[str, object] = {
        "--ckpt": checkpoint,
        "--out": out,
        "--weights": weights,
        "--size": size,
        "--memory-stride": memory_stride,
    }
    others |= {"--calibration": calibration, "--max-loss": max_loss}
    others |= {"--names": names, "--logits": logits or None, "--confidence": confidence or None}
    others |= {"--own-labels": own_labels or None}
    others |= {"--preprocessing": preprocessing, "--mean": mean, "--std": std, "--scale": scale}
    others |= {"--bgr": bgr or None, "--threshold": threshold}
    serving: dict[str, object] = {"--triton": triton, "--bundle": bundle}
    serving |= {"--triton-backend": triton_backend, "--triton-streams": triton_streams}
    if verify is not None:
        others |= serving
        others |= {"--rebuild": rebuild, "--precision": precision, "--backend": backend}
        _refuse("--verify", others | {"--drop-stale": drop_stale or None})
        verify_bundle(verify, frames, sha256)
        return
    if rebuild is not None:
        _refuse("--rebuild", others | serving | {"--frames": frames})
        rebuild_bundle(
            RebuildOptions(
                bundle=rebuild,
                backends=backends,
                precisions=precisions,
                drop_stale=drop_stale,
                sha256=sha256,
            )
        )
        return
    served = TritonOptions.given(triton, triton_backend, triton_streams)
    if bundle is not None:
        others |= {"--frames": frames, "--backend": backend, "--drop-stale": drop_stale or None}
        _refuse("--bundle", others)
        if served is None:
            raise OptionError(
                "--bundle goes with --triton: name the model repository that the bundle is put into"
            )
        triton_command.put_bundle(bundle, served.with_precision(precisions), sha256)
        return
    if checkpoint is None:
        raise typer.BadParameter(
            "missing: name a checkpoint, or a bundle with --rebuild, --verify or --bundle",
            param_hint="--ckpt",
        )
    if sha256 is not None:
        raise OptionError(
            "--sha256 goes with --rebuild, --verify and --bundle; without them no bundle is opened"
        )
    if drop_stale:
        raise OptionError("--drop-stale goes with --rebuild; a new bundle has no stale engines")
    options = ExportOptions(
        checkpoint=checkpoint,
        out=out,
        weights=weights,
        size_hw=None if size is None else parse_size(size),
        memory_stride=memory_stride,
        names=names,
        frames=frames,
        logits=logits,
        confidence=confidence,
        own_labels=own_labels,
        precisions=precisions,
        backends=backends,
        calibration=calibration,
        max_loss=max_loss,
        preprocessing=parse_preprocessing(preset=preprocessing, mean=mean, std=std, scale=scale, bgr=bgr),
        bgr=bgr,
        threshold=threshold,
    )
    if served is not None:  # now, not after the export
        served.require_tools()
        if out is not None:
            served.names(out)
    with importing():
        import torch  # takes seconds, as does the pipeline: wrong options need not wait

        from tdnet_export.pipeline import bundle_from_checkpoint

    torch.set_num_threads(min(torch.get_num_threads(), usable_cpus()))  # PyTorch 2.13 knows of no CPU quota

    with StageProgress(notice_console()) as progress:
        check = (lambda path: None) if served is None else served.names
        summary = bundle_from_checkpoint(options, on_path=check, on_progress=progress)
    show_summary(summary, Console(highlight=False))
    if served is not None:
        triton_command.put_new_bundle(summary.path, served)


def _refuse(option: str, others: dict[str, object]) -> None:
    """Raise OptionError where an option was given that means nothing beside `option`."""
    if given := [name for name, value in others.items() if value is not None]:
        raise OptionError(f"{option} takes all from the bundle; leave out {', '.join(given)}")
