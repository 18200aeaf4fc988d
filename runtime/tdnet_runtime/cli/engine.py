"""What `--engine` names: a bundle here, or one that a Triton server serves."""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

from tdnet_runtime.errors import OptionError
from tdnet_runtime.segmenter import Segmenter
from tdnet_runtime.serving.address import is_triton
from tdnet_runtime.serving.remote import RemoteSegmenter

__all__ = ["AnySegmenter", "open_engine"]

AnySegmenter: TypeAlias = "Segmenter | RemoteSegmenter"


def open_engine(
    engine: Path | str,
    *,
    backend: str = "auto",
    precision: str | None = None,
    threads: int | None = None,
    sha256: str | None = None,
) -> AnySegmenter:
    """Open it; the rest as for `Segmenter.open`, which a server has decided already.

    Raises:
        OptionError: not an address, or an option that a server does not ask about.
        BundleError, BackendError: see `Segmenter.open` and `RemoteSegmenter`.
    """
    if not isinstance(engine, str) or not is_triton(engine):
        return Segmenter.open(engine, backend=backend, precision=precision, threads=threads, sha256=sha256)
    options = {"--precision": precision, "--threads": threads, "--sha256": sha256}
    given = [name for name, value in options.items() if value is not None]
    given += ["--backend"] if backend != "auto" else []
    if given:
        raise OptionError(
            f"--engine is a server's model, which has its own engine, and {', '.join(given)} goes with a bundle here; "
            "leave it out, and say so in the model's config.pbtxt"
        )
    return RemoteSegmenter(engine)
