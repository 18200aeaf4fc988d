"""rmw_zenoh's names and attachments; the expected ones are written out by hand from its documentation."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tdnet_runtime.ros.types import IMAGE
from tdnet_runtime.transports.node import Topic
from tdnet_runtime.transports.zenoh_keys import (
    Attachment,
    node_token,
    published_topic,
    qos_text,
    topic_key,
    topic_token,
)

ATTACHED = Attachment(number=3, time_ns=1_700_000_000_000_000_007, sender=bytes(range(16)))


def test_keys_and_tokens() -> None:
    assert topic_key(7, "/camera/image_raw", IMAGE.dds_name, IMAGE.type_hash) == (
        "7/camera/image_raw/sensor_msgs::msg::dds_::Image_/"
        "RIHS01_d31d41a9a4c4bc8eae9be757b0beed306564f7526c88ea6a4588fb9582527d47"
    )
    assert node_token(7, "a1b2", "tdnet_run") == "@ros2_lv/7/a1b2/0/0/NN/%/%/tdnet_run"
    token = topic_token(
        7,
        "a1b2",
        "tdnet_run",
        entity=4,
        publishes=True,
        topic="/segmentation/mask",
        dds_type=IMAGE.dds_name,
        type_hash="RIHS01_00",
        qos=qos_text(reliable=True, latched=True, depth=1),
    )
    assert token == (
        "@ros2_lv/7/a1b2/0/4/MP/%/%/tdnet_run/%segmentation%mask/sensor_msgs::msg::dds_::Image_/RIHS01_00/:1:,1:,:,:,,"
    )
    assert published_topic(token) == Topic(name="/segmentation/mask", type_name="sensor_msgs/msg/Image")
    unreliable = published_topic(token.replace("/:1:,1:,:,:,,", "/2::,5:,:,:,,"))
    assert unreliable is not None
    assert not unreliable.reliable


@pytest.mark.parametrize(
    "key", ["", "@ros2_lv", "@ros2_lv/7/a/0/4/MS/%/%/n/%t/a::msg::dds_::B_/h/q", "x/" * 12 + "x", "/" * 12]
)
def test_other_keys_are_no_publishers(key: str) -> None:
    assert published_topic(key) is None


def test_the_attachment_is_that_of_33_bytes() -> None:
    data = ATTACHED.to_bytes()
    assert data == struct.pack("<qqB", 3, 1_700_000_000_000_000_007, 16) + bytes(range(16))
    assert Attachment.from_bytes(data) == ATTACHED


def test_the_older_form_is_read() -> None:
    data = b"".join(
        bytes((len(name),)) + name + value
        for name, value in (
            (b"sequence_number", struct.pack("<q", 3)),
            (b"source_timestamp", struct.pack("<q", 1_700_000_000_000_000_007)),
            (b"source_gid", b"\x10" + bytes(range(16))),
        )
    )
    assert len(data) == 77
    assert Attachment.from_bytes(data) == ATTACHED
    assert Attachment.from_bytes(data[:-1]) is None
    assert Attachment.from_bytes(data + b"x") is None


@given(st.one_of(st.binary(max_size=90), st.binary(min_size=33, max_size=33)))
def test_any_bytes_are_an_attachment_or_none(data: bytes) -> None:
    found = Attachment.from_bytes(data)
    assert found is None or found.to_bytes() == data
