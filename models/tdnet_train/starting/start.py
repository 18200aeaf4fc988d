"""What of a file becomes the first weights of a network, and what does not."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from tdnet_models.tdnet import Network
from tdnet_runtime.errors import CheckpointError, OptionError
from tdnet_train.networks.clip_network import ClipNetwork
from tdnet_train.settings import StartSettings
from tdnet_train.starting.sources import imagenet_weights, per_frame_weights, same_network_weights

__all__ = ["Taken", "take_start"]

_State = dict[str, torch.Tensor]


@dataclass(slots=True)
class Taken:
    """What was taken over.

    Attributes:
        source: in words.
        tensors: of the network that have the file's values; BatchNorm's counters do not count.
        fresh: names of those that keep their random ones; the auxiliary heads' once they are there.
        unused: names in the file that nothing in the network took.
        auxiliary: of the auxiliary heads, kept until they are there.
    """

    source: str
    tensors: int = 0
    fresh: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)
    auxiliary: _State = field(default_factory=dict)

    def take_auxiliary(self, network: ClipNetwork) -> None:
        """Give the auxiliary heads what the file has of them."""
        own = network.heads.state_dict()
        fitting = _fitting(self.auxiliary, own)
        network.heads.load_state_dict({**own, **fitting}, strict=True)
        self.tensors += _count(fitting)
        self.fresh += _missing(own, fitting)
        self.unused += [key for key in self.auxiliary if key not in fitting]


def take_start(network: Network, settings: StartSettings) -> Taken:
    """Put the file's weights into `network`, where names and shapes agree.

    Raises:
        OptionError: no file is named, or one for `scratch`.
        CheckpointError: the file is not of the kind that is named, or nothing of it fits.
    """
    if settings.kind == "scratch":
        if settings.checkpoint is not None:
            raise OptionError(
                "start.checkpoint is given, but start.kind is scratch; say what the file is: imagenet, pspnet or tdnet"
            )
        return Taken("random weights", fresh=list(network.state_dict()))
    if settings.checkpoint is None:
        raise OptionError(f"start.kind is {settings.kind!r}, but start.checkpoint names no file")
    read = {"imagenet": imagenet_weights, "pspnet": per_frame_weights, "tdnet": same_network_weights}
    weights, unused = read[settings.kind](network.spec, settings.checkpoint, settings.weights)
    own = network.state_dict()
    auxiliary = {key: value for key, value in weights.items() if key.startswith("auxlayer")}
    fitting = _fitting(weights, own)
    if not any(_is_of_trunk(key, value) for key, value in fitting.items()):
        raise CheckpointError(
            f"start.checkpoint {settings.checkpoint!r} gives a {network.spec.name} of these widths no trunk"
            f"{_example(weights, own)}; set network.width (stem, planes, value, head, neck) as the file has it, or name "
            "another file"
        )
    unused += [key for key in weights if key not in fitting and key not in auxiliary]
    network.load_state_dict({**own, **fitting}, strict=True)
    source = f"{settings.kind} checkpoint {settings.checkpoint!r}"
    return Taken(source, _count(fitting), _missing(own, fitting), unused, auxiliary)


def _fitting(weights: _State, own: _State) -> _State:
    return {key: value for key, value in weights.items() if key in own and own[key].shape == value.shape}


def _missing(own: _State, fitting: _State) -> list[str]:
    return [key for key in own if key not in fitting and not _is_counter(key)]


def _count(fitting: _State) -> int:
    return sum(1 for key in fitting if not _is_counter(key))


def _is_counter(key: str) -> bool:
    return key.endswith("num_batches_tracked")


def _is_of_trunk(key: str, value: torch.Tensor) -> bool:
    """A convolution that any start has; some of the memory's fit at any width."""
    return key.startswith("pretrained") and value.dim() == 4


def _example(weights: _State, own: _State) -> str:
    """The trunk's first convolution that both have, of other shapes."""
    for key, value in weights.items():
        if key in own and _is_of_trunk(key, own[key]):
            return f": {key} is {list(value.shape)} there, expected {list(own[key].shape)}"
    return ": no convolution of the trunk has its names"
