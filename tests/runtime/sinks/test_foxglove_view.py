"""What a browser gets, by a client of the protocol."""

import itertools
import json
import socket
import struct
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from tests.runtime.sinks.conftest import make_result
from tests.runtime.sources.logs import S

from tdnet_runtime.errors import MediaError, OptionError
from tdnet_runtime.sinks.registry import open_sink

pytest.importorskip("foxglove", reason="foxglove-sdk is not installed")


@pytest.fixture
def port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def listening(port):
    """Addresses that something listens at, by the kernel's table."""
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with open(table) as lines:  # noqa: PTH123
            for line in list(lines)[1:]:
                address, state = line.split()[1], line.split()[3]
                host, number = address.split(":")
                if state == "0A" and int(number, 16) == port:
                    found.add(host)
    return found


def test_on_loopback_alone_and_only_while_it_is_open(network, port):
    with open_sink(f"foxglove://127.0.0.1:{port}", network) as sink:
        sink.write(make_result(0))  # nobody looks
        assert listening(port) == {"0100007F"}
        with pytest.raises(
            MediaError, match=rf"is the port in use\? Name another: foxglove://127.0.0.1:{port + 1}"
        ):
            open_sink(f"foxglove://127.0.0.1:{port}", network)
    assert listening(port) == set()
    sink.close()
    with pytest.raises(MediaError, match="it was closed before"):
        sink.write(make_result(0))


def test_the_default_address(network, monkeypatch):
    from tdnet_runtime.sinks import foxglove_view

    opened = {}
    server = SimpleNamespace(port=8765, stop=lambda: None)
    monkeypatch.setattr(
        foxglove_view.foxglove, "start_server", lambda **options: opened.update(options) or server
    )
    open_sink("foxglove://", network)
    assert (opened["host"], opened["port"]) == ("127.0.0.1", 8765)


def test_what_a_viewer_gets(network, port):
    client = pytest.importorskip("websockets.sync.client", reason="websockets is not installed")
    with (
        open_sink(f"foxglove://127.0.0.1:{port}?topic=/seg", network) as sink,
        client.connect(f"ws://127.0.0.1:{port}", subprotocols=["foxglove.sdk.v1"], max_size=None) as viewer,
    ):
        sink.write(make_result(0, confidence=True))  # makes the channels known
        channels = {}
        while len(channels) < 5:
            message = json.loads(viewer.recv(timeout=20))
            for channel in message.get("channels", []):
                channels[channel["topic"]] = channel
        assert set(channels) == {
            "/seg/overlay",
            "/seg/mask",
            "/seg/confidence",
            "/seg/timing",
            "/seg/classes",
        }
        wanted = {1: channels["/seg/mask"], 2: channels["/seg/timing"]}
        subscriptions = [{"id": number, "channelId": channel["id"]} for number, channel in wanted.items()]
        viewer.send(json.dumps({"op": "subscribe", "subscriptions": subscriptions}))
        got = {}
        index = 1
        while set(got) != {1, 2}:
            sink.write(make_result(index, confidence=True))
            index += 1
            try:
                message = viewer.recv(timeout=0.2)
            except TimeoutError:
                continue
            if isinstance(message, bytes) and message[0] == 1:
                number, log_time = struct.unpack_from("<IQ", message, 1)
                got.setdefault(number, (log_time, message[13:]))
    timing = json.loads(got[2][1])
    assert timing["stage_ms"]["infer"] == 20.0 + timing["frame_index"]
    log_time, mask = got[1]
    place = mask.find(b"\x89PNG")
    labels = cv2.imdecode(np.frombuffer(mask[place:], np.uint8), cv2.IMREAD_UNCHANGED)
    shown = (log_time - S) // (S // 10)
    np.testing.assert_array_equal(labels, make_result(shown).labels)


@pytest.mark.parametrize("before", [0, 3])
def test_the_classes_reach_viewers_whenever_they_come(network, port, monkeypatch, before):
    client = pytest.importorskip("websockets.sync.client", reason="websockets is not installed")
    from tdnet_runtime.sinks import foxglove_view

    clock = itertools.count(100.0, 0.5)
    monkeypatch.setattr(foxglove_view, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    address = f"ws://127.0.0.1:{port}"
    with open_sink(f"foxglove://127.0.0.1:{port}", network) as sink:
        for index in range(before):
            sink.write(make_result(index))
        with client.connect(address, subprotocols=["foxglove.sdk.v1"], max_size=None) as viewer:
            got = None
            for index in range(before, 100):
                sink.write(make_result(index))
                try:
                    message = viewer.recv(timeout=0.05)
                except TimeoutError:
                    continue
                if isinstance(message, bytes):
                    got = message
                    break
                for channel in json.loads(message).get("channels", []):
                    if channel["topic"] == "/segmentation/classes":
                        wanted = [{"id": 1, "channelId": channel["id"]}]
                        viewer.send(json.dumps({"op": "subscribe", "subscriptions": wanted}))
    assert got is not None
    told = json.loads(got[13:])["classes"]
    assert [each["name"] for each in told] == ["road", "sky", "car"]


@pytest.mark.parametrize(
    "spec", ["foxglove:here", "foxglove://a:b", "foxglove://127.0.0.1:99999", "foxglove://x/y/z"]
)
def test_addresses_that_cannot_be_meant(network, spec):
    with pytest.raises(OptionError, match="expected foxglove://HOST:PORT"):
        open_sink(spec, network)
