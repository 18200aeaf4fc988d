#!/usr/bin/env bash
# `python -m rerun_cli` exits with 0 whatever Rerun's program did, so a check of a recording cannot fail in a script.
# Seen with rerun-sdk 0.41.0 on 2026-11-29.
# Expected: the exit code of the program that the module starts; `rrd verify` says that the file is damaged and exits with 1.
# Comes: the same words, and 0. The program itself, as the wheel brings it, exits with 1.
# Here: the program is started, not the module (runtime/tdnet_runtime/sinks/rerun_program.py).
. "$(dirname "$0")/common.bash"
with rerun-sdk==0.41.0 numpy==2.4.6
export HOME=$FOLDER XDG_CONFIG_HOME=$FOLDER XDG_DATA_HOME=$FOLDER
"$PYTHON" - <<'PY' >/dev/null 2>&1
import rerun as rr

recording = rr.RecordingStream("street", recording_id="1")
stream = recording.binary_stream()
pieces = []
for index in range(2):
    recording.set_time("frame", sequence=index)
    recording.log("points", rr.Points2D([[index, index]]))
    pieces.append(stream.read(flush=True))
open("two.rrd", "wb").write(b"".join(pieces))  # two whole recordings, one behind the other
PY
program=$("$PYTHON" -c 'import pathlib, rerun_cli; print(pathlib.Path(rerun_cli.__file__).parent / "rerun")')
code=0; "$PYTHON" -m rerun_cli rrd verify two.rrd >/dev/null 2>&1 || code=$?
echo "python -m rerun_cli: $code" >out
code=0; "$program" rrd verify two.rrd >/dev/null 2>&1 || code=$?
echo "the program: $code" >>out
seen <<'TEXT'
python -m rerun_cli: 0
the program: 1
TEXT
