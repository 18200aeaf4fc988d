#!/usr/bin/env bash
# PyAV's default threads switch H.264's error marks off: a damaged picture is handed over as a good one.
# Seen with PyAV 18.1.0 (its FFmpeg 8) on 2026-11-28.
# Expected: `frame.is_corrupt` on a picture whose slice was overwritten, as one decoding thread gives it.
# Comes: with PyAV's default (slice threads) no mark and no message that av.logging.Capture hears.
# Here: videos are decoded on one thread (runtime/tdnet_runtime/media/packet_decoder.py).
. "$(dirname "$0")/common.bash"
with av==18.1.0 numpy==2.4.6
"$PYTHON" - >out 2>/dev/null <<'PY'
import io

import av
import numpy as np

rng = np.random.default_rng(0)
with av.open("whole.mp4", "w") as container:
    stream = container.add_stream("libx264", rate=25, options={"x264-params": "slices=1:bframes=0"})
    stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
    base = rng.integers(0, 256, (240, 320, 3), dtype=np.uint8)
    for index in range(20):
        frame = av.VideoFrame.from_ndarray(np.roll(base, 3 * index, 1), format="rgb24")
        frame.pts = index
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))
with av.open("whole.mp4") as container:
    packets = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
data = bytearray(open("whole.mp4", "rb").read())
position, size = packets[10]
data[position + size // 3 : position + size // 3 + 40] = b"\xff" * 40  # inside of one picture's slice
for threads in (None, 1):
    with av.open(io.BytesIO(bytes(data))) as container:
        stream = container.streams.video[0]
        if threads:
            stream.codec_context.thread_count = threads
        told = 0
        for packet in container.demux(stream):
            try:
                told += sum(frame.is_corrupt for frame in packet.decode())
            except av.error.InvalidDataError:
                told += 1
        print(f"threads {threads or 'by default'}: damage is told: {told > 0}")
PY
seen <<'TEXT'
threads by default: damage is told: False
threads 1: damage is told: True
TEXT
