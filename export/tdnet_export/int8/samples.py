"""What each graph gets to see in the closed loop: the samples that it is calibrated with.

The loop is the runtime's own, on the FP32 graphs: the memory that an attention graph is calibrated with is what
the other sub-networks have left there, frame by frame. What only gives labels is not computed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import msgspec
import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from tdnet_export.contract import NetworkContract
from tdnet_runtime import Segmenter, Stream
from tdnet_runtime.bundle_writer import write_bundle
from tdnet_runtime.manifest import IMAGE, WARM, GraphSpec, Manifest, PathSpec
from tdnet_runtime.temporary_folder import temporary_folder

__all__ = ["Calibration", "load_sample", "record_samples"]

Frame = npt.NDArray[np.uint8]
Sample = dict[str, npt.NDArray[np.generic]]


class Calibration(msgspec.Struct, frozen=True):
    """Files with one sample each by graph, and how many clips and frames they come from."""

    samples: dict[str, list[Path]]
    clips: int
    frames: int


def load_sample(path: Path) -> Sample:
    """A graph's inputs by name."""
    with np.load(path) as archive:
        return {name: archive[name] for name in archive.files}


def record_samples(
    models: Mapping[str, onnx.ModelProto],
    contract: NetworkContract,
    manifest: Manifest,
    clips: Iterable[Sequence[Frame]],
    folder: Path,
    *,
    on_frame: Callable[[int], None] = lambda _: None,
) -> Calibration:
    """Run the FP32 graphs over `clips` and write what each graph reads on warm frames to `folder`.

    Args:
        models: all graphs in FP32.
        contract: of the graphs.
        manifest: of the bundle to be.
        clips: consecutive frames each, uint8 [H, W, 3] of the network's size; the memory is reset before each.
        folder: where a file for each sample goes.
        on_frame: called with the number of frames so far.
    """
    samples: dict[str, list[Path]] = {graph.name: [] for graph in contract.graphs}
    count = frames = 0
    with temporary_folder("tdnet-int8-") as scratch:
        bundle = scratch / "fp32.plan"
        final = {path.apm or path.subnet for path in contract.paths}
        _write(
            bundle,
            manifest,
            {name: _hollow(model) if name in final else model for name, model in models.items()},
        )
        with (
            Segmenter.open(bundle, backend="onnxruntime", precision="fp32") as segmenter,
            segmenter.stream() as stream,
        ):
            for clip in clips:
                stream.reset()
                for frame in clip:
                    result = stream.push(frame)
                    frames += 1
                    if not result.cold:
                        path = contract.paths[result.path - 1]
                        for graph, sample in _inputs(path, manifest, stream, frame).items():
                            file = folder / f"{graph}-{count}.npz"
                            np.savez(file, **cast("dict[str, Any]", sample))
                            samples[graph].append(file)
                    on_frame(frames)
                count += 1
    return Calibration(samples, count, frames)


def _inputs(path: PathSpec, manifest: Manifest, stream: Stream, frame: Frame) -> dict[str, Sample]:
    """The inputs of the graphs that just ran; the path's own slot, the only one that changed, is none of them."""
    result: dict[str, Sample] = {path.subnet: {IMAGE: frame[None]}}
    if path.apm is not None:
        names = [spec.name for spec in manifest.graph(path.apm).inputs]
        result[path.apm] = {
            name: np.ones(1, np.float32) if name == WARM else stream.tensor(name) for name in names
        }
    return result


def _hollow(model: onnx.ModelProto) -> onnx.ModelProto:
    """A graph with the model's inputs and outputs that computes nothing: all it gives is 0."""
    nodes, shapes = [], []
    for value in model.graph.output:
        kind = value.type.tensor_type
        zero = helper.make_tensor("zero", kind.elem_type, [1], [0])
        sides = np.array([side.dim_value for side in kind.shape.dim], np.int64)
        shapes.append(numpy_helper.from_array(sides, f"{value.name}/shape"))
        nodes.append(helper.make_node("ConstantOfShape", [f"{value.name}/shape"], [value.name], value=zero))
    graph = helper.make_graph(nodes, model.graph.name, model.graph.input, model.graph.output, shapes)
    return helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)


def _write(path: Path, manifest: Manifest, models: Mapping[str, onnx.ModelProto]) -> None:
    def only_single(graph: GraphSpec) -> GraphSpec:
        return msgspec.structs.replace(graph, members={"fp32": f"graphs/{graph.name}.onnx"})

    graphs = tuple(map(only_single, manifest.graphs))
    members = {f"graphs/{name}.onnx": model.SerializeToString() for name, model in models.items()}
    bare = msgspec.structs.replace(manifest, graphs=graphs, dtypes={}, engines=(), parity={}, members={})
    write_bundle(path, bare, members)
