"""The proof of one precision: a temporary bundle that shows its inner values, against PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
import onnx

from tdnet_export.contract import NetworkContract
from tdnet_export.graphs import with_outputs
from tdnet_export.parity import prove_parity
from tdnet_export.parity_report import FrameParity, ParityBounds, ParityReport
from tdnet_export.precision import half_precision_model
from tdnet_export.precision_rounding import rounding_model
from tdnet_models import Network
from tdnet_runtime.backends import openvino
from tdnet_runtime.bundle_writer import write_bundle
from tdnet_runtime.manifest import GraphSpec, Manifest
from tdnet_runtime.temporary_folder import temporary_folder

__all__ = ["prove"]

_TERMS = {"fp16": ", every FP16 result rounded to FP16 by casts of its own (sums in FP32)"}


def prove(
    precision: str,
    network: Network,
    contract: NetworkContract,
    manifest: Manifest,
    models: Mapping[str, onnx.ModelProto],
    frames: Iterable[npt.NDArray[np.uint8]],
    *,
    footage: str,
    bounds: ParityBounds,
    on_frame: Callable[[FrameParity], None],
) -> ParityReport:
    """Run the graphs in `precision` on the CPU in closed loop against the PyTorch oracle.

    FP16 graphs are represented by twins that round explicitly; see `precision_rounding`. INT8 graphs run on the
    engine that is the fastest one for them.

    Args:
        precision: `fp32`, `fp16` or `int8`.
        network: the oracle's.
        contract: of the graphs.
        manifest: of the bundle to be, without members.
        models: the graphs by name: in INT8 for `int8`, in FP32 for others.
        frames: uint8 [H, W, 3] of the network's size.
        footage: what they are, for the report.
        bounds: that must hold.
        on_frame: called after each frame.

    Raises:
        ParityError: the graphs do not compute what PyTorch computes.
    """
    with _probing_bundle(precision, contract, manifest, models) as bundle:
        return prove_parity(
            bundle,
            network,
            frames,
            footage=footage,
            memory_stride=contract.memory_stride,
            precision=precision,
            bounds=bounds,
            backend=_backend(precision),
            terms=_TERMS.get(precision, ""),
            on_frame=on_frame,
        )


def _backend(precision: str) -> str:
    if precision == "int8" and openvino.unavailable() is None:
        return "openvino"
    return "onnxruntime"


@contextmanager
def _probing_bundle(
    precision: str, contract: NetworkContract, manifest: Manifest, models: Mapping[str, onnx.ModelProto]
) -> Iterator[Path]:
    """A temporary bundle of one precision whose last graphs also give the contract's probes."""
    final = {path.apm or path.subnet for path in contract.paths}
    members = {}
    for name, model in models.items():
        shown = with_outputs(model, contract.probes) if name in final else model
        if precision == "fp16":
            shown = rounding_model(half_precision_model(shown))
        members[_member(name)] = shown.SerializeToString()

    def probed(graph: GraphSpec) -> GraphSpec:
        names = {spec.name for spec in graph.outputs}
        extra = tuple(spec for spec in contract.probes if spec.name not in names)
        outputs = (*graph.outputs, *extra) if graph.name in final else graph.outputs
        return msgspec.structs.replace(graph, outputs=outputs, members={precision: _member(graph.name)})

    with temporary_folder("tdnet-export-") as folder:
        path = folder / "proof.plan"
        dtypes = {key: value for key, value in manifest.dtypes.items() if key == precision}
        graphs = tuple(map(probed, manifest.graphs))
        write_bundle(path, msgspec.structs.replace(manifest, graphs=graphs, dtypes=dtypes), members)
        members.clear()
        yield path


def _member(graph: str) -> str:
    return f"graphs/{graph}.onnx"
