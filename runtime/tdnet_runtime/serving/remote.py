"""A bundle that a Triton server serves, used as if it were open here: frames go there, labels come back.

`RemoteSegmenter` takes the place of a `Segmenter` in `tdnet-run` and in `tdnet_runtime.live`: it has `manifest` and
`stream()`, and says which bundle and what engine they are. A stream is a sequence of the server's; nothing of its
memory is here.
"""

from __future__ import annotations

import hashlib
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from tdnet_runtime.closeable import Closeable, close_all
from tdnet_runtime.errors import BackendError, StreamError
from tdnet_runtime.forks import ForkBound
from tdnet_runtime.manifest import Manifest
from tdnet_runtime.serving.address import TritonAddress
from tdnet_runtime.serving.http_model import HttpModel
from tdnet_runtime.serving.parameters import MANIFEST, PRECISION, manifest_in, parameter
from tdnet_runtime.serving.remote_stream import RemoteStream

__all__ = ["RemoteBackend", "RemoteBundle", "RemoteSegmenter", "RemoteStream"]


@dataclass(frozen=True, slots=True)
class RemoteBundle:
    """Which bundle is served: the address, and the digest, as `Bundle` tells them."""

    path: str
    digest: str


@dataclass(frozen=True, slots=True)
class RemoteBackend:
    """What serves it, as `Backend` tells it."""

    name: str
    description: str
    precision: str


class RemoteSegmenter(Closeable, ForkBound):
    """A model on a Triton server that `tdnet-export --triton` wrote. Thread-safe; streams are not shared between threads.

    Args:
        address: `triton://HOST[:PORT]/MODEL`; see `TritonAddress`.

    Attributes:
        manifest: of the bundle, without the graphs for `attention=False`: the server's models always attend.
        bundle: which one.
        backend: what serves it.

    Raises:
        OptionError: not such an address.
        BackendError: no server answers there, it has no such model, or the model is another one.
    """

    fork_error = BackendError

    def __init__(self, address: str) -> None:
        self._address = TritonAddress.parse(address)
        model = HttpModel(self._address)
        try:
            config = model.config()
            server = model.server()
        finally:
            model.close()
        self.manifest = _always_attending(manifest_in(config))
        self.bundle = RemoteBundle(address, hashlib.sha256(parameter(config, MANIFEST).encode()).hexdigest())
        self.backend = RemoteBackend(
            name="triton",
            description=f"{server} at {self._address.server}, model {self._address.model} ({config.get('backend', '?')})",
            precision=parameter(config, PRECISION),
        )
        self._ending = _ending(config)
        self._streams: weakref.WeakSet[RemoteStream] = weakref.WeakSet()
        self._closed = False

    def stream(self) -> RemoteStream:
        """A new stream, which is a sequence of its own on the server from its first frame on.

        Raises:
            StreamError: the segmenter is closed, or this is a forked child.
        """
        self.require_own_process("stream()")
        if self._closed:
            raise StreamError("stream() was called on a closed segmenter; open it again")
        stream = RemoteStream(self.manifest, HttpModel(self._address), ending=self._ending)
        self._streams.add(stream)
        return stream

    def close(self) -> None:
        """End all streams. Safe to call twice; nothing in a forked child.

        Raises:
            StreamError: a stream is at work, in another thread or interrupted by this signal handler; the others have
                ended. Call it again when that is done.
        """
        if not self.stranded:
            self._closed = True
            close_all(self._streams)


def _always_attending(manifest: Manifest) -> Manifest:
    own = manifest.own_graphs
    return msgspec.structs.replace(
        manifest,
        paths=tuple(msgspec.structs.replace(path, own=None) for path in manifest.paths),
        graphs=tuple(graph for graph in manifest.graphs if graph.name not in own),
    )


def _ending(config: Mapping[str, Any]) -> str:
    """See `RemoteStream`: a joined graph takes frames alone, and a network without a memory has no sequences."""
    if not config.get("sequence_batching"):
        return ""
    inputs = config.get("input")
    inputs = inputs if isinstance(inputs, list) else []
    return "alone" if any(isinstance(each, dict) and each.get("optional") for each in inputs) else "frame"
