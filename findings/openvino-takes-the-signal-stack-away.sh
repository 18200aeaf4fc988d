#!/usr/bin/env bash
# OpenVINO's CPU plugin can leave a thread a signal stack that is gone; a process with handlers then dies at its next signal.
# Seen with openvino 2026.4.1 on 2026-11-29 (x86-64 Linux, Python 3.11).
# Expected: a Core that goes leaves the thread that made it as it was, in whatever order and thread it goes.
# Comes: the plugin gives the thread that loads it a stack by sigaltstack(), and unmaps it in the end. It puts the old one back
# only if its own is still set, and in the thread that lets go. Python's handlers run on that stack, so that Ctrl-C became a
# SIGSEGV without a word, of faulthandler's neither, and without a line in the kernel's log. No signal is raised here: the
# script only asks where the stack is.
# Here: the stack is put back as soon as the plugin is loaded (runtime/tdnet_runtime/backends/openvino_core.py).
. "$(dirname "$0")/common.bash"
[[ $(uname -sm) == "Linux x86_64" ]] || skip "the plugin does so on x86-64 Linux"
with openvino==2026.4.1 numpy==2.4.6
cat >cores.py <<'PY'
import ctypes
import sys

sys.modules["openvino_telemetry"] = None  # which would call home
import openvino  # noqa: E402


class Stack(ctypes.Structure):
    _fields_ = [("start", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t)]


def signal_stack():
    """Of this thread, and whether that memory is there."""
    found = Stack()
    assert ctypes.CDLL(None).sigaltstack(None, ctypes.byref(found)) == 0
    if not found.start or found.flags & 2:  # SS_DISABLE
        return "none"
    with open("/proc/self/maps") as maps:
        ranges = [tuple(int(end, 16) for end in line.split()[0].split("-")) for line in maps]
    there = any(start <= found.start < end for start, end in ranges)
    return "mapped" if there else "gone"


def core():
    made = openvino.Core()
    made.get_property("CPU", "FULL_DEVICE_NAME")  # loads the plugin
    return made


print("at first:", signal_stack())
cores = [core(), core()]
print("two Cores:", signal_stack())
cores.pop(0 if sys.argv[1] == "first" else 1)
cores.pop()
print(f"both gone, the {sys.argv[1]} one before the other:", signal_stack())
PY
for order in last first; do "$PYTHON" cores.py "$order"; done >out 2>/dev/null
seen <<'TEXT'
at first: none
two Cores: mapped
both gone, the last one before the other: none
at first: none
two Cores: mapped
both gone, the first one before the other: gone
TEXT
