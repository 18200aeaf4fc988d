"""The public network in PyTorch on the CPU: eager, in another memory layout, and compiled."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tdnet_bench.records.config import PYTORCH, SideSpec
from tdnet_bench.sides.coverage import clocks_of_pytorch
from tdnet_bench.sides.side import Array, Mask, Push
from tdnet_runtime.errors import BackendError
from tdnet_runtime.extras import one_line
from tdnet_runtime.manifest import Manifest

if TYPE_CHECKING:
    from tdnet_models import Network
    from tdnet_models.preprocessing import Preprocessing

__all__ = [
    "COMPILED",
    "PYTORCH_SIDES",
    "PyTorchSide",
    "network_for",
    "preprocessing_for",
    "torch_is_installed",
]

CHANNELS_LAST = "pytorch-channels-last"
COMPILED = "torch-compile"
PYTORCH_SIDES = {
    PYTORCH: "eager, contiguous (NCHW) weights, PyTorch's default and the public code's",
    CHANNELS_LAST: "eager, channels_last weights",
    COMPILED: "torch.compile with its defaults, contiguous (NCHW) weights",
}
"""By name, how the network is run."""

_TEMPORAL_PARTS = ("encode", "recompose", "classify")  # what ReferenceStream calls; see models


class PyTorchSide:
    """`ReferenceStream` in PyTorch on the CPU, in FP32; takes frames of the network's size.

    Args:
        name: a key of `PYTORCH_SIDES`.
        network: see `network_for`; changed, so each side needs one of its own.
        manifest: of the bundle: preprocessing, memory stride and threshold are its.
        threads: of PyTorch, for the whole process.
        weights: as in `SideSpec`.
    """

    def __init__(
        self, name: str, network: Network, *, manifest: Manifest, threads: int, weights: str
    ) -> None:
        import torch  # optional, and only now: the bundle's memory was measured without it

        torch.set_num_threads(threads)
        self.name = name
        self._manifest, self._weights = manifest, weights
        self._description = f"PyTorch {torch.__version__}, CPU, {threads} thread(s), {PYTORCH_SIDES[name]}"
        if name == CHANNELS_LAST:
            network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if name == COMPILED:
            for part in _TEMPORAL_PARTS if hasattr(network, "encode") else ("forward",):
                setattr(network, part, torch.compile(getattr(network, part)))
        self._network = network

    def spec(self, *, camera: bool) -> SideSpec:
        """What it is; camera to mask is not measured here."""
        return SideSpec(
            name=self.name,
            kind="pytorch",
            precision="fp32",
            description=self._description,
            weights=self._weights,
            clocks=clocks_of_pytorch(),
        )

    @contextmanager
    def stream(self) -> Iterator[Push]:
        """See `Side`; a push raises BackendError where torch.compile fails."""
        from tdnet_models.reference import ReferenceStream, labels_of  # needs torch

        manifest = self._manifest
        stream = ReferenceStream(
            self._network, memory_stride=manifest.state.stride, preprocessing=preprocessing_for(manifest)
        )

        def push(frame: Array) -> Mask:
            return Mask(labels_of(stream.push(frame), manifest.threshold).numpy())

        def compiled_push(frame: Array) -> Mask:
            try:
                return push(frame)
            except Exception as error:  # no C++ compiler, an unsupported operator: they share no base
                raise BackendError(f"torch.compile failed: {one_line(str(error))}") from error

        yield compiled_push if self.name == COMPILED else push


def network_for(manifest: Manifest, ckpt: Path | None) -> Network:
    """The PyTorch network that a bundle stands for.

    Args:
        manifest: of the bundle.
        ckpt: the weights, the ones in it that the bundle has; None for made-up ones in the same shapes.

    Raises:
        CheckpointError: `ckpt` cannot be loaded.
    """
    from tdnet_models import load_checkpoint, synthetic_network  # need torch

    size_hw = (manifest.input.height, manifest.input.width)
    if ckpt is not None:
        return load_checkpoint(ckpt, size=size_hw, weights=manifest.weights or None)
    return synthetic_network(
        manifest.network,
        classes=manifest.channels,
        input_size=size_hw,
        widths=manifest.widths,
    )


def preprocessing_for(manifest: Manifest) -> Preprocessing:
    """What the bundle's network was trained on, as its manifest says."""
    from tdnet_models.preprocessing import Preprocessing  # only beside PyTorch

    spec = manifest.input
    return Preprocessing(mean=spec.mean, std=spec.std, scale=spec.scale, color_order=spec.color_order)


def torch_is_installed() -> bool:
    """True where PyTorch can be found; it is not imported."""
    return importlib.util.find_spec("torch") is not None
