"""A bundle opened on an engine: the weights, shared by all streams."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Literal, overload

import tdnet_runtime  # for what it imports where it is asked for
from tdnet_runtime.backends import open_backend
from tdnet_runtime.backends.base import Backend, DeviceBackend, DeviceSession, Session
from tdnet_runtime.bundle import Bundle
from tdnet_runtime.closeable import Closeable, close_all
from tdnet_runtime.errors import BackendError, OptionError, StreamError
from tdnet_runtime.forks import ForkBound
from tdnet_runtime.manifest import Manifest
from tdnet_runtime.stream import Stream

__all__ = ["Segmenter"]


class Segmenter(Closeable, ForkBound):
    """A verified bundle on one backend. Thread-safe; streams are not shared between threads.

    A signal handler may close it: see `close`. In a child that is forked from its process it is dead, its streams as well:
    every use raises StreamError, and closing does nothing (docs/streaming.md, Processes).

    Attributes:
        bundle: the verified file.
        backend: the engine in use; `backend.description` says which.
    """

    def __init__(self, bundle: Bundle, backend: Backend) -> None:
        self.bundle = bundle
        self.backend = backend
        self._streams: weakref.WeakSet[Stream | tdnet_runtime.DeviceStream] = weakref.WeakSet()
        self._closed = False
        self._lock = threading.RLock()  # of opening streams and closing; a signal handler comes in again
        self._at_work = False  # a stream is being opened, or all are being closed, under the lock

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        *,
        backend: str = "auto",
        precision: str | None = None,
        threads: int | None = None,
        sha256: str | None = None,
    ) -> Segmenter:
        """Verify a bundle and load its graphs.

        Args:
            path: the `*.plan` file.
            backend: `tensorrt`, `tensorrt-rtx`, `cuda`, `openvino`, `onnxruntime`, `fake` (tests without an engine), or
                `auto`: the first of these that can run the bundle here; the log says why others were not taken.
            precision: `fp32`, `fp16`, `int8` or `int8_fp16` as the bundle has graphs (TensorRT's INT8 is the last one), or
                on `openvino` `bf16` or `int8-bf16`; None for the best that the backend runs unasked (a GPU FP16, a CPU
                FP32, INT8 where there is nothing else).
            threads: of the CPU for each graph; None for all that this process may use.
            sha256: of the whole file, as `sha256sum` prints it: no other bundle is opened (SECURITY.md).

        Raises:
            BundleError: the bundle cannot be trusted, or is not the one of `sha256`.
            BackendError: the engine is absent or cannot load the graphs, or there are none of that precision.
            OptionError: no backend or precision of that name, a thread count below 1, or no digest.
        """
        with ExitStack() as undo:
            bundle = undo.enter_context(Bundle.open_unread(path, sha256=sha256))
            try:
                opened = open_backend(backend, bundle, precision=precision, threads=threads)
            except (BackendError, OptionError):
                bundle.verify()  # that it is damaged says more
                raise
            undo.callback(opened.close)
            bundle.verify()
            segmenter = cls(bundle, opened)
            undo.pop_all()
            return segmenter

    @property
    def manifest(self) -> Manifest:
        """The bundle's contract: classes, colours, sizes, parity."""
        return self.bundle.manifest

    @overload
    def stream(self, *, labels: Literal["host"] = "host", cuda_stream: object | None = None) -> Stream: ...

    @overload
    def stream(
        self, *, labels: Literal["device"], cuda_stream: object | None = None
    ) -> tdnet_runtime.DeviceStream: ...

    def stream(
        self, *, labels: Literal["host", "device"] = "host", cuda_stream: object | None = None
    ) -> Stream | tdnet_runtime.DeviceStream:
        """A new stream, with buffers of its own and the weights shared.

        Args:
            labels: `host` for NumPy arrays; `device` to leave them on the GPU (docs/tensorrt.md), which only
                tensorrt and tensorrt-rtx offer.
            cuda_stream: the application's CUDA stream, to do all work on: an object with `__cuda_stream__`
                (torch, CuPy, cuda-core), a PyCUDA stream or an integer handle; None for one of its own. For
                tensorrt and tensorrt-rtx only.

        Raises:
            StreamError: the segmenter is closed, or a signal handler has closed it meanwhile, or this is a forked child.
            OptionError: the backend does not offer what was asked, or `cuda_stream` is not a stream.
            BackendError: the engine could not make the buffers.
        """
        self.require_own_process("stream()")
        with self._opening():
            session = self._session(labels, cuda_stream)
            try:
                stream = self._stream(session, labels)
                self._streams.add(stream)
            except BaseException:
                session.close()
                raise
        if self._closed:
            stream.close()  # which is done, but in a signal handler's own stream()
            raise StreamError(
                "stream() was interrupted by a signal handler that closed the segmenter, and gives no stream; open the "
                "bundle again"
            )
        return stream

    def _session(self, labels: str, cuda_stream: object | None) -> Session:
        if labels not in ("host", "device"):
            raise OptionError(f"labels is {labels!r}; expected 'host' or 'device'")
        if labels == "host" and cuda_stream is None:
            return self.backend.session()
        if isinstance(self.backend, DeviceBackend):
            return self.backend.device_session(labels_to_host=labels == "host", cuda_stream=cuda_stream)
        asked = "labels='device'" if labels == "device" else "a cuda_stream"
        raise OptionError(
            f"stream() was asked for {asked}; the backend {self.backend.name} has its tensors where only it gets at "
            "them. Open the bundle with backend='tensorrt' or 'tensorrt-rtx'."
        )

    def _stream(self, session: Session, labels: str) -> Stream | tdnet_runtime.DeviceStream:
        manifest, precision = self.manifest.at(self.backend.precision), self.backend.precision
        if labels == "device":
            assert isinstance(session, DeviceSession)  # see `_session`
            return tdnet_runtime.DeviceStream(
                manifest, session, bundle_digest=self.bundle.digest, precision=precision
            )
        return Stream(manifest, session, bundle_digest=self.bundle.digest, precision=precision)

    def close(self) -> None:
        """Close all streams and release the weights. Safe to call twice; nothing in a forked child.

        In a signal handler that interrupts `stream` or `close` of its own thread it returns at once, and what it
        interrupted closes everything: `stream` then raises StreamError.

        Raises:
            StreamError: a stream is at work, in another thread or interrupted by this signal handler; the others are
                closed. Call it again when that is done.
        """
        if self.stranded:
            return
        with self._lock:
            self._closed = True
            if not self._at_work:
                self._release()

    @property
    def busy(self) -> bool:
        """See `ForkBound`."""
        return self._at_work

    @contextmanager
    def _opening(self) -> Iterator[None]:
        """Hold the lock while a stream is opened; at the end, close where a signal handler asked for it."""
        with self._lock:
            if self._closed:
                raise StreamError("stream() was called on a closed segmenter; open the bundle again")
            nested = self._at_work  # in a signal handler
            try:
                self._at_work = True
                yield
            finally:
                self._at_work = nested
                if self._closed and not nested:
                    self._release()

    def _release(self) -> None:
        try:
            self._at_work = True
            close_all(self._streams)
            self.backend.close()
            self.bundle.close()
        finally:
            self._at_work = False
