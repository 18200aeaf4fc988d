"""What is proven: for each precision a temporary bundle that shows its inner values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import msgspec
import onnx

from tdnet_export.contract import NetworkContract
from tdnet_export.graphs import with_outputs
from tdnet_export.int8.signed import half_signed_model
from tdnet_export.parity import Case
from tdnet_export.parity_report import ParityBounds
from tdnet_export.precision import half_precision_model
from tdnet_export.precision_rounding import rounding_model
from tdnet_export.work_folder import work_folder
from tdnet_runtime.backends import openvino
from tdnet_runtime.bundle_writer import write_bundle
from tdnet_runtime.manifest import GraphSpec, Manifest

__all__ = ["proof_cases"]

_TERMS = ", every FP16 result rounded to FP16 by casts of its own (sums in FP32)"
_HALF = {"fp16": half_precision_model, "int8_fp16": half_signed_model}


@contextmanager
def proof_cases(
    contract: NetworkContract,
    manifest: Manifest,
    models: Mapping[str, Mapping[str, onnx.ModelProto]],
    bounds: Mapping[str, ParityBounds],
) -> Iterator[list[Case]]:
    """Temporary bundles, one for each precision, whose last graphs also give the contract's probes.

    Graphs with FP16 are represented by twins that round explicitly; see `precision_rounding`. INT8 graphs run on the
    engine that is the fastest one for them. The models are not needed any more inside.

    Args:
        contract: of the graphs.
        manifest: of the bundle to be, without members.
        models: by precision, the graphs by name: in FP32, and with pairs for INT8 ones.
        bounds: that must hold, by precision.
    """
    with work_folder("tdnet-export-", "proving the graphs") as folder:
        cases = []
        for precision, graphs in models.items():
            path = folder / f"{precision}.plan"
            _write_probing_bundle(path, precision, contract, manifest, graphs)
            cases.append(
                Case(
                    precision=precision,
                    bundle=path,
                    bounds=bounds[precision],
                    backend=_backend(precision),
                    terms=_TERMS if precision in _HALF else "",
                )
            )
        del models, graphs  # hundreds of MB, which the caller drops as well
        yield cases


def _backend(precision: str) -> str:
    if precision == "int8" and openvino.unavailable() is None:
        return "openvino"
    return "onnxruntime"


def _write_probing_bundle(
    path: Path,
    precision: str,
    contract: NetworkContract,
    manifest: Manifest,
    models: Mapping[str, onnx.ModelProto],
) -> None:
    probes = {path.apm or path.subnet: contract.probes for path in contract.paths}
    probes |= dict.fromkeys(manifest.own_graphs, contract.probes[-1:])  # the logits
    members = {}
    for name, model in models.items():
        shown = with_outputs(model, probes.get(name, ()))
        if precision in _HALF:
            shown = rounding_model(_HALF[precision](shown))
        members[_member(name)] = shown.SerializeToString()

    def probed(graph: GraphSpec) -> GraphSpec:
        names = {spec.name for spec in graph.outputs}
        extra = tuple(spec for spec in probes.get(graph.name, ()) if spec.name not in names)
        outputs = (*graph.outputs, *extra)
        return msgspec.structs.replace(graph, outputs=outputs, members={precision: _member(graph.name)})

    dtypes = {key: value for key, value in manifest.dtypes.items() if key == precision}
    graphs = tuple(map(probed, manifest.graphs))
    write_bundle(path, msgspec.structs.replace(manifest, graphs=graphs, dtypes=dtypes), members)


def _member(graph: str) -> str:
    return f"graphs/{graph}.onnx"
