"""What else a run needs of the system: cameras that may be read, room for files, and a clock that others share."""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from tdnet_runtime.doctor.findings import Finding, State
from tdnet_runtime.doctor.host import Host

__all__ = ["SECTION", "check_surroundings"]

SECTION = "System"
_LITTLE_BYTES = 1 << 30
_MIB = 1 << 20
_UNSYNCHRONISED, _TIME_ERROR = 0x40, 5


def check_surroundings(host: Host) -> Iterator[Finding]:
    """Cameras, room in the temporary and the current folder, and the clock."""
    yield from _cameras(host)
    yield from _room(host)
    yield _clock()


def _cameras(host: Host) -> Iterator[Finding]:
    found = host.path("/dev").glob("video*")
    devices = sorted(
        (path for path in found if re.fullmatch("video[0-9]+", path.name)),  # not a rule's video0_front
        key=lambda path: int(path.name[5:]),
    )
    if not devices:
        yield Finding(section=SECTION, name="cameras", state=State.ABSENT, text="no /dev/video*")
    for device in devices:
        name = host.text(f"/sys/class/video4linux/{device.name}/name") or "a video device"
        able = os.access(device, os.R_OK | os.W_OK)
        yield Finding(
            section=SECTION,
            name=f"/dev/{device.name}",
            state=State.OK if able else State.WARNING,
            text=name if able else f"{name}: this user may not read it",
            fix="" if able else "sudo usermod -aG video $USER, and log in again (in a container: --device)",
            facts={"device": f"/dev/{device.name}", "name": name, "readable": able},
        )


def _room(host: Host) -> Iterator[Finding]:
    for name, folder in (("temporary folder", _temporary(host)), ("current folder", _current())):
        if folder is None:
            yield Finding(
                section=SECTION,
                name=name,
                state=State.WARNING,
                text="there is none that may be written to"
                if name.startswith("temp")
                else "it is not there any more",
                fix="set TMPDIR to one that is" if name.startswith("temp") else "go to another one",
            )
            continue
        try:
            free = shutil.disk_usage(folder).free
        except OSError as error:
            yield Finding(section=SECTION, name=name, state=State.WARNING, text=f"{folder}: {error.strerror}")
            continue
        writable = os.access(folder, os.W_OK | os.X_OK)
        little = free < _LITTLE_BYTES
        yield Finding(
            section=SECTION,
            name=name,
            state=State.WARNING if little and writable else State.OK if writable else State.NOTE,
            text=f"{folder}: {free // _MIB} MiB free"
            + ("" if writable else ", and this user may not write there"),
            fix="make room, or work elsewhere" if little and writable else "",
            facts={"path": str(folder), "free_mib": free // _MIB, "writable": writable},
        )


def _temporary(host: Host) -> Path | None:
    """The folder that `tempfile` would take, without the file that it tries it with."""
    named = [host.environ[name] for name in ("TMPDIR", "TEMP", "TMP") if host.environ.get(name)]
    for folder in map(Path, (*named, "/tmp", "/var/tmp", "/usr/tmp")):
        if os.access(folder, os.W_OK | os.X_OK) and folder.is_dir():  # which raises where access is none
            return folder
    return None


def _current() -> Path | None:
    try:
        return Path.cwd()
    except OSError:
        return None


class _Timex(ctypes.Structure):
    """The beginning of the kernel's struct timex, and room for the rest of it."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_byte * 256),
    )


def _synchronised() -> bool | None:
    """Whether the kernel counts its clock as kept by NTP or PTP; None where it does not tell. `adjtimex` only asks here."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        kernel = _Timex()
        state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(kernel))
    except (OSError, AttributeError):
        return None
    return None if state < 0 else state != _TIME_ERROR and not kernel.status & _UNSYNCHRONISED


def _clock() -> Finding:
    kept = _synchronised()
    if kept is None:
        return Finding(
            section=SECTION, name="clock", state=State.NOTE, text="the system does not tell how it is kept"
        )
    return Finding(
        section=SECTION,
        name="clock",
        state=State.OK if kept else State.WARNING,
        text="kept by NTP or PTP"
        if kept
        else "nobody keeps it: stamps of two machines will differ, and it may jump",
        fix="" if kept else "run chrony or systemd-timesyncd (sudo timedatectl set-ntp true)",
        facts={"synchronised": kept},
    )
