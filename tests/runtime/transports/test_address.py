"""What a user may say of a graph."""

from __future__ import annotations

import pytest

from tdnet_runtime.errors import MissingExtraError, OptionError
from tdnet_runtime.transports.address import RosAddress, check_topic


def test_what_is_left_out_comes_from_ros_own_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    assert RosAddress.from_params({}) == RosAddress(rmw="zenoh", domain=0)
    monkeypatch.setenv("ROS_DOMAIN_ID", "42")
    monkeypatch.setenv("RMW_IMPLEMENTATION", "rmw_fastrtps_cpp")
    assert RosAddress.from_params({}) == RosAddress(rmw="dds", domain=42)
    assert RosAddress.from_params({"rmw": "zenoh", "domain": "7"}) == RosAddress(rmw="zenoh", domain=7)
    monkeypatch.setenv("RMW_IMPLEMENTATION", "rmw_zenoh_cpp")
    assert RosAddress.from_params({"router": "tcp/10.0.0.2:7447"}).router == "tcp/10.0.0.2:7447"


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"rmw": "fastrtps"}, "rmw='fastrtps' is not known; expected zenoh or dds"),
        ({"domain": "233"}, "domain='233'; expected a whole number from 0 to 232"),
        ({"domain": "-1"}, "domain='-1'; expected a whole number"),
        ({"domain": "²"}, "expected a whole number"),
        ({"domain": "9" * 5000}, "expected a whole number"),
        ({"rmw": "dds", "router": "tcp/a:1"}, "router= goes with rmw=zenoh; this is rmw=dds"),
        ({"rmw": "zenoh", "interface": "lo"}, "interface= goes with rmw=dds"),
        ({"rmw": "zenoh", "datagram": "64000"}, "datagram= goes with rmw=dds"),
        ({"rmw": "zenoh", "router": "localhost"}, "router='localhost' is no endpoint of Zenoh"),
        ({"rmw": "zenoh", "router": "tcp/a:1 x"}, "is no endpoint of Zenoh"),
        ({"rmw": "dds", "interface": '"/><Tracing'}, "is no name or address of a network interface"),
        ({"rmw": "dds", "datagram": "100"}, "datagram='100'; expected a whole number from 1300 to 65000"),
    ],
)
def test_what_cannot_be_meant_is_refused(params: dict[str, str], words: str) -> None:
    with pytest.raises(OptionError, match=words):
        RosAddress.from_params(params)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("ROS_DOMAIN_ID", "one", "ROS_DOMAIN_ID='one'; expected a whole number from 0 to 232"),
        (
            "RMW_IMPLEMENTATION",
            "rmw_connextdds",
            "RMW_IMPLEMENTATION is 'rmw_connextdds', whose topics are not read",
        ),
    ],
)
def test_ros_own_variables_are_checked(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, words: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(OptionError, match=words):
        RosAddress.from_params({})


@pytest.mark.parametrize("name", ["/camera/image_raw", "/a", "/_a/B9"])
def test_names_of_topics(name: str) -> None:
    assert check_topic(name) == name


@pytest.mark.parametrize(
    "name", ["", "/", "camera", "/a/", "//a", "/a//b", "/9a", "/a b", "/a-b", "/a/*", "/ä", "/a\n"]
)
def test_names_that_are_none(name: str) -> None:
    with pytest.raises(OptionError, match="is no topic; expected one like /camera/image_raw"):
        check_topic(name)


@pytest.mark.parametrize(("rmw", "package"), [("zenoh", "zenoh"), ("dds", "cyclonedds")])
def test_a_missing_package_is_one_line(monkeypatch: pytest.MonkeyPatch, rmw: str, package: str) -> None:
    monkeypatch.setitem(__import__("sys").modules, package, None)
    with pytest.raises(MissingExtraError, match=rf"'{package}' is not installed; .*tdnet-deploy\[{rmw}\]"):
        RosAddress.from_params({"rmw": rmw}).open()
