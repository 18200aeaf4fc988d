"""`tdnet-batch` as a user runs it, on Ray: killed, robbed of its workers, on a full disk. Minutes: marked slow."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.batch.conftest import make_images, make_video, tree_of
from tests.batch.test_evaluation import rounded
from tests.evaluation.conftest import drives, named_bundle
from tests.guard import children as processes
from tests.guard import end, running

from tdnet_runtime import Segmenter
from tdnet_runtime.media.png import encoded_png
from tdnet_runtime.sources.registry import open_source

pytest.importorskip("ray", reason="the extra ray is not installed")

__all__ = ["drives", "named_bundle"]

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
_LIMIT_S = 1500
"""After which something hangs; on an idle machine each wait is one of seconds."""
_STARTS = 5
_HOLD_AT = 30
"""Frames of one process: in the midst of its second video."""
CLUSTER = {
    "RAY_AUTH_MODE": "disabled",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_raylet_start_wait_time_s": "60",
    "RAY_worker_register_timeout_seconds": "300",
}
"""Of the processes of a cluster, and of those that speak to it."""
SITE = f"""
import os, sys, time
from pathlib import Path

HERE = Path(__file__).parent

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name != "tdnet_runtime.backends.fake":
            return None
        import importlib.util
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        execute = spec.loader.exec_module
        def changed(module):
            execute(module)
            frames = [0]
            def grey(path, arrays, classes):
                frames[0] += 1
                while frames[0] >= {_HOLD_AT} and (HERE / "hold").exists():
                    time.sleep(0.05)
                for name, array in arrays.items():
                    if name not in ("image", "labels"):
                        array[...] = path.index + int(arrays["image"].mean())
            module._run_subnet = grey
        spec.loader.exec_module = changed
        return spec

sys.meta_path.insert(0, Finder())

if any("runtime_env/agent/main.py" in word for word in sys.orig_argv):  # a part of Ray, that others wait for
    try:
        (HERE / "late").unlink()
    except FileNotFoundError:
        pass
    else:
        time.sleep(600)
"""
"""A `sitecustomize` for drivers and workers. Files beside it: `hold` stops workers at a frame, `late` delays one start."""


class Place:
    """A folder with `site`, and an environment whose HOME stays empty; as root it could be written to all the same."""

    def __init__(self, folder: Path) -> None:
        self.home, self.site = folder / "home", folder / "site"
        self.home.mkdir(mode=0o500)
        self.site.mkdir()
        (self.site / "sitecustomize.py").write_text(SITE)
        own = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "RAY_"))}
        paths = [self.site, *(ROOT / part for part in ("runtime", "models", "export", "benchmarks"))]
        self.environment = {**own, "HOME": str(self.home), "PYTHONPATH": os.pathsep.join(map(str, paths))}

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Two workers stop in the midst of their second videos until the block ends."""
        (self.site / "hold").touch()
        try:
            yield
        finally:
            (self.site / "hold").unlink()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path)
    yield place
    assert not list(place.home.iterdir())


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    """Ten inputs of three kinds."""
    for number in range(6):
        make_images(tmp_path / "in" / f"cam{number}", frames=20, seed=number)
    for number in range(4):
        make_video(tmp_path / "in" / f"v{number}.mkv", frames=20, seed=number)
    return tmp_path / "in"


@pytest.fixture
def plain_loop(bundle: Path, videos: Path) -> dict[str, bytes]:
    """What a plain loop over `Segmenter` gives."""
    labels = {}
    with Segmenter.open(bundle, backend="fake") as segmenter:
        for video in videos.iterdir():
            with open_source(video) as frames, segmenter.stream() as stream:
                for frame in frames:
                    png = encoded_png(stream.push(frame.image).labels)
                    labels[f"{video.name}.labels/{frame.name}.png"] = png
    assert len(labels) == 200
    return labels


NODE: dict[str, Any] = {
    "num_cpus": 1,
    "object_store_memory": 80 << 20,
    "include_dashboard": False,
    "no_monitor": True,
}


def cluster_of_one_node() -> Any:
    """Begun anew where a raylet has ended itself, since one of its agents took more than 15 s to come up."""
    from ray.cluster_utils import Cluster

    for start in range(1, _STARTS + 1):
        raylets, before = Cluster(), processes()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)  # of what Ray has begun and lets go of
            try:
                raylets.add_node(**NODE)
                return raylets
            except Exception:  # Ray raises bare ones
                raylets.shutdown()
                end(processes() - before)
                if start == _STARTS:
                    raise
            gc.collect()
    raise AssertionError


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, Place]]:
    """A cluster of one node with one core, for tests that do not ask how Ray starts and ends."""
    place = Place(tmp_path_factory.mktemp("cluster"))
    place.environment |= CLUSTER
    with pytest.MonkeyPatch.context() as patch:
        for name, value in place.environment.items():
            patch.setenv(name, value)
        raylets = cluster_of_one_node()
        try:
            yield raylets, place
        finally:
            raylets.shutdown()


def words(bundle: Path, videos: Path, output: Path, *more: object) -> list[str]:
    code = "from tdnet_batch import main; main()"
    given = ("--engine", bundle, "--backend", "fake", "--input", videos, "--output", output, *more)
    return [sys.executable, "-c", code, *map(str, given), "--workers", "2", "--threads", "1"]


def finish(
    bundle: Path, videos: Path, output: Path, place: Place, *more: object
) -> subprocess.CompletedProcess[str]:
    """Run it to its end; again where Ray itself did not come up, as on a machine with much else to do."""
    for _ in range(_STARTS):
        done = subprocess.run(
            words(bundle, videos, output, *more),
            env=place.environment,
            capture_output=True,
            text=True,
            timeout=_LIMIT_S,
        )
        if "Ray did not start" not in done.stderr:
            break
    return done


@contextlib.contextmanager
def halfway(
    bundle: Path, videos: Path, output: Path, place: Place, *more: object
) -> Iterator[subprocess.Popen[str]]:
    """A run whose workers are held in the midst of their second videos; begun again as by `finish`."""
    command = words(bundle, videos, output, *more)
    for _ in range(_STARTS):
        with running(
            command, env=place.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            if wait_for_both(output, process):
                yield process
                return
            _, told = process.communicate()
            assert "Ray did not start" in told
    raise AssertionError(told)


def wait_for_both(output: Path, process: subprocess.Popen[str]) -> bool:
    """Until each worker has done a video, and begun another one; False where the run ends before."""
    end = time.monotonic() + _LIMIT_S
    while True:
        begun = [len(list(folder.glob("*.png"))) for folder in output.glob(".tdnet-batch/partial/*")]
        if len(list(output.glob("*.labels"))) == 2 and sum(count >= 5 for count in begun) == 2:
            return True
        if process.poll() is not None:
            return False
        assert time.monotonic() < end
        time.sleep(0.05)


def actors_of(pid: int) -> list[int]:
    """Of the processes below one, those that hold a worker."""
    return [child for child, line in children(pid) if line.startswith("ray::_Actor")]


def wait_for_the_end_of_one(pids: list[int]) -> None:
    """A worker outlives its node's raylet for a moment, in which it could do all that is left."""
    end = time.monotonic() + _LIMIT_S
    while all(Path(f"/proc/{pid}").exists() for pid in pids):
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


def test_killed_and_started_again(
    bundle: Path, videos: Path, tmp_path: Path, place: Place, plain_loop: dict[str, bytes]
) -> None:
    output = tmp_path / "out"
    with place.held(), halfway(bundle, videos, output, place) as process:
        second = finish(bundle, videos, output, place)
        assert (second.returncode, second.stdout) == (1, "")
        assert "another run is writing there; name another folder" in second.stderr
        process.send_signal(signal.SIGKILL)
        process.wait()
    before = {path.parent.name: path.stat().st_mtime_ns for path in output.glob("*.labels/record.json")}
    assert len(before) == 2
    done = finish(bundle, videos, output, place)
    assert done.returncode == 0, done.stderr
    assert tree_of(output) == plain_loop
    assert len(rows(output)) == 10
    after = {path.parent.name: path.stat().st_mtime_ns for path in output.glob("*.labels/record.json")}
    assert after.items() >= before.items()


def test_a_worker_that_is_killed_in_the_midst(
    bundle: Path, videos: Path, tmp_path: Path, place: Place, plain_loop: dict[str, bytes]
) -> None:
    output = tmp_path / "out"
    with contextlib.ExitStack() as held:
        held.enter_context(place.held())
        with halfway(bundle, videos, output, place) as process:
            actors = actors_of(process.pid)
            assert len(actors) == 2
            os.kill(actors[0], signal.SIGKILL)
            held.close()
            out, err = process.communicate(timeout=_LIMIT_S)
    assert process.returncode == 0, err
    assert "1 were lost and replaced" in out
    assert tree_of(output) == plain_loop
    assert sorted(row["attempts"] for row in rows(output)) == [*[1] * 9, 2]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_and_all_that_it_started(
    bundle: Path, videos: Path, tmp_path: Path, place: Place, number: signal.Signals
) -> None:
    output = tmp_path / "out"
    with place.held(), halfway(bundle, videos, output, place) as process:
        started = [pid for pid, _ in children(process.pid)]
        process.send_signal(number)
        _, err = process.communicate(timeout=_LIMIT_S)
    assert process.returncode == 128 + number
    assert err.splitlines()[-1] in ("tdnet-batch: terminated", "tdnet-batch: interrupted")
    assert not (output / ".tdnet-batch" / "partial").exists()
    end = time.monotonic() + _LIMIT_S
    while any(Path(f"/proc/{pid}").exists() for pid in started):
        assert time.monotonic() < end
        time.sleep(0.2)


def test_ray_that_runs_out_of_time_at_its_first_start(
    bundle: Path, videos: Path, tmp_path: Path, place: Place, plain_loop: dict[str, bytes]
) -> None:
    """As on a machine with much else to do: a part of it takes longer to come up than the others wait."""
    (place.site / "late").touch()
    done = finish(bundle, videos, tmp_path / "out", place)
    assert done.returncode == 0, done.stderr
    assert not (place.site / "late").exists()
    assert tree_of(tmp_path / "out") == plain_loop


def test_an_address_that_is_no_cluster(bundle: Path, videos: Path, tmp_path: Path, place: Place) -> None:
    done = finish(bundle, videos, tmp_path / "out", place, "--address", "127.0.0.1:9")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(
        "tdnet-batch: error: --address '127.0.0.1:9': nobody answers there (Connection refused)"
    )
    assert len(done.stderr.splitlines()) == 1


def test_an_input_that_cannot_be_read(
    bundle: Path, videos: Path, tmp_path: Path, cluster: tuple[Any, Place], plain_loop: dict[str, bytes]
) -> None:
    raylets, place = cluster
    (videos / "broken.mp4").write_bytes(b"no video")
    done = finish(bundle, videos, tmp_path / "out", place, "--address", raylets.address)
    assert done.returncode == 3
    assert done.stderr.splitlines()[-1].startswith(
        f"tdnet-batch: {videos}/broken.mp4: opening the video: not a video"
    )
    assert len(rows(tmp_path / "out")) == 11
    assert tree_of(tmp_path / "out") == plain_loop


def test_a_full_disk(bundle: Path, videos: Path, tmp_path: Path, cluster: tuple[Any, Place]) -> None:
    """A file system of 256 KiB, where one may be mounted."""
    raylets, place = cluster
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("no right to mount a small file system")
    try:
        done = finish(bundle, videos, disk / "out", place, "--address", raylets.address)
        assert done.returncode == 1
        assert "No space left on device" in done.stderr.splitlines()[-1]
        assert "Traceback" not in done.stderr
        for record in (disk / "out").glob("*.labels/record.json"):
            assert json.loads(record.read_text())["files"]["count"] == 20
        subprocess.run(["mount", "-o", "remount,size=32m", str(disk)], check=True)
        again = finish(bundle, videos, disk / "out", place, "--address", raylets.address)
        assert again.returncode == 0, again.stderr
        assert len(rows(disk / "out")) == 10
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_eval_gives_the_document_of_tdnet_eval(
    drives: Path, named_bundle: Path, tmp_path: Path, cluster: tuple[Any, Place]
) -> None:
    """Two bundles, and a data set by a name that is right in the driver's folder alone."""
    raylets, place = cluster
    second = tmp_path / "second.plan"
    second.write_bytes(named_bundle.read_bytes())
    given = (
        "--engine",
        named_bundle,
        "--engine",
        second,
        "--backend",
        "onnxruntime",
        "--threads",
        "1",
        "--data",
        drives.name,
    )
    found = []
    for name, code, more in (
        ("batch", "from tdnet_batch import main; main()", ("eval", "--address", raylets.address)),
        ("alone", "from tdnet_eval import main; main()", ()),
    ):
        path = tmp_path / f"{name}.json"
        words = [sys.executable, "-c", code, *more, *given, "--json", path]
        done = subprocess.run(
            list(map(str, words)),
            env=place.environment,
            cwd=drives.parent,
            capture_output=True,
            text=True,
            timeout=_LIMIT_S,
        )
        assert done.returncode == 0, done.stderr
        found.append(rounded(json.loads(path.read_bytes())))
    assert len(found[0]["sides"]) == 2
    assert found[0] == found[1]


def test_a_node_that_leaves(
    bundle: Path, videos: Path, tmp_path: Path, cluster: tuple[Any, Place], plain_loop: dict[str, bytes]
) -> None:
    """Two raylets of one machine: those that stay do the rest."""
    raylets, place = cluster
    output = tmp_path / "out"
    second = raylets.add_node(**NODE)
    with contextlib.ExitStack() as held:
        held.enter_context(place.held())
        with halfway(bundle, videos, output, place, "--address", raylets.address) as process:
            actors = actors_of(os.getpid())
            assert len(actors) == 2
            raylets.remove_node(second, allow_graceful=False)
            wait_for_the_end_of_one(actors)
            held.close()
            out, err = process.communicate(timeout=_LIMIT_S)
    assert process.returncode == 0, err
    assert "1 were lost and replaced" in out
    assert tree_of(output) == plain_loop
    assert len(rows(output)) == 10


def test_ray_of_its_own_listens_on_the_loopback_alone() -> None:
    code = """
import psutil
from tdnet_batch.ray_session import ray_session

with ray_session(address=None, cpus=1, dashboard=False) as ray:
    assert ray.get(ray.remote(lambda: 1).remote()) == 1
    commands = []
    for process in psutil.Process().children(recursive=True):
        commands.append(" ".join(process.cmdline()))
        for connection in process.net_connections("inet"):
            if connection.status == psutil.CONN_LISTEN:
                print(connection.laddr.ip)
    assert any("raylet" in command for command in commands)
    assert not any("dashboard.py" in command for command in commands)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=_LIMIT_S, check=True
    )
    assert set(done.stdout.split()) <= {"127.0.0.1", "::ffff:127.0.0.1", "::1"}
    assert "127.0.0.1" in done.stdout
