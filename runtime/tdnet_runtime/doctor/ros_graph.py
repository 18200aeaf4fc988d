"""What decides whether topics arrive: the kernel's buffers, ROS's variables, and Zenoh's router where it is asked for."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator

from tdnet_runtime.doctor.findings import Finding, State
from tdnet_runtime.doctor.host import Host
from tdnet_runtime.errors import TdnetError
from tdnet_runtime.sources import registry
from tdnet_runtime.sources.source_url import SourceUrl
from tdnet_runtime.transports.address import RosAddress
from tdnet_runtime.transports.dds_config import RECEIVE_BUFFER_BYTES

__all__ = ["SECTION", "check_ros"]

SECTION = "ROS 2"
_LIMIT_S = 1.0
_RMEM_MAX = "/proc/sys/net/core/rmem_max"
_TCP = re.compile(r"tcp/(?:\[(?P<six>[^\]]+)\]|(?P<host>[^:\[\]]+)):(?P<port>[0-9]{1,5})")
_TELLING = (
    "ROS_DISTRO", "ROS_AUTOMATIC_DISCOVERY_RANGE", "ROS_STATIC_PEERS", "ROS_LOCALHOST_ONLY", "CYCLONEDDS_URI",
    "FASTDDS_BUILTIN_TRANSPORTS", "FASTRTPS_DEFAULT_PROFILES_FILE", "ZENOH_ROUTER_CONFIG_URI",
    "ZENOH_SESSION_CONFIG_URI", "ZENOH_CONFIG_OVERRIDE",
)  # fmt: skip


def check_ros(host: Host, *, url: str | None = None) -> Iterator[Finding]:
    """Buffers and variables; with `url`, an address as `tdnet-run --input` takes it, whether its router answers.

    Args:
        host: the machine.
        url: such as `ros2://` or `ros2:///camera?rmw=zenoh&router=tcp/10.0.0.2:7447`.
    """
    yield _buffers(host)
    address, problem = _address(url or "ros2://")
    if address is None:
        yield Finding(
            section=SECTION,
            name="settings",
            state=State.BROKEN if url is not None else State.WARNING,
            text=problem,
            facts={"ROS_DOMAIN_ID": host.environ.get("ROS_DOMAIN_ID", "")},
        )
    else:
        domain, rmw = (host.environ.get(name, "") for name in ("ROS_DOMAIN_ID", "RMW_IMPLEMENTATION"))
        yield Finding(
            section=SECTION,
            name="settings",
            state=State.NOTE,
            text=f"domain {address.domain} (ROS_DOMAIN_ID {domain or 'is not set'}), by {address.rmw} (RMW_IMPLEMENTATION "
            f"{rmw or 'is not set'})",
            facts={"domain": address.domain, "rmw": address.rmw},
        )
    said = {name: host.environ[name] for name in _TELLING if host.environ.get(name)}
    if said:
        yield Finding(
            section=SECTION,
            name="variables",
            state=State.NOTE,
            text=", ".join(f"{name}={value}" for name, value in said.items()),
            facts={"variables": said},
        )
    if url is not None and address is not None and address.rmw == "zenoh":
        yield _router(address.router)


def _buffers(host: Host) -> Finding:
    allowed = host.number(_RMEM_MAX)
    if allowed is None:
        return Finding(
            section=SECTION,
            name="receive buffers",
            state=State.NOTE,
            text="the system does not tell their limit",
        )
    little = allowed < RECEIVE_BUFFER_BYTES
    return Finding(
        section=SECTION,
        name="receive buffers",
        state=State.WARNING if little else State.OK,
        text=f"net.core.rmem_max is {allowed}"
        + (
            f", DDS needs {RECEIVE_BUFFER_BYTES}: raw pictures will be lost (Zenoh does without)"
            if little
            else ""
        ),
        fix=f"sudo sysctl -w net.core.rmem_max={RECEIVE_BUFFER_BYTES}" if little else "",
        facts={"rmem_max": allowed, "needed": RECEIVE_BUFFER_BYTES},
    )


def _address(text: str) -> tuple[RosAddress | None, str]:
    try:
        if not text.lower().startswith("ros2:"):
            return (
                None,
                f"{text!r} is no address of ROS 2; expected one like ros2:// or ros2:///topic?rmw=zenoh",
            )
        url = SourceUrl.parse(text, known=registry.entries()["ros2"].params)
        return RosAddress.from_params(url.params), ""
    except TdnetError as error:
        return None, str(error)


def _router(endpoint: str) -> Finding:
    found = _TCP.fullmatch(endpoint)
    if found is None or int(found["port"]) > 65535:
        return Finding(
            section=SECTION,
            name="Zenoh router",
            state=State.NOTE,
            text=f"{endpoint} is not tried: only tcp/HOST:PORT is",
        )
    name = found["six"] or found["host"]
    try:
        socket.create_connection((name, int(found["port"])), timeout=_LIMIT_S).close()
    except (OSError, UnicodeError) as error:
        return Finding(
            section=SECTION,
            name="Zenoh router",
            state=State.BROKEN,
            text=f"nobody answers at {endpoint} ({error})",
            fix="ros2 run rmw_zenoh_cpp rmw_zenohd, or name another one: --ros 'ros2://?router=tcp/HOST:7447'",
            facts={"router": endpoint, "reached": False},
        )
    return Finding(
        section=SECTION,
        name="Zenoh router",
        state=State.OK,
        text=f"{endpoint} takes connections",
        facts={"router": endpoint, "reached": True},
    )
