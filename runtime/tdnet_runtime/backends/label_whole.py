"""Labels of all pixels by all classes: for scores of which most cells are mixed, as untrained networks' are.

Some rows of cells at once, by NumPy's elementwise functions. Where the engine has two threads, a second one takes every
other step; it lives as long as the frame takes.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from tdnet_runtime.backends.aligned_axis import AlignedAxis
from tdnet_runtime.backends.two_threads import TwoThreads

__all__ = ["WholeLabels", "put_class", "shaped"]

_Floats = npt.NDArray[np.float32]
_Bytes = npt.NDArray[np.uint8]


class WholeLabels:
    """Makes them; for one thread at a time.

    Args:
        padded: scores [K, h + 1, w + 1], the last row and column twice; read at each call of `write`.
        rows: between padded scores, for the frame's rows.
        columns: likewise.
        pixels: about so many at once.
        threads: that may be used; more than two are not.
    """

    def __init__(
        self, padded: _Floats, rows: AlignedAxis, columns: AlignedAxis, *, pixels: int, threads: int
    ) -> None:
        self._padded, self._rows, self._columns = padded, rows, columns
        width = len(columns.cell)
        self._cell_rows = max(1, pixels // (rows.longest * width))
        size = self._cell_rows * rows.longest * width, (self._cell_rows + 1) * width
        self._steps = range(0, len(rows.starts) - 1, self._cell_rows)
        self._two = TwoThreads() if threads > 1 and len(self._steps) > 1 else None
        self._new_scratch = partial(_Scratch, *size)
        self._scratches: list[_Scratch] = []  # made with the first frame that needs them

    def write(self, out: _Bytes) -> None:
        """The class of the largest upsampled score of each pixel, the first one of several: [H, W], C-contiguous."""
        if not self._scratches:
            self._scratches = [self._new_scratch() for _ in range(1 if self._two is None else 2)]
        if self._two is None:
            self._write_rows(self._steps, out, *self._scratches)
            return
        own, other = (
            partial(self._write_rows, self._steps[start::2], out, scratch)
            for start, scratch in enumerate(self._scratches)
        )
        self._two.run(own, other)

    @np.errstate(invalid="ignore", over="ignore")  # which is each thread's own
    def _write_rows(self, steps: Iterable[int], out: _Bytes, scratch: _Scratch) -> None:
        """The labels of some rows of cells from each of these on."""
        columns, starts = self._columns, self._rows.starts
        for row in steps:
            end = min(row + self._cell_rows, len(starts) - 1)
            pixels = slice(starts[row], starts[end])
            cells, down = self._rows.cell[pixels] - row, self._rows.shares[pixels, None]
            found = out[pixels]
            found.fill(0)
            best, values = shaped(scratch.best, found.shape), shaped(scratch.values, found.shape)
            better, lines = shaped(scratch.better, found.shape), shaped(scratch.lines, found.shape)
            count = end - row
            edges, right = (
                shaped(memory, (count + 1, len(columns.cell))) for memory in (scratch.edges, scratch.right)
            )
            for index, scores in enumerate(self._padded):
                corners = scores[row : end + 1]
                np.take(
                    corners, columns.cell, axis=1, out=edges, mode="clip"
                )  # [rows of cells and one more, W]
                np.take(corners, columns.next_cell, axis=1, out=right, mode="clip")
                right -= edges
                right *= columns.shares
                edges += right
                drops, target = right[:count], values if index else best
                np.subtract(edges[1:], edges[:-1], out=drops)
                np.take(drops, cells, axis=0, out=target, mode="clip")
                target *= down
                np.take(edges, cells, axis=0, out=lines, mode="clip")
                target += lines
                if index:
                    np.greater(values, best, out=better)
                    np.maximum(values, best, out=best)
                    put_class(found, better.view(np.uint8), np.uint8(index))


class _Scratch:
    """One thread's memory for so many pixels, and places on edges of cells, at once."""

    def __init__(self, size: int, edges: int) -> None:
        self.best = np.empty(size, np.float32)
        self.values = np.empty(size, np.float32)
        self.lines = np.empty(size, np.float32)
        self.better = np.empty(size, np.bool_)
        self.edges = np.empty(edges, np.float32)
        self.right = np.empty(edges, np.float32)


def shaped(memory: npt.NDArray[Any], shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """The first elements of `memory` in this shape."""
    return memory[: int(np.prod(shape))].reshape(shape)


def put_class(labels: _Bytes, where: _Bytes, index: Any) -> None:
    """Set `index`, larger than any label, where `where` is 1; `where` is used up. Four times as fast as a masked copy."""
    where *= index
    np.maximum(labels, where, out=labels)
