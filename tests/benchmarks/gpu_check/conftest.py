"""PyTorch kept quick, and its switches put back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def pytorch_as_it_was() -> Iterator[None]:
    """One thread, since tiny layers on several mostly wait for one another; switches as they were."""
    torch = pytest.importorskip("torch")
    threads = torch.get_num_threads()
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    kept = matmul.allow_tf32, cudnn.allow_tf32, cudnn.benchmark
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    matmul.allow_tf32, cudnn.allow_tf32, cudnn.benchmark = kept


@pytest.fixture
def nothing_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch.compile that gives back what it got."""
    import torch

    monkeypatch.setattr(torch, "compile", lambda function: function)
