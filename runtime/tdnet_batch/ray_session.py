"""Ray, started for one run or found at an address: quiet, on the loopback, and gone when the run ends."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
import signal
import socket
import tempfile
import threading
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
    "RAY_raylet_start_wait_time_s": "120",  # 30 are few where the machine has much else to do
}
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
        options: dict[str, Any] = {"log_to_driver": False, "configure_logging": False}
        if address is None:
            folder = stack.enter_context(_short_temporary_folder())
            options |= {
                "address": "local",  # whatever RAY_ADDRESS says
                "num_cpus": cpus,
                "object_store_memory": _OBJECT_STORE_BYTES,
                "include_dashboard": dashboard,
                "_temp_dir": str(folder),
                "_node_ip_address": "127.0.0.1",
            }
        else:
            _check_address(address)
            options["address"] = address
        stack.callback(ray.shutdown)
        try:
            with _own_signals():
                ray.init(**options)
        except Exception as error:  # Ray raises bare ones, too
            raise _not_started(error, address) from error
        yield ray


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
    if "://" in address or not colon or not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise OptionError(
            f"--address {address!r}: expected HOST:PORT of the cluster's head (6379 if `ray start --head` was given none), "
            "or auto"
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_S).close()
    except OSError as error:
        raise OptionError(
            f"--address {address!r}: nobody answers there ({error.strerror or error}); is the cluster's head running, "
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
        f"Ray did not start: {why}; a machine with much else to do may take longer than Ray waits: start it again, or "
        "start Ray first (ray start --head) and name it: --address auto"
    )


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
