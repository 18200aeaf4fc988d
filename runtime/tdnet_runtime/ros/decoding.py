"""From a message's bytes, by the names that a log or a topic gives, to the message."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tdnet_runtime.errors import MediaError
from tdnet_runtime.ros.messages import CompressedImage, CompressedVideo, RawImage
from tdnet_runtime.ros.protobuf import (
    compressed_image_from_protobuf,
    compressed_video_from_protobuf,
    raw_image_from_protobuf,
)

__all__ = ["PICTURES", "PictureMessage", "decoder_for"]

PictureMessage = RawImage | CompressedImage | CompressedVideo

PICTURES: Mapping[tuple[str, str], Callable[[Any], PictureMessage]] = {
    ("sensor_msgs/msg/Image", "cdr"): RawImage.from_cdr,
    ("sensor_msgs/msg/CompressedImage", "cdr"): CompressedImage.from_cdr,
    ("foxglove_msgs/msg/RawImage", "cdr"): RawImage.from_foxglove_cdr,
    ("foxglove_msgs/msg/CompressedImage", "cdr"): CompressedImage.from_foxglove_cdr,
    ("foxglove_msgs/msg/CompressedVideo", "cdr"): CompressedVideo.from_cdr,
    ("foxglove.RawImage", "protobuf"): raw_image_from_protobuf,
    ("foxglove.CompressedImage", "protobuf"): compressed_image_from_protobuf,
    ("foxglove.CompressedVideo", "protobuf"): compressed_video_from_protobuf,
}
"""What reads each kind of picture, by the schema's name and the message encoding as in MCAP's channels.

Each takes the message's bytes (bytes, memoryview or uint8 [N]), gives views of them and raises MediaError.
"""


def decoder_for(schema_name: str, message_encoding: str) -> Callable[[Any], PictureMessage]:
    """The entry of `PICTURES`.

    Args:
        schema_name: such as `sensor_msgs/msg/Image`; without `/msg/`, as ROS 1 and some writers have it, it is the same.
        message_encoding: such as `cdr`.

    Raises:
        MediaError: such messages hold no picture, or are not read in this encoding.
    """
    name = schema_name
    if name.count("/") == 1:
        name = name.replace("/", "/msg/")
    found = PICTURES.get((name, message_encoding))
    if found is not None:
        return found
    readable = [encoding for known, encoding in PICTURES if known == name or _same_foxglove(known, name)]
    if readable:
        raise MediaError(
            f"messages of {schema_name!r} are read in {' or '.join(sorted(set(readable)))}, not in {message_encoding!r}"
        )
    raise MediaError(
        f"messages of {schema_name!r} ({message_encoding!r}) hold no picture that is read here; "
        f"these do: {', '.join(known for known, _ in PICTURES)}"
    )


def _same_foxglove(known: str, name: str) -> bool:
    """One has the name of Protocol Buffers and JSON, the other that of ROS 2, of the same message."""
    return known.replace("foxglove_msgs/msg/", "foxglove.") == name.replace("foxglove_msgs/msg/", "foxglove.")
