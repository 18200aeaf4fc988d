"""What a manifest says of its tools."""

from __future__ import annotations

import importlib.metadata
from types import SimpleNamespace
from typing import Any

import onnxruntime
import pytest
from tests.export.test_contract import contract_of

from tdnet_export.classes import class_specs
from tdnet_export.draft import draft_manifest
from tdnet_models.variants import PUBLISHED


def test_onnxruntime_of_any_wheel_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside onnxruntime-gpu, or another wheel that brings the module, there is no distribution `onnxruntime`."""

    def version(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    spec = PUBLISHED["td2-fa18"]
    network: Any = SimpleNamespace(spec=spec, resampled=False, provenance=None)
    classes = class_specs(spec.classes, None)
    manifest = draft_manifest(
        network, contract_of("td2-fa18"), classes, "0" * 64, ("fp32",), size_from="user"
    )
    assert list(manifest.tools) == ["tdnet-deploy", "torch", "onnx", "onnxruntime", "numpy"]
    assert manifest.tools["onnxruntime"] == onnxruntime.__version__
