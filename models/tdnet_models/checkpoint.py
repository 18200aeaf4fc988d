"""From a checkpoint file to a network: every form of spec §4, nothing trusted, nothing guessed silently."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch.nn import functional as F

from tdnet_models.checkpoint_diagnosis import foreign_error, misfit_error, variant_from_names
from tdnet_models.checkpoint_file import read_checkpoint
from tdnet_models.checkpoint_weights import choose_weights
from tdnet_models.provenance import Provenance, shown
from tdnet_models.sizes import checked_size
from tdnet_models.tdnet import Network, build_network
from tdnet_models.variants import NetworkSpec, Variant, spec_from_shapes
from tdnet_runtime.errors import CheckpointError

__all__ = ["load_checkpoint"]

_State = dict[str, torch.Tensor]

_EPS = 1e-5  # of the BatchNorms, PyTorch's own


def load_checkpoint(
    path: str | os.PathLike[str], *, size: tuple[int, int] | None = None, weights: str | None = None
) -> Network:
    """Load a trained TDNet; network, widths and classes are read off keys and shapes.

    Args:
        path: a state dict, alone or within a training checkpoint, as `torch.save` or safetensors writes it;
            docs/checkpoints.md has all forms. Loaded with `weights_only=True` onto the CPU, wherever it was trained.
        size: input (H, W). Exact where ⌈H/8⌉×⌈W/8⌉ is the size of the LayerNorm maps, and for psp101, which has
            none. Another size resamples the maps, which is an approximation: `network.resampled` is then True.
            None for a guess: of the 64 exact sizes the one that the published sizes suggest (psp101: 769×1537).
        weights: which of several networks in the file, by the names of the entries and prefixes that lead to it,
            joined by dots: `ema`, `state_dict.model`; None where there is only one.

    Returns:
        The network in evaluation mode, float32, on the CPU, without gradients; its `provenance` says what of the
        file was taken and what was left.

    Raises:
        CheckpointError: unreadable, not weights alone, several networks of which none was named, or none of the known
            ones; the message has the cause and the first keys.
        OptionError: `weights` names no network in the file.
        SizeError: `size`, or what the maps suggest, is outside the limits.
    """
    name = os.fspath(path)
    content = read_checkpoint(Path(path))
    chosen = choose_weights(content, weights, name) if isinstance(content, Mapping) else None
    if chosen is None:
        raise foreign_error(content, name)
    state, provenance = chosen
    variant = variant_from_names(state, name)
    if any(key.startswith("head_aux") for key in state) and not _auxiliary_fits(state, variant):
        state, provenance = _without_auxiliary(state, provenance)
    spec = _spec(variant, state)
    expected = _expected_shapes(spec)
    state |= {
        key: torch.zeros((), dtype=torch.int64)
        for key in expected
        if key.endswith("num_batches_tracked") and key not in state  # written since PyTorch 0.4.1 only
    }
    error = misfit_error(state, expected, spec, name, provenance)
    if error is not None:
        raise error
    state = {key: _plain(name, key, value) for key, value in state.items()}
    _require_finite(state, name)
    maps = spec.feature_size if variant.temporal else None
    spec = replace(spec, input_size=checked_size(variant, size or spec.input_size, maps=maps))
    resampled_from = None if maps == spec.feature_size else maps
    if resampled_from is not None:
        state = _resample_norms(state, spec.feature_size)
    with torch.device("meta"):
        network = build_network(spec)
    network.load_state_dict(state, strict=True, assign=True)
    network.resampled_from = resampled_from
    network.provenance = provenance
    return network.requires_grad_(False).eval()


def _spec(variant: Variant, state: _State) -> NetworkSpec:
    return spec_from_shapes(variant, {key: tuple(value.shape) for key, value in state.items()})


def _auxiliary_fits(state: _State, variant: Variant) -> bool:
    """True where the network has the auxiliary heads and they have its number of classes."""
    shapes = {
        key: value
        for key, value in _expected_shapes(_spec(variant, state)).items()
        if key.startswith("head_aux")
    }
    found = {key: tuple(value.shape) for key, value in state.items() if key.startswith("head_aux")}
    counters = {key for key in shapes if key.endswith("num_batches_tracked")}
    return found.keys() <= shapes.keys() and all(
        found.get(key) == shapes[key] for key in shapes.keys() - counters
    )


def _without_auxiliary(state: _State, provenance: Provenance) -> tuple[_State, Provenance]:
    """Unused heads of another number of classes, or of a network that has none, are left out."""
    kept = {key: value for key, value in state.items() if not key.startswith("head_aux")}
    left = (*provenance.left, ("head_aux", len(state) - len(kept)))
    return kept, replace(provenance, tensors=len(kept), left=left)


def _plain(path: str, key: str, value: torch.Tensor) -> torch.Tensor:
    """A floating-point tensor as float32 in PyTorch's default layout; a counter as it is."""
    if value.is_meta:
        raise CheckpointError(
            f"the checkpoint {path!r} has {key!r} on the `meta` device: a shape without values; save the network after "
            "its weights were loaded"
        )
    if value.numel() == 0:
        raise CheckpointError(
            f"the checkpoint {path!r} has {key!r} of the shape {list(value.shape)}, which holds no values; save a network "
            "whose layers have a channel and a class at least"
        )
    if key.endswith("num_batches_tracked"):
        return value
    if value.layout is not torch.strided or not value.is_floating_point():
        raise CheckpointError(
            f"the checkpoint {path!r} has {key!r} as {value.dtype}, {value.layout}; expected dense "
            "floating-point weights. Save the network before it is quantised or made sparse."
        )
    # Some are saved channels-last; PyTorch's default layout makes a network's speed its own.
    return value.detach().contiguous().float()


def _require_finite(state: _State, path: str) -> None:
    broken = [key for key, value in state.items() if not _usable(key, value)]
    if broken:
        raise CheckpointError(
            f"the checkpoint {path!r} has NaN or infinite values in {len(broken)} of {len(state)} tensors "
            f"({shown(broken)}): the training diverged or the file is damaged; use an earlier checkpoint"
        )
    negative = [k for k, v in state.items() if k.endswith("running_var") and float(v.min()) <= -_EPS]
    if negative:
        raise CheckpointError(
            f"the checkpoint {path!r} has negative variances in {len(negative)} BatchNorms ({shown(negative)}), of which "
            "there is no root: no training makes them, but arithmetic on checkpoints does; use one that was trained"
        )


def _usable(key: str, value: torch.Tensor) -> bool:
    """Finite; but a variance may be +inf, which FP16 makes of more than 65504: it switches a channel off."""
    low, high = (float(bound) for bound in value.aminmax())  # NaN where there is one; no copy of the weights
    return math.isfinite(low) and (math.isfinite(high) or (key.endswith("running_var") and high > 0))


def _expected_shapes(spec: NetworkSpec) -> dict[str, tuple[int, ...]]:
    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of widths that are 0, which no sound checkpoint has
        return {key: tuple(value.shape) for key, value in build_network(spec).state_dict().items()}


def _resample_norms(state: _State, feature_size: tuple[int, int]) -> _State:
    """LayerNorm maps to another size: bilinear, corners aligned (the author's advice; approximate)."""

    def resampled(key: str, value: torch.Tensor) -> torch.Tensor:
        if not key.startswith("layer_norm"):
            return value
        return F.interpolate(value[None, None], size=feature_size, mode="bilinear", align_corners=True)[0, 0]

    return {key: resampled(key, value) for key, value in state.items()}
