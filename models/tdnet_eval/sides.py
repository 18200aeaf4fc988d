"""What is judged: bundles on the runtime's backends, and a checkpoint in PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

from tdnet_eval.document import LeftOut, SideInfo
from tdnet_eval.evaluation import OpenStream, StreamLike
from tdnet_eval.networks import preprocessing_for
from tdnet_eval.options import EvalOptions
from tdnet_models.digest import checkpoint_sha256
from tdnet_models.preprocessing import IMAGENET, PRESETS
from tdnet_runtime import Segmenter
from tdnet_runtime.errors import BackendError, OptionError
from tdnet_runtime.file_names import as_utf8
from tdnet_runtime.manifest import Manifest
from tdnet_runtime.signals import importing

if TYPE_CHECKING:
    from tdnet_models import Network

__all__ = ["Opened", "Side", "open_sides"]

PYTORCH = "pytorch"


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Side:
    """Something that can segment a video.

    Attributes:
        name: unique in the run.
        info: for the document.
        classes: how many different labels it can give; `names` are theirs, none where nothing tells.
        open_stream: opens a stream of it.
    """

    name: str
    info: SideInfo
    classes: int
    names: tuple[str, ...]
    open_stream: OpenStream


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Opened:
    """All sides of a run, bundles first, in the order asked for.

    Attributes:
        reference: the side whose labels the others' are compared with.
    """

    sides: tuple[Side, ...]
    reference: str | None
    left_out: tuple[LeftOut, ...]
    notes: tuple[str, ...]


def open_sides(options: EvalOptions, stack: ExitStack) -> Opened:
    """Open what was asked for; closed with `stack`.

    Raises:
        TdnetError: a bundle cannot be trusted, cannot be run in any way that was asked for, or the checkpoint cannot be
            loaded.
    """
    sides: dict[str, Side] = {}
    left_out: list[LeftOut] = []
    manifests: list[Manifest] = []
    notes: list[str] = []
    pins = options.sha256s or (None,) * len(options.engines)
    for engine, sha256 in zip(options.engines, pins, strict=True):
        refused: list[BackendError] = []
        asked = list(product(options.backends, options.precisions or (None,)))
        for backend, precision in asked:
            try:
                segmenter = Segmenter.open(
                    engine, backend=backend, precision=precision, threads=options.threads, sha256=sha256
                )
            except BackendError as error:
                refused.append(error)
                wanted = backend if precision is None else f"{backend}:{precision}"
                left_out.append(
                    LeftOut(what=as_utf8(f"{engine.name} on {wanted}"), reason=as_utf8(str(error)))
                )
                continue
            stack.enter_context(segmenter)
            manifests.append(segmenter.manifest)
            side = _bundle_side(engine, segmenter, options.engines)
            if side.name in sides:
                notes.append(f"{side.name} was asked for more than once and judged once")
            else:
                sides[side.name] = side
        if len(refused) == len(asked):
            raise refused[0]
    if options.ckpt is not None:
        side, remarks = _pytorch_side(options, options.ckpt, manifests)
        sides[side.name] = side
        notes += remarks
    notes += [
        f"{name} is an approximation: its LayerNorm maps were resampled from another size"
        for name, side in sides.items()
        if side.info.size_is == "resampled"
    ]
    return Opened(
        sides=tuple(sides.values()),
        reference=_reference(sides),
        left_out=tuple(left_out),
        notes=tuple(notes),
    )


def _reference(sides: dict[str, Side]) -> str | None:
    """PyTorch; without it the first bundle in FP32. None where there is nothing to compare."""
    if len(sides) < 2:
        return None
    if PYTORCH in sides:
        return PYTORCH
    return next((name for name, side in sides.items() if side.info.precision == "fp32"), None)


def _bundle_side(engine: Path, segmenter: Segmenter, engines: Sequence[Path]) -> Side:
    manifest, backend = segmenter.manifest, segmenter.backend
    same = [path for path in engines if path.stem == engine.stem and path != engine]
    stem = f"{engine.parent.name}/{engine.stem}" if same else engine.stem
    return Side(
        name=as_utf8(f"{stem} {backend.name}:{backend.precision}"),
        info=SideInfo(
            kind="bundle",
            file=as_utf8(engine.name),
            sha256=segmenter.bundle.digest,
            network=manifest.network,
            precision=backend.precision,
            engine=backend.description,
            size_hw=(manifest.input.height, manifest.input.width),
            size_is="resampled"
            if manifest.size_resampled
            else "exact"
            if manifest.input.size_from == "user"
            else "assumed",
            paths=len(manifest.paths),
            memory_stride=manifest.state.stride,
        ),
        classes=len(manifest.classes),
        names=tuple(spec.name for spec in manifest.classes),
        open_stream=segmenter.stream,
    )


def _pytorch_side(options: EvalOptions, ckpt: Path, manifests: Sequence[Manifest]) -> tuple[Side, list[str]]:
    """With what the user said; else what the manifest of a bundle from this very file says; else what is usual."""
    with importing():
        from tdnet_models import load_checkpoint  # needs torch, which only --ckpt does

    digest = checkpoint_sha256(ckpt)
    manifest = next((each for each in manifests if each.checkpoint_sha256 == digest), None)
    size_hw, weights, stride = options.size_hw, options.weights, options.memory_stride
    preprocessing = None if options.preprocessing is None else PRESETS[options.preprocessing]
    threshold = options.threshold
    if manifest is not None:
        size_hw = size_hw or (manifest.input.height, manifest.input.width)
        weights = weights or manifest.weights or None
        stride = stride or manifest.state.stride
        preprocessing = preprocessing or preprocessing_for(manifest)
        threshold = threshold if threshold is not None else manifest.threshold
    network = load_checkpoint(ckpt, size=size_hw, weights=weights)
    network, engine = _placed(network, options)
    spec = network.spec
    if spec.classes == 1 and threshold is None:
        threshold = 0.5
    if spec.classes > 1 and options.threshold is not None:
        raise OptionError(
            f"--threshold goes with a network of one class; the checkpoint has {spec.classes}, and labels are the class "
            "of the largest logit"
        )
    height, width = spec.input_size
    assumed = []
    if size_hw is None:
        assumed.append(f"its input size ({height}x{width}: --size)")
    if preprocessing is None:
        assumed.append("its preprocessing (imagenet: --preprocessing)")
    stride = stride or spec.variant.memory_stride

    def open_stream() -> AbstractContextManager[StreamLike]:
        from tdnet_eval.network_stream import NetworkStream  # needs torch

        return NetworkStream(
            network,
            memory_stride=stride,
            preprocessing=preprocessing or IMAGENET,
            threshold=threshold,
        )

    side = Side(
        name=PYTORCH,
        info=SideInfo(
            kind=PYTORCH,
            file=as_utf8(ckpt.name),
            sha256=digest,
            network=spec.variant.name,
            precision="fp32",
            engine=engine,
            size_hw=(height, width),
            size_is="resampled" if network.resampled else "exact" if size_hw else "assumed",
            paths=spec.variant.paths,
            memory_stride=stride,
        ),
        classes=max(spec.classes, 2),
        names=tuple(each.name for each in manifest.classes) if manifest is not None else (),
        open_stream=open_stream,
    )
    told = [f"nothing tells of {PYTORCH}'s checkpoint {' and '.join(assumed)}: assumed"] if assumed else []
    return side, told


def _placed(network: Network, options: EvalOptions) -> tuple[Network, str]:
    """The network where it is to run, and that in words."""
    import torch  # it is loaded already

    if options.threads is not None:
        torch.set_num_threads(options.threads)
    if options.device == "cpu":
        return network, f"PyTorch {torch.__version__}, CPU, {torch.get_num_threads()} thread(s), eager"
    if not torch.cuda.is_available():
        raise BackendError(
            f"--device is {options.device}, but PyTorch {torch.__version__} finds no GPU; see nvidia-smi, or install "
            "a PyTorch with CUDA"
        )
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    return network.to(
        options.device
    ), f"PyTorch {torch.__version__}, {torch.cuda.get_device_name()}, eager, TF32 off"
