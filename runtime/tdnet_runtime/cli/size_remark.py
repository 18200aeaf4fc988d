"""Where a bundle's input size comes from, in words: no checkpoint of a temporal network fixes it (spec §2)."""

from __future__ import annotations

from tdnet_runtime.manifest import SIZE_FROM_SINCE, Manifest

__all__ = ["size_remark"]


def size_remark(manifest: Manifest) -> str:
    """Named by the user, assumed (and what else would have done), or an approximation."""
    if manifest.size_resampled:
        return "APPROXIMATE: resampled"
    if manifest.input.size_from == "user":
        return "named by the user"
    assumed = "assumed"
    if manifest.schema_version < SIZE_FROM_SINCE:
        assumed += f", not recorded before schema {SIZE_FROM_SINCE}"
    if not manifest.state.slots:
        return f"{assumed}: this network takes any size"
    heights, widths = (f"{8 * side - 7} to {8 * side}" for side in manifest.feature_size)
    return f"{assumed}: heights {heights} and widths {widths} fit the checkpoint alike"
