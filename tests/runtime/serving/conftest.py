"""A server that is none: the model of Triton's Python backend behind Python's own HTTP server, over the KServe protocol."""

from __future__ import annotations

import json
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tdnet_runtime.bundle import Bundle
from tdnet_runtime.serving.parameters import BACKEND, BUNDLE, MANIFEST
from tdnet_runtime.serving.python_model import TritonPythonModel

TYPES = {"uint8": "UINT8", "int32": "INT32", "float32": "FP32"}


class Tensor:
    def __init__(self, name: str, values: np.ndarray) -> None:
        self._name, self._values = name, values

    def name(self) -> str:
        return self._name

    def as_numpy(self) -> np.ndarray:
        return self._values

    def __dlpack__(self, **options: object) -> object:
        return self._values.copy().__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return 1, 0  # the CPU


class Request:
    """As the Python backend hands it over."""

    def __init__(self, sequence: int | str, flags: int = 0, **tensors: np.ndarray) -> None:
        self._sequence, self._flags = sequence, flags
        self.tensors = {name: Tensor(name, values) for name, values in tensors.items()}

    def correlation_id(self) -> int | str:
        return self._sequence

    def flags(self) -> int:
        return self._flags


@pytest.fixture
def backend_utils(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """What only a server's own process has, as far as the model uses it."""
    utils = SimpleNamespace(
        Tensor=Tensor,
        TritonError=str,
        InferenceResponse=lambda output_tensors, error=None: SimpleNamespace(
            tensors={tensor.name(): tensor.as_numpy() for tensor in output_tensors}, error=error
        ),
        get_input_tensor_by_name=lambda request, name: request.tensors.get(name),
    )
    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", utils)
    return utils


def config_of(bundle: Path, **changes: Any) -> dict[str, Any]:
    """A model's configuration as a server tells it."""
    with Bundle.open(bundle) as opened:
        manifest = opened.read("manifest.json").decode()
    parameters = {MANIFEST: manifest, BACKEND: "fake"}
    return {
        "name": "tiny",
        "backend": "python",
        "max_batch_size": 0,
        "input": [{"name": "image", "optional": True}],
        "sequence_batching": {
            "max_sequence_idle_microseconds": 10_000_000,
            "oldest": {"max_candidate_sequences": 2},
        },
        "parameters": {key: {"string_value": value} for key, value in parameters.items()},
    } | changes


@pytest.fixture
def make_model(
    backend_utils: SimpleNamespace, made_up_bundle: Path, tmp_path: Path
) -> Iterator[Callable[..., TritonPythonModel]]:
    """make_model(**changes of the configuration): a model of the tiny bundle on the fake backend."""
    made = []
    version = tmp_path / "repository" / "1"
    version.mkdir(parents=True)
    shutil.copy(made_up_bundle, version / BUNDLE)

    def make(**changes: Any) -> TritonPythonModel:
        model = TritonPythonModel()
        model.initialize(
            {
                "model_config": json.dumps(config_of(made_up_bundle, **changes)),
                "model_repository": str(version.parent),
                "model_version": "1",
            }
        )
        made.append(model)
        return model

    yield make
    for model in made:
        model.finalize()


class Server:
    """Answers as Triton does, for one model; `config` and `spoil` may be changed by a test."""

    def __init__(self, model: TritonPythonModel, config: dict[str, Any]) -> None:
        self.config = config
        self.model = model
        self.sequences: set[int] = set()
        self.seen: list[tuple[int, bool, bool, bool]] = []  # sequence, start, end, with a frame
        self.spoil: Callable[[bytes, int], tuple[int, bytes, int]] | None = None
        self.delay_s = threading.Event()
        self.lock = threading.Lock()
        handler = type("Handler", (_Handler,), {"server_of": self})
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._http.daemon_threads = True
        self.port = self._http.server_address[1]
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,))
        self._thread.start()

    @property
    def address(self) -> str:
        return f"triton://127.0.0.1:{self.port}/tiny"

    def close(self) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()

    def infer(self, body: bytes, head_bytes: int) -> tuple[int, bytes, int]:
        head = json.loads(body[:head_bytes])
        asked, offset, tensors = head["parameters"], head_bytes, {}
        for each in head["inputs"]:
            size = each["parameters"]["binary_data_size"]
            tensors[each["name"]] = np.frombuffer(body[offset : offset + size], np.uint8).reshape(
                each["shape"]
            )
            offset += size
        sequence, start, end = asked["sequence_id"], asked["sequence_start"], asked["sequence_end"]
        self.seen.append((sequence, start, end, bool(tensors)))
        if not start and sequence not in self.sequences:
            words = f"inference request for sequence {sequence} to model 'tiny' must specify the START flag on the first"
            return 400, json.dumps({"error": words}).encode(), 0
        (self.sequences.discard if end else self.sequences.add)(sequence)
        with self.lock:
            (answer,) = self.model.execute([Request(sequence, start | end << 1, **tensors)])
        if answer.error is not None:
            return 500, json.dumps({"error": answer.error}).encode(), 0
        outputs = [
            {
                "name": name,
                "datatype": TYPES[str(values.dtype)],
                "shape": values.shape,
                "parameters": {"binary_data_size": values.nbytes},
            }
            for name, values in answer.tensors.items()
        ]
        encoded = json.dumps({"outputs": outputs}).encode()
        return (
            200,
            encoded + b"".join(values.tobytes() for values in answer.tensors.values()),
            len(encoded),
        )


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_of: Server

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        if self.path == "/v2":
            self._send(200, json.dumps({"name": "triton", "version": "2.51.0"}).encode(), 0)
        elif self.path == "/v2/models/tiny/config":
            self._send(200, json.dumps(self.server_of.config).encode(), 0)
        else:
            self._send(400, b'{"error":"Request for unknown model: it is not found"}', 0)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        status, answer, head = self.server_of.infer(
            body, int(self.headers["Inference-Header-Content-Length"])
        )
        if self.server_of.spoil is not None:
            status, answer, head = self.server_of.spoil(answer, head)
        if status:
            self._send(status, answer, head)
        else:
            self.close_connection = True

    def _send(self, status: int, body: bytes, head: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if head:
            self.send_header("Inference-Header-Content-Length", str(head))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def served(make_model: Callable[..., TritonPythonModel], made_up_bundle: Path) -> Iterator[Server]:
    """The tiny bundle, served on the loopback."""
    server = Server(make_model(), config_of(made_up_bundle))
    yield server
    server.close()
