#!/usr/bin/env bash
# Opening the encoder SVT-AV1 as root, as in most containers, makes the caller's own thread a real-time one of the highest priority.
# Seen with av 18.1.0 (FFmpeg's libsvtav1) on 2026-11-29, Linux.
# Expected: an encoder sets the scheduling of the threads that it starts, if any.
# Comes: the thread that opens it goes from SCHED_OTHER to SCHED_FIFO 99 and stays there after the encoder is closed; threads and
# processes that it starts later inherit that. On a robot they pass by the control loop, and two of them that wait for each
# other in a loop hold a core for ever. Without the right to do so (not root, no CAP_SYS_NICE) nothing happens.
# Here: nothing encodes AV1 but a test, in a thread that ends (tests/runtime/sources/test_video_packets.py).
. "$(dirname "$0")/common.bash"
[[ $(uname) == Linux ]] || skip "Linux's scheduling"
chrt --fifo 1 true 2>/dev/null || skip "no right to real-time scheduling"
with av==18.1.0 numpy==2.4.6
"$PYTHON" - 2>/dev/null <<'PY' >out
import io
import os
import subprocess
import sys

import av
import numpy as np

NAMES = {os.SCHED_OTHER: "SCHED_OTHER", os.SCHED_FIFO: "SCHED_FIFO"}


def scheduling(pid=0):
    return f"{NAMES[os.sched_getscheduler(pid)]} {os.sched_getparam(pid).sched_priority}"


print("before:", scheduling())
with av.open(io.BytesIO(), "w", format="matroska") as container:
    stream = container.add_stream("libsvtav1", rate=25, options={"preset": "12"})
    stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
    for packet in stream.encode(av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")):
        container.mux(packet)
    container.mux(stream.encode(None))
print("after it was closed:", scheduling())
code = "import os; print('a child:', os.sched_getscheduler(0) == os.SCHED_FIFO)"
print(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout, end="")
PY
seen <<'TEXT'
before: SCHED_OTHER 0
after it was closed: SCHED_FIFO 99
a child: True
TEXT
