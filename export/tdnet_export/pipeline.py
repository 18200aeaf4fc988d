"""From a checkpoint to a verified bundle: load, write graphs, check, prove, pack. All or nothing."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from time import perf_counter

import msgspec
import numpy as np
import numpy.typing as npt
import onnx

from tdnet_export.classes import class_specs
from tdnet_export.contract import NetworkContract
from tdnet_export.footage import proof_frames
from tdnet_export.graph_check import check_graph
from tdnet_export.graphs import graph_jobs, with_outputs
from tdnet_export.options import SCENE, ExportOptions
from tdnet_export.parity import ParityReport, prove_parity, required_frames
from tdnet_export.weights import Weights
from tdnet_models import Network, load_checkpoint
from tdnet_models.digest import checkpoint_sha256
from tdnet_models.reference import MEAN, STD
from tdnet_runtime import __version__
from tdnet_runtime.bundle_writer import write_bundle
from tdnet_runtime.manifest import SCHEMA_VERSION, ClassSpec, GraphSpec, InputSpec, Manifest, ParitySummary

__all__ = ["ExportSummary", "Progress", "bundle_from_checkpoint"]

PRECISION = "fp32"
REPORT = f"reports/parity-{PRECISION}.json"

Progress = Callable[[str, int, int], None]
"""Called as (stage, steps done, steps in all); at 0 when a stage begins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportSummary:
    """What an export made.

    Attributes:
        path: the bundle.
        manifest: as written.
        report: the proof.
        graph_seconds: time to write and check each graph, by name.
        proof_seconds: of the proof.
        total_seconds: of everything.
    """

    path: Path
    manifest: Manifest
    report: ParityReport
    graph_seconds: dict[str, float]
    proof_seconds: float
    total_seconds: float


def bundle_from_checkpoint(
    options: ExportOptions, *, on_progress: Progress = lambda stage, done, total: None
) -> ExportSummary:
    """Export a checkpoint to FP32 graphs, prove them in closed loop, and write the bundle.

    Nothing is written, and what was there stays, unless everything succeeds.

    Raises:
        CheckpointError, SizeError, OptionError, MediaError: of what came in.
        ParityError: the graphs do not compute what PyTorch computes.
        ExportError: a graph is not valid, or the file cannot be written.
    """
    started = perf_counter()
    on_progress("load checkpoint", 0, 1)
    network = load_checkpoint(options.checkpoint, size=options.size_hw)
    digest = checkpoint_sha256(options.checkpoint)
    out = options.out or Path(f"{network.spec.name}.plan")
    options.check_out(out)
    classes = class_specs(network.spec.classes, options.names)
    stride = options.memory_stride or network.spec.variant.memory_stride
    contract = NetworkContract(spec=network.spec, memory_stride=stride, logits=options.logits)
    count = required_frames(network.spec.variant.paths)
    frames = proof_frames(options.frames, count, size_hw=network.spec.input_size)
    if options.frames is not None:
        frames = iter(list(frames))  # a clip that cannot be read, or is too short, ends it here
    on_progress("load checkpoint", 1, 1)

    models, graph_seconds = _write_graphs(network, contract, on_progress)
    manifest = _manifest(network, contract, classes, digest)
    proof_started = perf_counter()
    report = _prove(network, contract, manifest, models, options.frames, frames, on_progress)
    proof_seconds = perf_counter() - proof_started

    on_progress("write bundle", 0, 1)
    summary = ParitySummary(
        frames=len(report.frames),
        footage=report.footage,
        label_agreement=report.label_agreement,
        worst_frame_agreement=report.worst_frame_agreement,
        logits_error=report.logits_error,
        report=REPORT,
    )
    members = _members(models) | {REPORT: msgspec.json.format(msgspec.json.encode(report), indent=1)}
    manifest = write_bundle(out, msgspec.structs.replace(manifest, parity={PRECISION: summary}), members)
    on_progress("write bundle", 1, 1)
    return ExportSummary(
        path=out,
        manifest=manifest,
        report=report,
        graph_seconds=graph_seconds,
        proof_seconds=proof_seconds,
        total_seconds=perf_counter() - started,
    )


def _write_graphs(
    network: Network, contract: NetworkContract, on_progress: Progress
) -> tuple[dict[str, onnx.ModelProto], dict[str, float]]:
    """All graphs by name, checked, and the seconds that each took."""
    jobs = graph_jobs(contract, Weights(network.state_dict()))
    models, seconds = {}, {}
    for index, job in enumerate(jobs):
        on_progress(f"write {job.name}", index, len(jobs))
        started = perf_counter()
        models[job.name] = job.write()
        check_graph(models[job.name], job.tensors)
        seconds[job.name] = perf_counter() - started
        on_progress(f"write {job.name}", index + 1, len(jobs))
    return models, seconds


def _manifest(
    network: Network, contract: NetworkContract, classes: tuple[ClassSpec, ...], digest: str
) -> Manifest:
    """The manifest, without parity and members."""
    height, width = network.spec.input_size
    tools = {name: version(name) for name in ("torch", "onnx", "onnxruntime", "numpy")}
    return Manifest(
        schema_version=SCHEMA_VERSION,
        network=network.spec.name,
        widths=network.spec.widths,
        input=InputSpec(height=height, width=width, mean=MEAN, std=STD),
        feature_size=network.spec.feature_size,
        size_resampled=network.resampled,
        classes=classes,
        paths=contract.paths,
        state=contract.state,
        graphs=tuple(
            GraphSpec(name=g.name, inputs=g.inputs, outputs=g.outputs, members={PRECISION: _member(g.name)})
            for g in contract.graphs
        ),
        checkpoint_sha256=digest,
        tools={"tdnet-deploy": __version__, **tools},
        parity={},
        members={},
    )


def _prove(
    network: Network,
    contract: NetworkContract,
    manifest: Manifest,
    models: dict[str, onnx.ModelProto],
    clip: str | None,
    frames: Iterator[npt.NDArray[np.uint8]],
    on_progress: Progress,
) -> ParityReport:
    """The closed-loop proof, on a bundle whose graphs are the same but show their inner values too."""
    count = required_frames(network.spec.variant.paths)
    stage = "prove against PyTorch"
    on_progress(stage, 0, count)
    with _probing_bundle(contract, manifest, models) as bundle:
        return prove_parity(
            bundle,
            network,
            frames,
            footage=SCENE if clip is None else f"user's footage, {Path(clip).name}",
            memory_stride=contract.memory_stride,
            on_frame=lambda figures: on_progress(stage, figures.frame + 1, count),
        )


@contextmanager
def _probing_bundle(
    contract: NetworkContract, manifest: Manifest, models: dict[str, onnx.ModelProto]
) -> Iterator[Path]:
    """A temporary bundle whose last graphs also give the contract's probes."""
    final = {path.apm or path.subnet for path in contract.paths}

    def probed(graph: GraphSpec) -> GraphSpec:
        names = {spec.name for spec in graph.outputs}
        extra = tuple(spec for spec in contract.probes if spec.name not in names)
        return (
            msgspec.structs.replace(graph, outputs=(*graph.outputs, *extra)) if graph.name in final else graph
        )

    shown = {
        name: with_outputs(model, contract.probes) if name in final else model
        for name, model in models.items()
    }
    with tempfile.TemporaryDirectory(prefix="tdnet-export-") as folder:
        path = Path(folder) / "proof.plan"
        graphs = tuple(map(probed, manifest.graphs))
        write_bundle(path, msgspec.structs.replace(manifest, graphs=graphs), _members(shown))
        yield path


def _members(models: dict[str, onnx.ModelProto]) -> dict[str, bytes]:
    return {_member(name): model.SerializeToString(deterministic=True) for name, model in models.items()}


def _member(graph: str) -> str:
    return f"graphs/{PRECISION}/{graph}.onnx"
