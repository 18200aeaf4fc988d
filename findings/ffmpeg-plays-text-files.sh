#!/usr/bin/env bash
# FFmpeg opens many a *.txt as a video: it renders it as the screen of a terminal, 640 pixels wide.
# Seen with PyAV 18.1.0 (FFmpeg 8) on 2026-11-28.
# Expected: av.open() of a list of class names or a read-me raises InvalidDataError.
# Comes: a container "tty" with a video stream whose frames decode.
# Here: `--input notes.txt` is refused by the container's name (runtime/tdnet_runtime/media/video.py).
. "$(dirname "$0")/common.bash"
with av==18.1.0 numpy==2.4.6
"$PYTHON" - >out <<'PY'
import av

with open("notes.txt", "w") as file:
    file.write("what to do tomorrow\n" * 200)
with av.open("notes.txt") as container:
    frame = next(container.decode(video=0))
    print(container.format.name, frame.width, frame.height)
PY
seen <<'TEXT'
tty 640 400
TEXT
