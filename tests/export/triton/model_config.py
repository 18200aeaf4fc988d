"""A `config.pbtxt` read by Triton's own schema, where its client or another copy of it is installed."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

__all__ = ["read_config"]


def read_config(path: Path) -> dict[str, Any]:
    """The fields by name, as `StateLoop` takes them; what the schema does not know raises.

    `tritonclient.grpc` imports gRPC; its schema alone needs protobuf only, so that it is loaded by itself.
    """
    json_format = pytest.importorskip("google.protobuf.json_format")
    from google.protobuf import text_format

    config = _schema().ModelConfig()
    text_format.Parse(path.read_text(), config)
    fields = dict(json_format.MessageToDict(config, preserving_proto_field_name=True))
    assert config.max_batch_size == 0
    return fields


def _schema() -> Any:
    found = importlib.util.find_spec("tritonclient")
    if found is None or not found.submodule_search_locations:
        pytest.skip("tritonclient, which carries Triton's schema, is not installed")
    path = Path(found.submodule_search_locations[0]) / "grpc" / "model_config_pb2.py"
    spec = importlib.util.spec_from_file_location("triton_model_config_pb2", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
