"""A graph without the end that makes labels of scores, which `label_tail` does faster on a CPU.

What is cut off is what `tdnet-export` writes, and nothing else: Resize (bilinear, corners aligned), ArgMax and two
Casts. Bundles keep it, for engines that do it well. Where the upsampled scores are given too, they are still computed;
where the confidence is, which needs all of it, nothing is cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tdnet_runtime.backends.onnx_bytes import OnnxGraph
from tdnet_runtime.backends.onnx_node import Attribute, Node
from tdnet_runtime.errors import BackendError
from tdnet_runtime.manifest import LABELS, GraphSpec, TensorSpec

__all__ = ["SCORES", "CutGraph", "cut_labels"]

SCORES = "scores"
"""The output that a cut graph gives instead of the labels."""

_UINT8, _FLOATS = 2, (1, 10)  # as `onnx.proto3` numbers them: FLOAT and FLOAT16
_RESIZE: dict[str, Attribute] = {"mode": "linear", "coordinate_transformation_mode": "align_corners"}
_ARGMAX: dict[str, Attribute] = {"axis": 1, "keepdims": 0}


@dataclass(frozen=True, slots=True, eq=False)
class CutGraph:
    """What an engine is to load instead of a bundle's graph.

    Attributes:
        data: the model.
        outputs: those of the manifest that it still gives.
        labels: those that `SCORES`, [1, K, h, w], come instead of; None where nothing was cut.
        classes: K.
    """

    data: bytes
    outputs: tuple[TensorSpec, ...]
    labels: TensorSpec | None = None
    classes: int = 0

    def scores(self, graph: str, dtype: str, shape: Sequence[object]) -> TensorSpec:
        """What the engine says of the scores, as a tensor; a shape that is not fixed may be a text.

        Raises:
            BackendError: no labels of that size are made of them.
        """
        assert self.labels is not None  # or there are none
        sides = tuple(side for side in shape if isinstance(side, int))
        _, height, width = self.labels.shape
        if (
            len(sides) == len(shape) == 4
            and sides[:2] == (1, self.classes)
            and 1 <= sides[2] <= height
            and 1 <= sides[3] <= width
            and dtype in ("float16", "float32")
        ):
            return TensorSpec(name=SCORES, shape=sides, dtype=dtype)
        raise BackendError(
            f"graph {graph!r} makes labels of {dtype} {shape}, expected float32 [1, {self.classes}, h, w] with "
            f"h and w of 1 to {height} and {width}. Export again."
        )


def cut_labels(graph: GraphSpec, data: bytes) -> CutGraph:
    """The graph without its end, or as it is where it has no such end.

    Args:
        graph: what the manifest says of it.
        data: the model; whatever is wrong with it, the engine will say.
    """
    whole = CutGraph(data, graph.outputs)
    labels = next((spec for spec in graph.outputs if spec.name == LABELS), None)
    if labels is None:
        return whole
    try:
        model = OnnxGraph(data)
        found = _end(model, labels)
        if found is None:
            return whole
        resize, *rest = end = found[0]
        shown = resize.outputs[0] in model.outputs
        model.nodes = [node for node in model.nodes if node not in (rest if shown else end)]
        model.rename(resize.inputs[0], SCORES)
        model.replace_output(LABELS, SCORES)
        return CutGraph(
            model.serialised(), tuple(spec for spec in graph.outputs if spec != labels), labels, found[1]
        )
    except (ValueError, TypeError, LookupError):  # no model of ours
        return whole


def _end(model: OnnxGraph, labels: TensorSpec) -> tuple[list[Node], int] | None:
    """Resize, ArgMax and Casts that make the labels of scores, and K; None where others do, or where others need theirs.

    Bundles of before TensorRT 10.3's rules were known have one Cast.
    """
    makers, readers = model.makers(), model.readers()
    end: list[Node] = []
    value = LABELS
    for kinds in (("Cast",), ("Cast", "ArgMax"), ("ArgMax", "Resize"), ("Resize",)):
        if end and end[0].kind == "Resize":
            break
        node = makers.get(value)
        if node is None or node.kind not in kinds or readers.get(value, []) != end[:1]:
            return None
        end.insert(0, node)
        value = node.inputs[0]
    resize, argmax, *casts = end
    inner = {value, argmax.outputs[0], casts[0].outputs[0]} - {LABELS}
    if resize.kind != "Resize" or inner & model.outputs or value not in makers:
        return None
    if SCORES in makers or SCORES in readers:
        return None
    asked = (resize.attributes, argmax.attributes, casts[-1].attributes)
    if asked != (_RESIZE, _ARGMAX, {"to": _UINT8}) or casts[0].attributes["to"] not in (*_FLOATS, _UINT8):
        return None
    sizes = (
        model.constant(resize.inputs[3])
        if [*map(bool, resize.inputs)] == [True, False, False, True]
        else None
    )
    if sizes is None or sizes.shape != (4,):
        return None
    batch, classes, height, width = sizes.tolist()
    return (end, classes) if (batch, height, width) == labels.shape else None
