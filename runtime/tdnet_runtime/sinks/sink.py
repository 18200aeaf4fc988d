"""What a sink of results is, whatever it writes."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from tdnet_runtime.sinks.source_names import topic_part

if TYPE_CHECKING:
    from tdnet_runtime.live.result import LiveResult  # for its name alone: the live layer stands on this one
    from tdnet_runtime.segmenter import Segmenter
    from tdnet_runtime.serving.remote import RemoteSegmenter

__all__ = ["LiveSink", "SinkNetwork", "topic_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkNetwork:
    """What a sink says of the network that made the labels.

    Attributes:
        name: of the network, such as `td2-psp50`.
        digest: of the bundle.
        classes: (name, (R, G, B)) of each class, in the order of the indices.
    """

    name: str
    digest: str
    classes: Sequence[tuple[str, tuple[int, int, int]]]

    @classmethod
    def of(cls, segmenter: Segmenter | RemoteSegmenter) -> SinkNetwork:
        """Of an open bundle, here or on a server."""
        return cls(
            name=segmenter.manifest.network,
            digest=segmenter.bundle.digest,
            classes=[(spec.name, spec.color) for spec in segmenter.manifest.classes],
        )


class LiveSink(AbstractContextManager["LiveSink"], Protocol):
    """Takes results in one thread; a context manager, whose end completes what was begun.

    Those that call sources by their names have `source_names`, a `SourceNames`, by which a `LiveSegmenter` refuses at its
    start two that would be called the same.

    Attributes:
        name: for messages and health.
    """

    name: str

    def write(self, result: LiveResult) -> None:
        """Write one result; its arrays are neither kept nor changed.

        Raises:
            MediaError: the disk is full, or another fault of the output. What was written before stays readable.
        """

    def close(self) -> None:
        """Complete the output. Safe to call twice.

        Raises:
            MediaError: its end could not be written; what is readable is said.
        """


def topic_of(base: str, source: str, leaf: str) -> str:
    """`/segmentation/front/mask`; without the middle for a source without a name.

    >>> topic_of("/segmentation", "front camera", "mask")
    '/segmentation/front_camera/mask'
    """
    parts = (base.strip("/"), topic_part(source), leaf)
    return "/" + "/".join(part for part in parts if part)
