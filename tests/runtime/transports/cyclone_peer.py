"""Reads a LabelInfo by Cyclone DDS's own Python types, declared from vision_msgs' definition: cyclone_peer.py DOMAIN TOPIC.

Writes one line of JSON: what it says, and what discovery tells of its writer. Knows nothing of the product.
"""

import json
import sys
import time
from dataclasses import dataclass

from cyclonedds import idl
from cyclonedds.builtin import BuiltinDataReader, BuiltinTopicDcpsPublication
from cyclonedds.core import Policy, Qos
from cyclonedds.domain import DomainParticipant
from cyclonedds.idl import annotations
from cyclonedds.idl.types import float32, int32, sequence, uint16, uint32
from cyclonedds.sub import DataReader
from cyclonedds.topic import Topic


@dataclass
@annotations.final
class Time(idl.IdlStruct, typename="builtin_interfaces::msg::dds_::Time_"):
    sec: int32
    nanosec: uint32


@dataclass
@annotations.final
class Header(idl.IdlStruct, typename="std_msgs::msg::dds_::Header_"):
    stamp: Time
    frame_id: str


@dataclass
@annotations.final
class VisionClass(idl.IdlStruct, typename="vision_msgs::msg::dds_::VisionClass_"):
    class_id: uint16
    class_name: str


@dataclass
@annotations.final
class LabelInfo(idl.IdlStruct, typename="vision_msgs::msg::dds_::LabelInfo_"):
    header: Header
    class_map: sequence[VisionClass]
    threshold: float32


participant = DomainParticipant(int(sys.argv[1]))
writers = BuiltinDataReader(participant, BuiltinTopicDcpsPublication)
reliable = Policy.Reliability.Reliable(0)
qos = Qos(reliable, Policy.Durability.TransientLocal, Policy.History.KeepLast(1))
reader = DataReader(participant, Topic(participant, f"rt{sys.argv[2]}", LabelInfo), qos=qos)
deadline = time.monotonic() + 30
while not (samples := reader.take(1)) and time.monotonic() < deadline:
    time.sleep(0.02)
(info,) = samples
(writer,) = (each for each in writers.read(100) if each.topic_name == f"rt{sys.argv[2]}")
stamp = info.header.stamp
said = {
    "header": [stamp.sec, stamp.nanosec, info.header.frame_id],
    "classes": [[each.class_id, each.class_name] for each in info.class_map],
    "threshold": info.threshold,
    "type": writer.type_name,
    "type_id": None if writer.type_id is None else str(writer.type_id),
    "qos": str(writer.qos),
}
sys.stdout.write(json.dumps(said) + "\n")
