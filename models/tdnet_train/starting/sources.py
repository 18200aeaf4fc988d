"""Files of other networks, by the names of the one to be trained."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F

from tdnet_models.checkpoint_file import read_checkpoint
from tdnet_models.checkpoint_weights import choose_weights
from tdnet_models.variants import NetworkSpec
from tdnet_runtime.errors import CheckpointError

__all__ = ["imagenet_weights", "per_frame_weights", "same_network_weights"]

_State = dict[str, torch.Tensor]
_WRAPPERS = ("state_dict", "model_state", "model", "model_state_dict", "net")
_FANET = {"clslayer_8": "head{}", "clslayer_32": "head_aux{}"}


def imagenet_weights(spec: NetworkSpec, path: str, weights: str | None) -> tuple[_State, list[str]]:
    """A ResNet by torchvision's names (`layer1.0.conv1.weight`), onto the trunk of every path; `fc` is left.

    The deep stem of the PSP family's deep ResNets has other names than torchvision's 7×7 one, which is then told as
    unused.

    Raises:
        CheckpointError: no such names in the file.
    """
    state = _unwrapped(path, weights, telling="layer1.0.conv1.weight")
    trunk = {key: value for key, value in state.items() if not key.startswith("fc.")}
    return _onto_every_path(spec, trunk), sorted(state.keys() - trunk.keys())


def per_frame_weights(spec: NetworkSpec, path: str, weights: str | None) -> tuple[_State, list[str]]:
    """A per-frame PSPNet or FANet split onto every sub-network.

    As the public `split_psp_dict` and `split_fanet_dict` (Training/ptsemseg/utils.py) do it. PSPNet: `pretrained` and the
    pyramid's convolutions go to every path whole; the head's 3×3 convolution loses the input channels that the path's half
    leaves out (td4 only: the public td2_psp leaves its heads, whose middle layer is narrower, at random); `auxlayer` goes
    to all. FANet: `resnet`, `ffm_*`, and `clslayer_8` as the head.

    Raises:
        CheckpointError: no such names in the file.
    """
    if spec.variant.family == "fanet":
        return _fanet_weights(spec, _unwrapped(path, weights, telling="ffm_32.w_qs.conv.weight"))
    state = _unwrapped(path, weights, telling="head.conv5.0.conv1.0.weight")
    if not spec.variant.temporal:
        return state, []
    taken: _State = {}
    unused = []
    for key, value in state.items():
        part, _, rest = key.partition(".")
        for number in range(1, spec.variant.paths + 1):
            if part == "pretrained":
                taken[f"{spec.variant.prefix(number)}.{rest}"] = value
            elif part == "auxlayer":
                taken[f"auxlayer{number}.{rest}"] = value
            elif key.startswith("head.conv5.0."):
                taken[f"psp{number}.{key.removeprefix('head.conv5.0.')}"] = value
            elif key.startswith("head.conv5."):
                place, _, name = key.removeprefix("head.conv5.").partition(".")
                if spec.variant.paths == 4 and place.isdecimal():
                    if int(place) == 1:
                        value_of_path = value[:, _half(value.shape[1], spec.variant.groups[number - 1])]
                    else:
                        value_of_path = value
                    taken[f"head{number}.conv5.{int(place) - 1}.{name}"] = value_of_path
                elif number == 1:
                    unused.append(key)
            elif number == 1:
                unused.append(key)
    return taken, unused


def same_network_weights(spec: NetworkSpec, path: str, weights: str | None) -> tuple[_State, list[str]]:
    """A checkpoint of the same network, its auxiliary heads too. LayerNorm maps of another size are resampled.

    What else the file holds, other networks and what belongs to none, is told as unused.

    Raises:
        CheckpointError: another network, or unreadable.
    """
    content = read_checkpoint(Path(path))
    chosen = choose_weights(content, weights, path, auxiliary=True) if isinstance(content, Mapping) else None
    if chosen is None:
        raise CheckpointError(
            f"start.checkpoint {path!r} holds no TDNet; if it is an ImageNet ResNet or a PSPNet, say so with start.kind"
        )
    state = {key: value.float() if value.is_floating_point() else value for key, value in chosen[0].items()}
    if spec.variant.temporal != (
        "pretrained1.conv1.weight" in state or "pretrained1.conv1.0.weight" in state
    ):
        raise CheckpointError(
            f"start.checkpoint {path!r} is not a {spec.name}; a per-frame network is split onto sub-networks with "
            "start.kind = 'pspnet'"
        )
    for key, value in state.items():
        if key.startswith("layer_norm") and value.dim() == 2 and tuple(value.shape) != spec.feature_size:
            state[key] = F.interpolate(
                value[None, None], size=spec.feature_size, mode="bilinear", align_corners=True
            )[0, 0]
    return state, [name for name, tensors in chosen[1].left if tensors]


def _fanet_weights(spec: NetworkSpec, state: _State) -> tuple[_State, list[str]]:
    taken: _State = {}
    unused = []
    for key, value in state.items():
        part, _, rest = key.partition(".")
        for number in range(1, spec.variant.paths + 1):
            if part == "resnet":
                taken[f"{spec.variant.prefix(number)}.{rest}"] = value
            elif part.startswith("ffm_"):
                taken[f"{part}_{number}.{rest}"] = value
            elif part in _FANET:
                taken[f"{_FANET[part].format(number)}.{rest}"] = value
            elif number == 1:
                unused.append(key)
    return taken, unused


def _half(inputs: int, group: int) -> list[int]:
    """Of the 2·C channels that a PSPNet's head sees, those that half `group` keeps: (backbone, 1, 2, 3, 6)."""
    channels = inputs // 2
    starts = [(0, channels)] + [(channels + n * (channels // 4), channels // 4) for n in range(4)]
    return [start + group * (size // 2) + offset for start, size in starts for offset in range(size // 2)]


def _onto_every_path(spec: NetworkSpec, trunk: _State) -> _State:
    return {
        f"{spec.variant.prefix(path)}.{key}": value
        for path in range(1, spec.variant.paths + 1)
        for key, value in trunk.items()
    }


def _unwrapped(path: str, weights: str | None, *, telling: str) -> _State:
    """The tensors of the file, out of wrappers and without `module.`; the one that tells its kind is among them."""
    content: Any = read_checkpoint(Path(path))
    for wrapper in _WRAPPERS if weights is None else weights.split("."):
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    tensors = (
        {key: value for key, value in content.items() if isinstance(value, torch.Tensor)}
        if isinstance(content, Mapping)
        else {}
    )
    state = {
        str(key).removeprefix("module."): value.float() if value.is_floating_point() else value
        for key, value in tensors.items()
    }
    if telling not in state:
        found = ", ".join(list(state)[:3]) or "no tensors"
        raise CheckpointError(
            f"start.checkpoint {path!r} is not what start.kind says: it has no {telling!r}; it has {found}"
        )
    return state
