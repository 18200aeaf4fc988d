"""`tdnet-train`: a configuration in, a network for `tdnet-export` out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tdnet_eval.private_caches import use_private_caches
from tdnet_runtime.cli.notices import notice_console
from tdnet_runtime.errors import OptionError
from tdnet_runtime.signals import importing

__all__ = ["app"]

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)

_EPILOG = """Examples:

    tdnet-train --config street.toml --dry-run

    tdnet-train --config street.toml --out runs/street

    tdnet-train --config street.toml --out runs/street-1 --set run.seed=1 --set run.batch=4

    tdnet-train --resume runs/street

    tdnet-train --compare distillation.toml --out runs/comparisons --jobs 2

    torchrun --nproc-per-node 4 -m tdnet_train --config street.toml"""


@app.command(epilog=_EPILOG)
def train(
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Configuration, TOML, or the public code's YAML.", show_default=False
        ),
    ] = None,
    compare: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Train what this comparison lacks of its runs, and write its table.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder of the run, or of a comparison's. [default: runs/<configuration>, runs/comparisons]",
            show_default=False,
        ),
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(min=1, help="Runs of a comparison at once; they divide the CPUs.", show_default="1"),
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Go on with the run in this folder, where it was cut off.", show_default=False
        ),
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="FIELD=VALUE",
            help="Set a field of the configuration, such as run.batch=4; may be repeated.",
            show_default=False,
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Check all, run a few steps, tell memory and time; write nothing."),
    ] = False,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Write event files for TensorBoard into the folder.")
    ] = False,
) -> None:
    """Train a TDNet by grouped knowledge distillation."""
    if sum(each is not None for each in (config, resume, compare)) != 1:
        raise OptionError(
            "name a configuration with --config, a run to go on with, with --resume, or a comparison, with --compare"
        )
    if resume is not None and (out is not None or overrides or dry_run):
        raise OptionError("--resume takes all from the run's folder; leave out --out, --set and --dry-run")
    if compare is None and jobs is not None:
        raise OptionError(
            "--jobs goes with --compare; a single run takes run.threads and run.workers, or torchrun"
        )
    if compare is not None and (dry_run or tensorboard):
        raise OptionError(
            "--compare takes neither --dry-run nor --tensorboard; try its configuration with --config"
        )

    use_private_caches()  # before what has caches is imported: PyTorch's compiler and Matplotlib
    with importing():
        from tdnet_train.command import go_on, start  # takes seconds: wrong options need not wait

    console = notice_console()
    if compare is not None:
        from tdnet_train.comparison.compare import compare as compare_all  # as above

        folder = out or Path("runs") / "comparisons"
        compare_all(compare, folder, tuple(overrides or ()), console, jobs=jobs or 1)
    elif resume is not None:
        go_on(resume, console, tensorboard=tensorboard)
    else:
        assert config is not None
        folder = out or Path("runs") / config.stem
        start(config, folder, tuple(overrides or ()), console, dry_run=dry_run, tensorboard=tensorboard)
