"""`--verify`: a bundle's engines run on this machine's GPU, and what was found written into the bundle."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import msgspec
import numpy as np
import numpy.typing as npt

from tdnet_export.engines.gate import OnProof, facts_or_reason, proven
from tdnet_export.engines.replacing import check_writable, identity, require_unchanged
from tdnet_export.termination import sigterm_as_exit
from tdnet_runtime.bundle import Bundle
from tdnet_runtime.bundle_writer import write_bundle
from tdnet_runtime.errors import ExportError
from tdnet_runtime.manifest import SCHEMA_VERSION, Manifest

__all__ = ["VerifySummary", "verify"]


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifySummary:
    """What a verification found.

    Attributes:
        path: the bundle.
        manifest: as written.
        never_run: why sets of engines could not be run here, by title.
        seconds: that it took.
    """

    path: Path
    manifest: Manifest
    never_run: dict[str, str]
    seconds: float


@sigterm_as_exit()
def verify(
    plan: Path,
    *,
    frames: Callable[[int, tuple[int, int]], Sequence[npt.NDArray[np.uint8]]] | None = None,
    sha256: str | None = None,
    on_progress: OnProof = lambda stage, done, total: None,
) -> VerifySummary:
    """Run every set of engines that fits this machine in closed loop, and put the proofs into the bundle.

    The bundle is replaced as a whole at the end, and stays as it is where anything fails.

    Args:
        plan: the bundle.
        frames: gives so many frames of (H, W), uint8 [H, W, 3]; None for the rendered scene.
        sha256: of the bundle's file before; another one is refused before anything in it is parsed.
        on_progress: see `OnProof`.

    Raises:
        BundleError: the bundle cannot be read, or is not the one with `sha256`.
        ExportError: it has no engines, none can be run here, or it cannot be written.
        ParityError, BackendError: engines that this machine's GPU runs compute something else, or do not run.
    """
    started = perf_counter()
    with Bundle.open(plan, sha256=sha256) as bundle:
        before, target = identity(plan), Path(os.path.realpath(plan))
        check_writable(target)
        manifest = bundle.manifest
        members = {name: bundle.read(name) for name in manifest.members}
    if not manifest.engines:
        raise ExportError(
            f"there are no engines to verify; build some with --rebuild and --backend: {str(plan)!r}"
        )
    shown = None
    never_run: dict[str, str] = {}
    engines = []
    for spec in manifest.engines:
        facts = facts_or_reason(spec)
        if isinstance(facts, str):
            never_run[spec.title] = facts
            engines.append(spec)
            continue
        if shown is None and frames is not None:
            shown = frames(len(manifest.paths), (manifest.input.height, manifest.input.width))
        verified, report = proven(manifest, members, spec, facts, frames=shown, on_progress=on_progress)
        members |= report
        engines.append(verified)
    if len(never_run) == len(engines):
        reasons = "; ".join(f"{title}: {reason}" for title, reason in never_run.items())
        raise ExportError(f"none of the bundle's engines can be run here, so nothing was verified. {reasons}")
    require_unchanged(plan, before)
    updated = msgspec.structs.replace(
        manifest, schema_version=SCHEMA_VERSION, engines=tuple(engines), members={}
    )
    return VerifySummary(
        path=plan,
        manifest=write_bundle(target, updated, members),
        never_run=never_run,
        seconds=perf_counter() - started,
    )
