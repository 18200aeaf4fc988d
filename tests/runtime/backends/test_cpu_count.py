"""Quotas in made-up trees of cgroups, and in real ones where they can be made."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tdnet_runtime.backends.cpu_count import cpu_quota, usable_cpus

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
V2 = "0::{}\n"
V2_MOUNT = "30 23 0:26 {top} {at} rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
V1_MOUNT = "33 32 0:30 {top} {at} rw - cgroup cgroup rw,cpu,cpuacct\n"
UNIFIED, CPU = "/sys/fs/cgroup", "/sys/fs/cgroup/cpu,cpuacct"


def tree(root: Path, own: str, mounts: str, files: Mapping[str, str]) -> Path:
    """A file system with these files below `root`, as the kernel shows it to a process."""
    for name, text in {"proc/self/cgroup": own, "proc/self/mountinfo": mounts, **files}.items():
        path = root / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def mounted(kind: str, *, top: str = "/", at: str) -> str:
    return "22 1 0:21 / /proc rw - proc proc rw\n" + kind.format(top=top, at=at)


def test_a_container_of_docker_with_version_2(tmp_path: Path) -> None:
    """In its own namespace the container's cgroup is the top."""
    files = {f"{UNIFIED}/cpu.max": "150000 100000\n"}
    assert cpu_quota(tree(tmp_path, V2.format("/"), mounted(V2_MOUNT, at=UNIFIED), files)) == 1.5


@pytest.mark.parametrize(
    ("inner", "outer", "quota"),
    [
        ("max 100000", "50000 100000", 0.5),
        ("400000 100000", "max 100000", 4.0),
        ("400000 100000", "250000 100000", 2.5),
        ("100000 100000", "900000 100000", 1.0),
        ("max 100000", "max 100000", None),
    ],
)
def test_all_above_hold_too(inner: str, outer: str, quota: float | None, tmp_path: Path) -> None:
    files = {
        f"{UNIFIED}/a.slice/cpu.max": outer,
        f"{UNIFIED}/a.slice/b.service/cpu.max": inner,
        f"{UNIFIED}/other/cpu.max": "1000 100000",
    }
    own = V2.format("/a.slice/b.service")
    assert cpu_quota(tree(tmp_path, own, mounted(V2_MOUNT, at=UNIFIED), files)) == quota


@pytest.mark.parametrize(
    ("own", "top"), [("/", "/"), ("/docker/4711", "/docker/4711"), ("/docker/4711", "/")]
)
def test_version_1(own: str, top: str, tmp_path: Path) -> None:
    """With a namespace, without one, and on the host."""
    at = f"{CPU}/docker/4711" if (own, top) == ("/docker/4711", "/") else CPU
    files = {f"{at}/cpu.cfs_quota_us": "200000\n", f"{at}/cpu.cfs_period_us": "50000\n"}
    lines = f"12:memory:/elsewhere\n3:cpu,cpuacct:{own}\n0::/\n"
    assert cpu_quota(tree(tmp_path, lines, mounted(V1_MOUNT, top=top, at=CPU), files)) == 4.0


def test_both_versions_at_once(tmp_path: Path) -> None:
    mounts = mounted(V1_MOUNT, at=CPU) + mounted(V2_MOUNT, at="/sys/fs/cgroup/unified")
    files = {
        f"{CPU}/in/cpu.cfs_quota_us": "300000",
        f"{CPU}/in/cpu.cfs_period_us": "100000",
        "/sys/fs/cgroup/unified/cpu.max": "700000 100000",
    }
    assert cpu_quota(tree(tmp_path, "4:cpu,cpuacct:/in\n0::/\n", mounts, files)) == 3.0


def test_a_mount_with_spaces_and_a_cgroup_outside_of_the_namespace(tmp_path: Path) -> None:
    files = {"/mnt/c g/cpu.max": "100000 100000", "/mnt/other/cpu.max": "1 100000"}
    own = V2.format("/../other")
    assert cpu_quota(tree(tmp_path, own, mounted(V2_MOUNT, at="/mnt/c\\040g"), files)) == 1.0


@pytest.mark.parametrize(
    "text", ["", "max", "max 100000", "0 100000", "-1 100000", "100000 0", "many 100000", "1 2 3", "\0"]
)
def test_what_is_no_quota(text: str, tmp_path: Path) -> None:
    root = tree(tmp_path, V2.format("/"), mounted(V2_MOUNT, at=UNIFIED), {f"{UNIFIED}/cpu.max": text})
    assert cpu_quota(root) is None
    assert usable_cpus(root) == CORES


@pytest.mark.parametrize(
    ("own", "mounts"), [("", ""), ("nonsense", "a b - c\n\n"), ("0::/gone (deleted)", "")]
)
def test_a_system_that_does_not_tell(own: str, mounts: str, tmp_path: Path) -> None:
    assert cpu_quota(tree(tmp_path, own, mounts, {})) is None
    assert cpu_quota(tmp_path / "nothing") is None


@pytest.mark.parametrize(
    ("text", "usable"), [("1000 100000", 1), ("100000 100000", 1), ("9900000 100000", CORES)]
)
def test_the_smaller_one_of_quota_and_affinity(text: str, usable: int, tmp_path: Path) -> None:
    root = tree(tmp_path, V2.format("/"), mounted(V2_MOUNT, at=UNIFIED), {f"{UNIFIED}/cpu.max": text})
    assert usable_cpus(root) == usable


def test_a_part_of_a_cpu_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    files = {f"{UNIFIED}/cpu.max": "210000 100000"}
    assert usable_cpus(tree(tmp_path, V2.format("/"), mounted(V2_MOUNT, at=UNIFIED), files)) == 3


@contextlib.contextmanager
def real_cgroup() -> Iterator[Path]:
    """A cgroup with a quota of half a CPU and one in it; skips where none can be made."""
    for top, name, text in (
        (Path("/sys/fs/cgroup/cpu"), "cpu.cfs_quota_us", "50000"),
        (Path("/sys/fs/cgroup"), "cpu.max", "50000 100000"),
    ):
        outer = top / f"tdnet-test-{os.getpid()}"
        with contextlib.suppress(OSError):
            outer.mkdir()
            try:
                if (outer / name).exists():
                    (outer / name).write_text(text)
                    (outer / "inner").mkdir()
                    try:
                        yield outer / "inner"
                    finally:
                        (outer / "inner").rmdir()
                    return
            finally:
                outer.rmdir()
    pytest.skip("no cgroup with a CPU quota can be made here")


def test_a_real_cgroup(child_env: dict[str, str]) -> None:
    with real_cgroup() as group:
        lines = (
            "import os, pathlib, sys\n"
            "try: pathlib.Path(sys.argv[1], 'cgroup.procs').write_text(str(os.getpid()))\n"
            "except OSError as error: sys.exit(f'not taken in: {error}')\n"
            "from tdnet_runtime.backends.cpu_count import cpu_quota, usable_cpus; print(cpu_quota(), usable_cpus())"
        )
        done = subprocess.run(
            [sys.executable, "-c", lines, str(group)],
            env=child_env,
            capture_output=True,
            text=True,
            timeout=60,
        )
    if done.stderr.startswith("not taken in: "):  # by some kernels now and then: EINVAL
        pytest.skip(done.stderr.strip())
    assert (done.returncode, done.stdout) == (0, "0.5 1\n"), done.stderr
