"""Whose labels the others are compared with, and what that means for the numbers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tdnet_bench.records.config import EAGER, SideSpec
from tdnet_bench.sides.requests import NO_TORCH, torch_is_installed
from tdnet_models.digest import checkpoint_sha256
from tdnet_runtime.errors import CheckpointError
from tdnet_runtime.manifest import Manifest

__all__ = ["ChosenReference", "checked_digest", "choose_reference", "judged_sides"]

_FULL_PRECISION = "fp32"


class ChosenReference(NamedTuple):
    """Name of a side of the run, or None, and what that means in one sentence."""

    side: str | None
    note: str


def choose_reference(specs: Sequence[SideSpec]) -> ChosenReference:
    """Eager PyTorch with the checkpoint's weights; without it, the bundle's own FP32 graphs beside others."""
    trained = {spec.name for spec in specs if spec.weights == "checkpoint"}
    for name in EAGER:
        if name in trained:
            note = f"the reference is {name}, with the weights that the bundle was exported from"
            return ChosenReference(name, note)
    bundles = [spec for spec in specs if spec.kind == "bundle"]
    full = [spec.name for spec in bundles if spec.precision == _FULL_PRECISION]
    if full and len(bundles) > 1:
        return ChosenReference(
            full[0],
            f"the reference is {full[0]}, the bundle's own graphs in FP32, since PyTorch with the "
            "checkpoint's weights was not run: agreement with PyTorch was NOT measured",
        )
    if any(spec.weights == "synthetic" for spec in specs):
        return ChosenReference(
            None,
            "no --ckpt was given: PyTorch ran made-up weights in the bundle's shapes; label agreement was "
            "NOT measured",
        )
    reason = "" if torch_is_installed() else f"; {NO_TORCH}"
    return ChosenReference(None, f"no reference was run: label agreement was NOT measured{reason}")


def judged_sides(specs: Sequence[SideSpec]) -> tuple[str, ...]:
    """Names of the sides whose labels mean something."""
    return tuple(spec.name for spec in specs if spec.weights != "synthetic")


def checked_digest(ckpt: Path, manifest: Manifest) -> str:
    """SHA-256 of the checkpoint that the bundle was exported from.

    Raises:
        CheckpointError: it is another one, or cannot be read.
    """
    digest = checkpoint_sha256(ckpt)
    if digest != manifest.checkpoint_sha256:
        raise CheckpointError(
            f"--ckpt is not the checkpoint that the bundle was exported from: its SHA-256 is {digest}, the "
            f"bundle's is {manifest.checkpoint_sha256}; give that checkpoint, or export the bundle again: "
            f"{str(ckpt)!r}"
        )
    return digest
