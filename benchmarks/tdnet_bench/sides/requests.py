"""Which sides a run is asked for: the subject, its rivals from the same bundle, and PyTorch."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tdnet_bench.records.config import EAGER, PYTORCH, LeftOut
from tdnet_runtime.backends import BACKENDS
from tdnet_runtime.errors import OptionError

__all__ = [
    "AUTO", "CHANNELS_LAST", "COMPILED", "CUDA", "HOST", "NO_PEERS", "NO_TORCH", "PYTORCH_PRECISIONS",
    "PYTORCH_SIDES", "Plan", "Request", "parse_request", "plan_requests", "torch_is_installed",
]  # fmt: skip

CHANNELS_LAST = "pytorch-channels-last"
COMPILED = "torch-compile"
PYTORCH_SIDES = {
    PYTORCH: "eager, {layout} weights",
    CHANNELS_LAST: "eager, {layout} weights",
    COMPILED: "torch.compile with its defaults, {layout} weights",
}
"""By name, how the network is run."""

HOST, CUDA = "cpu", "cuda"
PYTORCH_PRECISIONS = ("fp32", "fp16", "bf16")
"""Of weights and activations; half precisions are channels_last, as they are fastest."""

AUTO = "auto"
NO_PEERS = "none"
NO_TORCH = "PyTorch is not installed; install it with: pip install 'tdnet-deploy[export]'"

_RESIDENT, _NO_GRAPHS = "device", "no-graphs"
_TENSORRT = ("tensorrt", "tensorrt-rtx")
_ABLE = {_RESIDENT: (AUTO, *_TENSORRT), _NO_GRAPHS: (AUTO, *_TENSORRT, CUDA)}
"""By what may follow an `@`: the backends that can."""
_PYTORCH_DEFAULTS = (HOST, PYTORCH_PRECISIONS[0])
_HINT = (
    f"; a backend may be followed by a precision, {BACKENDS[0]}:fp32, PyTorch by a device and a precision, "
    f"{PYTORCH}:{CUDA}:fp16"
)


@dataclass(frozen=True, slots=True)
class Request:
    """One side that was asked for.

    Attributes:
        name: a backend's name, `auto`, or a key of `PYTORCH_SIDES`.
        precision: that the bundle is computed in, None for the backend's choice; PyTorch's, None for FP32.
        device: that PyTorch runs on; `cpu` for backends, which know theirs.
        resident: frames and labels are in the device's memory; `graphs`: CUDA graphs are used.
    """

    name: str
    precision: str | None = None
    device: str = HOST
    resident: bool = False
    graphs: bool = True

    @property
    def is_pytorch(self) -> bool:
        """True where it runs the public network instead of the bundle."""
        return self.name in PYTORCH_SIDES

    @property
    def marks(self) -> str:
        """What follows name, device and precision: `@device`, `@no-graphs`, both, or nothing."""
        return f"{f'@{_RESIDENT}' if self.resident else ''}{'' if self.graphs else f'@{_NO_GRAPHS}'}"

    def __str__(self) -> str:
        parts = [self.name]
        if self.is_pytorch and (self.device != HOST or self.precision is not None):
            parts.append(self.device)
        parts += [] if self.precision is None else [self.precision]
        return f"{':'.join(parts)}{self.marks}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a run will try to measure: rivals in their order (the first that opens is the subject), peers after them."""

    rivals: tuple[Request, ...]
    peers: tuple[Request, ...]
    left_out: tuple[LeftOut, ...]
    ckpt: Path | None


def parse_request(text: str, *, flag: str) -> Request:
    """`BACKEND[:PRECISION]` or `PYTORCH[:DEVICE[:PRECISION]]`, with `@device` or `@no-graphs` after it where it can.

    Raises:
        OptionError: no such side; the message names those that there are.
    """
    side, *marks = text.split("@")
    name, *parts = side.split(":")
    known = (AUTO, *BACKENDS, *PYTORCH_SIDES) if flag == "--peer" else (AUTO, *BACKENDS)
    if name not in known:
        raise OptionError(f"{flag} knows no backend {text!r}; known are: {', '.join(known)}{_HINT}")
    device = HOST
    if name in PYTORCH_SIDES:
        expected = f"a device ({HOST} or {CUDA}) and, after it, a precision ({', '.join(PYTORCH_PRECISIONS)})"
        device, precision, *more = (*parts, *_PYTORCH_DEFAULTS[len(parts) :])
        if more or device not in (HOST, CUDA) or precision not in PYTORCH_PRECISIONS:
            raise OptionError(f"{flag} is {text!r}, expected {name} alone, or with colons {expected}")
        chosen = None if precision == PYTORCH_PRECISIONS[0] else precision
    else:
        chosen = parts[0] if parts else None
        if len(parts) > 1 or chosen == "":
            raise OptionError(f"{flag} is {text!r}, expected a backend's name, a colon and a precision")
    for mark in marks:
        able = _ABLE.get(mark, ())
        if mark == _RESIDENT and name in PYTORCH_SIDES:
            able = (name,) if device == CUDA else ()
        if name not in able or marks.count(mark) > 1:
            raise OptionError(
                f"{flag} is {text!r}; @{_RESIDENT} (frames and labels in the GPU's memory) may follow "
                f"{', '.join(_TENSORRT)} and PyTorch on {CUDA}, @{_NO_GRAPHS} (no CUDA graphs) "
                f"{', '.join(_ABLE[_NO_GRAPHS][1:])}"
            )
    return Request(name, chosen, device, resident=_RESIDENT in marks, graphs=_NO_GRAPHS not in marks)


def plan_requests(backends: Sequence[str], peers: Sequence[str], ckpt: Path | None) -> Plan:
    """Decide what to measure; neither torch nor weights are loaded.

    Without `peers`, PyTorch is the only one where it is installed or `ckpt` is given. With `ckpt` there is always eager
    PyTorch in FP32, on the CPU where no device was named, since it is the reference.

    Raises:
        OptionError: no side of such a name, or options that contradict one another.
    """
    rivals = tuple(dict.fromkeys(parse_request(text, flag="--backend") for text in backends))
    names = list(peers)
    if NO_PEERS in names:
        if len(names) > 1 or ckpt is not None:
            raise OptionError(
                f"--peer {NO_PEERS} contradicts any other --peer and --ckpt; leave one of them out"
            )
        names = []
    elif not names and ckpt is None and torch_is_installed():
        names = [PYTORCH]
    requests = tuple(dict.fromkeys(parse_request(text, flag="--peer") for text in names))
    if ckpt is not None and not any(str(request) in EAGER for request in requests):
        requests = (Request(PYTORCH), *requests)
    left_out: tuple[LeftOut, ...] = ()
    if not torch_is_installed():
        left_out = tuple(LeftOut(what=str(r), reason=NO_TORCH) for r in requests if r.is_pytorch)
        requests = tuple(r for r in requests if not r.is_pytorch)
    return Plan(
        rivals=rivals,
        peers=tuple(request for request in requests if request not in rivals),
        left_out=left_out,
        ckpt=ckpt,
    )


def torch_is_installed() -> bool:
    """True where PyTorch can be found; it is not imported."""
    return importlib.util.find_spec("torch") is not None
