"""From a checkpoint to a verified bundle: load, write graphs, check, prove, pack. All or nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import msgspec
import numpy as np
import numpy.typing as npt

from tdnet_export.classes import class_specs
from tdnet_export.contract import NetworkContract
from tdnet_export.draft import draft_manifest, graph_member, parity_summary, report_member
from tdnet_export.engines import BuildEvent, add_engines, build_engines, gated, require_builder
from tdnet_export.footage import proof_frames
from tdnet_export.graph_sets import Progress, convert_graphs, require_half_share, write_graphs
from tdnet_export.int8 import (
    calibration_clips,
    half_signed_model,
    int8_bounds,
    quantised_graphs,
)
from tdnet_export.int8 import unavailable as int8_unavailable
from tdnet_export.member_folder import MemberFolder
from tdnet_export.options import INT8_PRECISIONS, ExportOptions
from tdnet_export.parity import prove_parity
from tdnet_export.parity_checks import required_frames
from tdnet_export.parity_report import BOUNDS, SCENE, ParityReport
from tdnet_export.precision import half_precision_model
from tdnet_export.process_memory import want_large_pages
from tdnet_export.proof import proof_cases
from tdnet_export.summary import ExportSummary
from tdnet_export.termination import sigterm_as_exit
from tdnet_export.work_folder import work_folder
from tdnet_models import Network, load_checkpoint
from tdnet_models.digest import checkpoint_sha256
from tdnet_runtime.backends.heap import give_back
from tdnet_runtime.bundle_writer import write_bundle
from tdnet_runtime.errors import CheckpointError, MissingExtraError, OptionError
from tdnet_runtime.file_names import as_utf8
from tdnet_runtime.manifest import Manifest
from tdnet_runtime.preflight import SIGNED_INT8
from tdnet_runtime.sources.source_url import source_name

__all__ = ["Progress", "bundle_from_checkpoint"]

Frame = npt.NDArray[np.uint8]


@sigterm_as_exit()
def bundle_from_checkpoint(
    options: ExportOptions,
    *,
    on_path: Callable[[Path], object] = lambda path: None,
    on_progress: Progress = lambda stage, done, total, detail="": None,
) -> ExportSummary:
    """Export a checkpoint to graphs, prove them in closed loop, build engines, and write the bundle.

    Nothing is written, and what was there stays, unless everything succeeds.

    Args:
        options: what is exported, and how.
        on_path: called with the bundle's path before anything slow; what it raises ends the export.
        on_progress: told a stage, how much of it is done, of how much, and what comes next.

    Raises:
        CheckpointError, SizeError, OptionError, MediaError: of what came in.
        MissingExtraError: the builder of an engine is not installed, or does not load.
        ParityError: the graphs do not compute what PyTorch computes.
        ExportError: TensorRT has no GPU here, a graph is not valid, an engine cannot be built, or the file cannot be
            written.
    """
    started = perf_counter()
    want_large_pages()
    _require_tools(options)
    on_progress("load checkpoint", 0, 1)
    network, digest = _loaded(options)
    assert network.provenance is not None  # it comes from a checkpoint
    out = options.out or Path(f"{network.spec.name}.plan")
    options.check_out(out)
    on_path(out)
    classes = class_specs(network.spec.classes, options.names)
    for option, asked in (
        ("--memory-stride", options.memory_stride is not None),
        ("--own-labels", options.own_labels),
    ):
        if asked and not network.spec.variant.temporal:
            raise OptionError(
                f"{option} goes with networks that remember frames; the checkpoint is {network.spec.name}, which "
                "does not: leave it out"
            )
    contract = NetworkContract(
        spec=network.spec,
        memory_stride=options.memory_stride or network.spec.variant.memory_stride,
        logits=options.logits,
        confidence=options.confidence,
        own_labels=options.own_labels,
        preprocessing=options.wanted_preprocessing,
        threshold=options.threshold_for(network.spec.classes),
    )
    if {"fp16", SIGNED_INT8}.intersection(options.wanted_precisions):
        require_half_share(network, contract)
    clips = _clips(options, network)
    frames = _proof_frames(options, network)
    on_progress("load checkpoint", 1, 1)

    manifest = draft_manifest(
        network,
        contract,
        classes,
        digest,
        options.wanted_precisions,
        preprocessing_from="assumed" if options.preprocessing is None else "user",
        size_from="assumed" if options.size_hw is None else "user",
    )
    with work_folder("tdnet-export-", "exporting") as path:
        folder = MemberFolder(path)
        graph_seconds, proof = _write_and_prove(
            network, contract, manifest, frames, clips, folder, options, on_progress
        )
        provenance, resampled_from = network.provenance, network.resampled_from
        del network  # hundreds of MB
        parity = {precision: parity_summary(report) for precision, report in proof.reports.items()}
        manifest = msgspec.structs.replace(manifest, parity=parity)
        manifest, members, never_run = _with_engines(manifest, folder, options, on_progress)
        on_progress("write bundle", 0, 1)
        manifest = write_bundle(out, manifest, members)
        on_progress("write bundle", 1, 1)
    return ExportSummary(
        path=out,
        manifest=manifest,
        provenance=provenance,
        resampled_from=resampled_from,
        reports=proof.reports,
        graph_seconds=graph_seconds,
        proof_seconds=proof.seconds,
        never_run=never_run,
        total_seconds=perf_counter() - started,
    )


def _loaded(options: ExportOptions) -> tuple[Network, str]:
    """The network, and the digest of the file that it is of: a training that goes on writes another one there."""
    before = _state(options.checkpoint)
    network = load_checkpoint(options.checkpoint, size=options.size_hw, weights=options.weights)
    digest = checkpoint_sha256(options.checkpoint)
    if _state(options.checkpoint) != before:
        raise CheckpointError(
            f"the checkpoint {str(options.checkpoint)!r} was replaced while it was read, by its training perhaps; export "
            "a copy of it"
        )
    return network, digest


def _state(path: Path) -> tuple[int, ...] | None:
    """By which a file that was replaced, or written anew, shows; None where there is none to be seen."""
    try:
        status = path.stat()
    except OSError:  # whose reason the loader knows better
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


@dataclass(frozen=True, slots=True)
class _Proof:
    """Reports by precision, and the seconds that they took together."""

    reports: dict[str, ParityReport]
    seconds: float


def _write_and_prove(
    network: Network,
    contract: NetworkContract,
    manifest: Manifest,
    frames: list[Frame],
    clips: list[list[Frame]],
    folder: MemberFolder,
    options: ExportOptions,
    on_progress: Progress,
) -> tuple[dict[str, float], _Proof]:
    """All graphs and reports into `folder`; the seconds that the graphs took by precision, and the proof."""
    single, single_seconds = write_graphs(network, contract, on_progress)
    graphs, graph_seconds = {"fp32": single}, {"fp32": single_seconds}
    if "fp16" in options.wanted_precisions:
        graphs["fp16"], graph_seconds["fp16"] = convert_graphs(
            "fp16", contract, single, half_precision_model, on_progress
        )
    # What the proof's graphs, which give the probes too, are made of.
    sources = {"fp32": single, "fp16": single}
    if clips:
        started = perf_counter()
        wanted = [precision for precision in options.wanted_precisions if precision in INT8_PRECISIONS]
        quantised = quantised_graphs(single, contract, clips, precisions=wanted, on_progress=on_progress)
        for precision, found in quantised.items():
            graphs[precision] = sources[precision] = found.models
            if precision == "int8_fp16":
                graphs[precision], _ = convert_graphs(
                    precision, contract, found.models, half_signed_model, on_progress
                )
            graph_seconds[precision] = perf_counter() - started  # calibration and all
            folder.put(
                f"reports/{precision}.json", msgspec.json.format(msgspec.json.encode(found.report), indent=1)
            )
        del quantised, found
    proof_started = perf_counter()
    stage = f"prove {', '.join(precision.upper() for precision in options.wanted_precisions)}"
    on_progress(stage, 0, len(frames))
    for precision in options.wanted_precisions:
        for name, model in graphs[precision].items():
            folder.put(graph_member(precision, name), model.SerializeToString(deterministic=True))
    bounds = BOUNDS | dict.fromkeys(INT8_PRECISIONS, int8_bounds(options.max_loss))
    models = {precision: sources[precision] for precision in options.wanted_precisions}
    with proof_cases(contract, manifest, models, bounds) as cases:
        del graphs, single, sources, models
        give_back()
        clip = options.proof_clip
        reports = prove_parity(
            cases,
            network,
            frames,
            footage=SCENE if clip is None else f"user's footage, {as_utf8(source_name(clip))}",
            memory_stride=contract.memory_stride,
            preprocessing=contract.preprocessing,
            threshold=contract.threshold,
            on_frame=lambda done: on_progress(stage, done, len(frames)),
        )
    for precision, report in reports.items():
        folder.put(report_member(precision), msgspec.json.format(msgspec.json.encode(report), indent=1))
    seconds = {precision: graph_seconds[precision] for precision in reports}
    return seconds, _Proof(reports, perf_counter() - proof_started)


def _require_tools(options: ExportOptions) -> None:
    """Raise MissingExtraError or ExportError where what an option needs is not here: now, not after minutes of work."""
    for backend in dict.fromkeys(options.backends):
        require_builder(backend)
    reason = int8_unavailable() if options.calibration is not None else None
    if reason is not None:
        raise MissingExtraError(reason)


def _clips(options: ExportOptions, network: Network) -> list[list[Frame]]:
    """What INT8 is calibrated on; nothing where it was not asked for."""
    if options.calibration is None:
        return []
    paths = network.spec.variant.paths
    return list(calibration_clips(options.calibration, paths=paths, size_hw=network.spec.input_size))


def _proof_frames(options: ExportOptions, network: Network) -> list[Frame]:
    """What is proven on, decoded no further than a proof goes; a clip that will not do ends it here."""
    count = required_frames(network.spec.variant.paths)
    option = "--calibration" if options.frames is None else "--frames"
    return list(proof_frames(options.proof_clip, count, size_hw=network.spec.input_size, option=option))


def _with_engines(
    manifest: Manifest, members: Mapping[str, bytes], options: ExportOptions, on_progress: Progress
) -> tuple[Manifest, Mapping[str, bytes], dict[str, str]]:
    """Manifest and members with the engines that were asked for; and why sets could not be run here, by title."""
    if not options.wanted_engines:
        return manifest, members, {}

    def show(event: BuildEvent) -> None:
        on_progress(event.stage, event.done, event.total, event.text)

    built, never_run = [], {}
    for backend, precision in options.wanted_engines:
        graphs = {graph.name: members[graph.members[precision]] for graph in manifest.graphs}
        made = build_engines(graphs, backend=backend, precision=precision, on_progress=show)
        spec, files, reason = gated(manifest, members, made, on_progress=on_progress)
        built.append((spec, files))
        if reason is not None:
            never_run[spec.title] = reason
    manifest, members, _ = add_engines(manifest, members, built)
    return manifest, members, never_run
