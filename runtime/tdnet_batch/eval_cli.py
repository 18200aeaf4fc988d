"""`tdnet-batch eval`: the table of `tdnet-eval`, its sequences on several workers."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console

from tdnet_batch.evaluation import Examiner, Part, evaluate_parts, examine_all
from tdnet_batch.options import Cluster
from tdnet_batch.placement import Placement, place_workers
from tdnet_batch.ray_pool import RayPool
from tdnet_batch.ray_session import ray_session
from tdnet_data.opening import open_dataset
from tdnet_eval.data_option import settings_from_option
from tdnet_eval.options import EvalOptions
from tdnet_eval.report import markdown_from_document, report_from_document
from tdnet_eval.result_file import write_document, write_result
from tdnet_runtime.backends.cpu_count import usable_cpus
from tdnet_runtime.cli.frame_progress import FrameProgress
from tdnet_runtime.cli.notices import notice_console

__all__ = ["app"]

_LEFT_OUT = 3

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command()
def evaluate(
    *,
    data: Annotated[
        str,
        typer.Option(
            metavar="FOLDER|KIND:FOLDER|X.toml",
            help="Data set, as tdnet-eval takes it; all workers must see it.",
            show_default=False,
        ),
    ],
    engine: Annotated[
        list[Path], typer.Option(metavar="X.plan", help="Bundle to judge. Repeatable.", show_default=False)
    ],
    split: Annotated[str, typer.Option(help="Which part of it.")] = "val",
    backend: Annotated[
        list[str] | None, typer.Option(help="Of the runtime, for each bundle; auto if not given. Repeatable.")
    ] = None,
    precision: Annotated[
        list[str] | None,
        typer.Option(help="To compute each bundle in; what the backend prefers if not given. Repeatable."),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="mIoU and pixel accuracy alone, by the frames that these need.")
    ] = False,
    json: Annotated[
        Path | None, typer.Option(help="Write every figure and every frame's scores here.")
    ] = None,
    markdown: Annotated[Path | None, typer.Option(metavar="X.md", help="Write the tables here.")] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="One for each core or GPU, but no more than sequences, if not given."),
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="CPU threads of each worker; the cores' share if not given.")
    ] = None,
    gpus: Annotated[float | None, typer.Option(min=0, help="GPUs of each worker.")] = None,
    address: Annotated[
        str | None, typer.Option(metavar="HOST:PORT|auto", help="Of a cluster of Ray.", show_default=False)
    ] = None,
    retries: Annotated[int, typer.Option(min=0, max=100, help="For a sequence whose worker was lost.")] = 2,
) -> None:
    """Judge bundles by a data set's label images: the table of tdnet-eval, one sequence a task."""
    options = EvalOptions(
        data=data,
        split=split,
        engines=tuple(dict.fromkeys(path.absolute() for path in engine)),
        backends=tuple(dict.fromkeys(backend or ("auto",))),
        precisions=tuple(dict.fromkeys(precision or ())),
        quick=quick,
        json=json,
        markdown=markdown,
    )
    cluster = Cluster(address=address, workers=workers, threads=threads, gpus=gpus)
    settings = settings_from_option(data)
    root = os.path.expanduser(settings.root)  # noqa: PTH111 - Path's raises for a user who is not there
    settings = msgspec.structs.replace(settings, root=str(Path(root).absolute()))
    dataset = open_dataset(settings, split)  # what is wrong is said before Ray starts
    cores = max(usable_cpus(), (workers or 1) * (threads or 1))
    with ray_session(address=address, cpus=cores, dashboard=False) as ray:
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        placement = place_workers(
            nodes,
            inputs=len(dataset.sequences),
            backend=options.backends[0],
            workers=cluster.workers,
            threads=cluster.threads,
            gpus=cluster.gpus,
        )
        given = dataclasses.replace(options, threads=placement.threads, json=None, markdown=None)
        with FrameProgress(
            notice_console(), total=sum(len(sequence.frames) for sequence in dataset.sequences)
        ) as shown:
            document = evaluate_parts(
                given,
                partial(_examine, ray, partial(Examiner, given, settings), placement, retries),
                on_part=lambda done, of: shown.update(done),
            )
    if json is not None:
        write_document(document, json)
    if markdown is not None:
        text = markdown_from_document(document)
        write_result(text.encode(), markdown, what="the tables", option="--markdown")
    console = Console()
    console.print(report_from_document(document))
    raise typer.Exit(_LEFT_OUT if document.left_out else 0)


def _examine(
    ray: Any, make: Callable[[], Examiner], placement: Placement, retries: int, numbers: Iterable[int]
) -> Iterator[Part]:
    """One sequence to each worker that is free."""
    with RayPool[int, Part](ray, make, placement) as pool:
        yield from examine_all(pool, numbers, retries=retries)
