"""A robot's own nodes, by rclpy, in a Python of their own: a camera that publishes, and one who reads the masks.

    python rclpy_peer.py --frames 90 --rate 30 --size 480x640 --reliability best_effort

Prints one JSON line: what was sent, what came back and when, and what the graph shows. Knows nothing of the product.
"""

import argparse
import json
import sys
import time

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image

S = 1_000_000_000


def stamp_ns(header):
    return header.stamp.sec * S + header.stamp.nanosec


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--frames", type=int, default=90)
    parser.add_argument("--rate", type=float, default=30)
    parser.add_argument("--size", default="480x640")
    parser.add_argument("--reliability", choices=("best_effort", "reliable"), default="best_effort")
    parser.add_argument("--camera", default="/camera/image_raw")
    parser.add_argument("--masks", default="/segmentation")
    parser.add_argument("--raw-mask", action="store_true", help="read the uncompressed mask, too")
    parser.add_argument("--wait", type=float, default=20)
    options = parser.parse_args()
    height, width = map(int, options.size.split("x"))

    rclpy.init()
    node = rclpy.create_node("robot")
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    kind = ReliabilityPolicy[options.reliability.upper()]
    publisher = node.create_publisher(Image, options.camera, QoSProfile(depth=5, reliability=kind))
    sent, masks, packed = {}, {}, {}

    def on_mask(message):
        at = time.time_ns()
        masks[stamp_ns(message.header)] = (
            at,
            message.header.frame_id,
            message.encoding,
            [message.height, message.width, message.step],
            max(message.data[:: message.step + 1]),  # a diagonal: all of it takes Python longer than a frame
        )

    def on_packed(message):
        packed[stamp_ns(message.header)] = (
            time.time_ns(),
            message.header.frame_id,
            message.format,
            bytes(message.data[:4]).hex(),
        )

    qos = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
    if options.raw_mask:
        node.create_subscription(Image, f"{options.masks}/mask", on_mask, qos)
    node.create_subscription(CompressedImage, f"{options.masks}/mask/compressed", on_packed, qos)

    image = Image(height=height, width=width, encoding="rgb8", step=3 * width)
    image.header.frame_id = "camera_link"
    image.data = bytes(range(256)) * (height * width * 3 // 256) + bytes(height * width * 3 % 256)

    def publish():
        now = time.time_ns()
        image.header.stamp.sec, image.header.stamp.nanosec = divmod(now, S)
        publisher.publish(image)
        sent[now] = None

    begin = time.monotonic()
    while publisher.get_subscription_count() == 0 and time.monotonic() - begin < options.wait:
        executor.spin_once(timeout_sec=0.05)
    matched_s = time.monotonic() - begin
    while (
        not packed and time.monotonic() - begin < options.wait
    ):  # until the masks' topics have met their reader, too
        publish()
        executor.spin_once(timeout_sec=0.2)
    warm = len(sent)
    sent.clear()
    begin = time.monotonic()
    for index in range(options.frames):
        publish()
        while (left := begin + (index + 1) / options.rate - time.monotonic()) > 0:
            executor.spin_once(timeout_sec=left)
    end = time.monotonic() + 2
    while time.monotonic() < end:
        executor.spin_once(timeout_sec=0.05)
    infos = node.get_publishers_info_by_topic(f"{options.masks}/label_info")
    sys.stdout.write(
        json.dumps(
            {
                "matched_s": matched_s,
                "warm": warm,
                "sent": list(sent),
                "masks": {str(k): v for k, v in masks.items() if k in sent},
                "packed": {str(k): v for k, v in packed.items() if k in sent},
                "topics": dict(node.get_topic_names_and_types()),
                "label_info": [
                    [info.topic_type, info.qos_profile.durability == DurabilityPolicy.TRANSIENT_LOCAL]
                    for info in infos
                ],
            }
        )
    )
    rclpy.shutdown()


if __name__ == "__main__":
    main()
