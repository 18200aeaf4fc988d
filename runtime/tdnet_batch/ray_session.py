"""Ray, started for one run or found at an address: quiet, on the loopback, and gone when the run ends."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import shutil
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tdnet_runtime.errors import BackendError, MissingExtraError, OptionError
from tdnet_runtime.extras import one_line, require

__all__ = ["OLDEST_RAY", "ray_session"]

OLDEST_RAY = (2, 50)
"""What this was written against, or newer, is asked for; 2.60.0 is what it was tried with."""

_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DISABLE_IMPORT_WARNING": "1",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # else 2.60 warns on each start
    # Its limits are few where the machine has much else to do; those that cannot be set are why it is started again.
    "RAY_raylet_start_wait_time_s": "60",
    "RAY_gcs_server_port_wait_time_s": "120",
    "RAY_agent_register_timeout_ms": "120000",
    "RAY_worker_register_timeout_seconds": "300",
}
_CLUSTERS = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
_STARTS = 3
_IN_TIME_S = 10.0  # what fails sooner did not run out of time
_OBJECT_STORE_BYTES = 100 << 20  # nothing goes through it but records
_PREFIX = "tdnet-ray-"
_LONGEST_TEMPORARY = 40  # bytes; Ray's sockets lie 62 deeper, and a socket's path ends at 107
_CONNECT_S = 5.0


@contextlib.contextmanager
def ray_session(*, address: str | None, cpus: int, dashboard: bool) -> Iterator[Any]:
    """The module `ray`, connected. One that the caller has connected already is used as it is, and left so.

    Args:
        address: of a cluster, `auto` for the one of this machine; None to start one for the block.
        cpus: that the one that is started may use.
        dashboard: Ray's own, for the one that is started, on the loopback.

    Raises:
        MissingExtraError: Ray is not installed, or too old.
        OptionError: nobody answers at `address`.
        BackendError: Ray does not start.
    """
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    if address is None and "RAY_AUTH_MODE" not in os.environ and "RAY_AUTH_TOKEN" not in os.environ:
        # Else 2.60 writes a token below HOME, and fails where it cannot. Nobody but this run's processes knows this one.
        os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    ray: Any = require("ray", extra="ray")
    _check_version(str(ray.__version__))
    if ray.is_initialized():
        yield ray
        return
    with contextlib.ExitStack() as stack:
        if address is None:
            _start(ray, stack, cpus=cpus, dashboard=dashboard)
        else:
            _check_address(address)
            stack.callback(ray.shutdown)
            try:
                _connect(ray, address=address)
            except Exception as error:  # Ray raises bare ones, too
                raise _not_started(error, address) from error
        yield ray


def _start(ray: Any, stack: contextlib.ExitStack, *, cpus: int, dashboard: bool) -> None:
    """Start one until `stack` ends; again where it ran out of time: what it reads is in memory by then.

    Raises:
        BackendError: Ray does not start.
    """
    stack.enter_context(_on_the_loopback(ray))
    if not dashboard:
        stack.enter_context(_without_dashboard(ray))
    for start in range(1, _STARTS + 1):
        folder = stack.enter_context(_short_temporary_folder())
        stack.callback(ray.shutdown)
        begin_s = time.monotonic()
        try:
            _connect(
                ray,
                address="local",  # whatever RAY_ADDRESS says
                num_cpus=cpus,
                object_store_memory=_OBJECT_STORE_BYTES,
                include_dashboard=dashboard,
                _temp_dir=str(folder),
                _node_ip_address="127.0.0.1",
            )
            return
        except BaseException as error:
            try:
                ray.shutdown()
            finally:
                _kill_started(folder)
            if not isinstance(error, Exception):
                raise
            if start == _STARTS or time.monotonic() - begin_s < _IN_TIME_S:
                raise _not_started(error, None) from error


def _connect(ray: Any, **options: Any) -> None:
    with _own_signals():
        ray.init(log_to_driver=False, configure_logging=False, **options)


def _kill_started(folder: Path) -> None:
    """The processes of a session that did not start, which Ray leaves to themselves until this process ends."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if os.fsencode(folder) in path.read_bytes() and path.parent.name != str(os.getpid()):
                os.kill(int(path.parent.name), signal.SIGKILL)


def _check_version(version: str) -> None:
    parts = version.split(".")
    try:
        old = (int(parts[0]), int(parts[1])) < OLDEST_RAY
    except (ValueError, IndexError):
        old = False  # built by somebody from a branch
    if old:
        wanted = ".".join(map(str, OLDEST_RAY))
        raise MissingExtraError(
            f"Ray {version} is too old, expected {wanted} or later; install it with: pip install 'ray>={wanted}'"
        )


def _check_address(address: str) -> None:
    """Find out within seconds whether anybody is there; Ray tries for minutes."""
    if address == "auto":
        return
    host, colon, port = address.rpartition(":")
    if (
        "://" in address
        or not colon
        or not host
        or not re.fullmatch("[0-9]{1,5}", port)
        or not 0 < int(port) < 65536
    ):
        raise OptionError(
            f"--address {address!r}: expected HOST:PORT of the cluster's head (6379 if `ray start --head` was given none), "
            "or auto"
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_S).close()
    except (OSError, UnicodeError) as error:  # UnicodeError: a name with an empty or too long part
        why = getattr(error, "strerror", None) or error
        raise OptionError(
            f"--address {address!r}: nobody answers there ({why}); is the cluster's head running, "
            "and is this its port?"
        ) from error


def _not_started(error: Exception, address: str | None) -> Exception:
    why = one_line(str(error)) or type(error).__name__
    if address is not None:
        return OptionError(
            f"--address {address!r}: Ray does not connect: {why}; start a cluster with `ray start --head`, of the same "
            "versions of Ray and Python, or leave --address out"
        )
    return BackendError(
        f"Ray did not start: {why}; a machine with much else to do may take longer than Ray waits: start it when there is "
        "less, or start Ray first (ray start --head) and name it: --address auto"
    )


@contextlib.contextmanager
def _on_the_loopback(ray: Any) -> Iterator[None]:
    """Ray 2.60 on Linux takes the network's address for 127.0.0.1, unless this says that clusters are not wanted."""
    constants: Any = getattr(getattr(ray, "_private", None), "ray_constants", None)
    with contextlib.ExitStack() as undo:
        undo.callback(_put_variable, _CLUSTERS, os.environ.get(_CLUSTERS))
        os.environ[_CLUSTERS] = "0"  # for its processes
        if hasattr(constants, "ENABLE_RAY_CLUSTER"):  # which has been read
            undo.callback(setattr, constants, "ENABLE_RAY_CLUSTER", constants.ENABLE_RAY_CLUSTER)
            constants.ENABLE_RAY_CLUSTER = False
        yield


def _put_variable(name: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value


@contextlib.contextmanager
def _without_dashboard(ray: Any) -> Iterator[None]:
    """Ray 2.60 starts the dashboard's process in any case, which asks the metadata servers of three clouds."""
    node: Any = getattr(getattr(getattr(ray, "_private", None), "node", None), "Node", None)
    with contextlib.ExitStack() as undo:
        if hasattr(node, "start_api_server"):
            undo.callback(setattr, node, "start_api_server", node.start_api_server)
            node.start_api_server = lambda self, **options: None
        yield


@contextlib.contextmanager
def _own_signals() -> Iterator[None]:
    """Ray 2.60 puts its own handler of SIGTERM in the place of a command's."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if before is not None:
            signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def _short_temporary_folder() -> Iterator[Path]:
    """A folder for Ray's session; those of runs that were killed go first."""
    parent = Path(tempfile.gettempdir())
    if len(os.fsencode(parent)) > _LONGEST_TEMPORARY and os.access("/tmp", os.W_OK):
        parent = Path("/tmp")
    for left in parent.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            if left.stat().st_uid == os.getuid():
                _remove_unless_locked(left)
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
    lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield folder
    finally:
        os.close(lock)
        shutil.rmtree(folder, ignore_errors=True)


def _remove_unless_locked(folder: Path) -> None:
    lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(lock)
