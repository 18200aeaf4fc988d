"""From a checkpoint file to a network: every format of spec §4, nothing trusted, nothing guessed silently."""

from __future__ import annotations

import functools
import math
import os
import pickle
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F

from tdnet_models.sizes import checked_size
from tdnet_models.tdnet import Network, build_network
from tdnet_models.variants import PUBLISHED, VARIANTS, NetworkSpec, Variant, spec_from_shapes
from tdnet_runtime.errors import CheckpointError

__all__ = ["load_checkpoint"]

_State = dict[str, torch.Tensor]
_UNUSED = ("auxlayer", "teacher.", "head_aux")
"""Entries of training that deployment drops; a network that has modules of these names keeps them."""


def _stand_in(module: str, name: str) -> type:
    """A class that PyTorch's unpickler takes for `module.name`, and that keeps nothing of what it is given."""

    class Ignored:
        def __init__(self, *_: object) -> None: ...

        def __setstate__(self, state: object) -> None: ...

    Ignored.__module__, Ignored.__name__, Ignored.__qualname__ = module, name, name
    return Ignored


# TDNet's training saves `best_iou` as a NumPy scalar, which `weights_only` refuses; it is not needed here,
# so nothing of NumPy is called with the file's data. NumPy 2 has moved the module.
_NUMPY_SCALARS: list[Any] = [
    _stand_in("numpy", "dtype"),
    _stand_in("numpy.core.multiarray", "scalar"),
    _stand_in("numpy._core.multiarray", "scalar"),
]


@dataclass(frozen=True, slots=True)
class _Mismatch:
    """What does not fit between a checkpoint and the network that it came nearest to."""

    missing: list[str]
    unexpected: list[str]
    misshaped: list[str]

    def __str__(self) -> str:
        parts = {"missing": self.missing, "unexpected": self.unexpected, "of another shape": self.misshaped}
        return "; ".join(f"{len(keys)} {what}: {', '.join(keys)}" for what, keys in parts.items() if keys)


def load_checkpoint(path: str | os.PathLike[str], *, size: tuple[int, int] | None = None) -> Network:
    """Load a trained TDNet; network, widths and classes are read off keys and shapes.

    Args:
        path: a plain state dict or a training checkpoint with `model_state`, as `torch.save` writes
            them. Loaded with `weights_only=True` onto the CPU, wherever it was trained.
        size: input (H, W). Exact where ⌈H/8⌉×⌈W/8⌉ is the size of the LayerNorm maps, and for psp101, which has
            none. Another size resamples the maps, which is an approximation: `network.resampled` is then True.
            None for a guess: of the 64 exact sizes the one that the published sizes suggest (psp101: 769×1537).

    Returns:
        The network in evaluation mode, float32, on the CPU, without gradients.

    Raises:
        CheckpointError: unreadable, not weights alone, or not one of the networks; all missing,
            unexpected and mis-shaped keys are in the message.
        SizeError: `size`, or what the maps suggest, is outside the limits.
    """
    state = _read_state(Path(path))
    variant = _nearest_variant(state)
    if variant.family != "fanet":
        state = {key: value for key, value in state.items() if not key.startswith("head_aux")}
    spec = spec_from_shapes(variant, {key: tuple(value.shape) for key, value in state.items()})
    state = _checked(state, spec, path)
    maps = spec.feature_size if variant.temporal else None
    spec = replace(spec, input_size=checked_size(variant, size or spec.input_size, maps=maps))
    resampled_from = None if maps == spec.feature_size else maps
    if resampled_from is not None:
        state = _resample_norms(state, spec.feature_size)
    with torch.device("meta"):
        network = build_network(spec)
    network.load_state_dict(state, strict=True, assign=True)
    network.resampled_from = resampled_from
    return network.requires_grad_(False).eval()


def _read_state(path: Path) -> _State:
    """The state dict in the file, prefixes and training-only entries removed, float32."""
    try:
        with torch.serialization.safe_globals(_NUMPY_SCALARS):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise CheckpointError(
            f"cannot read the checkpoint {str(path)!r}: {error.strerror or error}"
        ) from error
    except pickle.UnpicklingError as error:
        culprit = re.search(r"GLOBAL (\S+)", str(error))
        if culprit is None:
            raise _damaged(path, error) from error
        raise CheckpointError(
            f"the checkpoint {str(path)!r} is not weights alone: it holds {culprit[1]!r}, and code from a file is "
            "not run; save it again with torch.save(model.state_dict(), path)"
        ) from error
    except Exception as error:  # damaged files raise whatever the parser stumbles on
        raise _damaged(path, error) from error
    if isinstance(content, Mapping) and isinstance(content.get("model_state"), Mapping):
        content = content["model_state"]
    if not isinstance(content, Mapping) or not content:
        raise CheckpointError(
            f"the checkpoint {str(path)!r} holds a {type(content).__name__}{'' if content else ' with nothing in it'}, "
            "expected a state dict or {'model_state': state dict}; save model.state_dict()"
        )
    state: _State = {}
    for name, value in content.items():
        if not isinstance(name, str) or not isinstance(value, torch.Tensor):
            keys = ", ".join(repr(key) for key in list(content)[:8])
            raise CheckpointError(
                f"the checkpoint {str(path)!r} is no state dict: {name!r} is a {type(value).__name__}, expected "
                f"a tensor; its first keys are {keys}. Save model.state_dict(), or {{'model_state': …}}."
            )
        key = name.removeprefix("module.")
        if not key.startswith(_UNUSED[:2]):
            state[key] = _plain(path, key, value)
    broken = [key for key, value in state.items() if not _usable(key, value)]
    if broken:
        raise CheckpointError(
            f"the checkpoint {str(path)!r} has NaN or infinite values in {len(broken)} of {len(state)} tensors "
            f"({', '.join(broken[:8])}{', …' if broken[8:] else ''}): the training diverged or the file is damaged; "
            "use an earlier checkpoint"
        )
    return state


def _damaged(path: Path, error: Exception) -> CheckpointError:
    return CheckpointError(
        f"cannot read the checkpoint {str(path)!r}: it is damaged or not a PyTorch file "
        f"({type(error).__name__}); expected what torch.save writes. Copy or download it again."
    )


def _plain(path: Path, key: str, value: torch.Tensor) -> torch.Tensor:
    """A floating-point tensor as float32 in PyTorch's default layout; a counter as it is."""
    if key.endswith("num_batches_tracked"):
        return value
    if value.layout is not torch.strided or not value.is_floating_point():
        raise CheckpointError(
            f"the checkpoint {str(path)!r} has {key!r} as {value.dtype}, {value.layout}; expected dense "
            "floating-point weights. Save the network before it is quantised or made sparse."
        )
    # Some are saved channels-last; PyTorch's default layout makes a network's speed its own.
    return value.detach().contiguous().float()


def _usable(key: str, value: torch.Tensor) -> bool:
    """Finite; but a variance may be +inf, which FP16 makes of more than 65504: it switches a channel off."""
    if value.numel() == 0:
        return True
    low, high = (float(bound) for bound in value.aminmax())  # NaN where there is one; no copy of the weights
    return math.isfinite(low) and (math.isfinite(high) or (key.endswith("running_var") and high > 0))


def _expected_shapes(spec: NetworkSpec) -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):
        return {key: tuple(value.shape) for key, value in build_network(spec).state_dict().items()}


@functools.cache
def _published_names(variant: str) -> frozenset[str]:
    return frozenset(_expected_shapes(PUBLISHED[variant]))


def _nearest_variant(state: _State) -> Variant:
    """The variant whose parameter names overlap most with the checkpoint's."""

    def overlap(variant: Variant) -> float:
        names = _published_names(variant.name)
        return len(names & state.keys()) / len(names | state.keys())

    return max(VARIANTS.values(), key=overlap)


def _checked(state: _State, spec: NetworkSpec, path: str | os.PathLike[str]) -> _State:
    """The state with BatchNorm counters completed; raises where it is not `spec`'s."""
    expected = _expected_shapes(spec)
    state = state | {
        key: torch.zeros((), dtype=torch.int64)
        for key in expected
        if key.endswith("num_batches_tracked") and key not in state  # written since PyTorch 0.4.1 only
    }
    mismatch = _Mismatch(
        missing=[key for key in expected if key not in state],
        unexpected=[key for key in state if key not in expected],
        misshaped=[
            f"{key} {list(state[key].shape)} instead of {list(shape)}"
            for key, shape in expected.items()
            if key in state and tuple(state[key].shape) != shape
        ],
    )
    if str(mismatch):
        raise CheckpointError(
            f"the checkpoint {os.fspath(path)!r} does not fit any network; it came nearest to {spec.name} "
            f"({spec.classes} classes, LayerNorm maps {list(spec.feature_size)}), where keys are {mismatch}. "
            f"Known networks: {', '.join(VARIANTS)}."
        )
    return state


def _resample_norms(state: _State, feature_size: tuple[int, int]) -> _State:
    """LayerNorm maps to another size: bilinear, corners aligned (the author's advice; approximate)."""

    def resampled(key: str, value: torch.Tensor) -> torch.Tensor:
        if not key.startswith("layer_norm"):
            return value
        return F.interpolate(value[None, None], size=feature_size, mode="bilinear", align_corners=True)[0, 0]

    return {key: resampled(key, value) for key, value in state.items()}
