#!/usr/bin/env bash
# PyAV's decoder named "av1" decodes nothing on a machine without a GPU, though its wheel has a decoder that does.
# Seen with PyAV 18.1.0 (its FFmpeg 8) on 2026-11-29.
# Expected: CodecContext.create("av1", "r") decodes AV1, as "h264", "hevc" and "vp9" decode theirs, and as av.open does.
# Comes: FFmpeg's native AV1 decoder, which is hardware acceleration alone: "Function not implemented" at the first packet.
# "libdav1d", by its own name, decodes the same packets. It matters where packets come from a log or a topic, not a file.
# Here: AV1 packets of logs and topics go to libdav1d (runtime/tdnet_runtime/sources/video_packets.py).
. "$(dirname "$0")/common.bash"
with av==18.1.0 numpy==2.4.6
"$PYTHON" - >out 2>/dev/null <<'PY'
import av
import numpy as np

av.logging.set_level(None)
with av.open("clip.mkv", "w") as container:
    stream = container.add_stream("libsvtav1", rate=25)
    stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
    for index in range(5):
        frame = av.VideoFrame.from_ndarray(np.full((96, 128, 3), 40 * index, np.uint8), format="rgb24")
        frame.pts = index
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))
for name in ("av1", "libdav1d"):
    with av.open("clip.mkv") as container:
        stream = container.streams.video[0]
        context = av.CodecContext.create(name, "r")
        context.extradata = stream.codec_context.extradata
        frames, error = 0, None
        try:
            for packet in container.demux(stream):
                frames += len(context.decode(packet if packet.size else None))
        except av.error.FFmpegError as raised:
            error = raised.strerror
    print(f"{name}: {frames} frames, {error}")
PY
seen <<'TEXT'
av1: 0 frames, Function not implemented
libdav1d: 5 frames, None
TEXT
