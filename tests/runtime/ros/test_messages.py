"""Messages against rosbags' codec, and against bytes that are none."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tdnet_runtime.errors import MediaError
from tdnet_runtime.ros import types
from tdnet_runtime.ros.decoding import PICTURES
from tdnet_runtime.ros.messages import CompressedImage, LabelInfo, RawImage

STAMP_NS = 1_700_000_000_123_456_789
PIXELS = np.arange(2 * 5 * 3, dtype=np.uint8).reshape(2, 5, 3)
ALL_TYPES = [value for value in vars(types).values() if isinstance(value, types.MessageType)]
FOXGLOVE_IMAGE = """builtin_interfaces/Time timestamp
string frame_id
uint32 width
uint32 height
string encoding
uint32 step
uint8[] data
"""
FOXGLOVE_FILE = """builtin_interfaces/Time timestamp
string frame_id
uint8[] data
string format
"""


@pytest.fixture(scope="module")
def store():
    """rosbags' types, with those that it does not have."""
    typesys = pytest.importorskip("rosbags.typesys", reason="rosbags is the oracle and is not installed")
    store = typesys.get_typestore(typesys.Stores.ROS2_JAZZY)
    for name, text in (
        ("vision_msgs/msg/VisionClass", "uint16 class_id\nstring class_name\n"),
        ("vision_msgs/msg/LabelInfo", "\n".join(types.LABEL_INFO.fields)),
        ("foxglove_msgs/msg/RawImage", FOXGLOVE_IMAGE),
        ("foxglove_msgs/msg/CompressedImage", FOXGLOVE_FILE),
        ("foxglove_msgs/msg/CompressedVideo", FOXGLOVE_FILE),
    ):
        store.register(typesys.get_types_from_msg(text, name))
    return store


def header(store, frame_id="camera_link"):
    time = store.types["builtin_interfaces/msg/Time"](*divmod(STAMP_NS, 10**9))
    return store.types["std_msgs/msg/Header"](time, frame_id)


def raw_image():
    return RawImage.from_pixels(PIXELS, encoding="rgb8", stamp_ns=STAMP_NS, frame_id="Kamera_ü")


def label_info():
    classes = ((0, "road"), (1, "side walk"), (255, ""))
    return LabelInfo(stamp_ns=STAMP_NS, frame_id="camera_link", classes=classes, threshold=0.25)


@pytest.mark.parametrize("kind", ALL_TYPES, ids=lambda kind: kind.name)
def test_hashes_and_definitions_are_the_oracles(store, kind):
    assert store.hash_rihs01(kind.name) == kind.type_hash
    assert store.generate_msgdef(kind.name, ros_version=2)[0].strip() == kind.schema_text.strip()


@pytest.mark.parametrize("frame_id", ["", "a", "abc", "Kamera_ü"])
@pytest.mark.parametrize("encoding", ["rgb8", "bgr8x"])
def test_images_are_written_as_the_oracle_writes_them(store, frame_id, encoding):
    """At every alignment of what follows a string."""
    ours = RawImage.from_pixels(PIXELS, encoding=encoding, stamp_ns=STAMP_NS, frame_id=frame_id).to_cdr()
    kind = store.types["sensor_msgs/msg/Image"]
    theirs = kind(header(store, frame_id), 2, 5, encoding, 0, 15, PIXELS.reshape(-1))
    assert ours == bytes(store.serialize_cdr(theirs, kind.__msgtype__))


@pytest.mark.parametrize("little_endian", [True, False])
def test_images_are_read_in_both_byte_orders(store, little_endian):
    kind = store.types["sensor_msgs/msg/Image"]
    theirs = kind(header(store), 2, 5, "mono16", 1, 17, np.arange(34, dtype=np.uint8))
    message = bytes(store.serialize_cdr(theirs, kind.__msgtype__, little_endian=little_endian))
    image = RawImage.from_cdr(message)
    assert (image.stamp_ns, image.frame_id) == (STAMP_NS, "camera_link")
    assert (image.height, image.width, image.encoding, image.step) == (2, 5, "mono16", 17)
    assert image.is_bigendian is True
    assert image.data.tolist() == list(range(34))


def test_compressed_images_and_label_infos_are_the_oracles(store):
    jpeg = CompressedImage(stamp_ns=STAMP_NS, frame_id="camera_link", format="jpeg", data=PIXELS.reshape(-1))
    kind = store.types["sensor_msgs/msg/CompressedImage"]
    theirs = kind(header(store), "jpeg", PIXELS.reshape(-1))
    message = bytes(store.serialize_cdr(theirs, kind.__msgtype__))
    assert jpeg.to_cdr() == message
    back = CompressedImage.from_cdr(message)
    assert (back.format, back.frame_id, back.data.tolist()) == (
        "jpeg",
        "camera_link",
        PIXELS.reshape(-1).tolist(),
    )

    kind, one = (store.types[f"vision_msgs/msg/{name}"] for name in ("LabelInfo", "VisionClass"))
    theirs = kind(header(store), [one(*each) for each in label_info().classes], 0.25)
    message = bytes(store.serialize_cdr(theirs, kind.__msgtype__))
    assert label_info().to_cdr() == message
    assert LabelInfo.from_cdr(message) == label_info()


@pytest.mark.parametrize("little_endian", [True, False])
def test_foxglove_in_cdr(store, little_endian):
    def read(name, *fields):
        kind = store.types[f"foxglove_msgs/msg/{name}"]
        theirs = kind(header(store).stamp, "cam", *fields)
        message = bytes(store.serialize_cdr(theirs, kind.__msgtype__, little_endian=little_endian))
        return PICTURES[kind.__msgtype__, "cdr"](message + bytes(9))  # newer ones have more fields behind

    raw = read("RawImage", 5, 2, "rgb8", 15, PIXELS.reshape(-1))
    assert (raw.height, raw.width, raw.step, raw.data.size) == (2, 5, 15, 30)
    for name, form in (("CompressedImage", "jpeg"), ("CompressedVideo", "h264")):
        file = read(name, PIXELS.reshape(-1), form)
        assert (file.stamp_ns, file.frame_id, file.format) == (STAMP_NS, "cam", form)
        assert file.data.tolist() == PIXELS.reshape(-1).tolist()


def test_reading_copies_nothing():
    message = bytearray(raw_image().to_cdr())
    image = RawImage.from_cdr(message)
    message[-1] ^= 0xFF
    assert image.data[-1] == PIXELS.reshape(-1)[-1] ^ 0xFF
    assert np.shares_memory(image.data, np.frombuffer(message, np.uint8))
    frozen = RawImage.from_cdr(memoryview(bytes(message)))
    assert not frozen.data.flags.writeable


@pytest.mark.parametrize("message", [raw_image().to_cdr(), label_info().to_cdr()], ids=["image", "labels"])
def test_every_cut_is_an_error_in_one_line(message):
    read = RawImage.from_cdr if len(message) == len(raw_image().to_cdr()) else LabelInfo.from_cdr
    for size in range(len(message)):
        with pytest.raises(MediaError, match=r"cut short|expected CDR|a sequence claims") as caught:
            read(message[:size])
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "name"),
    [(0x0002, "a parameter list"), (0x0007, "XCDR version 2"), (0x0100, "unknown"), (0x4242, "unknown")],
)
def test_other_representations_are_named(kind, name):
    message = kind.to_bytes(2, "big") + raw_image().to_cdr()[2:]
    with pytest.raises(MediaError, match=rf"representation is 0x{kind:04x} \({name}\); expected plain CDR"):
        RawImage.from_cdr(message)


def test_claimed_lengths_are_checked_before_anything_is_made():
    message = bytearray(label_info().to_cdr())
    place = 4 + 8 + 4 + 12
    assert message[place] == 3
    message[place : place + 4] = b"\xff" * 4
    with pytest.raises(MediaError, match=r"a sequence claims 4294967295 elements; [0-9]+ bytes are left"):
        LabelInfo.from_cdr(message)


def test_strings_of_strangers():
    message = raw_image().to_cdr()
    name = "Kamera_ü".encode()
    assert RawImage.from_cdr(message.replace(name, b"\xff" * len(name))).frame_id == "\ufffd" * len(name)
    with pytest.raises(MediaError, match="string at byte 16 does not end with a zero"):
        RawImage.from_cdr(message.replace(name + b"\0", name + b"x"))
    assert (
        RawImage.from_cdr(
            RawImage.from_pixels(PIXELS, encoding="rgb8", stamp_ns=0, frame_id="a\0b").to_cdr()
        ).frame_id
        == "a"
    )


def test_numbers_that_do_not_fit_are_said():
    late = LabelInfo(stamp_ns=2**31 * 10**9, frame_id="", classes=())
    with pytest.raises(MediaError, match="2147483648 does not fit its field"):
        late.to_cdr()
    with pytest.raises(MediaError, match="70000 does not fit its field"):
        LabelInfo(stamp_ns=0, frame_id="", classes=((70000, "road"),)).to_cdr()


@pytest.mark.parametrize("key", PICTURES, ids="-".join)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_no_bytes_bring_anything_but_media_errors(key, data):
    """Random ones, and messages with a few bytes changed."""
    seeds = st.sampled_from(
        [raw_image().to_cdr(), label_info().to_cdr(), b"\0\0\0\0", b"\x0a\x04\x08\x01\x10\x02"]
    )
    message = bytearray(data.draw(st.one_of(st.binary(max_size=80), seeds)))
    for place, value in data.draw(st.lists(st.tuples(st.integers(0, 79), st.integers(0, 255)), max_size=4)):
        if place < len(message):
            message[place] = value
    with contextlib.suppress(MediaError):
        assert PICTURES[key](bytes(message)).data.size <= len(message)
