"""The exponential moving average of the weights."""

from __future__ import annotations

import torch

from tdnet_train.networks.clip_network import ClipNetwork

__all__ = ["Average"]


class Average:
    """A second set of weights that follows those in training.

    The decay grows with the steps, min(decay, (1 + n)/(10 + n)), so that the first weights are soon forgotten.

    Args:
        network: whose weights it begins with.
        decay: share of itself that a step keeps.

    Attributes:
        state: as `ClipNetwork.weights`; its own tensors.
        updates: n.
    """

    def __init__(self, network: ClipNetwork, decay: float) -> None:
        self.decay = decay
        self.updates = 0
        self.state = {key: value.detach().clone() for key, value in network.weights().items()}

    @torch.no_grad()
    def update(self, network: ClipNetwork) -> None:
        """Follow the weights after a step."""
        self.updates += 1
        share = 1 - min(self.decay, (1 + self.updates) / (10 + self.updates))
        ours, theirs = [], []
        for key, value in network.weights().items():
            if value.is_floating_point():
                ours.append(self.state[key])
                theirs.append(value)
            else:
                self.state[key].copy_(value)
        torch._foreach_lerp_(ours, theirs, share)
