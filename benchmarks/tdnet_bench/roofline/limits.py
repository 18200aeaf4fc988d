"""How far each graph of a run's bundle sides is from what the machine can do: costs, times and ceilings together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle, islice

from tdnet_bench.roofline.ceilings import BUDGET_S, measure_ceilings
from tdnet_bench.roofline.flops import bundle_costs
from tdnet_bench.roofline.graph_times import graph_times_ms
from tdnet_bench.roofline.libraries import LIBRARIES
from tdnet_bench.roofline.model import Ceilings, Roofline, roofline_from_costs
from tdnet_bench.sides.bundle_side import BundleSide
from tdnet_bench.sides.side import Array
from tdnet_runtime.backends.graph_precision import graphs_of
from tdnet_runtime.errors import MissingExtraError

__all__ = ["Limits", "measure_limits"]

_ROUNDS = 5  # of all paths; the cold ones and one more are not counted
_TYPES = {
    "fp32": {"float32": "fp32"},
    "bf16": {"float32": "bf16"},
    "int8": {"float32": "fp32", "int8": "int8"},
    "int8-bf16": {"float32": "bf16", "int8": "int8"},
}
"""By a side's precision: by a graph's type, the precision in which a CPU computes it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What `measure_limits` finds.

    Attributes:
        ceilings: of the machine; None where nothing was held against them.
        rooflines: by side.
        notes: what is not there, and why.
    """

    ceilings: Ceilings | None
    rooflines: dict[str, Roofline]
    notes: tuple[str, ...]


def measure_limits(
    sides: Sequence[object], images: Sequence[Array], *, threads: int, budget_s: float = BUDGET_S
) -> Limits:
    """Time each graph of the sides that run the bundle on the CPU, and the CPU itself.

    Takes seconds, and memory of its own: to be done after everything else was measured.

    Args:
        sides: of the run; others than bundles on the CPU are passed over with a note.
        images: uint8 RGB [H, W, 3] of the network's size; repeated as needed.
        threads: of the run.
        budget_s: see `measure_ceilings`.
    """
    notes = []
    chosen: list[BundleSide] = []
    for side in sides:
        if not isinstance(side, BundleSide):
            continue
        backend = side.segmenter.backend
        if backend.name in LIBRARIES and backend.precision in _TYPES:
            chosen.append(side)
        else:
            notes.append(
                f"{side.name} has no roofline: only engines that compute on the CPU are timed by graph"
            )
    if not chosen:
        return Limits(ceilings=None, rooflines={}, notes=tuple(notes))
    try:
        ceilings = measure_ceilings(
            tuple(dict.fromkeys(side.segmenter.backend.name for side in chosen)),
            threads=threads,
            budget_s=budget_s,
        )
        rooflines = {side.name: _roofline(side, images, ceilings) for side in chosen}
    except MissingExtraError as error:
        return Limits(ceilings=None, rooflines={}, notes=(*notes, f"rooflines were left out: {error}"))
    return Limits(ceilings=ceilings, rooflines=rooflines, notes=(*notes, *ceilings.notes))


def _roofline(side: BundleSide, images: Sequence[Array], ceilings: Ceilings) -> Roofline:
    segmenter = side.segmenter
    manifest, backend = segmenter.manifest, segmenter.backend
    count = manifest.state.cold_frames + _ROUNDS * len(manifest.paths)
    return roofline_from_costs(
        bundle_costs(segmenter.bundle, precision=graphs_of(backend.precision)),
        ceilings,
        times_ms=graph_times_ms(backend, manifest, islice(cycle(images), count)),
        library=backend.name,
        precisions=_TYPES[backend.precision],
    )
