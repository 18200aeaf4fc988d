"""Does a bundle fit this machine? It is verified, each engine is asked, and the one that is taken runs a frame."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tdnet_runtime.backends import AUTO_ORDER, check_names
from tdnet_runtime.bundle import Bundle
from tdnet_runtime.doctor.abilities import finding_from_outcome
from tdnet_runtime.doctor.findings import Finding, State
from tdnet_runtime.doctor.host import Host
from tdnet_runtime.doctor.probing import Outcome, Probe, probe
from tdnet_runtime.doctor.processor import available_bytes
from tdnet_runtime.errors import TdnetError

__all__ = ["SECTION", "BundleRequest", "check_bundle"]

SECTION = "Bundle"
_LIMIT_S = 600.0
"""Full-size networks on a small board: seconds for a frame, a minute to load."""
_TIMES_IN_MEMORY = 3
"""Weights in memory over weights in the file, at most: the file's, the session's, and what is packed anew."""
_MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleRequest:
    """What is to be opened, as `Segmenter.open` takes it."""

    path: Path
    backend: str = "auto"
    precision: str | None = None
    sha256: str | None = None


def check_bundle(
    host: Host,
    asked: BundleRequest,
    try_all: Callable[..., Mapping[Probe, Outcome]] = probe,
) -> Iterator[Finding]:
    """Verify it, find the backend that is taken and why others are not, and run one black frame.

    Args:
        host: the machine.
        asked: the bundle.
        try_all: see `probe`.
    """
    try:
        with Bundle.open(asked.path, sha256=asked.sha256) as bundle:
            check_names(asked.backend, bundle, precision=asked.precision)
            yield from _verified(bundle)
            weights = {
                precision: sum(
                    bundle.manifest.members[graph.members[precision]].size for graph in bundle.manifest.graphs
                )
                for precision in bundle.manifest.precisions
            }
    except TdnetError as error:
        yield Finding(section=SECTION, name="verified", state=State.BROKEN, text=str(error))
        return
    given = (str(asked.path), asked.precision or "", asked.sha256 or "")
    names = AUTO_ORDER if asked.backend == "auto" else (asked.backend,)
    fits: dict[str, Probe] = {name: ("fit", name, *given) for name in names}
    outcomes = try_all(list(fits.values()))
    able = [name for name in names if outcomes[fits[name]].state is State.OK]
    for name in names:
        outcome = outcomes[fits[name]]
        if outcome.state is not State.OK or outcome.alone:
            yield finding_from_outcome(SECTION, name, outcome)
    dead = [name for name in names if outcomes[fits[name]].dead]
    if dead and asked.backend == "auto":
        yield Finding(
            section=SECTION,
            name="auto",
            state=State.BROKEN,
            text=f"Segmenter.open asks {dead[0]}, which takes its process down: name another backend",
            fix=f"--backend {able[0]}, backend={able[0]!r}" if able else "",
        )
    if not able:
        yield Finding(
            section=SECTION,
            name="engine",
            state=State.BROKEN,
            text="no backend can run this bundle here; why, is above",
        )
        return
    least = min(weights.values()) * _TIMES_IN_MEMORY
    available = available_bytes(host)
    if available is not None and available < least:
        yield Finding(
            section=SECTION,
            name="memory",
            state=State.WARNING,
            text=f"it is not run: it may take {least // _MIB} MiB, and {available // _MIB} MiB are available",
            fix="close other programs, and look again",
        )
        return
    yield from _first_that_runs(able, given, try_all)


def _verified(bundle: Bundle) -> Iterator[Finding]:
    manifest, size = bundle.manifest, bundle.path.stat().st_size
    digest = bundle.file_sha256()
    yield Finding(
        section=SECTION,
        name="verified",
        state=State.OK,
        text=f"{bundle.path}: {manifest.network}, {manifest.input.height}x{manifest.input.width}, "
        f"{len(manifest.classes)} classes, {', '.join(manifest.precisions)}; {size // _MIB} MiB, every byte as its "
        "manifest says",
        facts={"network": manifest.network, "precisions": list(manifest.precisions), "bytes": size},
    )
    yield Finding(
        section=SECTION,
        name="file SHA-256",
        state=State.NOTE,
        text=digest,
        facts={"file_sha256": digest, "digest": bundle.digest},
    )
    for spec in manifest.engines:
        if spec.proof is None:
            yield Finding(
                section=SECTION,
                name="engines",
                state=State.NOTE,
                text=f"{spec.title}: built, and nobody has run them",
                fix=shlex.join(["tdnet-export", "--verify", str(bundle.path)]),
            )


def _first_that_runs(
    able: list[str], given: tuple[str, ...], try_all: Callable[..., Mapping[Probe, Outcome]]
) -> Iterator[Finding]:
    """As `open_backend` does: the first one that opens is taken. Each in a process of its own, for its memory."""
    for name in able:
        frame: Probe = ("frame", name, *given)
        outcome = try_all([frame], limit_s=_LIMIT_S)[frame]
        if outcome.state is not State.OK:
            yield finding_from_outcome(SECTION, name, outcome)
            continue
        facts = outcome.facts
        yield Finding(
            section=SECTION,
            name="engine",
            state=State.OK,
            text=f"{facts['backend']} in {facts['precision']} is taken, and ran a black frame: {facts['description']}; it "
            f"took {facts['memory_mib']} MiB of memory",
            facts=facts,
        )
        return
    yield Finding(
        section=SECTION, name="engine", state=State.BROKEN, text="what seemed to fit does not run; see above"
    )
