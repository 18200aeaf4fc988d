"""Labels from scores at the features' size: bilinear upsampling (corners aligned) and argmax, where it matters.

In a cell, between four neighbouring scores, upsampled scores are convex combinations of the corners'. So where one class
is best at all four, all of the cell's pixels are of it. Elsewhere a class is nowhere best if it is below one and the same
mean of classes at each corner: of the corners' best, each as often as it is the best. The others, two or three in
trained networks and three or four in untrained ones, are interpolated and compared. Labels are those of the whole, but for
ties and what float32 rounds.

NumPy's elementwise functions do it, in one thread. What engines take for it: docs/adr/0005.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from tdnet_runtime.backends.aligned_axis import AlignedAxis
from tdnet_runtime.backends.base import Buffer
from tdnet_runtime.backends.host import HostBuffer
from tdnet_runtime.manifest import LABELS, TensorSpec

__all__ = ["LabelTail", "LabelTails"]

_STEP = 1 << 18
"""Pixels at once: a call of NumPy's must not cost more than what it does."""
_Floats = npt.NDArray[np.float32]
_Bytes = npt.NDArray[np.uint8]
_Indices = npt.NDArray[np.intp]


class LabelTail:
    """What makes labels of one kind of scores, with the memory that it needs; for one thread at a time.

    Args:
        spec: of the scores, [1, K, h, w], of any floating-point type.
        size_hw: (H, W) of the labels, at least (h, w).

    Attributes:
        scores: to be filled before `write`; finite, or the labels of the cells around are any class.
    """

    def __init__(self, spec: TensorSpec, size_hw: tuple[int, int]) -> None:
        self.scores = HostBuffer(spec)
        _, classes, h, w = spec.shape
        self._rows, self._columns = AlignedAxis(h, size_hw[0]), AlignedAxis(w, size_hw[1])
        self._line_starts = self._rows.pixel * size_hw[1]  # of each row of pixels, as `pixel` is
        # One more row and column, like the last ones: each score is the corner of a cell.
        self._padded: _Floats = np.empty((classes, h + 1, w + 1), np.float32)
        self._best: _Floats = np.empty((h + 1, w + 1), np.float32)
        self._better: npt.NDArray[np.bool_] = np.empty((h + 1, w + 1), np.bool_)
        self._winners: _Bytes = np.empty((h + 1, w + 1), np.uint8)
        self._wide: _Bytes = np.empty((h + 1, size_hw[1]), np.uint8)
        area = self._rows.longest * self._columns.longest
        self._cells = max(1, min(_STEP // area, h * w))
        self._scratch = _Scratch(classes, self._cells, self._cells * area)

    def write(self, labels: _Bytes) -> None:
        """The class of the largest upsampled score of each pixel, the first one of several: [1, H, W], C-contiguous."""
        padded = self._padded
        scores, out = self.scores.array[0], labels[0]
        with np.errstate(invalid="ignore", over="ignore"):
            padded[:, :-1, :-1] = scores
            padded[:, -1, :-1] = scores[:, -1]
            padded[:, :, -1] = padded[:, :, -2]
            self._find_winners()
            winners = self._winners
            np.take(winners, self._columns.cell, axis=1, out=self._wide, mode="clip")
            np.take(self._wide, self._rows.cell, axis=0, out=out, mode="clip")
            first = winners[:-1, :-1]
            mixed = first != winners[:-1, 1:]
            mixed |= first != winners[1:, :-1]
            mixed |= first != winners[1:, 1:]
            row, column = np.nonzero(mixed)
            for start in range(0, len(row), self._cells):
                step = slice(start, start + self._cells)
                self._write_cells(row[step], column[step], out.reshape(-1))

    def _find_winners(self) -> None:
        """The best class of each score, the first one of several."""
        padded, best, better, winners = self._padded, self._best, self._better, self._winners
        best[...] = padded[0]
        winners.fill(0)
        for index in range(1, len(padded)):
            np.greater(padded[index], best, out=better)
            np.maximum(padded[index], best, out=best)
            _put_class(winners, better.view(np.uint8), np.uint8(index))

    def _write_cells(self, row: _Indices, column: _Indices, out: _Bytes) -> None:
        """The labels of the cells at these places, by all classes that can be best there."""
        plane, width = self._best.size, self._best.shape[1]
        corner = row * width + column
        wanted = self._candidates(corner)
        counts = wanted.sum(axis=0, dtype=np.intp)
        order = np.argsort(-counts, kind="stable")  # cells with a k-th candidate come first, for each k
        counts, row, column, corner = counts[order], row[order], column[order], corner[order]
        classes = np.nonzero(wanted.T[order])[1]
        first = np.cumsum(counts) - counts
        down = self._rows.share.take(row, axis=1)[:, None]  # [rows, 1, cells]
        across = self._columns.share.take(column, axis=1)  # [columns, cells]
        shape, scratch = (len(down), len(across), len(row)), self._scratch
        best = _shaped(scratch.best, shape)
        found = _shaped(scratch.found, shape)
        for index in range(int(counts[0])):
            count = int(np.count_nonzero(counts > index))
            shape = (len(down), len(across), count)
            which = classes[first[:count] + index]
            top, bottom = self._edges(which * plane + corner[:count], across[:, :count])
            bottom -= top
            values = best if index == 0 else _shaped(scratch.values, shape)
            np.multiply(bottom, down[..., :count], out=values)
            values += top
            if index == 0:
                found[...] = which
                continue
            better = _shaped(scratch.better, shape)
            np.greater(values, best[..., :count], out=better)
            np.maximum(values, best[..., :count], out=best[..., :count])
            _put_class(found[..., :count], better.view(np.uint8), which.astype(np.uint8))
        pixels = _shaped(scratch.pixels, found.shape)
        np.add(
            self._line_starts.take(row, axis=1)[:, None],
            self._columns.pixel.take(column, axis=1),
            out=pixels,
        )
        out[pixels] = found

    def _candidates(self, corner: _Indices) -> npt.NDArray[np.bool_]:
        """The classes that may be best somewhere in cells with these upper left corners: [K, cells], one at least each."""
        count, width = len(corner), self._best.shape[1]
        planes, scores = self._padded.reshape(len(self._padded), -1), self._padded.reshape(-1)
        corners = [corner + offset for offset in (0, 1, width, width + 1)]
        winners = [
            self._winners.reshape(-1).take(place).astype(np.intp) * planes.shape[1] for place in corners
        ]
        wanted, above = self._scratch.wanted[:, :count], self._scratch.above[:, :count]
        values = self._scratch.corners[:, :count]
        wanted.fill(False)
        wanted[self._winners.reshape(-1).take(corner), np.arange(count)] = True
        for place in corners:
            a, b, c, d = (scores.take(winner + place) for winner in winners)
            mean = ((a + b) + (c + d)) * np.float32(0.25)  # never above the best, as it is rounded
            np.take(planes, place, axis=1, out=values, mode="clip")
            np.greater_equal(values, mean, out=above)
            np.logical_or(wanted, above, out=wanted)
        return wanted

    def _edges(self, corner: _Indices, across: _Floats) -> tuple[_Floats, _Floats]:
        """Scores along the upper and lower edges of cells, from their upper left corner's place: [columns, cells]."""
        scores, width = self._padded.reshape(-1), self._best.shape[1]
        edges = []
        for place in (corner, corner + width):
            left = scores.take(place)
            edge = (scores.take(place + 1) - left) * across
            edge += left
            edges.append(edge)
        return edges[0], edges[1]


class LabelTails:
    """A session's: one for each kind of scores, as graphs run one after the other.

    Args:
        scores: of the graphs that give them instead of labels, by graph.
    """

    def __init__(self, scores: Mapping[str, TensorSpec]) -> None:
        self._scores = scores
        self._tails: dict[tuple[TensorSpec, tuple[int, int]], LabelTail] = {}

    def bound(
        self, graph: str, tensors: Mapping[str, Buffer]
    ) -> tuple[Mapping[str, Buffer], Callable[[], None]]:
        """The tensors that the engine's graph has, and what is to be called after each of its runs."""
        spec = self._scores.get(graph)
        if spec is None:
            return tensors, _nothing
        labels = tensors[LABELS]
        key = spec, (labels.spec.shape[1], labels.spec.shape[2])
        tail = self._tails.get(key) or LabelTail(*key)
        self._tails[key] = tail
        array = labels.host
        assert array is not None  # a session's buffers are the host's
        rest = {name: buffer for name, buffer in tensors.items() if name != LABELS}
        return {**rest, spec.name: tail.scores}, lambda: tail.write(array)


def _nothing() -> None:
    pass


class _Scratch:
    """Memory for so many pixels and cells at once: new arrays for each step would be new pages for each step."""

    def __init__(self, classes: int, cells: int, size: int) -> None:
        self.best = np.empty(size, np.float32)
        self.values = np.empty(size, np.float32)
        self.better = np.empty(size, np.bool_)
        self.found = np.empty(size, np.uint8)
        self.pixels = np.empty(size, np.intp)
        self.corners = np.empty((classes, cells), np.float32)
        self.above = np.empty((classes, cells), np.bool_)
        self.wanted = np.empty((classes, cells), np.bool_)


def _shaped(memory: npt.NDArray[Any], shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """The first elements of `memory` in this shape."""
    return memory[: int(np.prod(shape))].reshape(shape)


def _put_class(labels: _Bytes, where: _Bytes, index: Any) -> None:
    """Set `index`, larger than any label, where `where` is 1; `where` is used up. Four times as fast as a masked copy."""
    where *= index
    np.maximum(labels, where, out=labels)
