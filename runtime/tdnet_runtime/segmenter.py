"""A bundle opened on an engine: the weights, shared by all streams."""

from __future__ import annotations

import os
import threading
import weakref
from types import TracebackType

from tdnet_runtime.backends import open_backend
from tdnet_runtime.backends.base import Backend
from tdnet_runtime.bundle import Bundle
from tdnet_runtime.errors import StreamError
from tdnet_runtime.manifest import Manifest
from tdnet_runtime.stream import Stream

__all__ = ["Segmenter"]


class Segmenter:
    """A verified bundle on one backend. Thread-safe; streams are not shared between threads.

    Attributes:
        bundle: the verified file.
        backend: the engine in use; `backend.description` says which.
    """

    def __init__(self, bundle: Bundle, backend: Backend) -> None:
        self.bundle = bundle
        self.backend = backend
        self._streams: weakref.WeakSet[Stream] = weakref.WeakSet()
        self._closed = False
        self._lock = threading.Lock()  # of opening streams and closing

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        *,
        backend: str = "auto",
        precision: str | None = None,
        threads: int | None = None,
    ) -> Segmenter:
        """Verify a bundle and load its graphs.

        Args:
            path: the `*.plan` file.
            backend: `onnxruntime`, `fake` (tests without an engine), or `auto`: the best one present.
            precision: of the graphs, `fp32` or `fp16`; None for the best that the backend runs unasked (a CPU
                runs FP32: FP16 is slower there).
            threads: of the CPU for each graph; None for all that this process may use.

        Raises:
            BundleError: the bundle cannot be trusted.
            BackendError: the engine is absent or cannot load the graphs, or there are none of that precision.
            OptionError: no backend of that name, or a thread count below 1.
        """
        bundle = Bundle.open(path)
        try:
            return cls(bundle, open_backend(backend, bundle, precision=precision, threads=threads))
        except BaseException:
            bundle.close()
            raise

    @property
    def manifest(self) -> Manifest:
        """The bundle's contract: classes, colours, sizes, parity."""
        return self.bundle.manifest

    def stream(self) -> Stream:
        """A new stream, with buffers of its own and the weights shared.

        Raises:
            StreamError: the segmenter is closed.
            BackendError: the engine could not make the buffers.
        """
        with self._lock:
            if self._closed:
                raise StreamError("stream() was called on a closed segmenter; open the bundle again")
            session = self.backend.session()
            try:
                stream = Stream(
                    self.manifest.at(self.backend.precision),
                    session,
                    bundle_digest=self.bundle.digest,
                    precision=self.backend.precision,
                )
            except BaseException:
                session.close()
                raise
            self._streams.add(stream)
            return stream

    def close(self) -> None:
        """Close all streams and release the weights. Safe to call twice.

        Raises:
            StreamError: another thread is inside a stream; call it again when that thread is done.
        """
        with self._lock:
            self._closed = True
            for stream in list(self._streams):
                stream.close()
            self.backend.close()
            self.bundle.close()

    def __enter__(self) -> Segmenter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
