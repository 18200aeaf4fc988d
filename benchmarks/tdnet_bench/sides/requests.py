"""Which sides a run is asked for: the subject, its rivals from the same bundle, and PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tdnet_bench.records.config import PYTORCH, LeftOut
from tdnet_bench.sides.pytorch_side import PYTORCH_SIDES, torch_is_installed
from tdnet_runtime.backends import BACKENDS
from tdnet_runtime.errors import OptionError

__all__ = ["AUTO", "NO_PEERS", "NO_TORCH", "Plan", "Request", "parse_request", "plan_requests"]

AUTO = "auto"
NO_PEERS = "none"
NO_TORCH = "PyTorch is not installed; install it with: pip install 'tdnet-deploy[export]'"


@dataclass(frozen=True, slots=True)
class Request:
    """One side that was asked for.

    Attributes:
        name: a backend's name, `auto`, or a key of `PYTORCH_SIDES`.
        precision: that the bundle is computed in; None for the backend's choice.
    """

    name: str
    precision: str | None = None

    @property
    def is_pytorch(self) -> bool:
        """True where it runs the public network instead of the bundle."""
        return self.name in PYTORCH_SIDES

    def __str__(self) -> str:
        return self.name if self.precision is None else f"{self.name}:{self.precision}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a run will try to measure.

    Attributes:
        rivals: of the bundle, in their order; the first that can be opened is the subject.
        peers: after them.
        left_out: what is known to be impossible already.
        ckpt: weights of the PyTorch sides; None for made-up ones.
    """

    rivals: tuple[Request, ...]
    peers: tuple[Request, ...]
    left_out: tuple[LeftOut, ...]
    ckpt: Path | None


def parse_request(text: str, *, flag: str) -> Request:
    """`NAME` or `BACKEND:PRECISION`.

    Raises:
        OptionError: no such side; the message names those that there are.
    """
    name, colon, precision = text.partition(":")
    known = (AUTO, *BACKENDS, *PYTORCH_SIDES) if flag == "--peer" else (AUTO, *BACKENDS)
    if name not in known:
        hint = f"; a backend may be followed by a precision, {BACKENDS[0]}:fp32"
        raise OptionError(f"{flag} knows no backend {text!r}; known are: {', '.join(known)}{hint}")
    if colon and (name in PYTORCH_SIDES or not precision):
        raise OptionError(f"{flag} is {text!r}, expected a backend's name, a colon and a precision")
    return Request(name, precision or None)


def plan_requests(backends: Sequence[str], peers: Sequence[str], ckpt: Path | None) -> Plan:
    """Decide what to measure; neither torch nor weights are loaded.

    Without `peers`, PyTorch is the only one where it is installed or `ckpt` is given. With `ckpt` it is
    always the first one, since it is the reference.

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
    elif ckpt is not None and PYTORCH not in names:
        names.insert(0, PYTORCH)
    elif not names and torch_is_installed():
        names = [PYTORCH]
    requests = tuple(dict.fromkeys(parse_request(text, flag="--peer") for text in names))
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
