"""The public network in PyTorch, on the CPU or a GPU: eager, in another memory layout or precision, and compiled."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from tdnet_bench.records.config import SideSpec
from tdnet_bench.sides.gpu import Gpu, Stopwatch
from tdnet_bench.sides.requests import (
    CHANNELS_LAST,
    COMPILED,
    CUDA,
    HOST,
    PYTORCH_PRECISIONS,
    PYTORCH_SIDES,
    Request,
)
from tdnet_bench.sides.side import Array, Mask, Push, clocks_of_pytorch
from tdnet_eval.networks import preprocessing_for
from tdnet_runtime.errors import BackendError, TdnetError
from tdnet_runtime.extras import one_line
from tdnet_runtime.manifest import Manifest

if TYPE_CHECKING:
    from tdnet_models import Network

__all__ = ["PyTorchSide"]

_TEMPORAL_PARTS = ("encode", "recompose", "classify")  # what ReferenceStream calls; see models


class PyTorchSide:
    """`ReferenceStream` in PyTorch; takes frames of the network's size.

    `network` is changed, so each side needs one of its own. `gpu` tells the device's time. The number of threads is the
    process's; so is, on a GPU, that TF32 is off and cuDNN searches for its algorithms (`cudnn.benchmark`).

    Raises:
        BackendError: no GPU that PyTorch can use, or no room on it.
    """

    def __init__(
        self,
        request: Request,
        network: Network,
        *,
        manifest: Manifest,
        threads: int,
        weights: str,
        gpu: Gpu | None = None,
    ) -> None:
        import torch  # optional, and only now: the bundle's memory was measured without it

        torch.set_num_threads(threads)
        self.name = str(request)
        self._torch: Any = torch
        self._request, self._manifest, self._weights, self._gpu = request, manifest, weights, gpu
        self._precision = request.precision or PYTORCH_PRECISIONS[0]
        kind = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}[self._precision]
        channels_last = request.name == CHANNELS_LAST or kind != torch.float32
        where = f"CPU, {threads} thread(s)" if request.device == HOST else _cuda_name(torch)
        with _reported(f"making {self.name}"):
            network = network.to(device=_device(request), dtype=kind)
            if channels_last:
                network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            if request.name == COMPILED:
                for part in _TEMPORAL_PARTS if hasattr(network, "encode") else ("forward",):
                    setattr(network, part, torch.compile(getattr(network, part)))
        how = PYTORCH_SIDES[request.name].format(
            layout="channels_last" if channels_last else "contiguous (NCHW)"
        )
        precision = "" if request.precision is None else f", {request.precision}"
        self._description = f"PyTorch {torch.__version__}, {where}, {how}{precision}"
        self._network = network

    def spec(self, *, camera: bool) -> SideSpec:
        """What it is; camera to mask is not measured here."""
        return SideSpec(
            name=self.name,
            kind="pytorch",
            precision=self._precision,
            description=self._description,
            weights=self._weights,
            clocks=clocks_of_pytorch(
                on_device=self._request.device != HOST,
                resident=self._request.resident,
                timed=self._gpu is not None,
            ),
        )

    def feed(self, image: Array) -> Any:
        """See `Side`."""
        return self._on_device(image) if self._request.resident else image

    @contextmanager
    def stream(self) -> Iterator[Push]:
        """See `Side`; a push raises BackendError where PyTorch fails."""
        from tdnet_models.reference import ReferenceStream, labels_of  # needs torch

        manifest = self._manifest
        stream = ReferenceStream(
            self._network, memory_stride=manifest.state.stride, preprocessing=preprocessing_for(manifest)
        )

        def handle() -> int:
            assert self._gpu is not None  # there is a watch
            return self._gpu.stream_of_torch(self._torch)

        with Stopwatch(self._gpu) if self._gpu is not None else nullcontext() as watch:

            def push(frame: Any) -> Mask:
                with _reported(self.name):
                    if self._request.device == HOST:
                        labels = labels_of(stream.push(frame), manifest.threshold).numpy()
                        return Mask(lambda: labels)
                    given = frame if self._request.resident else self._on_device(frame)
                    with nullcontext() if watch is None else watch.timing(handle()):
                        made = labels_of(stream.push(given), manifest.threshold)
                    span = (lambda: None) if watch is None else watch.ns
                    if self._request.resident:
                        self._synchronize()
                        return Mask(lambda: made.cpu().numpy(), span)
                    host = made.cpu().numpy()
                    return Mask(lambda: host, span)

            yield push

    def _on_device(self, image: Array) -> Any:
        return self._torch.tensor(image, device=_device(self._request))

    def _synchronize(self) -> None:
        if _device(self._request) == CUDA:
            self._torch.cuda.synchronize()


@contextmanager
def _reported(doing: str) -> Iterator[None]:
    """No C++ compiler, an unsupported operator, a full GPU: PyTorch's errors share no base class."""
    try:
        yield
    except TdnetError:
        raise
    except Exception as error:
        raise BackendError(f"{doing}: PyTorch failed: {one_line(str(error))}") from error


def _device(request: Request) -> str:
    """Where PyTorch is to put tensors."""
    return request.device


def _cuda_name(torch: Any) -> str:
    """The GPU, set up for measuring; raises BackendError where PyTorch has none."""
    if torch.version.cuda is None:
        raise BackendError(f"this PyTorch {torch.__version__} has no CUDA; install one that has")
    try:
        torch.cuda.init()
    except (RuntimeError, AssertionError) as error:
        raise BackendError(f"PyTorch {torch.__version__} finds no GPU ({error}); see nvidia-smi") from error
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = True
    return f"{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}"
