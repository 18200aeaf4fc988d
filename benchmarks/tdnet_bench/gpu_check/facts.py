"""What a check knows before its first part: bundles, their checkpoints, versions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import metadata
from pathlib import Path

from tdnet_bench.gpu_check.records import BundleFacts
from tdnet_models.digest import checkpoint_sha256
from tdnet_runtime import Bundle
from tdnet_runtime.errors import OptionError

__all__ = ["bundle_facts", "checkpoint_of", "digests_of", "require_use_of", "versions"]

_PACKAGES = (
    "cuda-core",
    "cuda-bindings",
    "onnxruntime",
    "onnxruntime-gpu",
    "tensorrt",
    "tensorrt-rtx",
    "tensorrt-rtx-cu13-libs",
    "tensorrt-rtx-cu12-libs",
    "polygraphy",
    "torch",
    "triton",
    "nvidia-cudnn-cu13",
    "nvidia-cudnn-cu12",
    "nvidia-cublas",
)


def bundle_facts(plan: Path, *, digests: Mapping[str, Path]) -> BundleFacts:
    """What a bundle says about itself.

    Args:
        plan: the bundle.
        digests: checkpoints by their SHA-256.

    Raises:
        BundleError: it cannot be trusted.
    """
    with Bundle.open(plan) as bundle:
        manifest = bundle.manifest
        return BundleFacts(
            file=plan.name,
            digest=bundle.digest,
            network=manifest.network,
            height=manifest.input.height,
            width=manifest.input.width,
            paths=len(manifest.paths),
            classes=len(manifest.classes),
            precisions=tuple(manifest.precisions),
            engines=tuple(spec.title for spec in manifest.engines),
            checkpoint_sha256=manifest.checkpoint_sha256,
            weights="checkpoint" if manifest.checkpoint_sha256 in digests else "synthetic",
        )


def digests_of(ckpts: Sequence[Path]) -> dict[str, Path]:
    """Checkpoints by their SHA-256; raises CheckpointError where one cannot be read."""
    return {checkpoint_sha256(ckpt): ckpt for ckpt in ckpts}


def checkpoint_of(facts: BundleFacts, digests: Mapping[str, Path]) -> Path | None:
    """The checkpoint that a bundle was exported from, if it was given."""
    return digests.get(facts.checkpoint_sha256)


def versions() -> dict[str, str]:
    """Of the packages that reach the GPU, those that are installed."""
    found = {}
    for package in _PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found


def require_use_of(digests: Mapping[str, Path], bundles: Mapping[str, BundleFacts]) -> None:
    """Raise OptionError where a checkpoint belongs to no bundle."""
    wanted = {facts.checkpoint_sha256 for facts in bundles.values()}
    for digest, ckpt in digests.items():
        if digest not in wanted:
            raise OptionError(
                f"--ckpt belongs to none of the bundles: its SHA-256 is {digest[:12]}…; give the one that a bundle was "
                f"exported from: {str(ckpt)!r}"
            )
