"""An engine's layers with their types, and the shares of half precision and INT8 among those that multiply."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

__all__ = [
    "EngineLayer",
    "EngineTensor",
    "half_share",
    "int8_share",
    "layers_json",
]

# Layers that multiply, by their type: RTX and Myelin say gemm and correlation, TensorRT CaskConvolution
# and the like. Others are fused kernels (kgen, runtime_fusion, …) and multiply where their names say so.
_MULTIPLIES = re.compile(r"conv|gemm|correlation|matmul|matrix_?multiply|attention|myelin|foreignnode", re.I)
_FUSED_NAME = re.compile(r"__myl_([A-Za-z]+)")
_FUSED_PARTS = {"Fc", "Corr", "Gemm", "Bmm", "Matmul", "Conv"}
_FLOATS = ("float16", "float32", "bfloat16")


@dataclass(frozen=True, slots=True)
class EngineTensor:
    """A tensor of a layer; `dtype` is NumPy's name, or what the builder calls it."""

    name: str
    shape: tuple[int, ...]
    dtype: str

    @property
    def elements(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineLayer:
    """One layer of an engine.

    Attributes:
        name: the builder's.
        kind: its LayerType.
        inputs: activations; TensorRT 10 lists a kernel, its factors and its bias here as well, behind the activation.
        constants: weights and other constants, where the builder shows them as tensors of their own.
        outputs: results.
        weights: type and number of the weights, where the builder shows them so; else None.
        nodes: ONNX nodes that went into it.
        tactic: the kernel's name, where there is one.
    """

    name: str
    kind: str
    inputs: tuple[EngineTensor, ...]
    constants: tuple[EngineTensor, ...] = ()
    outputs: tuple[EngineTensor, ...] = ()
    weights: tuple[str, int] | None = None
    nodes: tuple[str, ...] = ()
    tactic: str = ""

    @property
    def multiplies(self) -> bool:
        """True for convolutions, matrix products, and kernels fused with one."""
        if _MULTIPLIES.search(self.kind) or "_mha" in self.name.lower():
            return True
        fused = _FUSED_NAME.match(self.name)
        return fused is not None and bool(_FUSED_PARTS & set(re.findall(r"[A-Z][a-z]+", fused[1])))

    @property
    def is_half(self) -> bool:
        """True where all that it multiplies is float16; scalars, vectors (biases) and integers aside.

        A layer none of whose types is known is not.
        """
        operands = [tensor for tensor in (*self.inputs, *self.constants) if _is_matrix(tensor)]
        types = [tensor.dtype for tensor in operands or self.inputs if tensor.elements > 1]
        types += [self.weights[0]] if self.weights else []
        floats = [dtype for dtype in types if dtype in _FLOATS]
        return bool(floats) and all(dtype == "float16" for dtype in floats)

    @property
    def is_int8(self) -> bool:
        """True where it multiplies INT8 with INT8, whatever it adds."""
        operands = [tensor.dtype for tensor in (*self.inputs, *self.constants) if _is_matrix(tensor)]
        operands += [self.weights[0]] if self.weights else []
        return operands.count("int8") > 1

    @property
    def products(self) -> int:
        """Multiplications, estimated from the shapes; at least 1."""
        results = self.outputs[0].elements if self.outputs else 1
        kernels = [tensor for tensor in self.constants or self._listed_kernels if len(tensor.shape) >= 4]
        if self.weights and self.outputs and len(self.outputs[0].shape) >= 2:
            return max(results // max(self.outputs[0].shape[1], 1) * self.weights[1], 1)
        if kernels:
            return max(results * math.prod(max(kernels, key=lambda t: t.elements).shape[1:]), 1)
        sizes = sorted(t.elements for t in (*self.inputs, *self.constants) if t.dtype in (*_FLOATS, "int8"))
        # (M·K)(K·N)(M·N) is the square of a matrix product's M·K·N.
        return max(math.isqrt(math.prod(sizes[-2:]) * results), 1)

    @property
    def _listed_kernels(self) -> list[EngineTensor]:
        """Matrices behind the first input that are no residual, which has the result's shape."""
        results = [tensor.shape for tensor in self.outputs]
        return [tensor for tensor in self.inputs[1:] if _is_matrix(tensor) and tensor.shape not in results]


def half_share(layers: Iterable[EngineLayer]) -> float:
    """Share of float16 among the engine's multiplications, 0 to 1; 0 where none was found.

    The multiplications are estimates: fusing and padding change them by some percent.
    """
    return _share(layers, lambda layer: layer.is_half)


def int8_share(layers: Iterable[EngineLayer]) -> float:
    """Share of INT8 among the engine's multiplications, likewise."""
    return _share(layers, lambda layer: layer.is_int8)


def _share(layers: Iterable[EngineLayer], counts: Callable[[EngineLayer], bool]) -> float:
    found = total = 0
    for layer in layers:
        if layer.multiplies:
            total += layer.products
            found += layer.products if counts(layer) else 0
    return found / total if total else 0.0


def layers_json(layers: Iterable[EngineLayer]) -> bytes:
    """The layers as a bundle keeps them: JSON, one layer a line, types and shapes of all tensors."""
    rows = []
    for layer in layers:
        tensors = {
            key: [[tensor.name, list(tensor.shape), tensor.dtype] for tensor in value]
            for key, value in (
                ("inputs", layer.inputs),
                ("constants", layer.constants),
                ("outputs", layer.outputs),
            )
        }
        row: dict[str, Any] = {
            "name": layer.name,
            "kind": layer.kind,
            **tensors,
            "nodes": layer.nodes,
            "tactic": layer.tactic,
        }
        row |= {"weights": layer.weights} if layer.weights else {}
        if layer.multiplies:
            row |= {"half": layer.is_half, "int8": layer.is_int8, "products": layer.products}
        rows.append(json.dumps(row))
    return ('{"layers": [\n' + ",\n".join(rows) + "\n]}\n").encode()


def _is_matrix(tensor: EngineTensor) -> bool:
    return sum(side > 1 for side in tensor.shape) > 1
