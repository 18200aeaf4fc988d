"""The bundle's contract: what `manifest.json` says, typed, and validated when it is read.

The exporter writes it and the runtime obeys it; nothing about a network is known to the runtime
except through this file. Tensors are named; nothing is paired by order.
"""

from __future__ import annotations

import json
from typing import Annotated

import msgspec

from tdnet_runtime.errors import BundleFormatError, BundleVersionError
from tdnet_runtime.manifest_content import ManifestContent
from tdnet_runtime.manifest_engines import EngineMember, EngineProof, EngineSpec
from tdnet_runtime.manifest_parts import (
    CONFIDENCE,
    IMAGE,
    LABELS,
    SHA256,
    SIZE_FROM_SINCE,
    WARM,
    ClassSpec,
    GraphSpec,
    InputSpec,
    MemberSpec,
    ParitySummary,
    PathSpec,
    StateSpec,
    TensorSpec,
)
from tdnet_runtime.manifest_rules import check_manifest

__all__ = [
    "CONFIDENCE",
    "IMAGE",
    "LABELS",
    "OLDEST_SCHEMA_VERSION",
    "SCHEMA_VERSION",
    "SIZE_FROM_SINCE",
    "WARM",
    "ClassSpec",
    "EngineMember",
    "EngineProof",
    "EngineSpec",
    "GraphSpec",
    "InputSpec",
    "Manifest",
    "MemberSpec",
    "ParitySummary",
    "PathSpec",
    "StateSpec",
    "TensorSpec",
    "decode_manifest",
    "encode_manifest",
]

SCHEMA_VERSION = 5
OLDEST_SCHEMA_VERSION = 1

# A nesting of thousands of brackets ends in RecursionError.
_UNREADABLE = (msgspec.MsgspecError, UnicodeError, RecursionError)
_SchemaVersion = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]


class Manifest(ManifestContent, frozen=True, kw_only=True):
    """All that a bundle says about itself, whole and without contradictions: see `ManifestContent`."""

    def __post_init__(self) -> None:
        if not SHA256.fullmatch(self.checkpoint_sha256):
            raise ValueError(f"checkpoint digest {self.checkpoint_sha256!r} is not a SHA-256")
        check_manifest(self)


def decode_manifest(data: bytes) -> Manifest:
    """Read and validate `manifest.json`.

    Raises:
        BundleVersionError: the schema version is not one that is read here.
        BundleFormatError: not JSON, a field of the wrong type, or contradictory statements.
    """
    try:
        version = msgspec.json.decode(data, type=dict[str, msgspec.Raw])["schema_version"]
        schema_version = msgspec.json.decode(version, type=_SchemaVersion)
    except KeyError:
        raise BundleFormatError("manifest.json has no schema_version: not a TDNet bundle") from None
    except _UNREADABLE as error:
        raise BundleFormatError(f"manifest.json cannot be read: {error}; export the bundle again") from error
    if not OLDEST_SCHEMA_VERSION <= schema_version <= SCHEMA_VERSION:
        raise BundleVersionError(
            f"the bundle is written in schema version {schema_version}; this version of tdnet-deploy reads "
            f"{OLDEST_SCHEMA_VERSION} to {SCHEMA_VERSION}; install a matching version, or export it again"
        )
    try:
        manifest = msgspec.json.decode(data, type=Manifest)
    except _UNREADABLE as error:
        raise BundleFormatError(f"manifest.json is not valid: {error}; export the bundle again") from error
    if not manifest.members:
        raise BundleFormatError("manifest.json is not valid: it lists no members; export the bundle again")
    return manifest


def encode_manifest(manifest: Manifest) -> bytes:
    """`manifest` as indented JSON, the same bytes for the same content."""
    return (json.dumps(msgspec.to_builtins(manifest), indent=1) + "\n").encode()
