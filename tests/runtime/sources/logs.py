"""Tiny logs, written by libraries of others."""

import io
import sqlite3
from pathlib import Path

import av
import cv2
import numpy as np
from mcap.writer import CompressionType, IndexType, Writer

from tdnet_runtime.ros.messages import CompressedImage, RawImage
from tdnet_runtime.ros.types import COMPRESSED_IMAGE, IMAGE

S = 1_000_000_000
STEP = S // 10
HEIGHT, WIDTH = 24, 32


def picture(index, *, height=HEIGHT, width=WIDTH):
    """uint8 [height, width, 3]: a bright square that moves, on a gradient."""
    image = np.empty((height, width, 3), np.uint8)
    image[..., 0] = np.linspace(20, 120, width, dtype=np.uint8)
    image[..., 1] = np.linspace(20, 120, height, dtype=np.uint8)[:, None]
    image[..., 2] = 60
    image[4:12, 2 * index % (width - 8) :][:, :8] = 230
    return image


def raw(index, *, stamp=None, encoding="rgb8", image=None):
    """CDR of a sensor_msgs/msg/Image, stamped S + index * STEP."""
    image = picture(index) if image is None else image
    stamp = S + index * STEP if stamp is None else stamp
    return RawImage.from_pixels(image, encoding=encoding, stamp_ns=stamp, frame_id="cam").to_cdr()


def coded(index, *, suffix=".png", format="rgb8; png compressed bgr8"):
    """CDR of a sensor_msgs/msg/CompressedImage."""
    data = cv2.imencode(suffix, picture(index)[..., ::-1])[1]
    return CompressedImage(
        stamp_ns=S + index * STEP, frame_id="cam", format=format, data=data.reshape(-1)
    ).to_cdr()


def write_mcap(
    path,
    topics,
    *,
    chunk_size=4000,
    compression=CompressionType.NONE,
    chunked=True,
    index=IndexType.ALL,
    end=True,
    profile="ros2",
    **options,
):
    """Write a log; all messages ordered by time.

    Args:
        path: of the file.
        topics: by name: (schema name, message encoding, [(log time, data)] or [(log time, data, sequence)]).
    """
    with Path(path).open("wb") as file:
        writer = Writer(
            file,
            chunk_size=chunk_size,
            compression=compression,
            use_chunking=chunked,
            index_types=index,
            **options,
        )
        writer.start(profile=profile, library="a test")
        messages = []
        for name, (kind, encoding, content) in topics.items():
            schema = 0
            if kind is not None:
                text = {"sensor_msgs/msg/Image": IMAGE, "sensor_msgs/msg/CompressedImage": COMPRESSED_IMAGE}
                data = text[kind].schema_text.encode() if kind in text else b""
                schema = writer.register_schema(kind, "ros2msg" if kind in text else "unknown", data)
            channel = writer.register_channel(name, encoding, schema)
            messages += [(time, channel, data, *rest) for time, data, *rest in content]
        for time, channel, data, *rest in sorted(messages, key=lambda message: message[0]):
            writer.add_message(channel, time, data, time, *rest)
        if end:
            writer.finish()
        else:
            writer.flush()
    return path


def images(count=6, *, first=0, make=raw, lag=3):
    """Messages of an image topic, recorded `lag` ns after their stamps."""
    return [(S + i * STEP + lag, make(i)) for i in range(first, first + count)]


IMAGE_TYPE, COMPRESSED_TYPE = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"


def camera(count=6, **options):
    return {"/cam": (IMAGE_TYPE, "cdr", images(count, **options))}


def write_db3(path, topics):
    """A rosbag2 file in SQLite, as `rosbag2_storage_sqlite3` lays it out; `topics` as for `write_mcap`."""
    with sqlite3.connect(path) as file:
        file.execute("PRAGMA synchronous=OFF")
        file.execute(
            "CREATE TABLE topics(id INTEGER PRIMARY KEY, name TEXT NOT NULL, type TEXT NOT NULL, "
            "serialization_format TEXT NOT NULL, offered_qos_profiles TEXT NOT NULL)"
        )
        file.execute(
            "CREATE TABLE messages(id INTEGER PRIMARY KEY, topic_id INTEGER NOT NULL, timestamp INTEGER NOT NULL, "
            "data BLOB NOT NULL)"
        )
        file.execute("CREATE INDEX timestamp_idx ON messages (timestamp ASC)")
        for number, (name, (kind, encoding, content)) in enumerate(topics.items(), start=1):
            file.execute("INSERT INTO topics VALUES (?, ?, ?, ?, '')", (number, name, kind, encoding))
            file.executemany(
                "INSERT INTO messages(topic_id, timestamp, data) VALUES (?, ?, ?)",
                [(number, time, data) for time, data, *_ in content],
            )
    file.close()
    return path


def packets(codec, count, *, gop=5, options=None, pix_fmt="yuv420p", size=(48, 64)):
    """One packet for each frame, Annex B where the codec has it, as (is a key frame, bytes)."""
    target = io.BytesIO()
    with av.open(target, "w", format={"libx264": "h264", "libx265": "hevc"}.get(codec, "ivf")) as container:
        stream = container.add_stream(codec, rate=10, options=options or {})
        stream.height, stream.width = size
        stream.pix_fmt, stream.gop_size = pix_fmt, gop
        stream.max_b_frames = 0
        found = []
        for index in range(count):
            frame = av.VideoFrame.from_ndarray(picture(index, height=size[0], width=size[1]), format="rgb24")
            frame.pts = index
            found += stream.encode(frame)
        found += stream.encode(None)
        result = [(packet.is_keyframe, bytes(packet)) for packet in found]
        for packet in found:
            container.mux(packet)
    return result
