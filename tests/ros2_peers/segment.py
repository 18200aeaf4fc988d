"""The product without a network: a topic in, topics out, labels made of the red channel.

    python segment.py ros2:///camera/image_raw?rmw=dds ros2:///segmentation?rmw=dds

As in the live layer one thread reads the source, another one writes, and the newest frame wins. Ends with its source or the
first line of its input, whichever comes first, and writes one line of JSON.
"""

import contextlib
import json
import queue
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


def label(frames, sink):
    while (frame := frames.get()) is not None:
        labels = frame.image[..., 0] // 64
        result = types.SimpleNamespace(
            source="", frame=frame, labels=labels, confidence=None, stamp_ns=frame.stamp_ns
        )
        sink.write(result)


def main():
    network = SinkNetwork(name="red", digest="", classes=CLASSES)
    count = lost = replaced = 0
    sizes = set()
    with open_sink(sys.argv[2], network) as sink, open_source(sys.argv[1]) as source:
        threading.Thread(target=lambda: (sys.stdin.readline(), source.stop()), daemon=True).start()
        say("ready")
        newest = queue.Queue(maxsize=1)
        writer = threading.Thread(target=label, args=(newest, sink))
        writer.start()
        with contextlib.suppress(MediaError):
            for frame in source:
                count, lost = count + 1, lost + frame.lost_before
                sizes.add(frame.image.shape)
                with contextlib.suppress(queue.Empty):
                    newest.get_nowait()
                    replaced += 1
                newest.put(frame)
        newest.put(None)
        writer.join()
        seen = {"frames": count, "lost": lost, "replaced": replaced, "sizes": sorted(sizes)}
        say(json.dumps({**seen, "facts": dict(source.facts)}))


if __name__ == "__main__":
    main()
