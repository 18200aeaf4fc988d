#!/usr/bin/env bash
# Ray puts a handler of its own in the place of the application's for SIGTERM, and leaves it there after its shutdown.
# Seen with ray 2.60.0 on 2026-11-29.
# Expected: a handler that a program set before ray.init() is called at SIGTERM, or at the least is there again after ray.shutdown().
# Comes: ray.init() replaces it, ray.shutdown() does not put it back; a program that finishes its files at SIGTERM no longer does.
# Here: the handler is put back right after ray.init() (tdnet_batch.ray_session).
. "$(dirname "$0")/common.bash"
with ray==2.60.0
RAY_USAGE_STATS_ENABLED=0 "$PYTHON" - >out 2>/dev/null <<'PY'
import signal
import tempfile

import ray


def finish(number, frame):
    """The application's own."""


signal.signal(signal.SIGTERM, finish)
with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp") as folder:
    ray.init(num_cpus=1, include_dashboard=False, _temp_dir=folder, object_store_memory=80 * 2**20)
    print("after ray.init() the handler is the application's:", signal.getsignal(signal.SIGTERM) is finish)
    ray.shutdown()
    print("after ray.shutdown():", signal.getsignal(signal.SIGTERM) is finish)
PY
seen <<'TEXT'
after ray.init() the handler is the application's: False
after ray.shutdown(): False
TEXT
