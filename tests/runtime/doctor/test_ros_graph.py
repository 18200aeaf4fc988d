"""ROS: buffers, variables, and a router that is there, or is not."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from tdnet_runtime.doctor.findings import State
from tdnet_runtime.doctor.ros_graph import check_ros

RMEM = "/proc/sys/net/core/rmem_max"
VARIABLES = ("ROS_DOMAIN_ID", "RMW_IMPLEMENTATION")


@pytest.fixture(autouse=True)
def _no_ros(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def port() -> Iterator[int]:
    """Of somebody who listens on the loopback."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.mark.parametrize(
    ("limit", "state"),
    [("212992\n", State.WARNING), ("4194304\n", State.OK), ("", State.NOTE), ("?", State.NOTE)],
)
def test_receive_buffers(host_with, by_name, limit: str, state: State) -> None:
    found = by_name(check_ros(host_with({RMEM: limit} if limit else {})))["receive buffers"]
    assert found.state is state
    assert found.fix == ("sudo sysctl -w net.core.rmem_max=4194304" if state is State.WARNING else "")


def test_the_environment_decides(host_with, by_name, monkeypatch: pytest.MonkeyPatch) -> None:
    environ = {
        "ROS_DOMAIN_ID": "42",
        "RMW_IMPLEMENTATION": "rmw_fastrtps_cpp",
        "CYCLONEDDS_URI": "file:///x.xml",
    }
    for name in VARIABLES:
        monkeypatch.setenv(name, environ[name])
    found = by_name(check_ros(host_with(environ=environ)))
    assert found["settings"].facts == {"domain": 42, "rmw": "dds"}
    assert found["variables"].text == "CYCLONEDDS_URI=file:///x.xml"


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("ROS_DOMAIN_ID", "240", "from 0 to 232"),
        ("ROS_DOMAIN_ID", "x", "from 0"),
        ("RMW_IMPLEMENTATION", "rmw_x", "rmw_x"),
    ],
)
@pytest.mark.parametrize(("url", "state"), [(None, State.WARNING), ("ros2://", State.BROKEN)])
def test_values_that_cannot_be_meant(
    host_with, by_name, monkeypatch: pytest.MonkeyPatch, name: str, value: str, words: str, url, state: State
) -> None:
    monkeypatch.setenv(name, value)
    found = list(check_ros(host_with(environ={name: value}), url=url))
    settings = next(each for each in found if each.name == "settings")
    assert (settings.state, words in settings.text) == (state, True), settings
    assert not [each for each in found if each.name == "Zenoh router"]


def test_a_router_is_asked_only_when_named(
    host_with, by_name, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "create_connection", lambda *_, **__: pytest.fail("nobody asked for it"))
    assert "Zenoh router" not in by_name(check_ros(host_with()))
    assert "Zenoh router" not in by_name(check_ros(host_with(), url="ros2://?rmw=dds"))


@pytest.mark.parametrize("address", ["tcp/127.0.0.1:{}", "tcp/localhost:{}"])
def test_a_router_that_is_there(host_with, by_name, port: int, address: str) -> None:
    found = by_name(check_ros(host_with(), url=f"ros2:///camera?router={address.format(port)}"))
    assert found["Zenoh router"].state is State.OK


def test_a_router_that_is_not(host_with, by_name) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    found = by_name(check_ros(host_with(), url=f"ros2://?router=tcp/127.0.0.1:{port}"))["Zenoh router"]
    assert (found.state, "rmw_zenohd" in found.fix) == (State.BROKEN, True)


def test_other_endpoints_are_not_tried(host_with, by_name) -> None:
    found = by_name(check_ros(host_with(), url="ros2://?router=quic/127.0.0.1:7447"))["Zenoh router"]
    assert found.state is State.NOTE


@pytest.mark.parametrize(
    "url", ["x", "mcap:x", "ros2://?domain=999", "ros2://?nothing=1", "ros2://?router=x", "tcp/x:1"]
)
def test_addresses_that_are_none(host_with, by_name, url: str) -> None:
    assert by_name(check_ros(host_with(), url=url))["settings"].state is State.BROKEN
