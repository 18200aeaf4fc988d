"""What a model's configuration on a Triton server says of the bundle in it: `parameters` by these names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tdnet_runtime.errors import BackendError
from tdnet_runtime.manifest import Manifest, decode_manifest

__all__ = ["BACKEND", "BUNDLE", "MANIFEST", "PRECISION", "THREADS", "manifest_in", "parameter"]

MANIFEST = "tdnet_manifest"
"""The bundle's `manifest.json` as it is, from which clients know classes, colours and sizes, and `Bundle.digest`."""
BACKEND = "tdnet_backend"
PRECISION = "tdnet_precision"
THREADS = "tdnet_threads"
"""As the arguments of `Segmenter.open`; `auto` for what is taken unasked."""
BUNDLE = "bundle.plan"
"""The bundle's name beside `model.py`."""


def parameter(config: Mapping[str, Any], name: str, default: str = "auto") -> str:
    """The value of a parameter in a configuration as the server gives it in JSON; `default` where it has none."""
    parameters = config.get("parameters")
    found = parameters.get(name) if isinstance(parameters, dict) else None
    value = found.get("string_value", "") if isinstance(found, dict) else ""
    return str(value).encode(errors="replace").decode() or default  # JSON may name halves of characters


def manifest_in(config: Mapping[str, Any]) -> Manifest:
    """The manifest of the bundle that is served.

    Raises:
        BackendError: the configuration has none: the model is not one that tdnet-export wrote.
        BundleError: it cannot be read.
    """
    text = parameter(config, MANIFEST, "")
    if not text:
        raise BackendError(
            f"the model {config.get('name', '')!r} has no parameter {MANIFEST!r}: it was not written by tdnet-export "
            "--triton; name one that was"
        )
    return decode_manifest(text.encode())
