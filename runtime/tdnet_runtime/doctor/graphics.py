"""NVIDIA's GPUs and boards: driver, clocks, power mode, and what JetPack brings."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator

from tdnet_runtime.doctor.findings import Finding, State
from tdnet_runtime.doctor.host import Answer, Host

__all__ = ["SECTION", "check_graphics"]

SECTION = "GPU"
_FIELDS = (
    "name", "driver_version", "memory.total", "memory.used", "clocks.sm", "clocks.max.sm", "power.limit", "pstate",
)  # fmt: skip
_HELD = {0x4: "power limit", 0x8: "hardware slowdown", 0x20: "heat", 0x40: "heat", 0x80: "power supply"}
"""Bits of NVML's clocks_throttle_reasons that hold clocks down against the user's wish."""
_MAXN = r"(?m)^\s*<\s*POWER_MODEL\s+ID=(\d+)\s+NAME=MAXN"
"""The mode of nvpmodel's table without limits; its number, and whether there is one, differs from board to board."""
_JETPACK_61 = (36, 4)
"""L4T's first release with TensorRT 10.3."""


def check_graphics(host: Host) -> Iterator[Finding]:
    """Each GPU that nvidia-smi names, and a Jetson's own facts."""
    tegra = host.text("/etc/nv_tegra_release")
    yield from _jetson(host, tegra) if tegra else _cards(host)
    hidden = host.environ.get("CUDA_VISIBLE_DEVICES")
    if hidden is not None:
        none = hidden.strip() in ("", "-1", "NoDevFiles")
        yield Finding(
            section=SECTION,
            name="CUDA_VISIBLE_DEVICES",
            state=State.WARNING if none else State.NOTE,
            text=f"is {hidden!r}" + (": programs see no GPU" if none else ": programs see these GPUs alone"),
            fix="unset CUDA_VISIBLE_DEVICES" if none else "",
        )


def _cards(host: Host) -> Iterator[Finding]:
    answer = host.ask(["nvidia-smi", f"--query-gpu={','.join(_FIELDS)}", "--format=csv,noheader,nounits"])
    kernel = re.search(r"Kernel Module.*?\s(\d+\.\d[\d.]*)", host.text("/proc/driver/nvidia/version"))
    if answer is None:
        loaded = kernel is not None or host.path("/dev/nvidiactl").exists()
        yield Finding(
            section=SECTION,
            name="driver",
            state=State.WARNING if loaded else State.ABSENT,
            text=f"NVIDIA's driver {kernel[1] if kernel else ''} is loaded, but there is no nvidia-smi"
            if loaded
            else "no NVIDIA driver and no nvidia-smi: the backends of GPUs cannot be used",
            fix="in a container: start it with --gpus all (NVIDIA Container Toolkit)" if loaded else "",
        )
        return
    rows = [
        row
        for row in csv.reader(answer.words.splitlines(), skipinitialspace=True)
        if len(row) == len(_FIELDS)
    ]
    if answer.code != 0 or not rows:
        said = "it did not end within 10 s" if answer.code is None else answer.complaint
        yield Finding(
            section=SECTION,
            name="driver",
            state=State.BROKEN,
            text=f"nvidia-smi is there and tells of no GPU: {said}",
            fix="reboot, or install the driver again, where its parts are of two versions"
            if "mismatch" in said.lower()
            else "check the driver: nvidia-smi; dmesg | grep -i nvrm",
        )
        return
    cuda = _cuda(host.ask(["nvidia-smi"]))
    masks = _throttling(
        host.ask(["nvidia-smi", "--query-gpu=clocks_throttle_reasons.active", "--format=csv,noheader"]),
        len(rows),
    )
    for index, (row, mask) in enumerate(zip(rows, masks, strict=True)):
        yield _card(index, row, mask, cuda)


def _card(index: int, row: list[str], mask: int, cuda: str | None) -> Finding:
    name, driver, total, used, clock, top, power, state = row
    held = sorted({word for bit, word in _HELD.items() if mask & bit})
    serves = f", serves CUDA {cuda}" if cuda else ""
    return Finding(
        section=SECTION,
        name=f"GPU {index}",
        state=State.WARNING if held else State.OK,
        text=f"{name}; driver {driver}{serves}; {used} of {total} MiB used; {clock} of {top} MHz, {state}, limit "
        f"{power} W" + (f"; clocks are held down by {', '.join(held)}" if held else ""),
        fix="cool it, or raise its power limit (nvidia-smi -pl)" if held else "",
        facts={
            "name": name, "driver": driver, "cuda": cuda, "memory_mib": total, "memory_used_mib": used,
            "sm_clock_mhz": clock, "sm_clock_max_mhz": top, "power_limit_w": power, "pstate": state,
            "held_down_by": held,
        },
    )  # fmt: skip


def _cuda(answer: Answer | None) -> str | None:
    found = re.search(r"CUDA Version:\s*([\d.]+)", answer.words) if answer else None
    return found[1] if found else None


def _throttling(answer: Answer | None, count: int) -> list[int]:
    words = answer.words.split() if answer is not None and answer.code == 0 else []
    masks = [int(word, 16) if re.fullmatch(r"0x[0-9a-fA-F]{1,16}", word) else 0 for word in words]
    return masks if len(masks) == count else [0] * count


def _jetson(host: Host, tegra: str) -> Iterator[Finding]:
    release = re.search(r"R(\d+) \(release\), REVISION: (\d+)((?:\.\d+)*)", tegra)
    model = host.text("/proc/device-tree/model") or "a Jetson"
    old = release is not None and (int(release[1]), int(release[2])) < _JETPACK_61
    named = f"L4T {release[1]}.{release[2]}{release[3]}" if release else "L4T of an unknown release"
    yield Finding(
        section=SECTION,
        name="board",
        state=State.WARNING if old else State.OK,
        text=f"{model}, {named}"
        + (": its TensorRT is older than 10.3, which JetPack 6.1 brings" if old else ""),
        fix="install JetPack 6.1 or later, and make virtual environments with --system-site-packages"
        if old
        else "",
        facts={"model": model, "l4t": named.removeprefix("L4T ")},
    )
    mode = host.ask(["nvpmodel", "-q"])
    power = re.search(r"NV Power Mode:\s*(.+)", mode.words) if mode else None
    if power is not None:
        name = power[1].strip()
        most = name.upper().startswith("MAXN")
        best = re.search(_MAXN, host.text("/etc/nvpmodel.conf"))
        fix = (
            f"sudo nvpmodel -m {best[1]} (which draws more power and may reboot)"
            if best
            else "sudo nvpmodel -p --verbose, which lists its modes"
        )
        yield Finding(
            section=SECTION,
            name="power mode",
            state=State.OK if most else State.NOTE,
            text=name + (": the board is held below its best" if best and not most else ""),
            fix="" if most else fix,
            facts={"mode": name},
        )
    yield from _jetson_clocks(host)
    stats = host.ask(["tegrastats", "--interval", "200"], endless=True)
    if stats is not None and stats.words.strip():
        line = stats.words.strip().splitlines()[0]
        yield Finding(section=SECTION, name="tegrastats", state=State.NOTE, text=line)


def _jetson_clocks(host: Host) -> Iterator[Finding]:
    """Of each GPU that has a devfreq folder: whether its clock may fall."""
    root = "/sys/class/devfreq"
    try:
        names = sorted(path.name for path in host.path(root).iterdir())
    except OSError:
        return
    for name in names:
        if not re.search(r"gpu|ga10b|gp10b|gv11b|gpc", name):
            continue
        low, now, top = (host.number(f"{root}/{name}/{part}_freq") for part in ("min", "cur", "max"))
        if low is None or now is None or top is None:
            continue
        fixed = low == top
        yield Finding(
            section=SECTION,
            name=f"clock of {name}",
            state=State.OK if fixed else State.NOTE,
            text=f"{now // 10**6} MHz, from {low // 10**6} to {top // 10**6} MHz"
            + ("" if fixed else ": frames take longer after each pause"),
            fix="" if fixed else "sudo jetson_clocks, for steady latency",
            facts={"min_hz": low, "now_hz": now, "max_hz": top},
        )
