"""How engines are built, and what is told while they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tdnet_runtime.errors import OptionError

__all__ = ["BuildEvent", "BuildOptions", "OnBuild"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildOptions:
    """The builder options that matter; they are part of an engine set's key.

    Attributes:
        tf32: True to let FP32 products be rounded to TF32. Off, so that FP32 means FP32: both products
            have it on by themselves, and islands of FP16 graphs are FP32 for a reason.
        optimization_level: 0 to 5; None for the product's default.
        max_aux_streams: streams beside the caller's; None for the product's own choice, 0 for none.

    Raises:
        OptionError: a value that cannot be meant.
    """

    tf32: bool = False
    optimization_level: int | None = None
    max_aux_streams: int | None = None

    def __post_init__(self) -> None:
        level, streams = self.optimization_level, self.max_aux_streams
        if level is not None and not 0 <= level <= 5:
            raise OptionError(f"the builder's optimization level is {level}, expected 0 to 5")
        if streams is not None and streams < 0:
            raise OptionError(f"the number of auxiliary streams is {streams}, expected 0 or more")

    def as_dict(self) -> dict[str, str]:
        """The options as a manifest keeps them."""
        return {
            "tf32": "on" if self.tf32 else "off",
            "optimization_level": _or_default(self.optimization_level),
            "max_aux_streams": _or_default(self.max_aux_streams),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildEvent:
    """An engine's build begins or ends, or the whole set's, where `graph` is None.

    Attributes:
        backend: of the set.
        precision: of the set.
        graph: that is being built or has been; None when the set begins.
        done: engines that are finished; or frames of their proof.
        total: engines of the set; or frames.
        seconds: what the build took; None where it begins.
        estimate_s: what the last build of such a graph took; None where none was seen.
        proof: True where the set is being proven on this machine's GPU.
    """

    backend: str
    precision: str
    graph: str | None
    done: int
    total: int
    seconds: float | None = None
    estimate_s: float | None = None
    proof: bool = False

    @property
    def stage(self) -> str:
        """What is going on, the same for all events of a set."""
        return f"{'prove' if self.proof else 'build'} {self.backend} {self.precision}"

    @property
    def text(self) -> str:
        """The event in a few words."""
        if self.graph is None:
            return f"{self.total} {'frames on the GPU' if self.proof else 'engines'}"
        if self.seconds is not None:
            return f"{self.graph} ({self.done} of {self.total}): {self.seconds:.1f} s"
        estimate = f", about {self.estimate_s:.0f} s" if self.estimate_s is not None else ""
        return f"{self.graph} ({self.done + 1} of {self.total}){estimate}"


OnBuild = Callable[[BuildEvent], None]
"""Called when a set begins, and at the begin and the end of each engine."""


def _or_default(value: int | None) -> str:
    return "default" if value is None else str(value)
