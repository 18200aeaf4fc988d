#!/usr/bin/env bash
# Ray with its usage statistics and its dashboard off asks cloud providers' metadata servers who they are, and reports that
# it does not report.
# Seen with ray 2.60.0 on 2026-11-29.
# Expected: RAY_USAGE_STATS_ENABLED=0 and no dashboard: nobody is asked anything.
# Comes: a dashboard's process is started all the same, for the statistics alone. Before it looks whether they are wanted, it
# asks the metadata servers of Azure, AWS and Google; with `ray start` it then tells usage-stats.ray.io that they are off.
# Here: a batch that starts Ray starts it without that process (runtime/tdnet_batch/ray_session.py); docs/scale.md says how to
# keep a cluster of one's own quiet. All lookups are refused below: nothing leaves the machine.
. "$(dirname "$0")/common.bash"
with ray==2.60.0
export RAY_USAGE_STATS_ENABLED=0 RAY_AUTH_MODE=disabled HOME=$FOLDER PYTHONPATH=$FOLDER/watch ASKED=$FOLDER/asked
mkdir watch
cat >watch/sitecustomize.py <<'PY'
import ipaddress
import os
import socket

real = socket.getaddrinfo


def getaddrinfo(host, *rest, **more):
    name = host.decode() if isinstance(host, bytes) else host
    try:
        outside = ipaddress.ip_address(name or "::1") == ipaddress.ip_address("169.254.169.254")
    except ValueError:
        outside = name not in ("localhost", socket.gethostname())
    if outside:
        with open(os.environ["ASKED"], "a") as log:
            log.write(f"{name}\n")
        raise socket.gaierror(socket.EAI_NONAME, "refused by this script")
    return real(host, *rest, **more)


socket.getaddrinfo = getaddrinfo
PY
temporary=$(mktemp -d /tmp/ray-XXXXXX) # a socket's path is short
end() { pkill -KILL -f -- "$temporary" || true; } # what `ray stop` ends is every Ray of this machine
trap 'end; rm -rf "$temporary" "$FOLDER"' EXIT
"${PYTHON%/*}/ray" start --head --temp-dir="$temporary" --include-dashboard=false --num-cpus=1 --port=0 >log 2>&1 ||
  { cat log; exit 1; }
for _ in $(seq 60); do grep -q usage asked 2>/dev/null && break; sleep 0.5; done
end
sort -u asked >out
seen <<'TEXT'
169.254.169.254
metadata.google.internal
usage-stats.ray.io
TEXT
