"""The validation split, streamed in order through the weights of now."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import replace

import torch

from tdnet_data.dataset import DataSet, Sequence
from tdnet_eval.evaluation import JudgedFrame, evaluate
from tdnet_eval.tally import Evaluation
from tdnet_models.preprocessing import Preprocessing
from tdnet_train.networks.clip_network import ClipNetwork
from tdnet_train.running.setup import Setup
from tdnet_train.running.stream import TrainingStream

__all__ = ["Validation", "build_validation", "limited"]


class Validation:
    """Scores weights as a deployed network would be: in order, by the streaming rules.

    Args:
        network: whose shape the weights have; it is copied.
        dataset: the split.
        preprocessing: of its images.
        memory_stride: n of the stream; the variant's deployment default if None.
    """

    def __init__(
        self,
        network: ClipNetwork,
        dataset: DataSet,
        preprocessing: Preprocessing,
        *,
        memory_stride: int | None,
    ) -> None:
        self._network = copy.deepcopy(network).requires_grad_(False).eval()
        stride = memory_stride or network.network.spec.variant.memory_stride
        self._network.memory_stride = stride
        self._dataset = dataset
        self._preprocessing = preprocessing

    def __call__(
        self,
        weights: Mapping[str, torch.Tensor],
        *,
        consistency: bool = False,
        on_frame: Callable[[JudgedFrame], None] = lambda frame: None,
    ) -> Evaluation:
        """Scores of `weights`, as `ClipNetwork.weights` gives them; with `consistency`, of labels in time as well.

        Raises:
            TdnetError: an image or a label image cannot be read.
        """
        self._network.load_weights(dict(weights))
        return evaluate(
            lambda: TrainingStream(self._network, self._preprocessing),
            self._dataset,
            consistency=consistency,
            paths=None if consistency else self._network.paths,
            on_frame=on_frame,
        )


def build_validation(setup: Setup) -> Validation | None:
    """As configured; None without a split to validate on, and on other ranks than the first."""
    settings, dataset = setup.settings.validation, setup.data.validation
    if dataset is None or not setup.ranks.first:
        return None
    if settings.limit is not None:
        dataset = limited(dataset, settings.limit)
    return Validation(setup.network, dataset, setup.preprocessing, memory_stride=settings.memory_stride)


def limited(dataset: DataSet, labelled: int) -> DataSet:
    """The data set up to its `labelled`-th frame with a label; whole sequences before that."""
    kept: list[Sequence] = []
    for sequence in dataset.sequences:
        frames = []
        for frame in sequence.frames:
            if labelled <= 0:
                break
            frames.append(frame)
            labelled -= frame.label is not None
        kept.append(replace(sequence, frames=tuple(frames)))
    short = copy.copy(dataset)
    short.sequences = tuple(sequence for sequence in kept if sequence.frames)
    return short
