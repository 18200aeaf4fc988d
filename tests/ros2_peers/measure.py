"""Loss and latency of a robot's camera through the product and back, against nodes that are not ours.

    python tests/ros2_peers/measure.py kilted|jazzy|pyzeros [--frames 1800] [--size 480x640] [--plan X.plan]
    python tests/ros2_peers/measure.py --rows RESULTS.jsonl     # of runs with a plan, as a table's rows

The peers are those of tests/ros2_peers (its make_venv.sh, and TDNET_PEER_KILTED and so on). The peer stamps a frame right
before it publishes it, and takes the time when the mask of that stamp has come back to it. Without a plan labels are the
red channel's upper bits, so that what is measured is the transport: conversion to RGB, two hops, PNG. With one it is
`tdnet-run`, and no result may be older than two frame times and one inference: how many are is counted, by the median
and by the longest inference of the run. Writes one line of JSON.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[2]
PEERS = ROOT / "tests" / "ros2_peers"
ROUTER = ROOT / "tests" / "runtime" / "transports" / "router.py"
PORT = 17447
DOMAIN = 93


def started(*command: object, **environment: str) -> subprocess.Popen[str]:
    """A process with pipes."""
    paths = os.pathsep.join(str(ROOT / folder) for folder in ("models", "runtime", "export", "benchmarks"))
    env = {**os.environ, "PYTHONPATH": paths, **environment}
    return subprocess.Popen(
        [*map(str, command)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env
    )


def ages_ms(arrivals: dict[str, Any]) -> list[float]:
    """From each frame's stamp to its mask's arrival."""
    times = [value[0] if isinstance(value, list) else value for value in arrivals.values()]
    return [(at - int(stamp)) / 1e6 for stamp, at in zip(arrivals, times, strict=True)]


def summary(stamps: list[int], arrivals: dict[str, Any]) -> dict[str, Any]:
    """Of one topic that came back."""
    late_ms = ages_ms(arrivals)
    points = np.percentile(late_ms, (50, 95, 99, 100)).round(2).tolist() if late_ms else []
    names = ("p50", "p95", "p99", "max")
    return {
        "came": len(late_ms),
        "lost": len(stamps) - len(late_ms),
        "latency_ms": dict(zip(names, points, strict=False)),
    }


def product_summary(run: dict[str, Any], rate: float, seen: dict[str, Any]) -> dict[str, Any]:
    """Where each frame went in `tdnet-run`, and how many masks came later than was asked."""
    (source,) = run["live"]["health"]["sources"].values()
    document = {key: source[key] for key in ("received", "results", "dropped", "restarts")}
    document["inference_ms"] = {key: round(value, 2) for key, value in run["latency_ms"].items()}
    document["backend"] = run["backend"]["description"]
    document["warm_up"] = seen["warm"]
    for name in ("p50", "max"):
        bound_ms = 2e3 / rate + run["latency_ms"][name]
        document[f"older_than_2_frames_and_{name}"] = {
            "bound_ms": round(bound_ms, 1),
            "mask": sum(age > bound_ms for age in ages_ms(seen["masks"])),
            "mask/compressed": sum(age > bound_ms for age in ages_ms(seen["packed"])),
        }
    return document


def row(document: dict[str, Any]) -> str:
    """One run with a plan, as docs/ros2.md has it."""
    source, packed = document["source"], document["mask/compressed"]
    inference, latency = source["inference_ms"], packed["latency_ms"]
    older = [source[f"older_than_2_frames_and_{name}"] for name in ("p50", "max")]
    dropped = ", ".join(f"{count} {why}" for why, count in source["dropped"].items()) or "none"
    cells = (
        f"{document['peer']}, {document['reliability']}",
        f"{source['received'] - source['warm_up']} of {document['sent']}",
        dropped,
        f"{inference['p50']:.0f}, {inference['max']:.0f}",
        f"{packed['came']} of {source['results']}",
        f"{latency['p50']:.0f}, {latency['p99']:.0f}, {latency['max']:.0f}",
        ", ".join(f"{each['mask/compressed']} (> {each['bound_ms']:.0f} ms)" for each in older),
        f"{document['load'][0]} to {document['load'][1]}",
    )
    return f"| {' | '.join(cells)} |\n"


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("peer", nargs="?", choices=("kilted", "jazzy", "pyzeros"))
    parser.add_argument("--frames", type=int, default=1800)
    parser.add_argument("--rate", type=float, default=30)
    parser.add_argument("--size", default="480x640")
    parser.add_argument("--reliability", default="best_effort")
    parser.add_argument("--plan")
    parser.add_argument("--rows", type=Path)
    options = parser.parse_args()
    if options.rows:
        sys.stdout.writelines(row(json.loads(line)) for line in options.rows.read_text().splitlines())
        return
    if options.peer is None:
        parser.error("name a peer")
    zenoh = options.peer == "pyzeros"
    router = f"tcp/127.0.0.1:{PORT}"
    graph = f"domain={DOMAIN}&" + (f"rmw=zenoh&router={router}" if zenoh else "rmw=dds")
    topics = f"ros2:///camera/image_raw?{graph}&wait=100", f"ros2:///segmentation?{graph}"
    arguments = ["--frames", options.frames, "--rate", options.rate, "--size", options.size, "--wait", 60]
    if zenoh:
        script = "pyzeros_peer.py"
        arguments += ["--router", router, "--domain", DOMAIN]
    else:
        script = "rclpy_peer.py"
        arguments += ["--reliability", options.reliability, "--raw-mask"]
    load_before = os.getloadavg()[0]
    with contextlib.ExitStack() as stack:
        if zenoh:
            process = started(sys.executable, ROUTER, router)
            stack.callback(process.communicate)
            assert process.stdout is not None
            process.stdout.readline()
        if options.plan:
            run = "from tdnet_runtime.cli import run_main; run_main()"
            report = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "run.json"
            command = ("-c", run, "--engine", options.plan, "--backend", "onnxruntime", "--json", report)
            command += ("--input", topics[0], "--output", topics[1])
        else:
            command = (PEERS / "segment.py", *topics)
        product = started(sys.executable, *command)
        stack.callback(product.kill)
        environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
        peer = subprocess.run(
            [os.environ[f"TDNET_PEER_{options.peer.upper()}"], PEERS / script, *map(str, arguments)],
            env={
                **environment,
                "ROS_DOMAIN_ID": str(DOMAIN),
                "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
                "RMW_IMPLEMENTATION": "rmw_fastrtps_cpp",
            },
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        product.send_signal(signal.SIGTERM if options.plan else 0)
        said = product.communicate(None if options.plan else "\n")[0]
        ran = json.loads(report.read_text()) if options.plan else {}
    seen = json.loads(peer.stdout.splitlines()[-1])
    document: dict[str, Any] = {
        **{key: value for key, value in vars(options).items() if key != "rows"},
        "plan": Path(options.plan).name if options.plan else None,
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "package": f"eclipse-zenoh {version('eclipse-zenoh')}"
        if zenoh
        else f"cyclonedds {version('cyclonedds')}",
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
        "load": [round(load_before, 1), round(os.getloadavg()[0], 1)],
        "sent": len(seen["sent"]),
        "mask": summary(seen["sent"], seen["masks"]),
        "mask/compressed": summary(seen["sent"], seen["packed"]),
    }
    if options.plan:
        document["source"] = product_summary(ran, options.rate, seen)
    else:
        ours = json.loads(said.splitlines()[-1])
        document["source"] = {key: ours[key] for key in ("frames", "lost", "replaced")} | {
            "warm_up": seen["warm"]
        }
    sys.stdout.write(json.dumps(document) + "\n")


if __name__ == "__main__":
    main()
