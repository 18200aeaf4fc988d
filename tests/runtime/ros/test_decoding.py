"""Which reader a message gets, and Protocol Buffers against Foxglove's own writer."""

from __future__ import annotations

import pytest

from tdnet_runtime.errors import MediaError, OptionError
from tdnet_runtime.ros.decoding import decoder_for
from tdnet_runtime.ros.messages import CompressedImage, RawImage
from tdnet_runtime.ros.protobuf import compressed_image_from_protobuf, raw_image_from_protobuf
from tdnet_runtime.ros.types import dds_name, ros_name


def test_names_choose_the_reader():
    assert decoder_for("sensor_msgs/msg/Image", "cdr") == RawImage.from_cdr
    assert decoder_for("sensor_msgs/CompressedImage", "cdr") == CompressedImage.from_cdr
    assert decoder_for("foxglove.RawImage", "protobuf") is raw_image_from_protobuf


@pytest.mark.parametrize(
    ("name", "encoding", "words"),
    [
        ("sensor_msgs/msg/Image", "ros1", r"'sensor_msgs/msg/Image' are read in cdr, not in 'ros1'"),
        ("sensor_msgs/Image", "ros1", r"'sensor_msgs/Image' are read in cdr, not in 'ros1'"),
        (
            "foxglove.CompressedVideo",
            "json",
            r"'foxglove.CompressedVideo' are read in cdr or protobuf, not in 'json'",
        ),
        (
            "std_msgs/msg/String",
            "cdr",
            r"'std_msgs/msg/String' \('cdr'\) hold no picture that is read here; these do: s",
        ),
        ("", "", "hold no picture"),
    ],
)
def test_others_are_refused_by_name(name, encoding, words):
    with pytest.raises(MediaError, match=words):
        decoder_for(name, encoding)


def test_type_names_there_and_back():
    assert ros_name(dds_name("vision_msgs/LabelInfo")) == "vision_msgs/msg/LabelInfo"
    assert ros_name("/weird") == "/weird"
    with pytest.raises(
        OptionError, match="'Image' is not the name of a message type; expected package/msg/Type"
    ):
        dds_name("Image")


def test_foxglove_protobuf():
    foxglove = pytest.importorskip("foxglove", reason="foxglove-sdk is the oracle and is not installed")
    from foxglove import messages

    stamp = messages.Timestamp(1_700_000_000, 5)
    raw = messages.RawImage(
        timestamp=stamp, frame_id="cam", width=300, height=2, encoding="mono8", step=301, data=b"\7" * 602
    )
    image = decoder_for("foxglove.RawImage", "protobuf")(raw.encode())
    assert (image.stamp_ns, image.frame_id, image.encoding) == (1_700_000_000 * 10**9 + 5, "cam", "mono8")
    assert (image.height, image.width, image.step, image.data.tobytes()) == (2, 300, 301, b"\7" * 602)
    for name, form in (("CompressedImage", "webp"), ("CompressedVideo", "h265")):
        message = getattr(messages, name)(
            timestamp=stamp, frame_id="c" * 200, data=b"abc", format=form
        ).encode()
        file = decoder_for(f"foxglove.{name}", "protobuf")(message)
        assert (file.stamp_ns, file.frame_id) == (1_700_000_000 * 10**9 + 5, "c" * 200)
        assert (file.format, file.data.tobytes()) == (form, b"abc")
    assert foxglove is not None


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (b"\x0a\x05abc", "it is cut short: 5 bytes are due at byte 2, it has 5"),
        (b"\x0a" + b"\xff" * 12, "the number at byte 1 has no end"),
        (b"\x0b", "a field of wire type 3 at byte 1; it is no Protocol Buffers message"),
        (b"\x10\x05", "field 2 holds a number, expected bytes"),
        (b"\x0a\x03\x0a\x01a", "field 1 holds bytes, expected a number"),
        (b"\x0a\x0b\x08" + b"\xff" * 9 + b"\x00", "its stamp of [0-9]+ s is no time"),
    ],
)
def test_damaged_protobuf_is_an_error_in_one_line(message, words):
    with pytest.raises(MediaError, match=words):
        compressed_image_from_protobuf(message)
