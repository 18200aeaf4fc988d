"""Engines from a bundle's own graphs: no checkpoint, no torch, no onnx; the rest of the bundle stays as it is."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter

import msgspec

from tdnet_export.engines.build import build_engines, require_builder, require_engine_precision
from tdnet_export.engines.gate import gated
from tdnet_export.engines.options import BuildEvent, BuildOptions, OnBuild
from tdnet_export.engines.replacing import check_writable, identity, require_unchanged
from tdnet_export.termination import sigterm_as_exit
from tdnet_runtime.bundle import Bundle
from tdnet_runtime.bundle_writer import write_bundle
from tdnet_runtime.errors import ExportError, OptionError
from tdnet_runtime.manifest import SCHEMA_VERSION, EngineSpec, Manifest
from tdnet_runtime.preflight import ENGINE_PRECISIONS, PREFERRED, SIGNED_INT8

__all__ = ["RebuildSummary", "add_engines", "rebuild"]

BuiltSet = tuple[EngineSpec, Mapping[str, bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class RebuildSummary:
    """What a rebuild did.

    Attributes:
        path: the bundle.
        manifest: as written.
        built: sets of engines that are new.
        never_run: why sets could not be run here, by title.
        dropped: sets that the bundle had before, and has no more.
        seconds: that it took.
    """

    path: Path
    manifest: Manifest
    built: tuple[EngineSpec, ...]
    never_run: dict[str, str]
    dropped: tuple[EngineSpec, ...]
    seconds: float


@sigterm_as_exit()
def rebuild(
    plan: Path,
    *,
    backends: Sequence[str],
    precisions: Sequence[str] = (),
    options: BuildOptions | None = None,
    keep_others: bool = True,
    sha256: str | None = None,
    on_progress: OnBuild = lambda event: None,
) -> RebuildSummary:
    """Build engines from the graphs of the bundle at `plan` and put them into it.

    The bundle is replaced as a whole when all engines are there; until then, and where anything
    fails, it stays as it is. All other members stay byte for byte the same. Where `plan` is a link, the file that it
    leads to is replaced, and the link stays.

    Args:
        plan: the bundle.
        backends: which engines to build.
        precisions: of which graphs; empty for the one that GPU backends prefer. `int8` means `int8_fp16`, the INT8 graphs
            that are made for engines.
        options: of the builder; None for the defaults.
        keep_others: False to drop the bundle's other sets of these backends: other versions, devices, options.
        sha256: of the bundle's file before; another one is refused before anything in it is parsed.
        on_progress: see `OnBuild`.

    Raises:
        OptionError: no backend, or not one that has engines, or a precision that engines are not built in.
        MissingExtraError: a product is not installed, or does not load.
        BundleError: the bundle cannot be read, or is not the one with `sha256`.
        ExportError: TensorRT has no GPU here, the bundle has no graphs in a precision, a build failed, or the bundle
            cannot be written.
        ParityError, BackendError: engines that this machine's GPU runs compute something else, or do not run.
    """
    started = perf_counter()
    if not backends:
        raise OptionError("no backend is named; expected tensorrt or tensorrt-rtx")
    precisions = [SIGNED_INT8 if precision == "int8" else precision for precision in precisions]
    for precision in precisions:
        require_engine_precision(precision)
    for backend in dict.fromkeys(backends):
        require_builder(backend)
    with Bundle.open(plan, sha256=sha256) as bundle:
        before = identity(plan)
        target = Path(os.path.realpath(plan))
        check_writable(target)  # now, not after the builds
        manifest = bundle.manifest
        wanted = tuple(dict.fromkeys(precisions)) or (PREFERRED[0],)
        for precision in wanted:
            _check_precision(plan, manifest, precision, asked=bool(precisions))
        built: list[BuiltSet] = []
        for backend in dict.fromkeys(backends):
            for precision in wanted:
                graphs = {graph.name: bundle.read(graph.members[precision]) for graph in manifest.graphs}
                built.append(
                    build_engines(
                        graphs,
                        backend=backend,
                        precision=precision,
                        options=options,
                        on_progress=on_progress,
                        expected_s=_last_seconds(manifest, backend, precision),
                    )
                )
                del graphs  # hundreds of MB
        members = {name: bundle.read(name) for name in manifest.members}
    never_run: dict[str, str] = {}
    for number, each in enumerate(built):
        begun = BuildEvent(
            backend=each[0].backend, precision=each[0].precision, graph=None, done=0, total=0, proof=True
        )

        def show(stage: str, done: int, total: int, begun: BuildEvent = begun) -> None:
            on_progress(replace(begun, done=done, total=total))

        spec, files, reason = gated(manifest, members, each, on_progress=show)
        built[number] = spec, files
        if reason is not None:
            never_run[spec.title] = reason
    manifest, members, dropped = add_engines(manifest, members, built, keep_others=keep_others)
    require_unchanged(plan, before)
    return RebuildSummary(
        path=plan,
        manifest=write_bundle(target, manifest, members),
        built=tuple(spec for spec, _ in built),
        never_run=never_run,
        dropped=dropped,
        seconds=perf_counter() - started,
    )


def add_engines(
    manifest: Manifest,
    members: Mapping[str, bytes],
    built: Sequence[BuiltSet],
    *,
    keep_others: bool = True,
) -> tuple[Manifest, dict[str, bytes], tuple[EngineSpec, ...]]:
    """A bundle's manifest and members with sets of engines added.

    A set takes the place of one with the same key. Nothing is written.

    Args:
        manifest: of the bundle.
        members: of the bundle, all but the manifest.
        built: from `build_engines`.
        keep_others: False to drop other sets of the same backends.

    Returns:
        The manifest, in the newest schema, without its list of members; the members; and the sets that
        are gone.
    """
    titles = {spec.title for spec, _ in built}
    backends = {spec.backend for spec, _ in built}
    gone = tuple(
        spec
        for spec in manifest.engines
        if spec.title in titles or (not keep_others and spec.backend in backends)
    )
    removed = {
        name
        for spec in gone
        for engine in spec.graphs.values()
        for name in (engine.engine, engine.layers, engine.log)
    } | {spec.proof.report for spec in gone if spec.proof is not None}
    result = {name: data for name, data in members.items() if name not in removed}
    for _, new in built:
        result |= new
    kept = tuple(spec for spec in manifest.engines if spec not in gone)
    engines = (*kept, *(spec for spec, _ in built))
    dropped = tuple(spec for spec in gone if spec.title not in titles)
    updated = msgspec.structs.replace(manifest, schema_version=SCHEMA_VERSION, engines=engines, members={})
    return updated, result, dropped


def _check_precision(plan: Path, manifest: Manifest, precision: str, *, asked: bool) -> None:
    if precision in manifest.precisions:
        return
    if precision == SIGNED_INT8 and "int8" in manifest.precisions:
        raise ExportError(
            "INT8 was asked, and the bundle's int8 graphs are made for CPUs: TensorRT takes their UINT8 steps for INT8, "
            "with half of the range cut off; export the checkpoint again with "
            f"--precision {SIGNED_INT8} --calibration CLIP: {str(plan)!r}"
        )
    has = ", ".join(manifest.precisions)
    what = (
        f"--precision {precision} was asked"
        if asked
        else f"engines are built in {precision} unless asked otherwise"
    )
    more = " --calibration CLIP" if precision == SIGNED_INT8 else ""
    other = next((p for p in ENGINE_PRECISIONS if p in manifest.precisions), None)
    raise ExportError(
        f"{what}, and the bundle has graphs in {has} only; export the checkpoint again with --precision {precision}{more}"
        f"{'' if other is None else f', or rebuild with --precision {other}'}: {str(plan)!r}"
    )


def _last_seconds(manifest: Manifest, backend: str, precision: str) -> dict[str, float]:
    """What the bundle's newest engines of this kind took to build, by graph."""
    for spec in reversed(manifest.engines):
        if (spec.backend, spec.precision) == (backend, precision):
            return {name: engine.build_seconds for name, engine in spec.graphs.items()}
    return {}
