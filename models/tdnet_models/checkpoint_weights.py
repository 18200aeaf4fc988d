"""Which entries of a checkpoint are the network: wrappers and prefixes off, what training keeps beside it left out."""

from __future__ import annotations

import itertools
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from tdnet_models.provenance import TOP, Provenance, shown
from tdnet_runtime.errors import CheckpointError, OptionError

__all__ = ["choose_weights", "named_mappings"]

State = dict[str, torch.Tensor]

_WRAPPING = {"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}
"""Parts of names that DataParallel, torch.compile, FSDP and activation checkpointing put in, anywhere."""

_PART = re.compile(
    r"pretrained\d*|psp\d+|enc\d+|atn\d+(_\d+)?|layer_norm\d+|head\d*|ffm_\d+_\d+|head_aux\d*|auxlayer\d*|group\d+"
)
"""A network's own modules: what stands before them in a name is a prefix."""

_COUNTED = re.compile(r"total_ops|total_params")
_UNUSED = re.compile(rf"auxlayer\d*|{_COUNTED.pattern}")
_TRAINING = re.compile(
    r"(.*_)?(loss|losses|criterion|criteria)(_.*|\d+)?|teacher.*|n_averaged|total_ops|total_params"
)
_NO_NETWORK = re.compile(r"(^|[_.-])(optim|(lr_?)?sched|scaler|grad)", re.IGNORECASE)
_DEEPEST = 6
_MOST_MAPPINGS = 10_000  # a file may hold one mapping under many names


@dataclass(frozen=True, slots=True)
class _Candidate:
    """One network in the file.

    Attributes:
        wrappers: names of the entries that it lies in.
        prefix: before the names of its modules, without what wraps them for training.
        prefixes: as they stand in the file.
        state: its tensors, by name without prefix.
    """

    wrappers: tuple[str, ...]
    prefix: tuple[str, ...]
    prefixes: frozenset[tuple[str, ...]]
    state: State

    @property
    def key(self) -> str:
        """What `weights` calls it."""
        return ".".join((*self.wrappers, *self.prefix)) or TOP

    @property
    def names(self) -> set[str]:
        """All that a user may call it."""
        return {self.key} | {".".join((*self.wrappers, *prefix)) or TOP for prefix in self.prefixes}

    @property
    def is_teacher(self) -> bool:
        """True for the teacher that a network in training holds."""
        return any(part.startswith("teacher") for part in self.prefix)

    def same(self, other: _Candidate) -> bool:
        """True where both hold the same values."""
        return self.state.keys() == other.state.keys() and all(
            _equal(value, other.state[name]) for name, value in self.state.items()
        )


def choose_weights(
    content: Mapping[Any, Any], weights: str | None, path: str, *, auxiliary: bool = False
) -> tuple[State, Provenance] | None:
    """The network's tensors, and what was taken and left; None where no network of this kind is in the file.

    Entries that belong to no part of the network and are not known from training are taken as well, so that the
    comparison with a network names them. A choice by name leaves them.

    Args:
        content: of the file.
        weights: the user's choice, a candidate's `key` or the beginning of one; None where there is only one.
        path: of the file, for messages.
        auxiliary: take the heads `auxlayer` as well, which only training has.

    Raises:
        OptionError: `weights` names none of them.
        CheckpointError: several; the message names them.
    """
    found = [
        candidate
        for wrappers, mapping in named_mappings(content)
        for candidate in _candidates(wrappers, mapping)
    ]
    chosen = _chosen(found, weights, path)
    if chosen is None:
        return None
    left: dict[str, int] = {}
    mapping: Any = content
    for depth, wrapper in enumerate(chosen.wrappers):
        left |= {".".join((*chosen.wrappers[:depth], str(key))): 0 for key in mapping if key != wrapper}
        mapping = mapping[wrapper]
    others = {
        prefix for other in found if other.wrappers == chosen.wrappers for prefix in other.prefixes
    } - chosen.prefixes
    state: State = {}
    unused = _COUNTED if auxiliary else _UNUSED
    for key, value in mapping.items():
        if not isinstance(key, str) or not isinstance(value, torch.Tensor):
            left[".".join((*chosen.wrappers, str(key)))] = 0
            continue
        before, name = _split(key)
        own = name is not None and before in chosen.prefixes
        label = _unused_label(key.split("."), unused if own else _TRAINING)
        if label is None and not own and (weights is not None or before in others or value.dim() == 0):
            label = key if name is None or not before else before[0]
        if label is None:
            _put(state, name if name is not None and own else key, key, value)
        else:
            left[label] = left.get(label, 0) + 1
    prefixes = {"".join(f"{part}." for part in prefix) for prefix in chosen.prefixes} - {""}
    return state, Provenance(chosen.key, tuple(sorted(prefixes)), len(state), tuple(left.items()))


def _unused_label(parts: list[str], unused: re.Pattern[str]) -> str | None:
    """What an entry of training is told as; None where it is none."""
    return next((part for part in parts if part not in _WRAPPING and unused.fullmatch(part)), None)


def named_mappings(content: Mapping[Any, Any]) -> Iterator[tuple[tuple[str, ...], Mapping[Any, Any]]]:
    """Every mapping in the file with the names that lead to it, but not what optimizers and schedulers keep."""
    return itertools.islice(_mappings(content), _MOST_MAPPINGS)


def _mappings(
    content: Mapping[Any, Any], wrappers: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Mapping[Any, Any]]]:
    yield wrappers, content
    if len(wrappers) == _DEEPEST:
        return
    for key, value in content.items():
        if isinstance(value, Mapping) and isinstance(key, str) and not _NO_NETWORK.search(key):
            yield from _mappings(value, (*wrappers, key))


def _split(key: str) -> tuple[tuple[str, ...], str | None]:
    """What stands before the network's own part of a name, and that part, unwrapped; None where there is none."""
    parts = key.split(".")
    for index, part in enumerate(parts[:-1]):
        if _PART.fullmatch(part):
            return tuple(parts[:index]), ".".join(_unwrapped(parts[index:]))
    return (), None


def _put(state: State, name: str, key: str, value: torch.Tensor) -> None:
    """Keep `value` under `name`; under its whole `key`, which no network has, where another value has that name."""
    state[name if name not in state or _equal(state[name], value) else key] = value


def _unwrapped(parts: Iterable[str]) -> tuple[str, ...]:
    return tuple(part for part in parts if part not in _WRAPPING)


def _candidates(wrappers: tuple[str, ...], mapping: Mapping[Any, Any]) -> list[_Candidate]:
    """The networks whose tensors lie in `mapping`, told apart by their prefixes."""
    states: dict[tuple[str, ...], State] = {}
    for key, value in mapping.items():
        if not isinstance(key, str) or not isinstance(value, torch.Tensor):
            continue
        before, name = _split(key)
        if name is None:
            continue
        _put(states.setdefault(before, {}), name, key, value)
    merged: list[_Candidate] = []
    for before, state in states.items():
        new = _Candidate(wrappers, _unwrapped(before), frozenset({before}), state)
        for index, twin in enumerate(merged):
            if twin.prefix != new.prefix:
                continue
            if all(_equal(twin.state[name], value) for name, value in state.items() if name in twin.state):
                merged[index] = replace(twin, prefixes=twin.prefixes | new.prefixes, state=twin.state | state)
                break
            # Two networks whose names differ only in what training wraps: that tells them apart.
            merged[index] = replace(twin, prefix=min(twin.prefixes))
            new = replace(new, prefix=before)
        else:
            merged.append(new)
    return [c for c in merged if any(name.startswith("pretrained") for name in c.state)]


def _chosen(found: list[_Candidate], weights: str | None, path: str) -> _Candidate | None:
    if not found:
        return None
    if weights is None:
        teachers = [candidate.key for candidate in found if candidate.is_teacher]
        found = [candidate for candidate in found if not candidate.is_teacher]
        if not found:
            key = shown([shlex.quote(teachers[0])])
            raise CheckpointError(
                f"the checkpoint {path!r} holds the teacher of a training and no student; name that one's checkpoint, or "
                f"take the teacher with --weights {key}"
            )
    else:
        found = _named(found, weights, path)
    different: list[_Candidate] = []
    for candidate in found:
        if not any(candidate.same(other) for other in different):
            different.append(candidate)
    if len(different) > 1:
        choices = shown(f"{c.key!r} ({len(c.state)} tensors)" for c in different)
        raise CheckpointError(
            f"the checkpoint {path!r} holds {len(different)} networks with different weights: {choices}; say which "
            f"one with --weights KEY, for instance --weights {shown([shlex.quote(different[-1].key)])}"
        )
    return different[0] if different else None


def _named(found: list[_Candidate], weights: str, path: str) -> list[_Candidate]:
    """The candidates that a user can mean."""
    exact = [candidate for candidate in found if weights in candidate.names]
    within = [candidate for candidate in found if weights and candidate.key.startswith(f"{weights}.")]
    if not exact and not within:
        keys = shown(repr(candidate.key) for candidate in found)
        raise OptionError(f"--weights is {weights!r}; the networks in the checkpoint {path!r} are: {keys}")
    return exact or within


def _equal(one: torch.Tensor, other: torch.Tensor) -> bool:
    """True for the same bits; False for tensors that are no weights here: sparse, quantised, without values."""
    if one is other:
        return True
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    # torch 2.13.0 crashes on the bytes of quantised tensors.
    if any(t.is_quantized or t.is_meta or t.layout is not torch.strided for t in (one, other)):
        return False
    return torch.equal(one.reshape(-1).view(torch.uint8), other.reshape(-1).view(torch.uint8))
