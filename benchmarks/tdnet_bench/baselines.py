"""The sides of a run: the bundle in the runtime, and the PyTorch reference that it is held against."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from tdnet_bench.records import BUNDLE, REFERENCE
from tdnet_bench.runner import Push
from tdnet_models.digest import checkpoint_sha256
from tdnet_runtime.errors import CheckpointError, MissingExtraError
from tdnet_runtime.manifest import Manifest

if TYPE_CHECKING:
    from tdnet_models import Network
    from tdnet_runtime import Segmenter

__all__ = ["BundleSide", "ReferencePlan", "ReferenceSide", "plan_reference", "reference_for"]

_INSTALL = "pip install 'tdnet-deploy[export]'"
_NOT_INCLUDED = "not: decode, resize"


class BundleSide:
    """The bundle, as a robot would call it."""

    name = BUNDLE

    def __init__(self, segmenter: Segmenter) -> None:
        self._segmenter = segmenter
        manifest = segmenter.manifest
        network = "sub-network, APM" if manifest.state.slots else "network"
        outputs = {tensor.name for graph in manifest.graphs for tensor in graph.outputs}
        copied = "copy out (of the logits, too)" if "logits" in outputs else "copy out"
        self.includes = f"host call: copy in, {network}, argmax, {copied}; {_NOT_INCLUDED}"

    @contextmanager
    def stream(self) -> Iterator[Push]:
        """See `Side`."""
        with self._segmenter.stream() as stream:
            yield lambda frame: stream.push(frame).labels


class ReferenceSide:
    """`ReferenceStream` in eager PyTorch on the CPU, with contiguous (NCHW) weights.

    The layout is PyTorch's default and the public code's. In channels_last it would run a quarter faster
    (td2-fa18, torch 2.13, one machine).

    Args:
        network: see `reference_for`.
        memory_stride: n of the bundle; None for a per-frame network.
        threads: of PyTorch, for the whole process.
    """

    name = REFERENCE
    includes = (
        f"eager PyTorch, NCHW: copy in, normalise, network, upsample, argmax, as uint8; {_NOT_INCLUDED}"
    )

    def __init__(self, network: Network, *, memory_stride: int | None, threads: int) -> None:
        import torch  # optional, and only now: the bundle's memory was measured without it

        torch.set_num_threads(threads)
        self._network, self._memory_stride, self._uint8 = network, memory_stride, torch.uint8

    @contextmanager
    def stream(self) -> Iterator[Push]:
        """See `Side`."""
        from tdnet_models import ReferenceStream  # needs torch

        stream = ReferenceStream(self._network, memory_stride=self._memory_stride)

        def push(frame: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
            # max() instead of argmax(): 65 against 142 ms at 19×769×1537 on 2 threads, torch 2.13
            labels: npt.NDArray[np.uint8] = stream.push(frame).max(0).indices.to(self._uint8).numpy()
            return labels

        yield push


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferencePlan:
    """Which reference a run gets, decided before anything slow.

    Attributes:
        kind: `checkpoint`, `synthetic` or `absent`, as in `RunConfig.reference`.
        note: what that means for the numbers.
        ckpt: the weights where `kind` is `checkpoint`.
        checkpoint_sha256: of `ckpt`.
    """

    kind: str
    note: str
    ckpt: Path | None = None
    checkpoint_sha256: str | None = None


def plan_reference(manifest: Manifest, ckpt: Path | None) -> ReferencePlan:
    """Decide on the reference for a bundle; neither torch nor weights are loaded.

    Raises:
        CheckpointError: `ckpt` is not what the bundle was made from, or cannot be read.
        MissingExtraError: `ckpt` was given, but torch is not installed.
    """
    if ckpt is None and not _torch_is_installed():
        return ReferencePlan(
            kind="absent",
            note=f"no reference was run, since PyTorch is not installed ({_INSTALL}); "
            "ratio and label agreement were NOT measured",
        )
    if ckpt is None:
        return ReferencePlan(
            kind="synthetic",
            note="no --ckpt was given: the reference has the bundle's shapes with made-up weights; "
            "label agreement was NOT measured",
        )
    digest = checkpoint_sha256(ckpt)
    if digest != manifest.checkpoint_sha256:
        raise CheckpointError(
            f"--ckpt is not the checkpoint that the bundle was exported from: its SHA-256 is {digest}, the "
            f"bundle's is {manifest.checkpoint_sha256}; give that checkpoint, or export the bundle again: "
            f"{str(ckpt)!r}"
        )
    if not _torch_is_installed():
        raise MissingExtraError(
            f"--ckpt needs PyTorch, which is not installed; install it with: {_INSTALL} "
            "(or leave --ckpt out to measure the bundle alone)"
        )
    return ReferencePlan(
        kind="checkpoint",
        note="the reference has the weights that the bundle was exported from",
        ckpt=ckpt,
        checkpoint_sha256=digest,
    )


def reference_for(manifest: Manifest, ckpt: Path | None) -> Network:
    """The PyTorch network that a bundle stands for.

    Args:
        manifest: of the bundle.
        ckpt: the weights; None for made-up ones in the same shapes.

    Raises:
        CheckpointError: `ckpt` cannot be loaded.
    """
    from tdnet_models import load_checkpoint, synthetic_network  # need torch

    if ckpt is not None:
        return load_checkpoint(ckpt, size=(manifest.input.height, manifest.input.width))
    return synthetic_network(
        manifest.network,
        classes=len(manifest.classes),
        feature_size=manifest.feature_size,
        widths=manifest.widths,
    )


def _torch_is_installed() -> bool:
    return importlib.util.find_spec("torch") is not None
