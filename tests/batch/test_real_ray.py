"""`tdnet-batch` as a user runs it, on Ray: killed, robbed of its workers, on a full disk. Minutes: marked slow."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.batch.conftest import make_images, make_video, tree_of
from tests.batch.test_evaluation import rounded
from tests.evaluation.conftest import drives, named_bundle
from tests.guard import running

pytest.importorskip("ray", reason="the extra ray is not installed")

__all__ = ["drives", "named_bundle"]

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
_LIMIT_S = 300
_SLOW_FRAME_S = 0.05
CLUSTER = {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0", "RAY_raylet_start_wait_time_s": "120"}
"""Of the processes of a cluster, and of those that speak to it."""


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    """Ten inputs of three kinds."""
    for number in range(6):
        make_images(tmp_path / "in" / f"cam{number}", frames=20, seed=number)
    for number in range(4):
        make_video(tmp_path / "in" / f"v{number}.mkv", frames=20, seed=number)
    return tmp_path / "in"


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """HOME may not be written to; workers are slowed down by `sitecustomize`, which they import as the driver does."""
    home = tmp_path / "home"
    home.mkdir(mode=0o500)
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(SLOW)
    own = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "RAY_"))}
    paths = [site, *(ROOT / folder for folder in ("runtime", "models"))]
    return {**own, "HOME": str(home), "PYTHONPATH": os.pathsep.join(map(str, paths))}


SLOW = f"""
import os, sys
if os.environ.get("TDNET_TEST_SLOW"):
    class Finder:
        def find_spec(self, name, path=None, target=None):
            if name != "tdnet_runtime.backends.fake":
                return None
            import importlib.util
            sys.meta_path.remove(self)
            spec = importlib.util.find_spec(name)
            execute = spec.loader.exec_module
            def slowly(module):
                import time
                execute(module)
                run = module._run_subnet
                def slow(*arguments):
                    time.sleep({_SLOW_FRAME_S})
                    run(*arguments)
                module._run_subnet = slow
            spec.loader.exec_module = slowly
            return spec
    sys.meta_path.insert(0, Finder())
"""


def words(bundle: Path, videos: Path, output: Path, *more: object) -> list[str]:
    code = "from tdnet_batch import main; main()"
    given = ("--engine", bundle, "--backend", "fake", "--input", videos, "--output", output, *more)
    return [sys.executable, "-c", code, *map(str, given), "--workers", "2", "--threads", "1"]


def finish(
    bundle: Path, videos: Path, output: Path, environment: dict[str, str], *more: object
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words(bundle, videos, output, *more),
        env=environment,
        capture_output=True,
        text=True,
        timeout=_LIMIT_S,
    )


def wait_for(count: int, output: Path) -> None:
    end = time.monotonic() + _LIMIT_S
    while len(list(output.glob("*.labels"))) < count:
        assert time.monotonic() < end
        time.sleep(0.05)


def rows(output: Path) -> list[dict]:
    return [json.loads(line) for line in (output / "manifest.jsonl").read_text().splitlines()]


def children(pid: int) -> Iterator[tuple[int, str]]:
    """All processes below one, with their command lines."""
    by_parent: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        by_parent.setdefault(int(fields[1]), []).append(int(path.parent.name))
    waiting = [pid]
    while waiting:
        for child in by_parent.get(waiting.pop(), ()):
            waiting.append(child)
            try:
                yield child, Path(f"/proc/{child}/cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue


@pytest.fixture(scope="module")
def kept() -> dict[str, bytes]:
    return {}


@pytest.fixture
def undisturbed(
    bundle: Path, videos: Path, tmp_path: Path, environment: dict[str, str], kept: dict[str, bytes]
) -> dict[str, bytes]:
    """What a run gives that nobody disturbs; made once, since all tests have the same bundle and videos."""
    if not kept:
        done = finish(bundle, videos, tmp_path / "whole", environment)
        assert done.returncode == 0, done.stderr
        assert len(rows(tmp_path / "whole")) == 10
        assert not list(Path(environment["HOME"]).iterdir())  # root may write there all the same
        kept.update(tree_of(tmp_path / "whole"))
    return kept


def test_killed_and_started_again(
    bundle: Path, videos: Path, tmp_path: Path, environment: dict[str, str], undisturbed: dict[str, bytes]
) -> None:
    output = tmp_path / "out"
    slow = {**environment, "TDNET_TEST_SLOW": "1"}
    with running(words(bundle, videos, output), env=slow, stderr=subprocess.DEVNULL) as process:
        wait_for(3, output)
        second = finish(bundle, videos, output, environment)
        assert (second.returncode, second.stdout) == (1, "")
        assert "another run is writing there; name another folder" in second.stderr
        process.send_signal(signal.SIGKILL)
        process.wait()
    before = {path.name: path.stat().st_mtime_ns for path in output.glob("*.labels/record.json")}
    assert len(list(output.glob("*.labels"))) < 10
    done = finish(bundle, videos, output, environment)
    assert done.returncode == 0, done.stderr
    assert tree_of(output) == undisturbed
    assert len(rows(output)) == 10
    assert {
        path.name: path.stat().st_mtime_ns for path in output.glob("*.labels/record.json")
    }.items() >= before.items()


def test_a_worker_that_is_killed_in_the_midst(
    bundle: Path, videos: Path, tmp_path: Path, environment: dict[str, str], undisturbed: dict[str, bytes]
) -> None:
    output = tmp_path / "out"
    slow = {**environment, "TDNET_TEST_SLOW": "1"}
    command = words(bundle, videos, output)
    with running(command, env=slow, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        wait_for(2, output)
        actors = [pid for pid, line in children(process.pid) if line.startswith("ray::_Actor")]
        assert actors
        os.kill(actors[0], signal.SIGKILL)
        out, err = process.communicate(timeout=_LIMIT_S)
    assert process.returncode == 0, err
    assert "1 were lost and replaced" in out
    assert tree_of(output) == undisturbed
    assert sorted(row["attempts"] for row in rows(output)) == [*[1] * 9, 2]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_and_all_that_it_started(
    bundle: Path, videos: Path, tmp_path: Path, environment: dict[str, str], number: signal.Signals
) -> None:
    output = tmp_path / "out"
    slow = {**environment, "TDNET_TEST_SLOW": "1"}
    with running(words(bundle, videos, output), env=slow, stderr=subprocess.PIPE, text=True) as process:
        wait_for(1, output)
        started = [pid for pid, _ in children(process.pid)]
        process.send_signal(number)
        _, err = process.communicate(timeout=_LIMIT_S)
    assert process.returncode == 128 + number
    assert err.splitlines()[-1] in ("tdnet-batch: terminated", "tdnet-batch: interrupted")
    assert not (output / ".tdnet-batch" / "partial").exists()
    end = time.monotonic() + 60
    while any(Path(f"/proc/{pid}").exists() for pid in started):
        assert time.monotonic() < end
        time.sleep(0.2)


def test_an_input_that_cannot_be_read(
    bundle: Path, videos: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    (videos / "broken.mp4").write_bytes(b"no video")
    done = finish(bundle, videos, tmp_path / "out", environment)
    assert done.returncode == 3
    assert done.stderr.splitlines()[-1].startswith(
        f"tdnet-batch: {videos}/broken.mp4: opening the video: not a video"
    )
    assert len(rows(tmp_path / "out")) == 11


def test_a_full_disk(bundle: Path, videos: Path, tmp_path: Path, environment: dict[str, str]) -> None:
    """A file system of 256 KiB, where one may be mounted."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("no right to mount a small file system")
    try:
        done = finish(bundle, videos, disk / "out", environment)
        assert done.returncode == 1
        assert "No space left on device" in done.stderr.splitlines()[-1]
        assert "Traceback" not in done.stderr
        for record in (disk / "out").glob("*.labels/record.json"):
            assert json.loads(record.read_text())["files"]["count"] == 20
        subprocess.run(["mount", "-o", "remount,size=32m", str(disk)], check=True)
        again = finish(bundle, videos, disk / "out", environment)
        assert again.returncode == 0, again.stderr
        assert len(rows(disk / "out")) == 10
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_ray_that_runs_out_of_time_at_its_first_start(
    bundle: Path, videos: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    """As on a machine with much else to do: one of its parts takes longer to come up than the others wait for it."""
    (tmp_path / "site" / "sitecustomize.py").write_text(LATE)
    late = {**environment, "TDNET_TEST_LATE": str(tmp_path / "late")}
    done = finish(bundle, videos, tmp_path / "out", late)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "late").exists()
    assert len(rows(tmp_path / "out")) == 10


LATE = """
import os, sys, time
if any("runtime_env/agent/main.py" in word for word in sys.orig_argv):
    try:
        os.close(os.open(os.environ["TDNET_TEST_LATE"], os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        pass
    else:
        time.sleep(300)
"""


def test_eval_gives_the_document_of_tdnet_eval(
    drives: Path, named_bundle: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    """Two bundles, and a data set by a path that is right in the driver's folder alone."""
    second = tmp_path / "second.plan"
    second.write_bytes(named_bundle.read_bytes())
    given = ("--engine", named_bundle, "--engine", second, "--backend", "onnxruntime", "--data", drives.name)
    environment["PYTHONPATH"] += f"{os.pathsep}{ROOT / 'export'}{os.pathsep}{ROOT / 'benchmarks'}"
    found = []
    for name, code, more in (
        ("batch", "from tdnet_batch import main; main()", ("eval", "--workers", "2")),
        ("alone", "from tdnet_eval import main; main()", ()),
    ):
        path = tmp_path / f"{name}.json"
        words = [sys.executable, "-c", code, *more, *given, "--json", path]
        done = subprocess.run(
            list(map(str, words)),
            env=environment,
            cwd=drives.parent,
            capture_output=True,
            text=True,
            timeout=_LIMIT_S,
        )
        assert done.returncode == 0, done.stderr
        found.append(rounded(json.loads(path.read_bytes())))
    assert len(found[0]["sides"]) == 2
    assert found[0] == found[1]


def test_an_address_that_is_no_cluster(
    bundle: Path, videos: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    done = finish(bundle, videos, tmp_path / "out", environment, "--address", "127.0.0.1:9")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(
        "tdnet-batch: error: --address '127.0.0.1:9': nobody answers there (Connection refused)"
    )
    assert len(done.stderr.splitlines()) == 1


def test_a_node_that_leaves(
    bundle: Path,
    videos: Path,
    tmp_path: Path,
    environment: dict[str, str],
    undisturbed: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two raylets of one machine: those that stay do the rest."""
    for name, value in CLUSTER.items():
        monkeypatch.setenv(name, value)
    from ray.cluster_utils import Cluster

    slow = {**environment, **CLUSTER, "TDNET_TEST_SLOW": "1"}
    monkeypatch.setenv("PYTHONPATH", slow["PYTHONPATH"])  # of the workers
    monkeypatch.setenv("TDNET_TEST_SLOW", "1")
    output = tmp_path / "out"
    raylets = Cluster()
    try:
        raylets.add_node(num_cpus=1, object_store_memory=80 << 20, include_dashboard=False)
        second = raylets.add_node(num_cpus=1, object_store_memory=80 << 20)
        command = [*words(bundle, videos, output), "--address", raylets.address]
        with running(command, env=slow, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            wait_for(2, output)
            raylets.remove_node(second, allow_graceful=False)
            out, err = process.communicate(timeout=_LIMIT_S)
    finally:
        raylets.shutdown()
    assert process.returncode == 0, err
    assert "1 were lost and replaced" in out
    assert tree_of(output) == undisturbed
    assert len(rows(output)) == 10
