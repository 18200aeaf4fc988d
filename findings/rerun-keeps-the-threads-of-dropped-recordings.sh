#!/usr/bin/env bash
# A recording of Rerun's that was disconnected and dropped keeps its two threads until the process ends.
# Seen with rerun-sdk 0.41.0 on 2026-11-29.
# Expected: disconnect(), or the last reference going, ends what a RecordingStream started.
# Comes: each leaves the threads RecordingStream and ChunkBatcher behind, so that a program that begins a new recording every
# hour gathers them; only the sweep that rerun.init() and the interpreter's end make lets them go.
# Here: a Rerun output makes that sweep when it is closed (runtime/tdnet_runtime/sinks/rerun_recording.py).
. "$(dirname "$0")/common.bash"
[[ -d /proc/self/task ]] || skip "threads are counted in /proc"
with rerun-sdk==0.41.0 numpy==2.4.6
export HOME=$FOLDER XDG_CONFIG_HOME=$FOLDER XDG_DATA_HOME=$FOLDER
"$PYTHON" - 2>/dev/null <<'PY' >out
import gc
import time
from pathlib import Path

import rerun as rr
import rerun_bindings


def threads():
    return sum(1 for _ in Path("/proc/self/task").iterdir())


def record():
    recording = rr.RecordingStream("street")
    stream = recording.binary_stream()
    recording.set_time("frame", sequence=0)
    recording.log("latency", rr.Scalars([1.0]))
    stream.read(flush=True)
    recording.disconnect()


record()
before = threads()
for _ in range(3):
    record()
    gc.collect()
time.sleep(1)
print("threads after three more recordings:", threads() - before)
rerun_bindings.flush_and_cleanup_orphaned_recordings()
time.sleep(1)
print("after the sweep:", threads() - before)
PY
seen <<'TEXT'
threads after three more recordings: 6
after the sweep: -2
TEXT
