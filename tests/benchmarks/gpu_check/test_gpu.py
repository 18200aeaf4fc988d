"""The GPU through a double of PyTorch."""

from __future__ import annotations

import contextlib
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest
from torch import torch_version

from tdnet_bench.gpu_check.gpu import TorchGpu
from tdnet_runtime.errors import BackendError


def fake_torch(*, cuda: str | None = "13.0", error: Exception | None = None) -> Any:
    calls: list[str] = []

    def init() -> None:
        if error is not None:
            raise error

    properties = SimpleNamespace(name="NVIDIA Fake", major=9, minor=0, multi_processor_count=132)
    return SimpleNamespace(
        __version__=torch_version.TorchVersion("2.0"),
        version=SimpleNamespace(cuda=cuda),
        calls=calls,
        device=lambda kind, index: f"{kind}:{index}",
        tensor=lambda frame, device: (frame, device),
        backends=SimpleNamespace(cudnn=SimpleNamespace(version=lambda: 91000)),
        cuda=SimpleNamespace(
            init=init,
            get_device_properties=lambda index: properties,
            mem_get_info=lambda: (100, 200),
            synchronize=lambda: calls.append("synchronize"),
            Stream=lambda: SimpleNamespace(cuda_stream=77),
            Event=lambda enable_timing: SimpleNamespace(timing=enable_timing),
            stream=contextlib.nullcontext,
        ),
    )


def test_facts() -> None:
    facts = TorchGpu(fake_torch()).facts()
    assert (facts["name"], facts["compute_capability"], facts["memory_bytes"]) == ("NVIDIA Fake", "9.0", 200)
    assert b'"torch":"2.0"' in msgspec.json.encode(facts)  # PyTorch's version is of a class of its own


def test_what_it_offers() -> None:
    torch = fake_torch()
    gpu = TorchGpu(torch)
    frame = np.zeros((2, 2, 3), np.uint8)
    assert gpu.upload(frame) == (frame, "cuda:0")
    assert torch.calls == ["synchronize"]
    stream = gpu.stream()
    assert gpu.handle(stream) == 77
    assert gpu.event().timing is True  # type: ignore[attr-defined]
    assert gpu.free_bytes() == 100
    with gpu.on(stream):
        pass


def test_without_a_gpu() -> None:
    with pytest.raises(BackendError, match="has no CUDA"):
        TorchGpu(fake_torch(cuda=None))
    with pytest.raises(BackendError, match=r"finds no GPU .no NVIDIA driver"):
        TorchGpu(fake_torch(error=RuntimeError("no NVIDIA driver")))
