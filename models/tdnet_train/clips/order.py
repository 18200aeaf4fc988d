"""The order of an epoch: which labelled frame comes when."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

__all__ = ["Order"]


class Order:
    """Orders of epochs, each a function of seed and epoch alone.

    Each part's frames come `weight` times, on average: whole shuffles of them, then a random rest. Steps that a
    last, smaller batch would make are left out; what is smaller than one batch is repeated.

    Args:
        counts: labelled frames of each part.
        weights: how often each comes.
        batch: clips of a step, of all ranks together.
        seed: of the run.
    """

    def __init__(self, counts: Sequence[int], weights: Sequence[float], *, batch: int, seed: int) -> None:
        self._counts = counts
        self._shares = [max(round(count * weight), 1) for count, weight in zip(counts, weights, strict=True)]
        self._batch, self._seed = batch, seed
        self.steps = max(sum(self._shares) // batch, 1)

    def epoch(self, number: int) -> npt.NDArray[np.int64]:
        """int64 [steps, batch, 2]: the part, and the index among its labelled frames."""
        rng = np.random.default_rng([self._seed, 0, number])
        drawn = []
        for part, (count, share) in enumerate(zip(self._counts, self._shares, strict=True)):
            shuffles = [rng.permutation(count) for _ in range(-(-share // count))]
            frames = np.concatenate(shuffles)[:share]
            drawn.append(np.stack([np.full(share, part), frames], axis=1))
        entries = rng.permutation(np.concatenate(drawn))
        return np.resize(entries, (self.steps, self._batch, 2)).astype(np.int64)
