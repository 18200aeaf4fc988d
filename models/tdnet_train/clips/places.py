"""Which frames of a sequence make a clip."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tdnet_train.clips.settings import ClipSettings

__all__ = ["Place", "drawn_places"]


class Place(NamedTuple):
    """One of a clip's frames: its index in the sequence, and how many simulated steps before that it is seen."""

    frame: int
    steps: int = 0


def drawn_places(
    rng: np.random.Generator, settings: ClipSettings, *, newest: int, frames: int
) -> list[Place]:
    """The clip's frames, oldest first.

    Args:
        rng: of the clip.
        settings: of the clips.
        newest: index of the labelled frame.
        frames: m, how many.
    """
    gaps = rng.integers(settings.gap_min, settings.gap_max, size=frames - 1, endpoint=True)
    if settings.stage == "still":
        return [Place(newest)] * frames
    places = [Place(newest)]
    for gap in gaps.tolist():
        index, steps = places[-1]
        missing = gap - index
        if missing <= 0:
            places.append(Place(index - gap))
        else:
            places.append(Place(0, steps + missing if settings.simulate else 0))
    return places[::-1]
