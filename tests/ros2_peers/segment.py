"""The product without a network: a topic in, topics out, labels made of the red channel.

    python segment.py ros2:///camera/image_raw?rmw=dds ros2:///segmentation?rmw=dds

Ends with its source or the first line of its input, whichever comes first, and writes one line of JSON.
"""

import contextlib
import json
import sys
import threading
import types

from tdnet_runtime.errors import MediaError
from tdnet_runtime.sinks.registry import open_sink
from tdnet_runtime.sinks.sink import SinkNetwork
from tdnet_runtime.sources.registry import open_source

CLASSES = [
    ("road", (128, 64, 128)),
    ("side walk", (244, 35, 232)),
    ("sky", (70, 130, 180)),
    ("car", (0, 0, 142)),
]


def say(text):
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main():
    network = SinkNetwork(name="red", digest="", classes=CLASSES)
    frames = lost = 0
    sizes = set()
    with open_sink(sys.argv[2], network) as sink, open_source(sys.argv[1]) as source:
        threading.Thread(target=lambda: (sys.stdin.readline(), source.stop()), daemon=True).start()
        say("ready")
        with contextlib.suppress(MediaError):
            for frame in source:
                result = types.SimpleNamespace(
                    source="",
                    frame=frame,
                    labels=frame.image[..., 0] // 64,
                    confidence=None,
                    stamp_ns=frame.stamp_ns,
                )
                sink.write(result)
                frames, lost = frames + 1, lost + frame.lost_before
                sizes.add(frame.image.shape)
        say(json.dumps({"frames": frames, "lost": lost, "sizes": sorted(sizes), "facts": dict(source.facts)}))


if __name__ == "__main__":
    main()
