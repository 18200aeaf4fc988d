"""What a user says of a ROS 2 graph: `ros2:///topic?rmw=…&domain=…`, and the environment that ROS itself reads."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from tdnet_runtime.errors import MediaError, OptionError
from tdnet_runtime.extras import require
from tdnet_runtime.transports.node import Node

__all__ = ["RELIABILITY", "RosAddress", "asked_reliability", "check_topic"]

RELIABILITY = {"best_effort": False, "reliable": True}
"""Values of `reliability=`."""
DEFAULT_ROUTER = "tcp/localhost:7447"
_RMW = {"rmw_zenoh_cpp": "zenoh", "rmw_cyclonedds_cpp": "dds", "rmw_fastrtps_cpp": "dds"}
_MOST_DOMAIN = 232  # above, UDP has no ports for it
_TOPIC = re.compile(r"(?:/[A-Za-z_][A-Za-z0-9_]*)+")
_ENDPOINT = re.compile(r"(?:tcp|tls|quic|udp|ws|unixsock-stream)/\S+")
_first_used_in: dict[str, int] = {}  # transport and process
_INTERFACE = re.compile(r"[A-Za-z0-9_.:@-]{1,64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class RosAddress:
    """Which graph, by which transport.

    Attributes:
        rmw: `zenoh` or `dds`.
        domain: 0 to 232.
        router: Zenoh: the router's endpoint.
        interface: DDS: name or address of the network interface; empty for the loopback alone.
        datagram_bytes: DDS: largest datagram of what is published; None for the library's own, of 1.3 kB, which any
            reader's buffers take.
    """

    rmw: str
    domain: int
    router: str = DEFAULT_ROUTER
    interface: str = ""
    datagram_bytes: int | None = None

    @classmethod
    def from_params(cls, params: Mapping[str, str]) -> RosAddress:
        """Read the parameters of a URL; what they leave out is taken from ROS_DOMAIN_ID and RMW_IMPLEMENTATION.

        Raises:
            OptionError: a value that cannot be meant, or one for the other transport.
        """
        rmw = _rmw(params)
        for name, owner in (("router", "zenoh"), ("interface", "dds"), ("datagram", "dds")):
            if name in params and rmw != owner:
                raise OptionError(f"ros2: {name}= goes with rmw={owner}; this is rmw={rmw}, leave it out")
        router, interface = params.get("router", DEFAULT_ROUTER), params.get("interface", "")
        if not _ENDPOINT.fullmatch(router):
            raise OptionError(
                f"ros2: router={router!r} is no endpoint of Zenoh; expected one like {DEFAULT_ROUTER}"
            )
        if interface and not _INTERFACE.fullmatch(interface):
            raise OptionError(f"ros2: interface={interface!r} is no name or address of a network interface")
        return cls(
            rmw=rmw,
            domain=_domain(params),
            router=router,
            interface=interface,
            datagram_bytes=_number(params, "datagram", 1300, 65000) if "datagram" in params else None,
        )

    def open(self) -> Node:
        """Join the graph.

        Raises:
            MediaError: no router, no such interface, the transport fails, or a process that this one was forked from had
                used it, whose threads are not here.
            MissingExtraError: its package is not installed.
        """
        first = _first_used_in.setdefault(self.rmw, os.getpid())
        if first != os.getpid():
            raise MediaError(
                f"ros2: process {first} has used rmw={self.rmw} and forked this one, where its threads are missing; fork "
                "before anything is opened, or start processes with multiprocessing.get_context('spawn')"
            )
        if self.rmw == "zenoh":
            require("zenoh", extra="zenoh")
            from tdnet_runtime.transports.zenoh_node import ZenohNode  # which imports zenoh

            return ZenohNode(domain=self.domain, router=self.router)
        require("cyclonedds", extra="dds")
        from tdnet_runtime.transports.dds_node import DdsNode  # which loads its library

        return DdsNode(domain=self.domain, interface=self.interface, datagram_bytes=self.datagram_bytes)


def check_topic(name: str) -> str:
    """`name`, where it is a whole topic's name.

    Raises:
        OptionError: it is not.
    """
    if not _TOPIC.fullmatch(name):
        raise OptionError(
            f"ros2: {name!r} is no topic; expected one like /camera/image_raw: letters, digits and _ between slashes, no "
            "digit after a slash"
        )
    return name


def asked_reliability(params: Mapping[str, str]) -> bool | None:
    """What `reliability=` asks for; None where it is left out.

    Raises:
        OptionError: another value than those of `RELIABILITY`.
    """
    asked = params.get("reliability")
    if asked is None:
        return None
    if asked not in RELIABILITY:
        raise OptionError(f"ros2: reliability={asked!r}; expected {' or '.join(RELIABILITY)}")
    return RELIABILITY[asked]


def _rmw(params: Mapping[str, str]) -> str:
    asked = params.get("rmw")
    if asked is None:
        set_ = os.environ.get("RMW_IMPLEMENTATION", "")
        if set_ and set_ not in _RMW:
            raise OptionError(
                f"RMW_IMPLEMENTATION is {set_!r}, whose topics are not read; say rmw=zenoh or rmw=dds in the address"
            )
        return _RMW.get(set_, "zenoh")
    if asked not in ("zenoh", "dds"):
        raise OptionError(f"ros2: rmw={asked!r} is not known; expected zenoh or dds (Cyclone DDS, Fast DDS)")
    return asked


def _domain(params: Mapping[str, str]) -> int:
    if "domain" in params:
        return _number(params, "domain", 0, _MOST_DOMAIN)
    variable = os.environ.get("ROS_DOMAIN_ID", "").strip()
    return _number({"ROS_DOMAIN_ID": variable}, "ROS_DOMAIN_ID", 0, _MOST_DOMAIN) if variable else 0


def _number(params: Mapping[str, str], name: str, least: int, most: int) -> int:
    text = params[name]
    if not (text.isascii() and text.isdigit() and len(text) < 10 and least <= int(text) <= most):
        raise OptionError(f"ros2: {name}={text!r}; expected a whole number from {least} to {most}")
    return int(text)
