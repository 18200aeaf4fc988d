"""A model on a Triton server, over HTTP: the KServe protocol with binary tensors, by Python's own library alone."""

from __future__ import annotations

import contextlib
import http.client
import json
import math
import socket
from collections.abc import Mapping
from http.client import HTTPMessage
from typing import Any

import numpy as np
import numpy.typing as npt

from tdnet_runtime.errors import BackendError
from tdnet_runtime.extras import one_line
from tdnet_runtime.serving.address import TritonAddress

__all__ = ["HttpModel", "ServerRefusedError", "Tensors"]

_HEADER_BYTES = "Inference-Header-Content-Length"
_DTYPES = {"UINT8": np.uint8, "INT32": np.int32, "INT64": np.int64, "FP16": np.float16, "FP32": np.float32}
_LONGEST_WORDS = 500
_CLOSED = (ConnectionResetError, ConnectionAbortedError, BrokenPipeError, http.client.IncompleteRead)
Tensors = dict[str, npt.NDArray[Any]]


class ServerRefusedError(BackendError):
    """The server understood the request and said no; the message has its words."""


class HttpModel:
    """One connection, opened when it is needed and kept; to be used by one thread at a time.

    It is opened anew where the other end has closed it since the last answer, as servers and proxies do after a pause. No
    request is made twice: a frame must not be.

    Args:
        address: of the model.
    """

    def __init__(self, address: TritonAddress) -> None:
        self._address = address
        self._connection: http.client.HTTPConnection | None = None

    @property
    def name(self) -> str:
        """Of the model."""
        return self._address.model

    def config(self) -> dict[str, Any]:
        """The model's configuration, as the server completed it.

        Raises:
            BackendError: no server, no such model, or one that is not ready.
        """
        return dict(self._json("GET", f"/v2/models/{self._address.model}/config"))

    def server(self) -> str:
        """Name and version of the server; BackendError where it does not answer."""
        told = self._json("GET", "/v2")
        return one_line(f"{told.get('name', 'server')} {told.get('version', '')}".strip())

    def infer(self, inputs: Mapping[str, npt.NDArray[Any]], parameters: Mapping[str, object]) -> Tensors:
        """The outputs by name; arrays that nobody else has.

        Args:
            inputs: uint8 tensors.
            parameters: of the request.

        Raises:
            ServerRefusedError: the server's own words.
            BackendError: no connection, no answer in time, or one that is none.
        """
        head = {
            "parameters": {"binary_data_output": True, **parameters},
            "inputs": [
                {
                    "name": name,
                    "shape": list(values.shape),
                    "datatype": "UINT8",
                    "parameters": {"binary_data_size": values.nbytes},
                }
                for name, values in inputs.items()
            ],
        }
        encoded = json.dumps(head).encode()
        body = b"".join([encoded, *(values.tobytes() for values in inputs.values())])
        headers = {"Content-Type": "application/octet-stream", _HEADER_BYTES: str(len(encoded))}
        answer, told = self._ask("POST", f"/v2/models/{self._address.model}/infer", body, headers)
        try:
            return _tensors(answer, int(told.get(_HEADER_BYTES, len(answer))))
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
            raise BackendError(
                f"{self._where}: the answer is not one of Triton's ({error}); is another server there?"
            ) from error

    def close(self) -> None:
        """Let go of the connection. Safe to call twice."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(OSError):
                connection.close()

    @property
    def _where(self) -> str:
        return f"the Triton server at {self._address.server}"

    def _json(self, method: str, path: str) -> Mapping[str, Any]:
        answer, _ = self._ask(method, path, None, {})
        try:
            found = json.loads(answer)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise BackendError(
                f"{self._where}: what answers is no Triton server; is the port its HTTP port (8000)?"
            )
        return found

    def _ask(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
    ) -> tuple[bytes, HTTPMessage]:
        """The answer's body and headers."""
        try:
            connection = self._open()
            connection.request(method, path, body=body, headers=dict(headers))
            response = connection.getresponse()
            answer = response.read()
        except BaseException as error:
            self.close()  # whatever of an answer is still on its way must not be taken for the next one's
            if not isinstance(error, (OSError, http.client.HTTPException)):
                raise
            raise BackendError(f"{self._where} {self._fault(error)}") from error
        if response.will_close:
            self.close()
        if response.status != 200:
            raise ServerRefusedError(f"{self._where} refuses: {_words(answer, response.status)}")
        return answer, response.headers

    def _open(self) -> http.client.HTTPConnection:
        if self._connection is not None and _is_over(self._connection.sock):
            self.close()
        if self._connection is None:
            address = self._address
            connection = http.client.HTTPConnection(address.host, address.port, timeout=address.timeout_s)
            connection.connect()
            connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._connection = connection
        return self._connection

    def _fault(self, error: OSError | http.client.HTTPException) -> str:
        if isinstance(error, TimeoutError):
            return (
                f"gave no answer within {self._address.timeout_s:g} s: it is busy, or all its places for sequences are "
                "taken; free one, or wait longer: ?timeout=SECONDS"
            )
        if isinstance(error, _CLOSED):
            return (
                f"closed the connection before it had answered ({type(error).__name__}); does it still run, and is the "
                "port its HTTP port (8000), not gRPC's (8001)?"
            )
        if isinstance(error, http.client.HTTPException):
            return f"does not speak HTTP ({type(error).__name__}); is the port its HTTP port (8000), not gRPC's (8001)?"
        reason = error.strerror or str(error) or type(error).__name__
        return f"cannot be reached ({one_line(reason)}); is it running, and is this its HTTP port?"


def _is_over(connected: socket.socket) -> bool:
    """The other end has closed the connection, or says something unasked: between two requests nothing is to come."""
    timeout_s = connected.gettimeout()
    connected.settimeout(0)
    try:
        connected.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    except OSError:
        return True
    finally:
        connected.settimeout(timeout_s)
    return True


def _words(answer: bytes, status: int) -> str:
    """What the server says of its refusal."""
    try:
        words = str(json.loads(answer)["error"])
    except (ValueError, KeyError, TypeError, RecursionError):
        words = f"HTTP status {status}"
    return one_line(words)[:_LONGEST_WORDS]


def _tensors(answer: bytes, head_bytes: int) -> Tensors:
    """What `infer` gives, out of the answer's JSON and the bytes behind it."""
    if not 0 < head_bytes <= len(answer):
        raise ValueError(f"its JSON is said to have {head_bytes} bytes of {len(answer)}")
    head = json.loads(answer[:head_bytes])
    if not isinstance(head, dict):
        raise ValueError(f"its JSON is a {type(head).__name__}")
    offset, tensors = head_bytes, {}
    for output in head.get("outputs", []):
        dtype = np.dtype(_DTYPES[output["datatype"]])
        shape = [int(side) for side in output["shape"]]
        nbytes = int(output["parameters"]["binary_data_size"])
        if (
            min(shape, default=0) < 0
            or nbytes != math.prod(shape) * dtype.itemsize
            or nbytes > len(answer) - offset
        ):
            raise ValueError(f"{output['name']!r} has {nbytes} bytes for the shape {shape}")
        flat = np.frombuffer(answer, dtype=dtype, count=math.prod(shape), offset=offset)
        tensors[str(output["name"])] = flat.reshape(shape).copy()
        offset += nbytes
    return tensors
