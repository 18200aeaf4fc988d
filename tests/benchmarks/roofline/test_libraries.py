from __future__ import annotations

import gc
import weakref
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx")

from tdnet_bench.roofline.libraries import OnnxRuntimeLibrary  # after the skip
from tdnet_bench.roofline.probes import copy_model


def test_onnxruntime_computes_into_memory_that_it_keeps(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxruntime")
    made: list[weakref.ref[Any]] = []

    def empty_like(array: Any) -> Any:
        result = np.zeros_like(array)
        made.append(weakref.ref(result))
        return result

    monkeypatch.setattr(np, "empty_like", empty_like)
    x = np.array([[1, -2, 3]], np.float32)
    kept = weakref.ref(x)
    run = OnnxRuntimeLibrary(1).load(copy_model(x.shape), x, precision="fp32")
    del x
    gc.collect()
    assert kept() is not None
    y = made[0]()
    assert y is not None
    run()
    assert y.tolist() == [[1, 0, 3]]
