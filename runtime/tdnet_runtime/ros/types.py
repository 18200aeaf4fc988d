"""What ROS 2 knows a message type by: names, hashes, definitions."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tdnet_runtime.errors import OptionError

__all__ = [
    "COMPRESSED_IMAGE",
    "HEADER",
    "IMAGE",
    "LABEL_INFO",
    "TIME",
    "VISION_CLASS",
    "MessageType",
    "dds_name",
    "ros_name",
]

_ROS = re.compile(r"(\w+)/(?:msg/)?(\w+)")
_DDS = re.compile(r"(\w+)::msg::dds_::(\w+)_")
_RULE = "=" * 80


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageType:
    """One message type.

    Attributes:
        name: as `package/msg/Type`; also the schema's name in MCAP.
        type_hash: `RIHS01_` and 64 digits, over the fields' names and types (REP 2011); the same in Jazzy, Kilted and
            later as long as they do not change.
        fields: one line each, as in its .msg file.
        uses: the types that `fields` name, and in turn those that they name.
    """

    name: str
    type_hash: str
    fields: tuple[str, ...]
    uses: tuple[MessageType, ...] = ()

    @property
    def dds_name(self) -> str:
        """Its name on the wire, `package::msg::dds_::Type_`."""
        return dds_name(self.name)

    @property
    def schema_text(self) -> str:
        """Its definition and those of all that it uses, as MCAP wants it for the encoding `ros2msg`."""
        parts = ["\n".join(self.fields) + "\n"]
        for used in self.uses:
            package, _, name = used.name.split("/")
            parts.append(f"MSG: {package}/{name}\n" + "\n".join(used.fields) + "\n")
        return f"{_RULE}\n".join(parts)


def dds_name(name: str) -> str:
    """`package::msg::dds_::Type_` of `package/msg/Type`.

    >>> dds_name("sensor_msgs/msg/Image")
    'sensor_msgs::msg::dds_::Image_'

    Raises:
        OptionError: `name` is not such a name.
    """
    match = _ROS.fullmatch(name)
    if match is None:
        raise OptionError(f"{name!r} is not the name of a message type; expected package/msg/Type")
    return f"{match[1]}::msg::dds_::{match[2]}_"


def ros_name(name: str) -> str:
    """`package/msg/Type` of `package::msg::dds_::Type_`; any other name comes back as it is.

    >>> ros_name("sensor_msgs::msg::dds_::Image_")
    'sensor_msgs/msg/Image'
    """
    match = _DDS.fullmatch(name)
    return name if match is None else f"{match[1]}/msg/{match[2]}"


TIME = MessageType(
    name="builtin_interfaces/msg/Time",
    type_hash="RIHS01_b106235e25a4c5ed35098aa0a61a3ee9c9b18d197f398b0e4206cea9acf9c197",
    fields=("int32 sec", "uint32 nanosec"),
)
HEADER = MessageType(
    name="std_msgs/msg/Header",
    type_hash="RIHS01_f49fb3ae2cf070f793645ff749683ac6b06203e41c891e17701b1cb597ce6a01",
    fields=("builtin_interfaces/Time stamp", "string frame_id"),
    uses=(TIME,),
)
IMAGE = MessageType(
    name="sensor_msgs/msg/Image",
    type_hash="RIHS01_d31d41a9a4c4bc8eae9be757b0beed306564f7526c88ea6a4588fb9582527d47",
    fields=(
        "std_msgs/Header header",
        "uint32 height",
        "uint32 width",
        "string encoding",
        "uint8 is_bigendian",
        "uint32 step",
        "uint8[] data",
    ),
    uses=(HEADER, TIME),
)
COMPRESSED_IMAGE = MessageType(
    name="sensor_msgs/msg/CompressedImage",
    type_hash="RIHS01_15640771531571185e2efc8a100baf923961a4d15d5569652e6cb6691e8e371a",
    fields=("std_msgs/Header header", "string format", "uint8[] data"),
    uses=(HEADER, TIME),
)
VISION_CLASS = MessageType(
    name="vision_msgs/msg/VisionClass",
    type_hash="RIHS01_1e4a11f0fed50b5623cb8ff26ca0e37952a48a9c074d16f804b44e9164c2037a",
    fields=("uint16 class_id", "string class_name"),
)
LABEL_INFO = MessageType(
    name="vision_msgs/msg/LabelInfo",
    type_hash="RIHS01_3d37df4015cdf660cc851c51897f2acd957e1ca6205ba0a99aebffb9406b0783",
    fields=("std_msgs/Header header", "vision_msgs/VisionClass[] class_map", "float32 threshold"),
    uses=(HEADER, TIME, VISION_CLASS),
)
