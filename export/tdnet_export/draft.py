"""The manifest of a bundle to be: what is known of it before its members are."""

from __future__ import annotations

from tdnet_export.contract import GraphTensors, NetworkContract
from tdnet_export.parity_report import ParityReport
from tdnet_export.precision import half_tensors
from tdnet_models import Network
from tdnet_runtime import __version__
from tdnet_runtime.backends.no_telemetry import import_without_telemetry
from tdnet_runtime.manifest import SCHEMA_VERSION, ClassSpec, GraphSpec, InputSpec, Manifest, ParitySummary

__all__ = ["draft_manifest", "graph_member", "parity_summary", "report_member"]


def draft_manifest(
    network: Network,
    contract: NetworkContract,
    classes: tuple[ClassSpec, ...],
    digest: str,
    precisions: tuple[str, ...],
    *,
    preprocessing_from: str = "assumed",
    size_from: str,
) -> Manifest:
    """The manifest, without parity, engines and members; `…_from` as in `InputSpec`."""
    preprocessing = contract.preprocessing
    height, width = network.spec.input_size
    # The modules' own: several wheels bring an onnxruntime, and each is called otherwise.
    modules = {name: import_without_telemetry(name) for name in ("torch", "onnx", "onnxruntime", "numpy")}
    return Manifest(
        schema_version=SCHEMA_VERSION,
        network=network.spec.name,
        widths=network.spec.widths,
        input=InputSpec(
            height=height,
            width=width,
            mean=preprocessing.mean,
            std=preprocessing.std,
            scale=preprocessing.scale,
            color_order=preprocessing.color_order,
            preprocessing_from=preprocessing_from,
            size_from=size_from,
        ),
        feature_size=network.spec.feature_size,
        size_resampled=network.resampled,
        classes=classes,
        threshold=contract.threshold,
        paths=contract.paths,
        state=contract.state,
        graphs=tuple(
            GraphSpec(
                name=graph.name,
                inputs=graph.inputs,
                outputs=graph.outputs,
                members={precision: graph_member(precision, graph.name) for precision in precisions},
            )
            for graph in contract.graphs
        ),
        checkpoint_sha256=digest,
        weights=network.provenance.key if network.provenance else "",
        tools={"tdnet-deploy": __version__, **{name: str(m.__version__) for name, m in modules.items()}},
        parity={},
        members={},
        dtypes={p: _half_dtypes(contract.graphs) for p in ("fp16", "int8_fp16") if p in precisions},
    )


def _half_dtypes(graphs: tuple[GraphTensors, ...]) -> dict[str, str]:
    """Dtypes of the FP16 graphs' tensors that differ from FP32's, by name."""
    return {
        half.name: half.dtype
        for tensors in graphs
        for specs, halves in (
            (tensors.inputs, half_tensors(tensors).inputs),
            (tensors.outputs, half_tensors(tensors).outputs),
        )
        for spec, half in zip(specs, halves, strict=True)
        if half != spec
    }


def parity_summary(report: ParityReport) -> ParitySummary:
    """What the manifest says of a proof."""
    return ParitySummary(
        frames=len(report.frames),
        footage=report.footage,
        label_agreement=report.label_agreement,
        worst_frame_agreement=report.worst_frame_agreement,
        logits_error=report.logits_error,
        class_loss=1 - report.worst_class.iou,
        confidence_error=report.confidence_error,
        own=None if report.own is None else parity_summary(report.own),
        report=report_member(report.precision),
    )


def graph_member(precision: str, graph: str) -> str:
    """The bundle's member with a graph."""
    return f"graphs/{precision}/{graph}.onnx"


def report_member(precision: str) -> str:
    """The bundle's member with the proof of a precision."""
    return f"reports/parity-{precision}.json"
