#!/usr/bin/env bash
# What Rerun's BinaryStream gives piece by piece is not one recording when the pieces are written one after the other.
# Seen with rerun-sdk 0.41.0 on 2026-11-29.
# Expected: `stream.read()` gives the next bytes of one .rrd, so that a file to which they are appended is that .rrd.
# Comes: each read is a whole .rrd with a header and an end of its own; `rerun rrd verify` refuses what they make together.
# Here: the framing of the pieces is taken apart, and one file is written of them (runtime/tdnet_runtime/sinks/rrd.py).
. "$(dirname "$0")/common.bash"
with rerun-sdk==0.41.0 numpy==2.4.6
export HOME=$FOLDER XDG_CONFIG_HOME=$FOLDER XDG_DATA_HOME=$FOLDER
"$PYTHON" - 2>/dev/null <<'PY' | grep -E '^pieces' >out
import numpy as np
import rerun as rr

recording = rr.RecordingStream("street", recording_id="1")
stream = recording.binary_stream()
pieces = []
for index in range(2):
    recording.set_time("frame", sequence=index)
    recording.log("mask", rr.SegmentationImage(np.full((8, 8), index, np.uint8)))
    pieces.append(stream.read(flush=True))
open("first.rrd", "wb").write(pieces[0])
open("both.rrd", "wb").write(b"".join(pieces))
print("pieces that begin like a file:", sum(piece[:4] == b"RRF2" for piece in pieces), "of", len(pieces))
PY
for file in first both; do
  if "$PYTHON" -m rerun rrd verify $file.rrd >$file.log 2>&1; then echo "$file.rrd is right"; else echo "$file.rrd is refused"; fi
done >>out
seen <<'TEXT'
pieces that begin like a file: 2 of 2
first.rrd is right
both.rrd is refused
TEXT
