"""What an export made, for those who show it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tdnet_export.parity_report import ParityReport
from tdnet_models.provenance import Provenance
from tdnet_runtime.manifest import Manifest

__all__ = ["ExportSummary"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportSummary:
    """What an export made.

    Attributes:
        path: the bundle.
        manifest: as written.
        provenance: what of the checkpoint was taken, and what was left.
        resampled_from: (h, w) of the checkpoint's LayerNorm maps where they were resampled, else None.
        reports: the proofs, by precision.
        graph_seconds: time to write and check all graphs, by precision.
        proof_seconds: of the proof, all precisions in one loop.
        never_run: why sets of engines could not be run here, by title.
        total_seconds: of everything.
    """

    path: Path
    manifest: Manifest
    provenance: Provenance
    resampled_from: tuple[int, int] | None
    reports: dict[str, ParityReport]
    graph_seconds: dict[str, float]
    proof_seconds: float
    never_run: dict[str, str]
    total_seconds: float
