"""`tdnet-batch`: parse the flags, run, show it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from tdnet_batch.options import BatchOptions, Cluster
from tdnet_batch.progress import BatchProgress
from tdnet_batch.ray_pool import RayPool
from tdnet_batch.ray_session import ray_session
from tdnet_batch.run import Crew, run_batch
from tdnet_batch.settings import Form, Settings
from tdnet_batch.view import show_batch, tell_failures
from tdnet_batch.worker import BatchWorker
from tdnet_runtime.backends.cpu_count import usable_cpus
from tdnet_runtime.cli.bit_depth_option import BitDepth
from tdnet_runtime.cli.notices import notice_console
from tdnet_runtime.cli.pinning import Sha256
from tdnet_runtime.errors import OptionError
from tdnet_runtime.extras import say
from tdnet_runtime.media.damage import OnDamage

__all__ = ["LEFT_OUT", "app", "command"]

LEFT_OUT = 3
"""Exit code where inputs failed, and the others are done."""

_EPILOG = "\n\n".join(
    (
        "Examples:",
        "tdnet-batch --engine td2-fa18.plan --input 'logs/**' --output out/",
        "tdnet-batch --engine X.plan --input @tonight.txt --form mcap --output out/ --address 10.0.0.7:6379",
        "tdnet-batch eval --engine a.plan --engine b.plan --data camvid:/data/camvid",
        "A second run does what is missing, or whose input, bundle or settings changed.",
        "Exit codes: 0 all is done; 1 an error; 2 wrong usage; 3 inputs failed, the manifest says why, the others are "
        "done; 130 interrupted.",
    )
)

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


def command() -> None:
    """The console script: `eval` is another command, whatever follows."""
    if sys.argv[1:2] == ["eval"]:
        from tdnet_batch.eval_cli import app as eval_app  # only here: the other needs none of it

        del sys.argv[1]
        sys.argv[0] = "tdnet-batch eval"
        eval_app()
    app()


@app.command(epilog=_EPILOG)
def batch(
    *,
    engine: Annotated[
        list[Path], typer.Option(metavar="X.plan", help="Bundle to run; one.", show_default=False)
    ],
    input: Annotated[
        list[str],
        typer.Option(
            metavar="PATH|PATTERN|URL|@LIST",
            help="Videos, logs (MCAP, rosbag2) and folders of images: a file, a folder with all in it, a pattern like "
            "'logs/**', an address that fsspec knows (s3://bucket/drives), or @FILE with one of these on each line; "
            "?topic=/NAME behind a log. Repeatable.",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            metavar="DIR",
            help="Write here, a folder for each input; all workers must see it at this path.",
            show_default=False,
        ),
    ],
    form: Annotated[
        Form,
        typer.Option(help="Of the labels: PNGs, or one lossless video, log or NumPy archive for each input."),
    ] = Form.PNG,
    cut_frames: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Cut longer videos into pieces of N frames, for several workers; what that costs is shown.",
        ),
    ] = None,
    on_damage: Annotated[
        OnDamage,
        typer.Option(
            help="Damaged frames: leave out and count, fail the input, or use what was decoded of them."
        ),
    ] = OnDamage.SKIP,
    bit_depth: BitDepth = None,
    backend: Annotated[str, typer.Option(help="Inference engine; auto is the best one present.")] = "auto",
    precision: Annotated[
        str | None,
        typer.Option(
            metavar="fp32|fp16|bf16|int8|int8-bf16|int8_fp16",
            help="To compute in; see tdnet-run.",
            show_default=False,
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="One for each core or GPU, but no more than inputs, if not given."),
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="CPU threads of each worker; the cores' share if not given.")
    ] = None,
    gpus: Annotated[
        float | None,
        typer.Option(min=0, help="GPUs of each worker; 1 where the backend needs one, if not given."),
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT|auto",
            help="Of a cluster of Ray; it starts its own here if not given.",
            show_default=False,
        ),
    ] = None,
    retries: Annotated[int, typer.Option(min=0, max=100, help="For an input whose worker was lost.")] = 2,
    dashboard: Annotated[
        bool, typer.Option("--dashboard", help="Start Ray's dashboard, on the loopback.")
    ] = False,
    sha256: Sha256 = None,
) -> None:
    """Segment many videos, logs and folders of images: each whole, in order, on one stream.

    On this machine's cores and GPUs, or on a cluster of Ray. Killed and started again, it goes on.
    """
    options = BatchOptions(
        engine=_only(engine),
        inputs=tuple(input),
        output=output,
        settings=Settings(
            form=form,
            backend=backend,
            precision=precision,
            on_damage=on_damage.value,
            bit_depth=bit_depth,
            cut_frames=cut_frames,
        ),
        cluster=Cluster(address=address, workers=workers, threads=threads, gpus=gpus, dashboard=dashboard),
        retries=retries,
        sha256=sha256,
    )
    summary = run_batch(
        options,
        open_crew=partial(_crew, options.cluster),
        progress=lambda inputs, size: BatchProgress(notice_console(), inputs=inputs, size_bytes=size),
    )
    show_batch(Console(markup=False, highlight=False, emoji=False), options, summary)
    for line in tell_failures(summary):
        say(f"tdnet-batch: {line}")
    raise typer.Exit(LEFT_OUT if summary.failed else 0)


def _only(engines: list[Path]) -> Path:
    """Two would be taken for the last one, or for a mixture."""
    if len(engines) > 1:
        raise OptionError(
            f"--engine is given {len(engines)} times, and one run is of one bundle; run each into its own --output, or "
            "compare them by tdnet-batch eval"
        )
    return engines[0]


@contextmanager
def _crew(cluster: Cluster) -> Iterator[Crew]:
    """Actors of Ray."""
    cores = max(usable_cpus(), (cluster.workers or 1) * (cluster.threads or 1))
    with ray_session(address=cluster.address, cpus=cores, dashboard=cluster.dashboard) as ray:
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        yield Crew(
            nodes=nodes,
            open_pool=lambda order, placement: RayPool(ray, partial(BatchWorker, order), placement),
        )
