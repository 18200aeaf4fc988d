"""A robot's own nodes, by pyzeros, in a Python of their own: a camera that publishes, and one who reads the masks.

    python pyzeros_peer.py --router tcp/127.0.0.1:7447 --domain 0 --frames 90

Joins the graph as rmw_zenoh's nodes do: as a peer that the router introduces. Writes one line of JSON. Knows nothing of the
product.
"""

import argparse
import json
import sys
import time

import zenoh
from pyzeros.node import Node
from pyzeros.pub import Pub
from pyzeros.qos import QosProfile
from pyzeros.sub import RawSub
from ros2_pyterfaces.cyclone.builtin_interfaces.msg import Time
from ros2_pyterfaces.cyclone.sensor_msgs.msg import CompressedImage, Image
from ros2_pyterfaces.cyclone.std_msgs.msg import Header

S = 1_000_000_000
STAMP = slice(4, 12)


def stamp_ns(data):
    return int.from_bytes(data[4:8], "little") * S + int.from_bytes(data[8:12], "little")


def session_to(router):
    config = zenoh.Config()
    for key, value in (
        ("mode", '"peer"'),
        ("connect/endpoints", json.dumps([router])),
        ("listen/endpoints", '["tcp/127.0.0.1:0"]'),
        ("scouting/multicast/enabled", "false"),
        ("scouting/gossip/enabled", "true"),
        ("transport/shared_memory/enabled", "false"),
    ):
        config.insert_json5(key, value)
    return zenoh.open(config)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--router", required=True)
    parser.add_argument("--domain", type=int, default=0)
    parser.add_argument("--frames", type=int, default=90)
    parser.add_argument("--rate", type=float, default=30)
    parser.add_argument("--size", default="480x640")
    parser.add_argument("--camera", default="/camera/image_raw")
    parser.add_argument("--masks", default="/segmentation")
    parser.add_argument("--wait", type=float, default=30)
    options = parser.parse_args()
    height, width = map(int, options.size.split("x"))
    image = Image(
        header=Header(stamp=Time(sec=0, nanosec=0), frame_id="camera_link"),
        height=height,
        width=width,
        encoding="rgb8",
        is_bigendian=0,
        step=3 * width,
        data=(list(range(256)) * (height * width * 3 // 256 + 1))[: height * width * 3],
    )
    message = bytearray(image.serialize())
    sent, masks, packed = {}, {}, {}

    def taker(found):
        def take(sample):
            at, data = time.time_ns(), sample.payload.to_bytes()
            found[stamp_ns(data)] = (
                at,
                data if stamp_ns(data) not in sent or not sent[stamp_ns(data)] else None,
            )

        return take

    def publish(camera, *, keep):
        now = time.time_ns()
        message[STAMP] = (now // S).to_bytes(4, "little") + (now % S).to_bytes(4, "little")
        sent[now] = not keep
        camera.publish(bytes(message))

    session = session_to(options.router)
    node = Node(name="robot", session=session, domain_id=options.domain)
    camera = Pub(Image, options.camera, qos_profile=QosProfile.default(), session=node, scope=None)
    subscriptions = [
        RawSub(kind, f"{options.masks}/{leaf}", taker(found), session=node, scope=None)
        for kind, leaf, found in ((Image, "mask", masks), (CompressedImage, "mask/compressed", packed))
    ]
    begin = time.monotonic()
    while not (masks and packed) and time.monotonic() - begin < options.wait:
        publish(camera, keep=True)
        time.sleep(0.2)
    warm = len(sent)
    sent.clear()
    masks.clear()
    packed.clear()
    begin = time.monotonic()
    for index in range(options.frames):
        publish(camera, keep=index == 0)
        time.sleep(max(begin + (index + 1) / options.rate - time.monotonic(), 0))
    time.sleep(2)
    first = {}
    for kind, found in ((Image, masks), (CompressedImage, packed)):
        whole = next((data for _, data in found.values() if data is not None), None)
        if whole is not None:
            got = kind.deserialize(whole)
            first[kind.__name__] = {
                name: getattr(got, name)
                for name in ("height", "width", "step", "encoding", "format")
                if hasattr(got, name)
            }
            first[kind.__name__] |= {
                "frame_id": got.header.frame_id,
                "data": list(got.data)[:8],
                "most": max(got.data),
            }
    tokens = [
        str(reply.ok.key_expr)
        for reply in session.liveliness().get(f"@ros2_lv/{options.domain}/**", timeout=2.0)
    ]
    sys.stdout.write(
        json.dumps(
            {
                "warm": warm,
                "sent": list(sent),
                "masks": {str(stamp): at for stamp, (at, _) in masks.items() if stamp in sent},
                "packed": {str(stamp): at for stamp, (at, _) in packed.items() if stamp in sent},
                "first": first,
                "tokens": tokens,
            }
        )
        + "\n"
    )
    sys.stdout.flush()
    for subscription in subscriptions:
        subscription.close()
    camera.close()
    session.close()


if __name__ == "__main__":
    main()
