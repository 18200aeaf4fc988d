"""A ROS 2 node with pip alone: the newest picture of a topic, three times a second, to masks and colours with its header.

    pip install 'tdnet-deploy[cpu,zenoh]'            # or [cpu,dds]
    python examples/ros2_node.py X.plan ros2:///camera/image_raw ros2:///segmentation 3

It publishes /segmentation/mask (mono8), /mask/compressed (PNG), /colors (rgb8) and /label_info; see docs/ros2.md. Ends with
Ctrl-C; while the camera is silent, it waits for it.
"""

import sys
from contextlib import ExitStack

from tdnet_runtime import Segmenter, TdnetError
from tdnet_runtime.live import Feed, LiveSegmenter, fixed_rate
from tdnet_runtime.sinks.registry import open_sink
from tdnet_runtime.sinks.sink import SinkNetwork
from tdnet_runtime.sources.registry import open_source


def main(plan: str, camera: str, masks: str, hz: str) -> None:
    """Run the node until it is interrupted."""
    with Segmenter.open(plan) as segmenter, ExitStack() as outputs:
        sink = outputs.enter_context(open_sink(masks, SinkNetwork.of(segmenter)))
        feed = Feed(open=lambda: open_source(camera), live=True, policy=fixed_rate(float(hz)))
        live = LiveSegmenter(segmenter, {"": feed}, sinks=[sink])
        try:
            with live:
                live.run()
        finally:
            if f"sink {sink.name}" in live.left_behind:
                outputs.pop_all()  # its thread is still at work in it: it must not be closed


if __name__ == "__main__":
    if len(sys.argv) != 5:
        sys.exit("usage: python examples/ros2_node.py X.plan CAMERA OUTPUT HZ")
    try:
        main(*sys.argv[1:])
    except KeyboardInterrupt:
        sys.exit(130)
    except TdnetError as error:
        sys.exit(f"{error}")
