"""How a graph's bytes become a session of ONNX Runtime, on any of its providers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = ["new_session"]


def new_session(
    ort: Any, data: bytes, options: Any, *, provider: str | tuple[str, dict[str, str]], without: Sequence[str]
) -> Any:
    """An `onnxruntime.InferenceSession` that does not hold `data`, and never falls back to another provider.

    Its Python side (1.32) keeps the bytes to load them again on such a fallback: the weights once more, for as long as
    the session lives.

    Args:
        ort: the module `onnxruntime`.
        data: the graph, in ONNX's or ONNX Runtime's own format.
        options: an `onnxruntime.SessionOptions`.
        provider: its name, and its options where it has some.
        without: optimizers that are not to run.

    Raises:
        Exception: ONNX Runtime refuses it; its errors have no public base class.
    """
    session = ort.InferenceSession(
        data, options, providers=[provider], enable_fallback=0, disabled_optimizers=list(without)
    )
    session._model_bytes = None
    return session
