"""The descriptors that Cyclone DDS is given, and its configuration."""

from __future__ import annotations

from pathlib import Path

import pytest

from tdnet_runtime.ros.types import COMPRESSED_IMAGE, IMAGE, LABEL_INFO, MessageType
from tdnet_runtime.transports import dds_config
from tdnet_runtime.transports.dds_config import RECEIVE_BUFFER_BYTES, domain_config, receive_buffer_warning
from tdnet_runtime.transports.dds_types import descriptor_of

ADR, B1, B2, B4, STR, SEQ, STU = 1 << 24, 1 << 16, 2 << 16, 3 << 16, 5 << 16, 7 << 16, 10 << 8
SIGNED, FLOAT = 4, 2


def words(kind: MessageType, count: int) -> list[int]:
    return list(descriptor_of(kind).ops[:count])


def test_an_image() -> None:
    """As idlc writes it for the C struct of these fields: int32, uint32, char *, uint32, uint32, char *, uint8, …"""
    fields = [
        (B4 | SIGNED, 0),
        (B4, 4),
        (STR, 8),
        (B4, 16),
        (B4, 20),
        (STR, 24),
        (B1, 32),
        (B4, 36),
        (SEQ | 1 << 8, 40),
    ]
    expected = [word for code, offset in fields for word in (ADR | code, offset)]
    assert words(IMAGE, 19) == [*expected, 0]
    made = descriptor_of(IMAGE)
    assert (made.size, made.align, made.op_count) == (64, 8, 10)
    assert made.type_name == b"sensor_msgs::msg::dds_::Image_"
    assert made.type_information.data is None  # nothing of it is on the wire


def test_a_compressed_image() -> None:
    fields = [(B4 | SIGNED, 0), (B4, 4), (STR, 8), (STR, 16), (SEQ | 1 << 8, 24)]
    assert words(COMPRESSED_IMAGE, 11) == [*(word for code, at in fields for word in (ADR | code, at)), 0]


def test_a_sequence_of_structs_leads_to_their_own_ops() -> None:
    head = [ADR | B4 | SIGNED, 0, ADR | B4, 4, ADR | STR, 8]
    sequence = [
        ADR | SEQ | STU,
        16,
        16,
        4 << 16 | 7,
    ]  # 16 bytes each; the next field 4 words on, the struct 7
    assert words(LABEL_INFO, 18) == [
        *head, *sequence, ADR | B4 | FLOAT, 40, 0, ADR | B2, 0, ADR | STR, 8, 0,
    ]  # fmt: skip


def test_the_loopback_is_what_is_configured_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    own = domain_config(interface="", datagram_bytes=None)
    assert 'NetworkInterface name="lo" multicast="false"' in own
    assert "<AllowMulticast>false" in own
    assert "FragmentSize" not in own
    assert f'max="{RECEIVE_BUFFER_BYTES}B"' in own
    asked = domain_config(interface="eth0", datagram_bytes=64000)
    assert 'NetworkInterface name="eth0"' in asked
    assert "127.0.0.1" not in asked
    assert "<FragmentSize>64000B" in asked
    assert 'NetworkInterface address="10.0.0.3"' in domain_config(interface="10.0.0.3", datagram_bytes=None)
    monkeypatch.setenv("CYCLONEDDS_URI", "file:///robot.xml")
    joined = domain_config(interface="", datagram_bytes=None)
    assert joined.endswith("</CycloneDDS>,file:///robot.xml")
    assert "NetworkInterface" not in joined


@pytest.mark.parametrize(
    ("allowed", "warns"), [("212992\n", True), ("4194304\n", False), ("", False), (None, False)]
)
def test_small_buffers_are_warned_of_with_the_command(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, allowed: str | None, warns: bool
) -> None:
    limit = tmp_path / "rmem_max"
    if allowed is not None:
        limit.write_text(allowed)
    monkeypatch.setattr(dds_config, "_RMEM_MAX", limit)
    warning = receive_buffer_warning()
    assert warning.endswith("sudo sysctl -w net.core.rmem_max=4194304") is warns
    assert bool(warning) is warns
