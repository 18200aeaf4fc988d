"""All graphs of a bundle in one whose memory goes in and out: for servers that keep a model's state (Triton: implicit).

    image, frame, slot{p}_{t} → labels (confidence, logits), frame_index, next_frame, next_slot{p}_{t}

`frame` counts (`tdnet_runtime.serving.frame_count`): it says which path's branch of an `If` runs, and `warm`. A branch
gives its labels and its memory entry; which slot the entry replaces is decided outside of the branches. All states are
zero at a sequence's start, which is the start of a stream: nothing else is needed for the cold rule.

UINT8 stays outside of the branches: TensorRT has it at the inputs and outputs of a network only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tdnet_runtime.errors import ExportError
from tdnet_runtime.extras import require
from tdnet_runtime.manifest import CONFIDENCE, IMAGE, LABELS, WARM, Manifest, PathSpec, TensorSpec
from tdnet_runtime.serving.frame_count import WRAP

if TYPE_CHECKING:
    import onnx

__all__ = ["FRAME", "FRAME_INDEX", "joined_graph", "state_names"]

FRAME = "frame"
"""The state that counts frames."""
FRAME_INDEX = "frame_index"
"""The output that tells it."""
_RESULTS = (LABELS, CONFIDENCE, "logits")
_MOST_BYTES = (1 << 31) - (1 << 20)


def state_names(name: str) -> tuple[str, str]:
    """Of a state: the input's name, and the output's."""
    return name, f"next_{name}"


def joined_graph(manifest: Manifest, graphs: Mapping[str, bytes], *, precision: str) -> bytes:
    """The joined graph; of a per-frame network its only one, as it is.

    Args:
        manifest: of the bundle.
        graphs: the bundle's ONNX graphs of `precision`, by name.
        precision: of the graphs.

    Returns:
        An ONNX model, the same bytes for the same graphs.

    Raises:
        MissingExtraError: onnx is not installed.
        ExportError: it would be larger than ONNX allows.
    """
    exact = manifest.at(precision)
    if not exact.state.slots:
        return graphs[exact.paths[0].subnet]
    if sum(map(len, graphs.values())) > _MOST_BYTES:
        raise ExportError(
            "the bundle's graphs in one are larger than 2 GiB, more than ONNX holds; use the model for the backend python"
        )
    require("onnx", extra="export")
    return _Joined(exact, graphs).model()


@dataclass
class _Branch:
    """One path's nodes, and its results by the names of their tensors."""

    nodes: list[onnx.NodeProto] = field(default_factory=list)
    weights: list[onnx.TensorProto] = field(default_factory=list)
    results: dict[str, str] = field(default_factory=dict)
    dtypes: dict[str, int] = field(default_factory=dict)


class _Joined:
    """Writes the graph; see `joined_graph`."""

    def __init__(self, manifest: Manifest, graphs: Mapping[str, bytes]) -> None:
        import onnx

        self._onnx = onnx
        self._manifest = manifest
        self._m = len(manifest.paths)
        self._models = {name: onnx.load_model_from_string(data) for name, data in graphs.items()}
        self._nodes: list[onnx.NodeProto] = []
        self._weights: dict[str, onnx.TensorProto] = {}

    def model(self) -> bytes:
        """The model's bytes."""
        helper, manifest = self._onnx.helper, self._manifest
        slots = [
            TensorSpec(name=f"slot{path.index}_{spec.name}", shape=spec.shape, dtype=spec.dtype)
            for path in manifest.paths
            for spec in manifest.state.entry
        ]
        results = self._result_specs()
        self._write_schedule()
        branches = [self._branch(path) for path in manifest.paths]
        self._write_choice(branches)
        for spec in results:
            self._write_result(spec, branches[0])
        for path in manifest.paths:
            for spec in manifest.state.entry:
                name = f"slot{path.index}_{spec.name}"
                self._op("Where", [f"is{path.index}", f"new_{spec.name}", name], state_names(name)[1])
        counter = [
            helper.make_tensor_value_info(n, self._onnx.TensorProto.INT32, [1]) for n in state_names(FRAME)
        ]
        index = helper.make_tensor_value_info(FRAME_INDEX, self._onnx.TensorProto.INT32, [1])
        image = manifest.graph(manifest.paths[0].subnet).inputs[0]
        graph = helper.make_graph(
            self._nodes,
            manifest.network,
            [self._info(image), counter[0], *(self._info(spec) for spec in slots)],
            [
                *(self._info(spec) for spec in results),
                index,
                counter[1],
                *(self._info(spec, name=state_names(spec.name)[1]) for spec in slots),
            ],
            initializer=list(self._weights.values()),
        )
        first = next(iter(self._models.values()))
        opset = max(entry.version for model in self._models.values() for entry in model.opset_import)
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", opset)],
            ir_version=first.ir_version,
            producer_name="tdnet-export",
        )
        return bytes(model.SerializeToString(deterministic=True))

    def _write_schedule(self) -> None:
        """Which path, whether warm, and the count from one frame to the next; all of one element."""
        m = self._m
        self._op("Identity", [FRAME], FRAME_INDEX)
        self._op("Mod", [FRAME, self._integer("paths", m)], "path")
        for path in self._manifest.paths:
            self._op("Equal", ["path", self._integer(f"path{path.index}", path.index - 1)], f"is{path.index}")
        self._op("Less", [FRAME, self._integer("cold_frames", self._manifest.state.cold_frames)], "is_cold")
        zero, one = (self._floating(name, value) for name, value in (("cold", 0.0), ("warmed", 1.0)))
        self._op("Where", ["is_cold", zero, one], WARM)
        self._op("Add", [FRAME, self._integer("one", 1)], "following")
        self._op("Equal", ["following", self._integer("last", WRAP + m)], "is_last")
        self._op("Where", ["is_last", "paths", "following"], state_names(FRAME)[1])

    def _write_choice(self, branches: list[_Branch]) -> None:
        """`If` by `If`: the branch of the frame's path gives `chosen_…` and `new_…`."""
        names = [
            f"chosen_{name}" if name in _RESULTS else f"new_{name.removeprefix('memory_')}"
            for name in branches[0].results
        ]
        for path in self._manifest.paths[:-1]:
            self._op("Squeeze", [f"is{path.index}"], f"take{path.index}")
        body = self._body(branches[-1], f"path{self._m}")
        for number in range(self._m - 1, 0, -1):
            outputs = names if number == 1 else [f"from{number}_{name}" for name in names]
            node = self._onnx.helper.make_node(
                "If",
                [f"take{number}"],
                outputs,
                name=f"if_path{number}",
                then_branch=self._body(branches[number - 1], f"path{number}"),
                else_branch=body,
            )
            if number == 1:
                self._nodes.append(node)
                return
            infos = [self._typed(output, each) for output, each in zip(outputs, body.output, strict=True)]
            body = self._onnx.helper.make_graph([node], f"path{number}_and_on", [], infos)

    def _write_result(self, spec: TensorSpec, branch: _Branch) -> None:
        chosen = f"chosen_{spec.name}"
        wanted = self._dtype(spec)
        if branch.dtypes[spec.name] == wanted:
            self._op("Identity", [chosen], spec.name)
        else:
            self._op("Cast", [chosen], spec.name, to=wanted)

    def _result_specs(self) -> list[TensorSpec]:
        path = self._manifest.paths[0]
        assert path.apm is not None  # temporal
        return [spec for spec in self._manifest.graph(path.apm).outputs if spec.name in _RESULTS]

    def _branch(self, path: PathSpec) -> _Branch:
        """The path's two graphs, one behind the other."""
        branch, prefix = _Branch(), f"path{path.index}"
        assert path.apm is not None  # temporal
        features: dict[str, str] = {}
        for name in (path.subnet, path.apm):
            spec, model = self._manifest.graph(name), self._models[name]
            graph = self._onnx.shape_inference.infer_shapes(model).graph
            dtypes = {v.name: v.type.tensor_type.elem_type for v in (*graph.value_info, *graph.output)}
            known = {IMAGE: IMAGE, WARM: WARM, **features}
            known |= {each.name: each.name for each in spec.inputs if each.name.startswith("slot")}
            known |= {"": ""}
            dropped = self._hoist_image(model.graph, known)
            for output in spec.outputs:
                producer = next(node for node in model.graph.node if output.name in node.output)
                value = output.name
                if producer.op_type == "Cast" and output.dtype == "uint8":
                    dropped.add(output.name)
                    value = producer.input[0]
                branch.dtypes[output.name] = dtypes[value]
                features[output.name] = f"{prefix}/{value}"
                known[value] = f"{prefix}/{value}"
            self._copy(model.graph, known, f"{prefix}/{name}", dropped, branch)
        branch.results = {
            name: value for name, value in features.items() if name in _RESULTS or name.startswith("memory_")
        }
        return branch

    def _hoist_image(self, graph: onnx.GraphProto, known: dict[str, str]) -> set[str]:
        """Casts of the image, which all branches share; the values whose nodes need not be copied."""
        dropped = set()
        for node in graph.node:
            if IMAGE in node.input and node.op_type == "Cast":
                value = f"image_as_{node.attribute[0].i}"
                if all(value not in each.output for each in self._nodes):
                    self._op("Cast", [IMAGE], value, to=node.attribute[0].i)
                known[node.output[0]] = value
                dropped.add(node.output[0])
        return dropped

    def _copy(
        self, graph: onnx.GraphProto, known: dict[str, str], prefix: str, dropped: set[str], branch: _Branch
    ) -> None:
        """The graph's nodes and weights, by names of their own but for those that are `known`."""
        for node in graph.node:
            if not dropped.isdisjoint(node.output):
                continue
            copy = self._onnx.NodeProto()
            copy.CopyFrom(node)
            copy.name = f"{prefix}/{node.name}"
            copy.input[:] = [known.get(name, f"{prefix}/{name}") for name in node.input]
            copy.output[:] = [known.get(name, f"{prefix}/{name}") for name in node.output]
            branch.nodes.append(copy)
        for tensor in graph.initializer:
            weight = self._onnx.TensorProto()
            weight.CopyFrom(tensor)
            weight.name = f"{prefix}/{tensor.name}"
            branch.weights.append(weight)

    def _body(self, branch: _Branch, name: str) -> onnx.GraphProto:
        specs = {spec.name: spec for spec in self._result_specs()}
        specs |= {f"memory_{spec.name}": spec for spec in self._manifest.state.entry}
        infos = [
            self._onnx.helper.make_tensor_value_info(value, branch.dtypes[key], specs[key].shape)
            for key, value in branch.results.items()
        ]
        return self._onnx.helper.make_graph(branch.nodes, name, [], infos, initializer=branch.weights)

    def _typed(self, name: str, like: onnx.ValueInfoProto) -> onnx.ValueInfoProto:
        info = self._onnx.ValueInfoProto()
        info.CopyFrom(like)
        info.name = name
        return info

    def _op(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> None:
        self._nodes.append(
            self._onnx.helper.make_node(kind, inputs, [output], name=f"do_{output}", **attributes)
        )

    def _integer(self, name: str, value: int) -> str:
        self._weights[name] = self._onnx.helper.make_tensor(name, self._onnx.TensorProto.INT32, [1], [value])
        return name

    def _floating(self, name: str, value: float) -> str:
        dtype = next(
            self._dtype(spec) for graph in self._manifest.graphs for spec in graph.inputs if spec.name == WARM
        )
        self._weights[name] = self._onnx.helper.make_tensor(name, dtype, [1], [value])
        return name

    def _dtype(self, spec: TensorSpec) -> int:
        return int(getattr(self._onnx.TensorProto, {"float32": "FLOAT"}.get(spec.dtype, spec.dtype.upper())))

    def _info(self, spec: TensorSpec, *, name: str | None = None) -> onnx.ValueInfoProto:
        return self._onnx.helper.make_tensor_value_info(name or spec.name, self._dtype(spec), spec.shape)
