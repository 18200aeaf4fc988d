"""Against a real Triton server, which `tests/triton_server/make_venv.sh` installs; TDNET_TRITON_SERVER names its program.

It has the Python backend alone. Of the models that are one graph it shows what its core makes of their configuration: the
states that a sequence begins with, given to a model in Python that counts them.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.runtime.transports.processes import free_port

from tdnet_export.triton.config_text import config_text
from tdnet_export.triton.configs import graph_config, python_config
from tdnet_export.triton.options import TritonOptions
from tdnet_export.triton.repository import write_models
from tdnet_runtime import BackendError, Segmenter
from tdnet_runtime.bundle import Bundle
from tdnet_runtime.media.scene import render
from tdnet_runtime.serving.address import TritonAddress
from tdnet_runtime.serving.http_model import HttpModel, ServerRefusedError
from tdnet_runtime.serving.remote import RemoteSegmenter

pytestmark = pytest.mark.slow

NAME, HASTY = "td4-psp18", "hasty"
PATIENT_S, IDLE_S = 600.0, 3.0
"""Of the models; the hasty one gives sequences up, the others must not, however busy the machine is."""
COUNTS_STATES = """
import numpy as np
import triton_python_backend_utils as utils


class TritonPythonModel:
    def initialize(self, args):
        self.names = [state["input_name"] for state in utils_config(args)]

    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        states = {name: utils.get_input_tensor_by_name(request, name).as_numpy() for name in self.names}
        nonzero = sum(int(np.count_nonzero(values.view(np.uint8))) for values in states.values())
        image = utils.get_input_tensor_by_name(request, "image").as_numpy()
        labels = np.full(image.shape[:3], len(states), np.uint8)
        told = np.array([nonzero], np.int32)
        return utils.InferenceResponse([utils.Tensor("labels", labels), utils.Tensor("frame_index", told)])


def utils_config(args):
    import json

    return json.loads(args["model_config"])["sequence_batching"]["state"]
"""


def direct(bundle: Bundle) -> str:
    """The Python backend's model, with the other strategy: one sequence at a time where there are no batches."""
    config: dict[str, Any] = dict(python_config("direct", bundle, streams=1, idle_s=PATIENT_S))
    batching = dict(config["sequence_batching"])
    del batching["oldest"]
    return config_text(config | {"sequence_batching": batching | {"direct": {}}})


def states(bundle: Bundle) -> str:
    """The joined graph's configuration, for a model in Python."""
    config: dict[str, Any] = dict(
        graph_config("states", "onnxruntime", bundle, precision="fp32", streams=2, idle_s=PATIENT_S)
    )
    del config["default_model_filename"]
    return config_text(config | {"backend": "python"})


@pytest.fixture(scope="module")
def repository(tiny_bundle: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("triton") / "models"
    write_models(tiny_bundle(NAME), TritonOptions(folder=folder, streams=2, idle_s=PATIENT_S))
    hasty = folder.parent / f"{HASTY}.plan"
    hasty.write_bytes(tiny_bundle(NAME).read_bytes())
    write_models(hasty, TritonOptions(folder=folder, streams=2, idle_s=IDLE_S))
    with Bundle.open(tiny_bundle(NAME)) as bundle:
        for name, text in (("direct", direct(bundle)), ("states", states(bundle))):
            (folder / name / "1").mkdir(parents=True)
            (folder / name / "config.pbtxt").write_text(text)
    for part in ("model.py", "bundle.plan"):
        (folder / "direct/1" / part).write_bytes((folder / NAME / "1" / part).read_bytes())
    (folder / "states/1/model.py").write_text(COUNTS_STATES)
    return folder


@contextlib.contextmanager
def running(repository: Path, log: Path) -> Iterator[int]:
    """A server on the loopback; gives its HTTP port when it is ready."""
    program = os.environ.get("TDNET_TRITON_SERVER")
    if not program:
        pytest.skip("TDNET_TRITON_SERVER names no Triton server; see tests/triton_server/make_venv.sh")
    http, grpc = free_port(), free_port()
    addresses = (
        f"--http-port={http}",
        f"--grpc-port={grpc}",
        "--http-address=127.0.0.1",
        "--grpc-address=127.0.0.1",
    )
    command = [program, f"--model-repository={repository}", *addresses, "--allow-metrics=false"]
    own = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    with log.open("wb") as words:
        process = subprocess.Popen(
            command, env=own | {"ORT_DISABLE_TELEMETRY": "1"}, stdout=words, stderr=words
        )
        try:
            until_s = time.monotonic() + 600  # a hang: some seconds are enough on an idle machine
            while not is_ready(http):
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < until_s, log.read_text()
                time.sleep(0.2)
            yield http
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(60)
            finally:
                process.kill()


def is_ready(port: int) -> bool:
    with (
        contextlib.suppress(OSError),
        urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/health/ready", timeout=5) as answer,
    ):
        return bool(answer.status == 200)
    return False


@pytest.fixture(scope="module")
def port(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with running(repository, tmp_path_factory.mktemp("log") / "server.log") as port:
        yield port


@pytest.fixture
def remote(port: int) -> Iterator[RemoteSegmenter]:
    with RemoteSegmenter(f"triton://127.0.0.1:{port}/{NAME}?timeout=600") as remote:
        yield remote


@pytest.fixture
def hasty(port: int) -> Iterator[RemoteSegmenter]:
    with RemoteSegmenter(f"triton://127.0.0.1:{port}/{HASTY}?timeout=600") as hasty:
        yield hasty


@pytest.fixture
def local(tiny_bundle: Callable[[str], Path]) -> Iterator[Segmenter]:
    with Segmenter.open(tiny_bundle(NAME), backend="onnxruntime") as segmenter:
        yield segmenter


def frame(t: int) -> np.ndarray:
    return render(t, height=65, width=97)


def test_it_is_the_server_that_was_asked_for(remote: RemoteSegmenter, local: Segmenter) -> None:
    assert remote.manifest == local.manifest
    assert remote.bundle.digest == local.bundle.digest
    assert remote.backend.description.startswith("triton 2.")


def test_two_interleaved_sequences_over_3m_plus_2_frames(remote: RemoteSegmenter, local: Segmenter) -> None:
    with (
        remote.stream() as one,
        remote.stream() as two,
        local.stream() as first,
        local.stream() as second,
    ):
        for start in (0, 100):  # and again after a reset
            for index in range(14):
                for there, here, begin in ((one, first, start), (two, second, start + 50)):
                    found, expected = (stream.push(frame(begin + index)) for stream in (there, here))
                    np.testing.assert_array_equal(found.labels, expected.labels)
                    assert (found.path, found.cold) == (expected.path, expected.cold)
            for stream in (one, two, first, second):
                stream.reset()


def infer(
    model: HttpModel, sequence: int | str, t: int | None = 0, *, start: bool = False, end: bool = False
) -> Any:
    inputs = {} if t is None else {"image": frame(t)[None]}
    parameters = {"sequence_id": sequence, "sequence_start": start, "sequence_end": end}
    return model.infer(inputs, parameters)


def test_starts_and_ends(port: int, local: Segmenter) -> None:
    """As any client may mark them, with numbers and with names for sequences."""
    model = HttpModel(TritonAddress("127.0.0.1", port, NAME, 600))
    with contextlib.closing(model), local.stream() as stream:
        cold = stream.push(frame(0)).labels
        for sequence in (7, "front"):
            with pytest.raises(ServerRefusedError, match="must specify the START flag"):
                infer(model, sequence)
            np.testing.assert_array_equal(infer(model, sequence, start=True)["labels"][0], cold)
            assert infer(model, sequence)["frame_index"].tolist() == [1]
            assert infer(model, sequence, start=True)["frame_index"].tolist() == [0]
            with pytest.raises(ServerRefusedError, match="without an image must end"):
                infer(model, sequence, None)
            assert infer(model, sequence)["frame_index"].tolist() == [1]
            assert infer(model, sequence, None, end=True) == {}
            with pytest.raises(ServerRefusedError, match="must specify the START flag"):
                infer(model, sequence)
            assert infer(model, sequence, start=True, end=True)["frame_index"].tolist() == [0]
        with pytest.raises(ServerRefusedError, match="non-zero"):
            infer(model, 0, start=True)


def test_an_idle_sequence_is_given_up_and_begins_anew_cold(hasty: RemoteSegmenter, local: Segmenter) -> None:
    with hasty.stream() as stream, local.stream() as expected:
        stream.push(frame(0))
        time.sleep(2 * IDLE_S)
        with pytest.raises(BackendError, match=r"given this sequence up.*call reset\(\)"):
            stream.push(frame(1))
        stream.reset()
        found = stream.push(frame(2))
        assert (found.frame_index, found.cold) == (0, True)
        np.testing.assert_array_equal(found.labels, expected.push(frame(2)).labels)


def test_a_third_client_waits_for_a_place(remote: RemoteSegmenter, local: Segmenter) -> None:
    done = threading.Event()
    found: list[np.ndarray] = []

    def third() -> None:
        with remote.stream() as stream:
            found.extend(stream.push(frame(t)).labels for t in range(5))
        done.set()

    with remote.stream() as one, remote.stream() as two:
        thread = threading.Thread(target=third)
        for t in range(3):
            one.push(frame(t))
            two.push(frame(t))
            if t == 0:
                thread.start()
            assert not done.wait(0.5)
        one.close()
        assert done.wait(600)
        thread.join()
        assert two.push(frame(3)).frame_index == 3  # who has a place keeps it
    with local.stream() as stream:
        for t, labels in enumerate(found):
            np.testing.assert_array_equal(labels, stream.push(frame(t)).labels)


def test_a_third_client_gets_the_place_of_an_idle_one(hasty: RemoteSegmenter) -> None:
    with hasty.stream() as one, hasty.stream() as two, hasty.stream() as third:
        one.push(frame(0))
        two.push(frame(0))
        assert third.push(frame(0)).frame_index == 0  # some seconds later
        time.sleep(2 * IDLE_S)  # by now the other one's, too, whichever it was
        with pytest.raises(BackendError, match="given this sequence up"):
            one.push(frame(1))


def test_the_other_strategy(port: int, local: Segmenter) -> None:
    with (
        RemoteSegmenter(f"triton://127.0.0.1:{port}/direct?timeout=600") as remote,
        remote.stream() as there,
        local.stream() as here,
    ):
        for t in range(6):
            np.testing.assert_array_equal(there.push(frame(t)).labels, here.push(frame(t)).labels)


def test_a_joined_graphs_states_begin_as_zeros(port: int, local: Segmenter) -> None:
    """What the server's core makes of the configuration; no backend here keeps what a graph gives."""
    state = local.manifest.state
    model = HttpModel(TritonAddress("127.0.0.1", port, "states", 600))
    with contextlib.closing(model):
        for start in (True, False, True):
            answer = infer(model, 5, start=start)
            assert answer["frame_index"].tolist() == [0]  # bytes that are not 0
            assert np.unique(answer["labels"]).tolist() == [1 + state.slots * len(state.entry)]


def test_tdnet_run_gives_the_same_files(
    command, port: int, tiny_bundle: Callable[[str], Path], tmp_path: Path
) -> None:  # type: ignore[no-untyped-def]
    cv2 = pytest.importorskip("cv2")
    (tmp_path / "in").mkdir()
    for t in range(9):
        image = render(t, height=90, width=120)[..., ::-1]
        assert cv2.imwrite(str(tmp_path / "in" / f"{t}.png"), image)
    written = []
    for name, engine in (
        ("here", (tiny_bundle(NAME), "--backend", "onnxruntime")),
        ("there", (f"triton://127.0.0.1:{port}/{NAME}?timeout=600",)),
    ):
        done = command(
            "tdnet-run", "--engine", *engine, "--input", tmp_path / "in", "--labels", tmp_path / name
        )
        assert done.returncode == 0, done.stderr
        written.append({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()})
    assert len(written[0]) == 9
    assert written[0] == written[1]


def test_the_example(port: int, tmp_path: Path) -> None:
    """With NVIDIA's client: of this environment, or of the server's own."""
    cv2 = pytest.importorskip("cv2")
    video = cv2.VideoWriter(str(tmp_path / "in.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 10, (97, 65))
    for t in range(5):
        video.write(render(t, height=65, width=97)[..., ::-1])
    video.release()
    program = Path(__file__).parents[2] / "examples" / "triton_client.py"
    server = Path(os.environ["TDNET_TRITON_SERVER"]).parent / "bin" / "python"
    python = str(server) if server.exists() else sys.executable
    done = subprocess.run(
        [python, str(program), str(tmp_path / "in.avi"), NAME, f"127.0.0.1:{port}"],
        env={key: value for key, value in os.environ.items() if not key.startswith("PYTHON")},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    assert [line.partition(":")[0] for line in done.stdout.splitlines()] == [f"frame {t}" for t in range(5)]


def test_a_server_that_dies(repository: Path, tmp_path: Path) -> None:
    with running(repository, tmp_path / "log") as port:
        remote = RemoteSegmenter(f"triton://127.0.0.1:{port}/{NAME}?timeout=600")
        stream = remote.stream()
        stream.push(frame(0))
    with pytest.raises(
        BackendError, match=r"(cannot be reached|closed the connection).*call reset\(\)"
    ) as caught:
        stream.push(frame(1))
    assert "\n" not in str(caught.value)
    remote.close()
