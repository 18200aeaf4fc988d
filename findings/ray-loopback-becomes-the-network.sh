#!/usr/bin/env bash
# Ray that is told to use 127.0.0.1 listens on the machine's network address.
# Seen with ray 2.60.0 on 2026-11-29.
# Expected: `ray start --node-ip-address=127.0.0.1` (or ray.init's _node_ip_address) keeps it to the loopback.
# Comes: on Linux a loopback address is replaced by the one that leads to 8.8.8.8, and the servers are bound to all addresses;
# others of the network reach them. What keeps it to the loopback is a variable that is named for two other systems.
# Here: a batch that starts Ray sets it for the time of the run (runtime/tdnet_batch/ray_session.py).
. "$(dirname "$0")/common.bash"
grep -qsE '^[^ ]+[[:space:]]+00000000[[:space:]]' /proc/net/route || skip "this machine has no network"
with ray==2.60.0 psutil==7.2.2
export RAY_USAGE_STATS_ENABLED=0 RAY_USAGE_STATS_REPORT_URL=http://127.0.0.1:9 RAY_AUTH_MODE=disabled HOME=$FOLDER
temporary=$(mktemp -d /tmp/ray-XXXXXX) # a socket's path is short
end() { pkill -KILL -f -- "$temporary" || true; } # what `ray stop` ends is every Ray of this machine
trap 'end; rm -rf "$temporary" "$FOLDER"' EXIT
for variable in 1 0; do
  export RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER=$variable
  "${PYTHON%/*}/ray" start --head --node-ip-address=127.0.0.1 --temp-dir="$temporary" --include-dashboard=false \
    --num-cpus=1 --port=0 >log 2>&1 || { cat log; exit 1; }
  "$PYTHON" - "$temporary" "$variable" <<'PY' >>out
import ipaddress
import sys

import psutil

inside = set()
for process in psutil.process_iter(["cmdline"]):
    if sys.argv[1] in " ".join(process.info["cmdline"] or ()):
        for connection in process.net_connections("inet"):
            if connection.status == psutil.CONN_LISTEN:
                address = ipaddress.ip_address(connection.laddr.ip)
                inside.add((getattr(address, "ipv4_mapped", None) or address).is_loopback)
print(f"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER={sys.argv[2]}: listens on the loopback alone: {inside == {True}}")
PY
  end
  sleep 1
done
seen <<'TEXT'
RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER=1: listens on the loopback alone: False
RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER=0: listens on the loopback alone: True
TEXT
