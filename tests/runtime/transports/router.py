"""A Zenoh router in a process of its own: router.py tcp/127.0.0.1:PORT. Ends with its input."""

import sys

import zenoh

config = zenoh.Config()
for key, value in (
    ("mode", '"router"'),
    ("listen/endpoints", f'["{sys.argv[1]}"]'),
    ("connect/endpoints", "[]"),
    ("scouting/multicast/enabled", "false"),
    ("transport/shared_memory/enabled", "false"),
):
    config.insert_json5(key, value)
with zenoh.open(config):
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.read()
