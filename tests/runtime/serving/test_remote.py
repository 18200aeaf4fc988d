"""A bundle on a server used as if it were here, against a server that is none but speaks the same protocol."""

from __future__ import annotations

import contextlib
import json
import math
import os
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from tests.runtime.serving.conftest import Server
from tests.runtime.test_stream import hand_made

from tdnet_runtime import BackendError, BundleError, FrameError, OptionError, Segmenter, StreamError
from tdnet_runtime.live import LiveSegmenter
from tdnet_runtime.manifest import Manifest
from tdnet_runtime.memory import require_own_labels
from tdnet_runtime.serving.address import TritonAddress, is_triton
from tdnet_runtime.serving.http_model import HttpModel
from tdnet_runtime.serving.remote import RemoteSegmenter, _always_attending
from tdnet_runtime.serving.remote_stream import RemoteStream


def answer_with(**more: object) -> bytes:
    """Good labels and an output without values."""
    labels = {"name": "labels", "datatype": "UINT8", "shape": [1, 4, 8]}
    outputs = [
        {**labels, "parameters": {"binary_data_size": 32}},
        {"shape": [0], "parameters": {"binary_data_size": 0}, **more},
    ]
    return json.dumps({"outputs": outputs}).encode() + bytes(32)


ENDLESS = answer_with(name="more", datatype="FP32", shape=[math.inf])
EMPTY_COUNT = answer_with(name="frame_index", datatype="INT32")
EMPTY_LOGITS = answer_with(name="logits", datatype="FP32")
CANNOT = "call reset\\(\\) before the next frame"


def frame(value: int = 0, size_hw: tuple[int, int] = (4, 8)) -> np.ndarray:
    return np.full((*size_hw, 3), value, np.uint8)


@pytest.fixture
def remote(served: Server) -> Iterator[RemoteSegmenter]:
    with RemoteSegmenter(served.address) as remote:
        yield remote


@pytest.fixture
def stream(remote: RemoteSegmenter) -> Iterator[RemoteStream]:
    with remote.stream() as stream:
        yield stream


def test_an_interrupt_while_a_frame_is_handed_out(
    stream: RemoteStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server has the frame and its caller has not."""
    stream.push(frame(1))

    def interrupt(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(stream._resizer, "take", interrupt)
        with pytest.raises(KeyboardInterrupt):
            stream.push(frame(2))
    with pytest.raises(StreamError, match=r"call reset\(\) first"):
        stream.push(frame(2))
    stream.reset()
    assert stream.push(frame(1)).frame_index == 0


def test_it_says_what_is_served(remote: RemoteSegmenter, served: Server, made_up_bundle: Path) -> None:
    with Segmenter.open(made_up_bundle, backend="fake") as segmenter:
        assert remote.manifest == segmenter.manifest
        assert remote.bundle.digest == segmenter.bundle.digest
    assert remote.bundle.path == served.address
    assert remote.backend.description == f"triton 2.51.0 at 127.0.0.1:{served.port}, model tiny (python)"


def test_results_are_the_segmenters(remote: RemoteSegmenter, made_up_bundle: Path) -> None:
    with (
        Segmenter.open(made_up_bundle, backend="fake") as segmenter,
        segmenter.stream() as here,
        remote.stream() as there,
        remote.stream() as other,
    ):
        for start in (0, 8):
            for index in range(8):
                other.push(frame(255 - index))
                expected, found = (
                    stream.push(frame(17 * index + start), stamp_ns=index) for stream in (here, there)
                )
                np.testing.assert_array_equal(found.labels, expected.labels)
                names = ("path", "cold", "frame_index", "stamp_ns", "confidence", "logits")
                assert [getattr(found, name) for name in names] == [getattr(expected, name) for name in names]
            here.reset()
            there.reset()


def test_frames_are_resized_here_and_labels_go_into_out(
    remote: RemoteSegmenter, made_up_bundle: Path
) -> None:
    pytest.importorskip("cv2")
    rng = np.random.default_rng(1)
    big = rng.integers(0, 256, (30, 50, 3), dtype=np.uint8)
    out = np.empty((30, 50), np.uint8)
    with (
        Segmenter.open(made_up_bundle, backend="fake") as segmenter,
        segmenter.stream() as here,
        remote.stream() as there,
    ):
        assert there.push(big, out=out).labels is out
        np.testing.assert_array_equal(out, here.push(big).labels)


def test_an_end_frees_the_place_once(remote: RemoteSegmenter, stream: RemoteStream, served: Server) -> None:
    stream.push(frame())
    stream.close()
    stream.close()
    (sequence, *_), last = served.seen
    assert last == (sequence, False, True, False)
    assert served.sequences == set()
    remote.stream().close()
    assert len(served.seen) == 2  # nothing was begun, and nothing is ended


def test_models_that_take_frames_alone_get_one_more_at_the_end(served: Server) -> None:
    served.config["input"] = [{"name": "image"}]
    with RemoteSegmenter(served.address) as remote, remote.stream() as stream:
        stream.push(frame())
    assert served.seen[-1][1:] == (False, True, True)


def test_networks_without_a_memory_end_nothing(served: Server) -> None:
    del served.config["sequence_batching"]
    with RemoteSegmenter(served.address) as remote, remote.stream() as stream:
        stream.push(frame())
    assert len(served.seen) == 1


def test_sequences_are_numbers_of_their_own(remote: RemoteSegmenter, served: Server) -> None:
    for _ in range(2):
        with remote.stream() as stream:
            stream.push(frame())
    numbers = {sequence for sequence, *_ in served.seen}
    assert len(numbers) == 2
    assert 0 not in numbers


def test_a_sequence_that_the_server_gave_up_does_not_go_on_unnoticed(
    stream: RemoteStream, served: Server
) -> None:
    stream.push(frame())
    served.sequences.clear()
    with pytest.raises(BackendError, match=f"START flag.*it has given this sequence up.*frame 1.*{CANNOT}"):
        stream.push(frame())
    with pytest.raises(StreamError, match=r"call reset\(\) first"):
        stream.push(frame())
    stream.reset()
    assert stream.push(frame()).frame_index == 0


def test_two_who_use_one_sequence_are_noticed(remote: RemoteSegmenter) -> None:
    with remote.stream() as first, remote.stream() as second:
        second._sequence = first._sequence
        first.push(frame())
        second.push(frame())  # which begins it anew
        second.push(frame())
        with pytest.raises(BackendError, match="has counted 2 frames before this one in the sequence"):
            first.push(frame())


def test_bad_frames_do_not_travel(stream: RemoteStream, served: Server) -> None:
    stream.push(frame())
    for bad in (frame(size_hw=(4, 9)), frame().astype(float), frame()[:, ::-1]):
        with pytest.raises(FrameError):
            stream.push(bad)
    with pytest.raises(FrameError, match="out"):
        stream.push(frame(), out=np.empty((3, 3), np.uint8))
    stream.prepare()
    assert len(served.seen) == 1
    assert stream.push(frame()).frame_index == 1


def test_closed_ones_say_so(remote: RemoteSegmenter, stream: RemoteStream) -> None:
    remote.close()
    for call in (lambda: stream.push(frame()), stream.prepare, stream.reset):
        with pytest.raises(StreamError, match="on a closed stream"):
            call()
    with pytest.raises(StreamError, match="on a closed segmenter"):
        remote.stream()


def test_a_stream_that_is_busy_keeps_no_other_one_open(served: Server) -> None:
    inside, leave = threading.Event(), threading.Event()
    served.model._sequences._most = 4
    remote = RemoteSegmenter(served.address)
    streams = [remote.stream() for _ in range(4)]
    for stream in streams:
        stream.push(frame())

    def wait(answer: bytes, head: int) -> tuple[int, bytes, int]:
        inside.set()
        leave.wait(30)
        return 200, answer, head

    served.spoil = wait
    with ThreadPoolExecutor(1) as pool:
        pushed = pool.submit(streams[1].push, frame())
        assert inside.wait(30)
        served.spoil = None
        try:
            with pytest.raises(StreamError, match=r"^close\(\) was called while another thread is inside"):
                remote.close()
            assert served.sequences == {streams[1]._sequence}
        finally:
            leave.set()
        assert pushed.result(30).frame_index == 1
    remote.close()
    assert served.sequences == set()


def test_a_forked_child_is_refused_and_touches_nothing(
    remote: RemoteSegmenter, stream: RemoteStream, served: Server
) -> None:
    stream.push(frame())
    child = os.fork()
    if child == 0:
        code = 1
        with contextlib.suppress(BaseException):
            stream.close()
            remote.close()
            try:
                stream.push(frame())
            except StreamError:
                code = 0
        os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert stream.push(frame()).frame_index == 1


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda answer, head: (0, b"", 0), "closed the connection before it had answered"),
        (lambda answer, head: (500, b'{"error":"two\\nlines"}', 0), "refuses: two lines"),
        (lambda answer, head: (503, b"<html>", 0), "refuses: HTTP status 503"),
        (lambda answer, head: (200, b"", 0), "not one of Triton's"),
        (lambda answer, head: (200, answer[:-1], head), "not one of Triton's"),
        (lambda answer, head: (200, answer, len(answer) + 1), "not one of Triton's"),
        (lambda answer, head: (200, b"[" * 9999, 9999), "not one of Triton's"),
        (lambda answer, head: (200, b"[]", 2), "not one of Triton's .*its JSON is a list"),
        (lambda answer, head: (200, b"null", 4), "not one of Triton's"),
        (lambda answer, head: (200, b'{"outputs":3}', 13), "not one of Triton's"),
        (lambda answer, head: (200, b'{"outputs":[3]}', 15), "not one of Triton's"),
        (lambda answer, head: (200, ENDLESS, len(ENDLESS) - 32), "not one of Triton's"),
        (lambda answer, head: (200, EMPTY_COUNT, len(EMPTY_COUNT) - 32), "has counted no frames"),
        (lambda answer, head: (200, EMPTY_LOGITS, len(EMPTY_LOGITS) - 32), r"float32 \[0\] for logits"),
        (lambda answer, head: (200, b'{"outputs":[]}', 14), "gave none for labels"),
        (lambda answer, head: (200, answer.replace(b"UINT8", b"BYTES"), head), "not one of Triton's"),
        (
            lambda answer, head: (200, answer.replace(b"[1, 4, 8]", b"[1, 8, 4]"), head),
            r"gave uint8 \[1, 8, 4\]",
        ),
        (lambda answer, head: (200, answer.replace(b"[1, 4, 8]", b"[-1,-4,8]"), head), "not one of Triton's"),
    ],
)
def test_answers_that_are_none(
    stream: RemoteStream,
    served: Server,
    spoil: Callable[[bytes, int], tuple[int, bytes, int]],
    words: str,
) -> None:
    served.spoil = spoil
    with pytest.raises(BackendError, match=f"(?s)({words}).*{CANNOT}") as caught:
        stream.push(frame())
    assert "\n" not in str(caught.value)
    served.spoil = None
    stream.reset()
    assert stream.push(frame()).frame_index == 0


def test_a_server_that_does_not_answer_is_not_waited_for_for_ever(served: Server) -> None:
    held = threading.Event()

    def wait(answer: bytes, head: int) -> tuple[int, bytes, int]:
        held.wait(20)
        return 200, answer, head

    with RemoteSegmenter(f"{served.address}?timeout=0.2") as remote:
        stream = remote.stream()
        served.spoil = wait
        with pytest.raises(BackendError, match=r"no answer within 0\.2 s.*all its places.*\?timeout=SECONDS"):
            stream.push(frame())
        served.spoil = None
        held.set()
        stream.reset()
        assert stream.push(frame()).frame_index == 0


def test_a_server_that_is_gone(served: Server, stream: RemoteStream) -> None:
    stream.push(frame())
    free = socket.create_server(("127.0.0.1", 0))
    port = free.getsockname()[1]
    free.close()
    with pytest.raises(BackendError, match=r"cannot be reached .*refused.*is it running"):
        RemoteSegmenter(f"triton://127.0.0.1:{port}/tiny")


@pytest.mark.parametrize("how", ["closes", "says why", "resets"])
def test_a_connection_that_is_closed_while_nobody_asks(how: str) -> None:
    """Two are, after their answers; the third one is in mid-request, which is not made again."""
    asked, closed, reads = [], threading.Semaphore(0), threading.Semaphore(0)
    answer = b'{"name":"triton","version":"2"}'

    def serve() -> None:
        for index in range(3):
            client, _ = listener.accept()
            with client:
                asked.append(client.recv(65536))
                if index == 2:
                    continue
                client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(answer), answer))
                if how == "says why":
                    client.sendall(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
                if how == "resets":
                    reads.acquire(timeout=20)  # or the answer would be lost
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            closed.release()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        address = TritonAddress.parse(f"triton://127.0.0.1:{listener.getsockname()[1]}/tiny?timeout=20")
        with contextlib.closing(HttpModel(address)) as model:
            for _ in range(2):
                assert model.server() == "triton 2"
                reads.release()
                assert closed.acquire(timeout=20)
            with pytest.raises(BackendError, match=r"closed the connection before it had answered \(Rem"):
                model.server()
        thread.join()
    assert len(asked) == 3


def test_other_models_and_other_servers(served: Server) -> None:
    with pytest.raises(BackendError, match="refuses: Request for unknown model"):
        RemoteSegmenter(served.address.replace("tiny", "huge"))
    parameters = served.config.pop("parameters")
    with pytest.raises(BackendError, match="'tiny' has no parameter 'tdnet_manifest': it was not written by"):
        RemoteSegmenter(served.address)
    served.config["parameters"] = parameters | {"tdnet_manifest": {"string_value": "{"}}
    with pytest.raises(Exception, match=r"manifest\.json"):
        RemoteSegmenter(served.address)
    served.config["parameters"] = parameters | {"tdnet_manifest": {"string_value": "{\ud800"}}
    with pytest.raises(BundleError, match=r"manifest\.json"):
        RemoteSegmenter(served.address)
    served.config["parameters"] = [parameters]
    with pytest.raises(BackendError, match="'tiny' has no parameter 'tdnet_manifest'"):
        RemoteSegmenter(served.address)
    served.config |= {"parameters": parameters, "input": ["image"]}
    with RemoteSegmenter(served.address) as remote, remote.stream() as stream:
        stream.push(frame())


def test_what_is_no_triton_server() -> None:
    """It greets, as many do."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def greet() -> None:
            client, _ = listener.accept()
            with client:
                client.sendall(b"220 mail.example ready\r\n")

        thread = threading.Thread(target=greet)
        thread.start()
        with pytest.raises(BackendError, match=r"does not speak HTTP.*8000.*8001"):
            RemoteSegmenter(f"triton://127.0.0.1:{listener.getsockname()[1]}/tiny")
        thread.join()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("triton://", "no address of a model"),
        ("triton://host", "names no model"),
        ("triton://host/", "names no model"),
        ("triton:host/model", "no address of a model"),
        ("triton:///model", "no address of a model"),
        ("triton://host:port/model", "no address of a model"),
        ("triton://host:99999/model", "no address of a model"),
        ("triton://host:0/model", "no address of a model"),
        ("triton://me:secret@host/model", "no address of a model"),
        ("triton://host/a/b", "names no model"),
        ("triton://host/model#1", "no address of a model"),
        ("triton://host/model?wait=3", "there is no 'wait'"),
        ("triton://host/model?timeout=", "timeout is ''"),
        ("triton://host/model?timeout=0", "timeout is '0'"),
        ("triton://host/model?timeout=nan", "timeout is 'nan'"),
        ("triton://[::1/model", "no address of a model"),
        ("triton://a..b/model", r"no address of a model \(.*label empty or too long\)"),
        (f"triton://{'a' * 64}.net/model", "no address of a model"),
        ("triton://münchen..de/model", "no address of a model"),
    ],
)
def test_addresses_that_are_none(text: str, words: str) -> None:
    assert is_triton(text)
    with pytest.raises(OptionError, match=words):
        TritonAddress.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "triton://me:hunter2@host/model",
        "triton://me:hunter2@host:port/model",
        "triton://me:hunter2@host",
        "triton://host/model?token=hunter2",
        "triton://host?password=hunter2",
        "triton://host/model?timeout=0&password=hunter2",
        "triton://host/model#?token=hunter2",
    ],
)
def test_messages_keep_secrets(text: str) -> None:
    with pytest.raises(OptionError) as caught:
        TritonAddress.parse(text)
    assert "hunter2" not in str(caught.value)
    assert "***" in str(caught.value)


def test_addresses() -> None:
    address = TritonAddress.parse("triton://[::1]:9000/td2-fa18/?timeout=1.5")
    assert (address.host, address.port, address.model, address.timeout_s) == ("::1", 9000, "td2-fa18", 1.5)
    assert address.server == "[::1]:9000"
    assert not any(map(is_triton, ("triton.plan", "./triton:x", Path("triton:x"))))


def test_several_cameras_live(remote: RemoteSegmenter) -> None:
    from tdnet_runtime.sources.arrays import ArraySource

    sources = {
        name: ArraySource([frame(10 * index + start) for index in range(6)])
        for name, start in (("front", 0), ("rear", 100))
    }
    results: dict[str, list[int]] = {"front": [], "rear": []}
    with LiveSegmenter(
        remote, sources, on_result=lambda result: results[result.source].append(result.frame_index)
    ) as live:
        live.run()
    assert results == {"front": list(range(6)), "rear": list(range(6))}


def test_tdnet_run(command, served: Server, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    cv2 = pytest.importorskip("cv2")
    (tmp_path / "in").mkdir()
    for index in range(3):
        assert cv2.imwrite(str(tmp_path / "in" / f"{index}.png"), frame(60 * index))
    done = command(
        "tdnet-run",
        "--engine",
        served.address,
        "--input",
        tmp_path / "in",
        "--labels",
        tmp_path / "out",
        "--json",
        "-",
    )
    assert (done.returncode, done.stderr) == (0, done.stderr)
    document = json.loads(done.stdout)
    assert document["backend"]["name"] == "triton"
    assert document["bundle"]["path"] == served.address
    assert len(list((tmp_path / "out").iterdir())) == 3
    assert served.seen[-1][2]  # the sequence was ended


@pytest.mark.parametrize(
    "option", [("--backend", "fake"), ("--precision", "fp32"), ("--threads", 1), ("--sha256", "0" * 64)]
)
def test_options_that_only_a_bundle_has(command, served: Server, tmp_path: Path, option) -> None:  # type: ignore[no-untyped-def]
    cv2 = pytest.importorskip("cv2")
    assert cv2.imwrite(str(tmp_path / "0.png"), frame())
    done = command("tdnet-run", "--engine", served.address, "--input", tmp_path, *option)
    assert done.returncode == 1
    assert f"{option[0]} goes with a bundle here" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("paths", [2, 4])
def test_what_a_server_cannot_is_not_in_its_manifest(tiny_manifest: Manifest, paths: int) -> None:
    """So that the mode without attention is refused before the first frame."""
    manifest = hand_made(tiny_manifest, paths, own=True)
    found = _always_attending(manifest)
    assert manifest.own_graphs
    assert not found.own_graphs
    assert found == hand_made(tiny_manifest, paths)
    with pytest.raises(OptionError, match="a Triton server's models never have"):
        require_own_labels(found, asked="no_attention")
