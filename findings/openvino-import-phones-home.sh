#!/usr/bin/env bash
# `import openvino` tells an analytics host about it: pip brings the reporter with it, and no variable of OpenVINO stops it.
# Seen with openvino 2026.4.1 on 2026-11-28.
# Expected: importing an inference library looks up no host and writes nothing below HOME.
# Comes: a look-up, and a folder in HOME with a user's number.
# Here: the reporter is hidden from it while it is imported (runtime/tdnet_runtime/backends/no_telemetry.py).
. "$(dirname "$0")/common.bash"
with openvino==2026.4.1
mkdir home
HOME=$FOLDER/home "$PYTHON" - >out 2>/dev/null <<'PY'
import os
import socket
import sys
import time
from pathlib import Path

marks = Path("looked-up")
sys.addaudithook(lambda name, _: marks.touch() if name == "socket.getaddrinfo" else None)  # in forked children, too
import openvino

time.sleep(3)
print("looks up a host:", marks.exists())
print("writes below HOME:", any(Path(os.environ["HOME"]).rglob("*")))
PY
seen <<'TEXT'
looks up a host: True
writes below HOME: True
TEXT
