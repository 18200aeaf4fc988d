"""Ray's start, as far as it can be seen without it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from tdnet_batch.placement import Placement, place_workers
from tdnet_batch.ray_pool import RayPool
from tdnet_batch.ray_session import ray_session
from tdnet_runtime.errors import BackendError, MissingExtraError, OptionError

NAMES = ("RAY_USAGE_STATS_ENABLED", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN")
CLUSTERS = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"


class FakeNode:
    def start_api_server(self) -> str:
        return "a process"


class FakeRay(ModuleType):
    """Takes note of what it is asked, and does to signals what the real one does."""

    def __init__(
        self,
        version: str = "2.60.0",
        error: BaseException | None = None,
        connected: bool = False,
        failures: int = 99,
    ) -> None:
        super().__init__("ray")
        self.__version__ = version
        self.calls: list[tuple[str, Any]] = []
        self.left: list[subprocess.Popen[bytes]] = []
        self._error, self._connected, self._failures = error, connected, failures
        self._private = SimpleNamespace(
            ray_constants=SimpleNamespace(ENABLE_RAY_CLUSTER=True), node=SimpleNamespace(Node=FakeNode)
        )

    @property
    def of_the_network(self) -> tuple[bool, str | None]:
        return self._private.ray_constants.ENABLE_RAY_CLUSTER, os.environ.get(CLUSTERS)

    def is_initialized(self) -> bool:
        return self._connected

    def init(self, **options: Any) -> None:
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(number))
        self.calls.append(("init", options))
        self.folder = Path(options.get("_temp_dir", "."))
        self.environment = {name: os.environ.get(name) for name in NAMES}
        if self._error is not None and self._failures:
            self._failures -= 1
            self.left.append(subprocess.Popen(["sh", "-c", f"sleep 600 # {self.folder}"]))
            line = Path(f"/proc/{self.left[-1].pid}/cmdline")
            while (
                os.fsencode(self.folder) not in line.read_bytes()
            ):  # Popen is back before the kernel shows it
                time.sleep(0.001)
            raise self._error

    def shutdown(self) -> None:
        self.calls.append(("shutdown", None))


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    before = dict(os.environ)
    for name in [name for name in os.environ if name.startswith("RAY_")]:
        del os.environ[name]
    yield
    for name in [name for name in os.environ if name.startswith("RAY_")]:
        del os.environ[name]
    os.environ.update(before)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    def make(*arguments: Any, **options: Any) -> FakeRay:
        ray = FakeRay(*arguments, **options)
        monkeypatch.setitem(sys.modules, "ray", ray)
        return ray

    return make


def session(address: str | None = None, dashboard: bool = False) -> Any:
    return ray_session(address=address, cpus=2, dashboard=dashboard)


def test_it_is_quiet_and_gone_in_the_end(fake: Any) -> None:
    ray = fake()
    os.environ["RAY_ADDRESS"] = "10.0.0.1:6379"
    before = signal.getsignal(signal.SIGTERM)
    with session() as given:
        assert given is ray
        assert signal.getsignal(signal.SIGTERM) is before
        assert ray.folder.is_dir()
    (_, options), end = ray.calls
    assert end == ("shutdown", None)
    assert not ray.folder.exists()
    assert (options["address"], options["num_cpus"], options["include_dashboard"]) == ("local", 2, False)
    assert ray.environment["RAY_USAGE_STATS_ENABLED"] == "0"
    assert ray.environment["RAY_AUTH_MODE"] == "token"
    assert len(str(ray.environment["RAY_AUTH_TOKEN"])) == 64
    assert len(os.fsencode(ray.folder)) < 64


@pytest.mark.parametrize("before", [None, "1"])
def test_one_of_its_own_is_on_the_loopback(fake: Any, before: str | None) -> None:
    ray = fake()
    if before is not None:
        os.environ[CLUSTERS] = before
    with session():
        assert ray.of_the_network == (False, "0")
    assert ray.of_the_network == (True, before)
    with session("auto"):
        assert ray.of_the_network == (True, before)


def test_the_dashboards_process_is_not_started_unasked(fake: Any) -> None:
    fake()
    for dashboard, started in ((False, None), (True, "a process")):
        with session(dashboard=dashboard):
            assert FakeNode().start_api_server() == started
        assert FakeNode().start_api_server() == "a process"


def test_what_a_user_has_set_stays(fake: Any) -> None:
    ray = fake()
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "1", "RAY_AUTH_MODE": "disabled"}
    with session():
        pass
    assert ray.environment == {
        "RAY_USAGE_STATS_ENABLED": "1",
        "RAY_AUTH_MODE": "disabled",
        "RAY_AUTH_TOKEN": None,
    }


def test_one_that_is_connected_is_left_as_it_is(fake: Any) -> None:
    ray = fake(connected=True)
    with session() as given:
        assert given is ray
    assert not ray.calls


def test_sessions_of_killed_runs_are_swept_away(
    fake: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake()
    place = Path("/tmp") / f"t{os.getpid()}"
    place.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(place))
    for name in ("tdnet-ray-dead", "tdnet-ray-alive", "other"):
        (place / name).mkdir()
    alive = os.open(place / "tdnet-ray-alive", os.O_RDONLY)
    try:
        fcntl.flock(alive, fcntl.LOCK_EX)
        with session():
            names = {path.name for path in place.iterdir()}
            assert names >= {"other", "tdnet-ray-alive"}
            assert "tdnet-ray-dead" not in names
    finally:
        os.close(alive)
        for name in ("tdnet-ray-alive", "other"):
            (place / name).rmdir()
        place.rmdir()


def test_a_long_temporary_folder_is_too_long_for_sockets(
    fake: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ray = fake()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / ("x" * 60)))
    with session():
        assert ray.folder.parent == Path("/tmp")


@pytest.mark.parametrize("version", ["2.9.3", "1.13.0", "2.49.2"])
def test_an_old_ray(fake: Any, version: str) -> None:
    fake(version)
    with pytest.raises(
        MissingExtraError, match=rf"Ray {version} is too old, expected 2.50 or later; install it with"
    ):
        session().__enter__()


@pytest.mark.parametrize("version", ["2.50.0", "2.60.0", "3.0.0.dev0"])
def test_a_ray_that_is_new_enough(fake: Any, version: str) -> None:
    fake(version)
    with session():
        pass


def test_no_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(
        MissingExtraError, match=r"'ray' is not installed; install it with: pip install 'tdnet-deploy\[ray\]'"
    ):
        session().__enter__()


def test_a_ray_that_does_not_start(fake: Any) -> None:
    ray = fake(error=Exception("The current node timed out during startup.\nThis could happen"))
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(BackendError, match="Ray did not start: The current node timed out") as caught:
        session().__enter__()
    assert "\n" not in str(caught.value)
    assert [call for call, _ in ray.calls] == [
        "init",
        "shutdown",
        "shutdown",
    ]  # soon: it was not for lack of time
    assert not ray.folder.exists()
    assert signal.getsignal(signal.SIGTERM) is before
    assert [process.wait() for process in ray.left] == [-signal.SIGKILL]  # which Ray would have left


@pytest.mark.parametrize("refused", [False, True])
def test_an_interrupt_while_it_starts(fake: Any, monkeypatch: pytest.MonkeyPatch, refused: bool) -> None:
    """Whoever calls this as a library goes on without Ray's processes."""
    ray = fake(error=KeyboardInterrupt())

    def refuse() -> None:
        raise RuntimeError("not now")

    if refused:
        monkeypatch.setattr(ray, "shutdown", refuse)
    with pytest.raises(RuntimeError if refused else KeyboardInterrupt):
        session().__enter__()
    assert not ray.folder.exists()
    assert [process.wait() for process in ray.left] == [-signal.SIGKILL]


@pytest.mark.parametrize(("failures", "begun"), [(1, 2), (2, 3), (3, 3)])
def test_a_ray_that_runs_out_of_time_is_started_again(
    fake: Any, monkeypatch: pytest.MonkeyPatch, failures: int, begun: int
) -> None:
    monkeypatch.setattr("tdnet_batch.ray_session._IN_TIME_S", 0.0)
    ray = fake(error=Exception("The current node timed out during startup."), failures=failures)
    with contextlib.ExitStack() as stack:
        if failures < 3:
            assert stack.enter_context(session()) is ray
            assert ray.folder.exists()
        else:
            with pytest.raises(BackendError, match="Ray did not start: The current node timed out"):
                stack.enter_context(session())
    folders = [options["_temp_dir"] for call, options in ray.calls if call == "init"]
    assert len(set(folders)) == len(folders) == begun
    assert not any(map(os.path.exists, folders))
    assert [process.wait() for process in ray.left] == [-signal.SIGKILL] * failures


@pytest.mark.parametrize(
    "address",
    [
        "10.0.0.7",
        "ray://10.0.0.7:10001",
        ":6379",
        "host:port",
        "host:0",
        "host:99999",
        "host:²",
        "host:" + "9" * 5000,
        "nowhere",
    ],
)
def test_what_is_no_address(fake: Any, address: str) -> None:
    fake()
    with pytest.raises(OptionError, match="expected HOST:PORT of the cluster's head"):
        session(address).__enter__()


def test_nobody_answers(fake: Any) -> None:
    fake()
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(OptionError, match=rf"--address '127.0.0.1:{port}': nobody answers there"):
        session(f"127.0.0.1:{port}").__enter__()
    with pytest.raises(OptionError, match=r"--address 'a\.\.b:6379': nobody answers there \(.*label empty"):
        session("a..b:6379").__enter__()


def test_a_cluster_of_another_version(fake: Any) -> None:
    ray = fake(error=RuntimeError("Version mismatch"))
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(OptionError, match="Ray does not connect: Version mismatch; start a cluster"):
            session(address).__enter__()
    assert ray.calls[0][1] == {"address": address, "log_to_driver": False, "configure_logging": False}
    for process in ray.left:
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    ("nodes", "asked", "expected"),
    [
        ([{"CPU": 2}], {}, Placement(workers=2, threads=1)),
        ([{"CPU": 8}], {"inputs": 3}, Placement(workers=3, threads=2)),
        ([{"CPU": 8}], {"inputs": 1}, Placement(workers=1, threads=8)),
        ([{"CPU": 8}], {"workers": 2}, Placement(workers=2, threads=4)),
        ([{"CPU": 8}], {"threads": 4}, Placement(workers=2, threads=4)),
        ([{"CPU": 2}], {"workers": 2, "threads": 2}, Placement(workers=2, threads=2)),
        ([{"CPU": 4}, {"CPU": 2}], {}, Placement(workers=6, threads=1)),
        ([{"CPU": 4}, {"CPU": 2}], {"inputs": 1}, Placement(workers=1, threads=4)),
        ([{"CPU": 16, "GPU": 2}], {}, Placement(workers=2, threads=8, gpus=1)),
        ([{"CPU": 16, "GPU": 2}], {"gpus": 0.5}, Placement(workers=4, threads=4, gpus=0.5)),
        ([{"CPU": 16, "GPU": 2}], {"backend": "onnxruntime"}, Placement(workers=16, threads=1)),
        ([{"CPU": 4}, {"CPU": 4, "GPU": 1}], {"backend": "cuda"}, Placement(workers=1, threads=4, gpus=1)),
        ([{}], {}, Placement(workers=1, threads=1)),
    ],
)
def test_placement(nodes: list[dict[str, float]], asked: dict[str, Any], expected: Placement) -> None:
    assert place_workers(nodes, **{"inputs": 99, "backend": "auto", **asked}) == expected


@pytest.mark.parametrize("asked", [{"backend": "cuda"}, {"gpus": 2}, {"backend": "tensorrt"}])
def test_a_gpu_that_is_not_there(asked: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match=r"no node has that .*; give --gpus 0"):
        place_workers(
            [{"CPU": 4, "GPU": 1}] if "gpus" in asked else [{"CPU": 4}],
            **{"inputs": 9, "backend": "auto", **asked},
        )


class RayError(Exception):
    """As of Ray."""


class Actors:
    """Ray's calls, whose answers are there at once; `starts` and `dies` say which come to nothing."""

    exceptions = type("exceptions", (), {"RayError": RayError})

    def __init__(self, *, failing_starts: int = 0, deaths: int = 0) -> None:
        self.failing_starts, self.deaths = failing_starts, deaths
        self.started = self.killed = 0

    def remote(self, cls: type) -> Any:
        world = self

        class Method:
            def __init__(self, function: Any) -> None:
                self.function = function

            def remote(self, *arguments: Any) -> Any:
                return lambda: self.function(*arguments)

        class Actor:
            def __init__(self, make: Any, threads: int) -> None:
                world.started += 1
                self.inner = make()
                self.do = Method(self._do)
                self.progress = Method(self._progress)

            def _do(self, task: Any) -> Any:
                if world.deaths:
                    world.deaths -= 1
                    raise RayError(
                        "The actor died.\nclass_name: x\nThe actor is dead because its worker process has died."
                    )
                return self.inner.do(task)

            def _progress(self) -> int:
                if world.failing_starts:
                    world.failing_starts -= 1
                    raise RayError("ModuleNotFoundError: No module named 'tdnet_batch'")
                return int(self.inner.progress())

        made = type("Made", (), {"remote": staticmethod(Actor)})
        return type("Class", (), {"options": staticmethod(lambda **options: made)})

    def wait(self, references: list[Any], **options: Any) -> tuple[list[Any], list[Any]]:
        count = options.get("num_returns", 1)
        return references[:count], references[count:]

    def get(self, reference: Any) -> Any:
        return reference()

    def kill(self, actor: Any, no_restart: bool) -> None:
        self.killed += 1

    def available_resources(self) -> dict[str, float]:
        return {"CPU": 0.0}


class Doubler:
    def do(self, task: int) -> int:
        return 2 * task

    def progress(self) -> int:
        return 5


def test_each_job_is_answered_though_workers_die() -> None:
    ray = Actors(failing_starts=2, deaths=2)
    waiting, answers, lost = [1, 2, 3, 4, 5], [], []
    with RayPool[int, int](ray, Doubler, Placement(workers=2, threads=1)) as pool:
        while len(answers) < 5:
            while pool.free and waiting:
                pool.submit(waiting.pop())
            assert pool.frames() >= 0
            for answer in pool.wait(0):
                if answer.outcome is None:
                    lost.append(answer.lost)
                    waiting.append(answer.job)
                else:
                    answers.append(answer.outcome)
        assert pool.workers == 2
    assert sorted(answers) == [2, 4, 6, 8, 10]
    assert lost == ["The actor is dead because its worker process has died."] * 2
    assert ray.started == 2 + 2 + 2
    assert ray.killed == 2 + 2  # those that were lost, and those that are there in the end


def test_workers_that_never_start() -> None:
    pool = RayPool[int, int](Actors(failing_starts=99), Doubler, Placement(workers=1, threads=1))
    pool.wait(0)
    pool.wait(0)
    with pytest.raises(BackendError, match="workers do not start: ModuleNotFoundError: No module named"):
        pool.wait(0)
