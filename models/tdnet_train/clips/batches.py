"""Batches of clips, each a function of seed, epoch, step and rank alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from tdnet_data.dataset import DataSet, Frame
from tdnet_data.mixture import Mixture
from tdnet_models.preprocessing import Preprocessing
from tdnet_runtime.errors import DataError
from tdnet_train.clips.ahead import made_ahead
from tdnet_train.clips.colors import drawn_factors, normalised
from tdnet_train.clips.geometry import drawn_map, drawn_motion
from tdnet_train.clips.order import Order
from tdnet_train.clips.places import drawn_places
from tdnet_train.clips.sensor import drawn_sensor, seen_by
from tdnet_train.clips.settings import ClipSettings
from tdnet_train.clips.warp import warped_frames, warped_labels

__all__ = ["Batch", "Batches"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What one step of one rank is trained on.

    Attributes:
        frames: float32 [B, m, 3, H, W], normalised, oldest first; of the receiver.
        labels: int64 [B, H, W] of the newest frames, train ids or 255; of the receiver.
        names: of the labelled frames.
    """

    frames: torch.Tensor
    labels: torch.Tensor
    names: tuple[str, ...]


class Batches:
    """All epochs of a run. What `ranks` of `batch` clips see in a step is what one of `ranks · batch` sees.

    Args:
        dataset: one data set, or several together.
        settings: of the clips.
        size_hw: (H, W) of the network's input.
        frames: m, of each clip.
        batch: B, clips of a step of this rank.
        seed: of the run, not negative.
        rank: of this process.
        ranks: of the run.
        workers: threads that make batches ahead; 0 to make each when it is asked for.
        preprocessing: of the network.

    Raises:
        DataError: there is no labelled frame.
    """

    def __init__(
        self,
        dataset: DataSet | Mixture,
        settings: ClipSettings,
        *,
        size_hw: tuple[int, int],
        frames: int,
        batch: int,
        seed: int,
        rank: int = 0,
        ranks: int = 1,
        workers: int = 0,
        preprocessing: Preprocessing,
    ) -> None:
        parts = ((dataset, 1.0),) if isinstance(dataset, DataSet) else dataset.parts
        self._datasets = [part for part, _ in parts]
        self._settings = settings
        self._size_hw, self._frames, self._batch = size_hw, frames, batch
        self._seed, self._rank, self._workers = seed, rank, workers
        self._preprocessing = preprocessing
        counts = [len(part.labelled) for part in self._datasets]
        if 0 in counts:
            raise DataError(
                f"making clips: no frame has labels: {self._datasets[counts.index(0)].description}"
            )
        self._order = Order(counts, [weight for _, weight in parts], batch=batch * ranks, seed=seed)

    @property
    def steps_per_epoch(self) -> int:
        """Steps of an epoch, the same for all ranks."""
        return self._order.steps

    def epoch(self, number: int, *, begin: int = 0) -> Iterator[Batch]:
        """The batches of an epoch from step `begin` on. The first call decodes what is needed of videos.

        Raises:
            TdnetError: a frame or label image cannot be read or used; the message names the file.
        """
        for dataset in self._datasets:
            dataset.keep(self._settings.reach(self._frames))
        order = self._order.epoch(number)
        steps = range(begin, self.steps_per_epoch)
        yield from made_ahead(lambda step: self._made(number, step, order), steps, workers=self._workers)

    def _made(self, epoch: int, step: int, order: npt.NDArray[np.int64]) -> Batch:
        first = self._rank * self._batch
        frames = torch.empty(self._batch, self._frames, 3, *self._size_hw)
        labels = torch.empty(self._batch, *self._size_hw, dtype=torch.int64)
        names = []
        for place in range(self._batch):
            part, index = order[step, first + place].tolist()
            position = step * order.shape[1] + first + place
            rng = np.random.default_rng([self._seed, 1, epoch, position])
            names.append(self._make_clip(rng, self._datasets[part], index, frames[place], labels[place]))
        return Batch(frames=frames, labels=labels, names=tuple(names))

    def _make_clip(
        self,
        rng: np.random.Generator,
        dataset: DataSet,
        index: int,
        frames_out: torch.Tensor,
        labels_out: torch.Tensor,
    ) -> str:
        sequence, newest = dataset.labelled[index]
        clip = dataset.sequences[sequence].frames
        places = drawn_places(rng, self._settings, newest=newest, frames=self._frames)
        images = {place.frame: dataset.image(clip[place.frame]) for place in places}
        frame_hw = _size(images[newest])
        for frame, image in images.items():
            _check_size(clip[frame], image, clip[newest], frame_hw)
        truth = dataset.labels(clip[newest])
        if truth.shape != frame_hw:
            raise DataError(
                f"making a clip: the label image is {truth.shape[0]}x{truth.shape[1]} (height x width), its frame is "
                f"{frame_hw[0]}x{frame_hw[1]}: '{clip[newest].label}'"
            )
        map_ = drawn_map(rng, self._settings, frame_hw=frame_hw, size_hw=self._size_hw)
        motion = drawn_motion(rng, self._settings)
        factors = drawn_factors(rng, self._settings)
        sensor = drawn_sensor(rng, self._settings)
        distinct = list(dict.fromkeys(places))
        maps = [
            map_ @ motion.before(place.steps, frame_hw=frame_hw) if place.steps else map_
            for place in distinct
        ]
        warped = warped_frames([images[place.frame] for place in distinct], maps, size_hw=self._size_hw)
        made = normalised(seen_by(sensor, warped), factors, self._preprocessing)
        for target, place in zip(frames_out, places, strict=True):
            target.copy_(made[distinct.index(place)])
        labels_out.copy_(warped_labels(truth, map_, size_hw=self._size_hw))
        return clip[newest].name


def _size(image: npt.NDArray[np.uint8]) -> tuple[int, int]:
    return image.shape[0], image.shape[1]


def _check_size(frame: Frame, image: npt.NDArray[np.uint8], newest: Frame, frame_hw: tuple[int, int]) -> None:
    if _size(image) != frame_hw:
        raise DataError(
            f"making a clip: a frame is {image.shape[0]}x{image.shape[1]} (height x width), {newest.image} after it "
            f"{frame_hw[0]}x{frame_hw[1]}, and one stream has one size: {frame.image}"
        )
