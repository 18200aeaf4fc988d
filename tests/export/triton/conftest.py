"""Model repositories of tiny networks, made once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tdnet_export.triton import TritonOptions, write_models

Repository = Callable[[str], Path]


@pytest.fixture(scope="session")
def repository(tiny_bundle: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """repository(name): with a model for the Python backend and one for ONNX Runtime. Read it only."""
    folder = tmp_path_factory.mktemp("repositories")

    def make(name: str) -> Path:
        made = folder / name
        if not made.exists():
            options = TritonOptions(folder=made, backends=("python", "onnxruntime"), streams=2, idle_s=3)
            write_models(tiny_bundle(name), options)
        return made

    return make
