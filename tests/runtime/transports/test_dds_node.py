"""What only DDS has: domains and their configuration, and what others see of the types."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.runtime.transports.processes import end, free_domain, start

from tdnet_runtime.errors import MediaError, OptionError
from tdnet_runtime.ros.messages import LabelInfo
from tdnet_runtime.ros.types import IMAGE, LABEL_INFO
from tdnet_runtime.transports import dds_config
from tdnet_runtime.transports.address import RosAddress
from tdnet_runtime.transports.dds_config import domain_config

pytest.importorskip("cyclonedds", reason="the extra dds is not installed")

PEER = Path(__file__).parent / "cyclone_peer.py"


def address(domain: int, **settings: Any) -> RosAddress:
    return RosAddress(rmw="dds", domain=domain, **settings)


def test_another_library_reads_our_label_info_and_sees_no_type_information(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    domain = free_domain()
    sent = LabelInfo(
        stamp_ns=5_000_000_007,
        frame_id="cam",
        classes=((0, "road"), (1, "side walk"), (255, "")),
        threshold=0.5,
    )
    with address(domain).open() as ours:
        ours.writer("/seg/label_info", LABEL_INFO, latched=True).write(sent.to_cdr())
        monkeypatch.setenv("CYCLONEDDS_URI", domain_config(interface="", datagram_bytes=None))
        got = json.loads(end(start(PEER, domain, "/seg/label_info")))
    assert got["header"] == [5, 7, "cam"]
    assert got["classes"] == [[0, "road"], [1, "side walk"], [255, ""]]
    assert got["threshold"] == 0.5
    assert got["type"] == LABEL_INFO.dds_name
    assert got["type_id"] is None
    assert f"typehash={LABEL_INFO.type_hash};" in got["qos"]


def test_nodes_of_a_domain_share_it_and_leave_it_whole() -> None:
    domain = free_domain()
    with address(domain).open() as first:
        with (
            address(domain).open() as second,
            pytest.raises(OptionError, match=f"domain {domain} is open in this"),
        ):
            address(domain, datagram_bytes=64000).open()
        second.close()
        first.writer("/a", IMAGE)
    with address(domain, datagram_bytes=64000).open() as again:
        again.writer("/a", IMAGE)


def test_what_the_library_refuses_is_said_with_its_words(monkeypatch: pytest.MonkeyPatch) -> None:
    domain = free_domain()
    with pytest.raises(
        MediaError, match=f"configuring domain {domain}: Cyclone DDS says .*: nosuch0: does not"
    ):
        address(domain, interface="nosuch0").open()
    monkeypatch.setenv("CYCLONEDDS_URI", "<CycloneDDS><Domain><Nonsense/></Domain></CycloneDDS>")
    with pytest.raises(MediaError, match=f"configuring domain {domain}: Cyclone DDS says .*Nonsense"):
        address(domain).open()
    monkeypatch.delenv("CYCLONEDDS_URI")
    with address(domain).open() as node:  # nothing of them was left open
        node.writer("/a", IMAGE)


def test_a_kernel_that_gives_less_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dds_config, "RECEIVE_BUFFER_BYTES", 1 << 30)
    with address(free_domain()).open() as node:
        node.writer("/a", IMAGE)
        assert "allow more with: sudo sysctl -w net.core.rmem_max=1073741824" in node.warning


def test_damaged_messages_are_not_published() -> None:
    with address(free_domain()).open() as node:
        writer = node.writer("/a", IMAGE)
        for damaged in (b"", b"\0", b"\0\1\0\0", b"\0\1\0\0abcd", b"\xff" * 40):
            with pytest.raises(MediaError, match="publishing /a: Cyclone DDS takes the message for damaged"):
                writer.write(damaged)


def test_closing_twice_and_using_what_is_closed() -> None:
    node = address(free_domain()).open()
    reader, writer = node.reader("/a", IMAGE), node.writer("/b", LABEL_INFO)
    message = LabelInfo(stamp_ns=0, frame_id="", classes=()).to_cdr()
    assert writer.write(message)
    assert not writer.matched
    reader.close()
    reader.close()
    node.close()
    node.close()
    for use in (lambda: reader.read(0.1), lambda: writer.write(message), lambda: writer.matched, node.topics):
        with pytest.raises(
            MediaError, match=r"(reading /a|publishing /b|listing topics): (Cyclone DDS says|it was closed)"
        ):
            use()
    with pytest.raises(MediaError, match="using /c: the node was closed"):
        node.reader("/c", IMAGE)
