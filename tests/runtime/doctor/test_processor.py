"""Cores, clocks and memory, by the kernel's files."""

from __future__ import annotations

import pytest

from tdnet_runtime.doctor.findings import State
from tdnet_runtime.doctor.processor import available_bytes, check_processor

VERSION_2 = "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup rw\n"
VERSION_1 = (
    "31 23 0:27 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"
    "32 23 0:28 /docker/7 /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
)
MEMORY = "MemTotal:       16000000 kB\nMemFree:  1 kB\nMemAvailable:    8000000 kB\n"


TOP = {"/proc/self/mountinfo": VERSION_2, "/proc/self/cgroup": "0::/\n"}


def cpuinfo(flags: str, key: str = "flags") -> dict[str, str]:
    return {"/proc/cpuinfo": f"model name\t: A Chip\n{key}\t\t: {flags}\n", "/proc/meminfo": MEMORY}


@pytest.mark.parametrize(
    ("flags", "key", "sets", "saturates"),
    [
        ("fpu avx2 avx512f avx512_vnni avx512_bf16", "flags", ["AVX2", "AVX-512", "VNNI", "BF16"], False),
        ("fpu avx2 fma", "flags", ["AVX2"], True),
        ("fp asimd asimdhp asimddp bf16 i8mm", "Features", ["BF16", "FP16", "dot products"], False),
    ],
)
def test_instruction_sets(host_with, by_name, flags: str, key: str, sets: list[str], saturates: bool) -> None:
    found = by_name(check_processor(host_with(cpuinfo(flags, key))))
    assert found["processor"].text == f"A Chip; {', '.join(sets)}"
    assert ("INT8" in found) is saturates


def test_a_system_that_tells_nothing(host_with, by_name) -> None:
    found = by_name(check_processor(host_with()))
    assert found["processor"].text == "of unknown make; no instruction sets told"
    assert found["memory"].text == "the system does not tell"
    assert "clock" not in found


def test_a_quota_is_named(host_with, by_name, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)))
    files = {
        "/proc/self/mountinfo": VERSION_2,
        "/proc/self/cgroup": "0::/\n",
        "/sys/fs/cgroup/cpu.max": "150000 100000\n",
    }
    cores = by_name(check_processor(host_with(files, environ={"OMP_NUM_THREADS": "1", "HOME": "/x"})))[
        "cores"
    ]
    assert cores.text == "2 of 8 can be used at once, by a quota of 1.5 of its cgroup; OMP_NUM_THREADS=1"


@pytest.mark.parametrize(
    ("governors", "state"),
    [
        (["performance"] * 2, State.OK),
        (["schedutil", "performance"], State.OK),
        (["powersave"] * 2, State.WARNING),
    ],
)
def test_governors(host_with, by_name, governors: list[str], state: State) -> None:
    files = {
        f"/sys/devices/system/cpu/cpu{i}/cpufreq/scaling_governor": f"{g}\n" for i, g in enumerate(governors)
    }
    clock = by_name(check_processor(host_with(files)))["clock"]
    assert (clock.state, "cpupower" in clock.fix) == (state, state is State.WARNING)


@pytest.mark.parametrize(
    ("files", "mib"),
    [
        ({}, 7812),
        ({**TOP, "/sys/fs/cgroup/memory.max": "max", "/sys/fs/cgroup/memory.current": "5"}, 7812),
        (
            {
                **TOP,
                "/sys/fs/cgroup/memory.max": str(300 << 20),
                "/sys/fs/cgroup/memory.current": str(100 << 20),
            },
            200,
        ),
        (
            {
                **TOP,
                "/sys/fs/cgroup/memory.max": str(300 << 20),
                "/sys/fs/cgroup/memory.current": str(290 << 20),
                "/sys/fs/cgroup/memory.stat": f"anon {9 << 20}\ninactive_file {240 << 20}\nactive_file 7\n",
            },
            250,
        ),
        (
            {
                **TOP,
                "/sys/fs/cgroup/memory.max": str(300 << 20),
                "/sys/fs/cgroup/memory.current": str(100 << 20),
                "/sys/fs/cgroup/memory.stat": f"inactive_file {101 << 20}\n",
            },
            300,
        ),
        (
            {
                "/proc/self/mountinfo": VERSION_2,
                "/proc/self/cgroup": "0::/robot/run\n",
                "/sys/fs/cgroup/robot/memory.max": str(90 << 20),
                "/sys/fs/cgroup/robot/memory.current": str(91 << 20),
            },
            0,
        ),
        (
            {
                "/proc/self/mountinfo": VERSION_1,
                "/proc/self/cgroup": "5:cpu:/other\n4:memory:/docker/7\n",
                "/sys/fs/cgroup/memory/memory.limit_in_bytes": str(256 << 20),
                "/sys/fs/cgroup/memory/memory.usage_in_bytes": str(100 << 20),
            },
            156,
        ),
        (
            {
                "/proc/self/mountinfo": VERSION_1,
                "/proc/self/cgroup": "5:cpu:/other\n4:memory:/docker/7\n",
                "/sys/fs/cgroup/memory/memory.limit_in_bytes": str(256 << 20),
                "/sys/fs/cgroup/memory/memory.usage_in_bytes": str(250 << 20),
                "/sys/fs/cgroup/memory/memory.stat": f"inactive_file 0\ntotal_inactive_file {200 << 20}",
            },
            206,
        ),
        (
            {
                "/proc/self/mountinfo": VERSION_1,
                "/proc/self/cgroup": "4:memory:/docker/7\n",
                "/sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712",
                "/sys/fs/cgroup/memory/memory.usage_in_bytes": str(100 << 20),
            },
            7812,
        ),
    ],
    ids=[
        "the machine's",
        "no limit",
        "the container's",
        "the container's, full of files that were read",
        "the same, counted at two moments",
        "one above it, used up",
        "the container's in version 1",
        "that, full of files that were read",
        "no limit in version 1",
    ],
)
def test_memory(host_with, by_name, files: dict[str, str], mib: int) -> None:
    host = host_with({"/proc/meminfo": MEMORY, **files})
    assert (available_bytes(host) or 0) >> 20 == mib
    found = by_name(check_processor(host))["memory"]
    assert (found.state is State.WARNING) is (mib < 512)
