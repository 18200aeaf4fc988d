"""Plays a video as a camera, at its own rate and over and over: by RTSP on the loopback, or as a ROS 2 topic.

    python examples/live_demo/play_camera.py rtsp://127.0.0.1:8554/live street.mp4
    python examples/live_demo/play_camera.py "ros2:///camera/image_raw/compressed?rmw=dds&domain=77" street.mp4

The RTSP side speaks just enough of it for clients that ask for TCP, as tdnet-run does: H.264 packets go out as they lie in
the file, from its first frame on for each client.
"""

from __future__ import annotations

import base64
import itertools
import socketserver
import struct
import sys
import time
from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import urlsplit

import av
import cv2

from tdnet_runtime import TdnetError
from tdnet_runtime.errors import OptionError
from tdnet_runtime.media.video import VideoSource
from tdnet_runtime.ros.messages import CompressedImage
from tdnet_runtime.ros.types import COMPRESSED_IMAGE
from tdnet_runtime.sources.source_url import SourceUrl
from tdnet_runtime.transports.address import RosAddress

CLOCK_HZ = 90_000  # of RTP's time stamps
MOST_BYTES = 1400  # in one RTP packet
FRAGMENT = 28  # FU-A, RFC 6184
ROS_PARAMS = frozenset({"rmw", "domain", "router", "interface", "datagram"})


class Packet(NamedTuple):
    """One coded picture: when it is sent and shown, in seconds, and its NAL units."""

    due_s: float
    shown_s: float
    units: list[bytes]


class Video:
    """The H.264 packets of a file.

    Attributes:
        sets: its parameter sets, SPS and PPS.
    """

    def __init__(self, path: str) -> None:
        with av.open(path) as container:
            stream = container.streams.video[0]
            head = bytes(stream.codec_context.extradata or b"")
            if stream.codec_context.name != "h264" or head[:1] != b"\x01":
                raise OptionError(f"RTSP is played from an MP4 file with H.264 alone; this is none: {path!r}")
            self.sets = _parameter_sets(head)
            packets = [packet for packet in container.demux(stream) if packet.size]
            base = float(stream.time_base or 0)
            first = packets[0].dts or 0
            self._packets = [
                Packet(
                    ((packet.dts or 0) - first) * base,
                    ((packet.pts or 0) - first) * base,
                    [*(self.sets if packet.is_keyframe else ()), *_units(bytes(packet))],
                )
                for packet in packets
            ]
            self._length_s = len(packets) / float(stream.average_rate or 25)

    def __iter__(self) -> Iterator[Packet]:
        """Without end."""
        for turn in itertools.count():
            offset_s = turn * self._length_s
            for packet in self._packets:
                yield Packet(packet.due_s + offset_s, packet.shown_s + offset_s, packet.units)


class RtspSession(socketserver.StreamRequestHandler):
    """One client; the pictures begin when it asks for PLAY."""

    video: Video

    def handle(self) -> None:
        """Answer until it plays, then send until it is gone."""
        try:
            while lines := self._request():
                method, _, rest = lines[0].partition(" ")
                fields = dict(line.lower().split(": ", 1) for line in lines[1:] if ": " in line)
                self._answer(method, rest.partition(" ")[0], fields.get("cseq", "0"))
                if method == "PLAY":
                    self._play()
        except OSError:
            return

    def _request(self) -> list[str]:
        lines = []
        while (line := self.rfile.readline().decode(errors="replace").strip()) or not lines:
            if not line:
                return []
            lines.append(line)
        return lines

    def _answer(self, method: str, address: str, number: str) -> None:
        sps, pps = (base64.b64encode(each).decode() for each in self.video.sets[:2])
        head, body = {
            "OPTIONS": ("Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n", ""),
            "DESCRIBE": (
                f"Content-Base: {address}/\r\nContent-Type: application/sdp\r\n",
                "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=street\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\n"
                f"a=rtpmap:96 H264/{CLOCK_HZ}\r\na=control:track\r\n"
                f"a=fmtp:96 packetization-mode=1;sprop-parameter-sets={sps},{pps}\r\n",
            ),
            "SETUP": ("Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n", ""),
        }.get(method, ("", ""))
        head = f"RTSP/1.0 200 OK\r\nCSeq: {number}\r\nSession: 1;timeout=600\r\n{head}"
        self.wfile.write(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())

    def _play(self) -> None:
        numbers, begin_s = itertools.count(), time.monotonic()
        for packet in self.video:
            time.sleep(max(begin_s + packet.due_s - time.monotonic(), 0))
            stamp = round(packet.shown_s * CLOCK_HZ) % 2**32
            pieces = [piece for unit in packet.units for piece in _pieces(unit)]
            for place, piece in enumerate(pieces, start=1):
                mark = 0x80 if place == len(pieces) else 0
                head = struct.pack("!BBHII", 0x80, mark | 96, next(numbers) % 2**16, stamp, 1)
                self.wfile.write(struct.pack("!cBH", b"$", 0, len(head) + len(piece)) + head + piece)


class RtspServer(socketserver.ThreadingTCPServer):
    """Sends to all who ask."""

    allow_reuse_address = daemon_threads = True


def _parameter_sets(head: bytes) -> list[bytes]:
    """Of an `avcC` box: as many SPS, then PPS, as it counts, each behind its length."""
    found, at = [], 5
    for mask in (0x1F, 0xFF):
        count, at = head[at] & mask, at + 1
        for _ in range(count):
            size = int.from_bytes(head[at : at + 2], "big")
            found.append(head[at + 2 : at + 2 + size])
            at += 2 + size
    return found


def _units(data: bytes) -> Iterator[bytes]:
    """NAL units of an MP4's packet: each behind four bytes of length."""
    at = 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        yield data[at + 4 : at + 4 + size]
        at += 4 + size


def _pieces(unit: bytes) -> Iterator[bytes]:
    """A NAL unit as payloads of RTP packets."""
    if len(unit) <= MOST_BYTES:
        yield unit
        return
    parts = [unit[at : at + MOST_BYTES] for at in range(1, len(unit), MOST_BYTES)]
    for place, part in enumerate(parts):
        first, last = place == 0, place == len(parts) - 1
        yield bytes([unit[0] & 0xE0 | FRAGMENT, first << 7 | last << 6 | unit[0] & 0x1F]) + part


def play_rtsp(address: str, path: str) -> None:
    """Until it is ended."""
    parts = urlsplit(address)
    session = type("Session", (RtspSession,), {"video": Video(path)})
    with RtspServer((parts.hostname or "127.0.0.1", parts.port or 8554), session) as server:
        server.serve_forever()


def play_ros2(address: str, path: str) -> None:
    """Until it is ended: JPEGs, which fit any reader's buffer."""
    url = SourceUrl.parse(address, known=ROS_PARAMS)
    with VideoSource(path) as source:
        fps = float(source.fps or 25)
        pictures = [cv2.imencode(".jpg", frame.image[..., ::-1])[1].reshape(-1) for frame in source]
    with RosAddress.from_params(url.params).open() as node:
        writer = node.writer(url.topic, COMPRESSED_IMAGE)
        begin_s = time.monotonic()
        for index in itertools.count():
            time.sleep(max(begin_s + index / fps - time.monotonic(), 0))
            picture = pictures[index % len(pictures)]
            message = CompressedImage(
                stamp_ns=time.time_ns(), frame_id="front_camera", format="jpeg", data=picture
            )
            writer.write(message.to_cdr())


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python examples/live_demo/play_camera.py rtsp://...|ros2:///... VIDEO.mp4")
    try:
        (play_rtsp if sys.argv[1].startswith("rtsp:") else play_ros2)(*sys.argv[1:])
    except (TdnetError, OSError) as error:
        sys.exit(f"{error}")
    except KeyboardInterrupt:
        sys.exit(130)
