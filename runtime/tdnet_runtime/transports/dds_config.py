"""Cyclone DDS's configuration: which interfaces, how large buffers and datagrams are, and what the kernel allows."""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path

__all__ = ["RECEIVE_BUFFER_BYTES", "domain_config", "receive_buffer_warning"]

RECEIVE_BUFFER_BYTES = 4 * 1024 * 1024
"""Without it, raw pictures are lost on the way: 640x480 to 93 %, 1920x1080 to 76 % (docs/ros2.md)."""
_RMEM_MAX = Path("/proc/sys/net/core/rmem_max")
_LOOPBACK = '<Interfaces><NetworkInterface name="lo" multicast="false"/></Interfaces><AllowMulticast>false</AllowMulticast>'
_LOOPBACK_DISCOVERY = (
    "<Discovery><ParticipantIndex>auto</ParticipantIndex><MaxAutoParticipantIndex>32</MaxAutoParticipantIndex>"
    '<Peers><Peer Address="127.0.0.1"/></Peers></Discovery>'
)


def domain_config(*, interface: str, datagram_bytes: int | None) -> str:
    """The configuration of a domain, joined with what CYCLONEDDS_URI says, as rmw_cyclonedds joins them.

    Without an interface it is the loopback's, in the form of ROS 2's `ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST`; but where
    CYCLONEDDS_URI is set, the interfaces are left to it.

    Args:
        interface: name or address; empty for none.
        datagram_bytes: largest one of what is written; None for the library's own.
    """
    general = discovery = ""
    user = os.environ.get("CYCLONEDDS_URI", "").strip()
    if interface:
        kind = "address" if _is_address(interface) else "name"
        general = f'<Interfaces><NetworkInterface {kind}="{interface}"/></Interfaces>'
    elif not user:
        general, discovery = _LOOPBACK, _LOOPBACK_DISCOVERY
    if datagram_bytes is not None:
        general += f"<MaxMessageSize>{datagram_bytes + 500}B</MaxMessageSize><FragmentSize>{datagram_bytes}B</FragmentSize>"
    own = (
        f'<CycloneDDS xmlns="https://cdds.io/config"><Domain Id="any"><General>{general}</General>{discovery}'
        f'<Internal><SocketReceiveBufferSize min="default" max="{RECEIVE_BUFFER_BYTES}B"/></Internal>'
        "</Domain></CycloneDDS>"
    )
    return f"{own},{user}" if user else own


def receive_buffer_warning() -> str:
    """What is to be done where the kernel's limit is below `RECEIVE_BUFFER_BYTES`; empty where it is not, or unknown."""
    try:
        allowed = int(_RMEM_MAX.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    if allowed >= RECEIVE_BUFFER_BYTES:
        return ""
    return (
        f"the kernel gives sockets {allowed} bytes at most, so that raw pictures will be lost; allow more with: "
        f"sudo sysctl -w net.core.rmem_max={RECEIVE_BUFFER_BYTES}"
    )


def _is_address(interface: str) -> bool:
    try:
        ipaddress.ip_address(interface)
    except ValueError:
        return False
    return True
