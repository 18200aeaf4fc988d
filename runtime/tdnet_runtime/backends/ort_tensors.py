"""What ONNX Runtime says of a graph's tensors, held against the manifest."""

from __future__ import annotations

from typing import Any

from tdnet_runtime.errors import BackendError
from tdnet_runtime.manifest import TensorSpec

__all__ = ["DTYPES", "check_tensors"]

DTYPES = {"tensor(uint8)": "uint8", "tensor(float16)": "float16", "tensor(float)": "float32"}
"""By ONNX Runtime's name for a type: NumPy's."""


def check_tensors(graph: str, session: Any, specs: tuple[TensorSpec, ...]) -> None:
    """The graph's own inputs and outputs must be the manifest's: names, shapes and dtypes.

    Raises:
        BackendError: they differ; the message names each tensor.
    """
    kinds = {dtype: kind for kind, dtype in DTYPES.items()}
    stated = {spec.name: (kinds[spec.dtype], list(spec.shape)) for spec in specs}
    found = {
        value.name: (value.type, value.shape) for value in (*session.get_inputs(), *session.get_outputs())
    }
    if stated != found:
        names = sorted(name for name in stated.keys() | found.keys() if stated.get(name) != found.get(name))
        detail = "; ".join(f"{name}: graph {found.get(name)}, manifest {stated.get(name)}" for name in names)
        raise BackendError(
            f"graph {graph!r} does not have the tensors that the manifest states: {detail}. Export again."
        )
