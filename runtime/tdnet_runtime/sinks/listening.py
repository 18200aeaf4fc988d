"""Whether something listens at an address."""

from __future__ import annotations

import socket
import time

__all__ = ["answers", "wait_for_silence"]

_LOOK_S = 0.02


def answers(host: str, port: int) -> bool:
    """Somebody accepts a connection there."""
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except (OSError, UnicodeError):  # which a name with an empty or too long part brings about
        return False


def wait_for_silence(host: str, port: int, *, limit_s: float) -> None:
    """Return when nobody does any more, or the limit has passed."""
    end = time.monotonic() + limit_s
    while answers(host, port) and time.monotonic() < end:
        time.sleep(_LOOK_S)
