"""`tdnet-run` through the live layer: several inputs, policies, deadlines, metrics, deaths and how it ends."""

import http.server
import json
import os
import re
import signal
import socket
import threading
import time
import urllib.request
from pathlib import Path
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest
from tests.runtime import test_run, test_run_results
from tests.runtime.sources import logs, test_network
from tests.runtime.sources.logs import write_mcap
from tests.runtime.test_run import FRAMES, error_line
from tests.runtime.test_stream import hand_made

from tdnet_runtime.bundle import write_bundle
from tdnet_runtime.cli.live_options import parse_inputs, parse_metrics, parse_policy
from tdnet_runtime.cli.live_sinks import RunSink
from tdnet_runtime.errors import OptionError
from tdnet_runtime.live import every, every_kth, fixed_rate, newest
from tdnet_runtime.sources.registry import open_source

PICTURES = 30
LIMIT_S = 60  # far above what anything here takes
camera, clip, tdnet_run, network = (
    test_network.camera,
    test_run.clip,
    test_run.tdnet_run,
    test_run_results.network,
)


def run_of(tmp_path, tdnet_run, *arguments):
    """Exit code, stdout, stderr and the summary."""
    summary = tmp_path / "s.json"
    told = tdnet_run("--engine", "x.plan", "--json", summary, *arguments)
    return *told, json.loads(summary.read_text()) if summary.exists() else None


def masks(path, topic="/segmentation/mask"):
    with open_source(f"{path}?topic={topic}") as source:
        return [frame.image for frame in source]


@pytest.fixture
def dying_camera():
    """A network camera whose connections end after 30 frames; its address, and what makes it listen."""
    pictures = [test_network.jpeg(index) for index in range(PICTURES)]
    over = threading.Event()

    class Camera(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace;boundary=frame")
            self.end_headers()
            for data in pictures:
                head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
                try:
                    self.wfile.write(head.encode() + data + b"\r\n")
                except OSError:
                    return
                if over.wait(0.03):
                    return

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Camera, bind_and_activate=False)
    server.server_bind()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    def listen():
        server.server_activate()
        thread.start()

    yield f"http://127.0.0.1:{server.server_address[1]}/video", listen
    over.set()
    if thread.ident is not None:
        server.shutdown()
        thread.join()
    server.server_close()


def test_a_file_that_is_run_live_gives_the_same_masks(tmp_path, network, tdnet_run, clip):
    assert tdnet_run("--engine", "x.plan", "--input", clip, "--labels", tmp_path / "offline")[0] == 0
    arguments = (
        "--input",
        clip,
        "--policy",
        "every",
        "--labels",
        tmp_path / "live",
        "--overlay",
        tmp_path / "o.mp4",
    )
    code, out, err, told = run_of(tmp_path, tdnet_run, *arguments)
    assert (code, err) == (0, "")
    offline, live = (sorted((tmp_path / name).iterdir()) for name in ("offline", "live"))
    assert [path.name for path in offline] == [path.name for path in live]
    assert [path.read_bytes() for path in offline] == [path.read_bytes() for path in live]
    assert test_run.frames_in(tmp_path / "o.mp4") == FRAMES
    assert re.search(rf"^frames +{FRAMES}; the inputs ended after", out, re.MULTILINE)
    assert (told["frames"], told["interrupted"], told["input"]["width"]) == (FRAMES, False, 52)
    assert told["inputs"]["input"]["damage"]["skipped"] == 0
    health = told["live"]["health"]["sources"]["input"]
    assert (told["live"]["ended_by"], health["results"], health["dropped"]) == ("inputs", FRAMES, {})
    assert set(told["latency_ms"]) == {"p50", "p95", "max"}


def test_several_inputs_at_once(tmp_path, network, tdnet_run, clip):
    log = write_mcap(tmp_path / "a.mcap", logs.camera())
    out = tmp_path / "o.mcap"
    outputs = (
        "--output",
        out,
        "--labels",
        tmp_path / "l" / "{source}",
        "--overlay",
        tmp_path / "{source}.mp4",
    )
    code, told, err, document = run_of(
        tmp_path, tdnet_run, "--input", f"front={clip}", "--input", log, *outputs
    )
    assert (code, err) == (0, "")
    assert re.search(r"^input front +.*clip.mp4", told, re.MULTILINE)
    assert {name: source["results"] for name, source in document["live"]["health"]["sources"].items()} == {
        "front": FRAMES,
        "input2": 6,
    }
    assert "input" not in document
    assert list(document["inputs"]) == ["front", "input2"]
    assert [len(masks(out, f"/segmentation/{name}/mask")) for name in ("front", "input2")] == [FRAMES, 6]
    assert [len(list((tmp_path / "l" / name).iterdir())) for name in ("front", "input2")] == [FRAMES, 6]
    assert test_run.frames_in(tmp_path / "front.mp4") == FRAMES


def test_one_of_three_frames(tmp_path, network, tdnet_run, clip):
    out = tmp_path / "o.mcap"
    arguments = ("--input", clip, "--output", out, "--policy", "every:3", "--max-frames", 3)
    *_, told = run_of(tmp_path, tdnet_run, *arguments)
    assert (told["frames"], told["live"]["ended_by"], told["live"]["policy"]) == (
        3,
        "max_frames",
        "every_kth",
    )
    assert len(masks(out)) == 3


def test_the_engine_is_asked_for_as_in_any_run(tmp_path, network, tdnet_run, clip):
    pin = "ab" * 32
    arguments = ("--backend", "fake", "--precision", "fp16", "--threads", 2, "--sha256", pin)
    code, *_ = run_of(tmp_path, tdnet_run, "--input", clip, "--policy", "every", *arguments)
    assert code == 0
    wanted = {"backend": "fake", "precision": "fp16", "threads": 2, "sha256": pin}
    assert network.opened_with == {"path": Path("x.plan")} | wanted


def test_no_output_gets_more_than_was_asked_for():
    taken = []
    sink = RunSink(SimpleNamespace(name="a sink", write=taken.append), most=3, nameless=False)
    for number in range(5):
        sink.write(number)
    assert taken == [0, 1, 2]


def test_late_results_are_skipped_where_asked(tmp_path, network, tdnet_run, clip):
    deadline = ("--deadline-ms", 0.001)
    for late, results in (("deliver", FRAMES), ("skip", 0)):
        code, *_, told = run_of(tmp_path, tdnet_run, "--input", clip, *deadline, "--late", late)
        source = told["live"]["health"]["sources"]["input"]
        assert (code, source["late"], source["results"]) == (0, FRAMES, results)
        assert (told["live"]["late"], told["live"]["deadline_ms"]) == (late, 0.001)


def test_modes_where_results_are_late(tmp_path, tdnet_run, clip, tiny_manifest, write_tiny):
    """Each on top of those before it; the mode of each source is told at the end."""
    write_tiny(tmp_path / "plain.plan")
    manifest = msgspec.structs.replace(hand_made(tiny_manifest, 2, own=True), parity={})
    members = {graph.members["fp32"]: b"no graph" for graph in manifest.graphs}
    write_bundle(tmp_path / "own.plan", manifest, members)
    summary = tmp_path / "s.json"
    arguments = ("--backend", "fake", "--input", clip, "--deadline-ms", 0.001, "--json", summary)
    modes = ("--degrade", "no_attention", "--degrade", "half_rate")
    code, told, err = tdnet_run("--engine", tmp_path / "own.plan", *arguments, *modes)
    assert (code, err.count("\n"), "is in mode no_attention now, from full" in err) == (0, 1, True)
    live = json.loads(summary.read_text())["live"]
    assert live["degrade"] == ["no_attention", "half_rate"]
    assert live["health"]["sources"]["input"]["mode"] == "half_rate"
    assert "late results: deliver; modes: no_attention, half_rate" in " ".join(told.split())
    before = sorted(path.name for path in tmp_path.iterdir())
    labels = ("--labels", tmp_path / "labels")
    line = error_line(*tdnet_run("--engine", tmp_path / "plain.plan", *arguments, *modes, *labels))
    assert "--degrade no_attention: this bundle has no graphs" in line
    assert "tdnet-export --ckpt CHECKPOINT --size 4x8 --own-labels" in line
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_metrics_and_an_end_by_ctrl_c(tmp_path, network, tdnet_run, camera):
    """The metrics are asked for while it runs; then a signal ends it, and the files are whole."""
    pytest.importorskip("prometheus_client")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    seen, over = [], threading.Event()

    def look():
        until_s = time.monotonic() + LIMIT_S
        while time.monotonic() < until_s and not over.wait(0.02):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
                    text = answer.read().decode()
            except OSError:
                continue
            if re.search(r'^tdnet_results_total\{source="input"\} [1-9]', text, re.MULTILINE):
                seen.append(text)
                os.kill(os.getpid(), signal.SIGINT)
                return

    thread = threading.Thread(target=look)
    thread.start()
    out = tmp_path / "o.mcap"
    try:
        code, told, err, document = run_of(
            tmp_path, tdnet_run, "--input", camera[0], "--output", out, "--metrics", port
        )
    finally:
        over.set()
        thread.join()
    assert (code, len(seen)) == (130, 1)
    assert err == f"tdnet-run: metrics at http://127.0.0.1:{port}/metrics\ntdnet-run: interrupted\n"
    assert re.search(r"^frames +[0-9]+; interrupted after", told, re.MULTILINE)
    assert (document["interrupted"], document["live"]["ended_by"]) == (True, "signal")
    assert document["frames"] == len(masks(out)) > 0


def test_so_many_seconds(tmp_path, network, tdnet_run, camera):
    code, told, _, document = run_of(tmp_path, tdnet_run, "--input", camera[0], "--max-seconds", 0.3)
    assert (code, document["live"]["ended_by"], document["interrupted"]) == (0, "max_seconds", False)
    assert "; --max-seconds is over after" in told


def test_a_port_that_is_taken(tmp_path, network, tdnet_run, clip):
    pytest.importorskip("prometheus_client")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        line = error_line(*tdnet_run("--engine", "x.plan", "--input", clip, "--metrics", port))
    assert f"metrics cannot be served at 127.0.0.1:{port}" in line


def test_a_camera_that_dies_is_opened_again(tmp_path, network, tdnet_run, dying_camera):
    address, listen = dying_camera
    listen()
    out = tmp_path / "o.mcap"
    arguments = ("--input", address, "--output", out, "--max-frames", PICTURES + 3)
    code, _, err, told = run_of(tmp_path, tdnet_run, *arguments)
    source = told["live"]["health"]["sources"]["input"]
    assert (code, told["frames"], len(masks(out))) == (0, PICTURES + 3, PICTURES + 3)
    assert source["restarts"] >= 1
    assert source["cold_starts"]["restart"] >= 1
    assert "tdnet-run: input: reading the network camera" in err
    assert "it is opened again in 0.5 s" in err
    assert told["input"]["stream"] == "0, mjpeg"  # as it was before it was closed


def test_a_camera_that_is_absent_at_the_start(tmp_path, network, tdnet_run, dying_camera):
    address, listen = dying_camera
    line = error_line(*tdnet_run("--engine", "x.plan", "--input", address))
    assert "is the address right, and the camera on?" in line
    timer = threading.Timer(0.2, listen)
    timer.start()
    code, *_, told = run_of(tmp_path, tdnet_run, "--wait", "--input", f"cam={address}", "--max-frames", 1)
    timer.join()
    assert (code, told["frames"], told["inputs"]["cam"]["height"]) == (0, 1, 48)


def test_an_output_that_fails(tmp_path, network, tdnet_run, clip):
    """The only one ends the run; of several the others are completed."""
    code, told, err, document = run_of(
        tmp_path, tdnet_run, "--policy", "every", "--input", clip, "--output", "mcap:/dev/full"
    )
    assert code == 1
    assert "No space left on device" in err.splitlines()[-1]
    assert err.splitlines()[-1].startswith("tdnet-run: error: ")
    assert "Traceback" not in told + err
    assert document["live"]["ended_by"] in ("output", "inputs")
    both = ("--output", "mcap:/dev/full", "--output", tmp_path / "o.mcap")
    code, _, err, document = run_of(tmp_path, tdnet_run, "--policy", "every", "--input", clip, *both)
    assert (code, document["live"]["ended_by"], len(masks(tmp_path / "o.mcap"))) == (1, "inputs", FRAMES)


def test_a_file_that_is_cut_short(tmp_path, network, tdnet_run, clip):
    cut = tmp_path / "cut.mkv"
    import av

    with av.open(str(cut), "w") as container:
        stream = container.add_stream("mjpeg", rate=25, width=32, height=24, pix_fmt="yuvj420p")
        for index in range(8):
            image = np.full((24, 32, 3), index * 20, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image)))
        container.mux(stream.encode())
    cut.write_bytes(cut.read_bytes()[:-900])
    offline = tdnet_run("--engine", "x.plan", "--input", cut, "--labels", tmp_path / "a")
    live = tdnet_run("--engine", "x.plan", "--input", cut, "--labels", tmp_path / "b", "--policy", "every")
    names = [[path.name for path in sorted((tmp_path / name).iterdir())] for name in "ab"]
    assert names[0] == names[1]
    assert offline[0] == live[0]
    assert offline[2].splitlines()[-1] == live[2].splitlines()[-1]


@pytest.mark.parametrize(
    ("text", "policy"),
    [
        ("newest", newest()),
        ("every", every()),
        (" every:3 ", every_kth(3)),
        ("every:1", every_kth(1)),
        ("rate:2.5", fixed_rate(2.5)),
        ("rate:30", fixed_rate(30)),
    ],
)
def test_policies(text, policy):
    assert parse_policy(text) == policy


@pytest.mark.parametrize(
    "text",
    ["", "Newest", "newest:2", "every:", "every:0", "every:1.5", "every:-1", "every:1e3", "every:٣"]  # noqa: RUF005
    + ["rate", "rate:0", "rate:nan", "rate:1001", "rate:inf", "rate:-3", "rate: 3", "fifo"],
)
def test_policies_that_cannot_be_meant(text):
    with pytest.raises(
        OptionError, match=r"--policy is .*; expected newest, every, every:K .* or rate:HZ"
    ) as caught:
        parse_policy(text)
    assert "\n" not in str(caught.value)


def test_metrics_addresses():
    given = ("9464", "0", "0.0.0.0:80", "localhost:9464", "[::1]:9464")
    assert list(map(parse_metrics, given)) == [
        ("127.0.0.1", 9464),
        ("127.0.0.1", 0),
        ("0.0.0.0", 80),
        ("localhost", 9464),
        ("::1", 9464),
    ]
    for text in ("", "x", ":9464", "host:", "65536", "-1", "1.5", "::1:9464", "٣", "http://h:1", "100000"):
        with pytest.raises(OptionError, match="--metrics is "):
            parse_metrics(text)


def test_names_of_inputs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("a=b.mp4").touch()
    assert parse_inputs(["x.mp4"]) == {"": "x.mp4"}
    assert parse_inputs(["a=b.mp4"]) == {"": "a=b.mp4"}
    assert parse_inputs(["c=b.mp4"]) == {"c": "b.mp4"}
    assert parse_inputs(["./c=b.mp4"]) == {"": "./c=b.mp4"}
    assert parse_inputs(["udp://10.0.0.1:5?fifo=1", "b=0"]) == {"input1": "udp://10.0.0.1:5?fifo=1", "b": "0"}
    assert parse_inputs(["d.mcap?topic=/x"]) == {"": "d.mcap?topic=/x"}


BAD = {
    "a policy": (("--policy", "oldest"), "--policy is 'oldest'; expected newest, every, every:K"),
    "a rate": (("--policy", "rate:0"), "fixed_rate(0): expected more than 0"),
    "a deadline": (("--deadline-ms", "0"), "--deadline-ms is 0; expected more than 0 ms"),
    "no number": (("--deadline-ms", "nan"), "--deadline-ms is nan; expected more than 0 ms"),
    "late of nothing": (("--late", "skip"), "--late goes with --deadline-ms"),
    "modes of nothing": (("--degrade", "hold"), "--degrade goes with --deadline-ms"),
    "one mode twice": (
        ("--deadline-ms", "9", "--degrade", "hold", "--degrade", "hold"),
        "--degrade names a mode twice: hold, hold",
    ),
    "a gap": (("--gap-ms", "-5"), "--gap-ms is -5; expected more than 0 ms"),
    "no time": (("--max-seconds", "0"), "--max-seconds is 0; expected more than 0 s"),
    "endless": (("--max-seconds", "inf"), "--max-seconds is inf; expected more than 0 s"),
    "a port": (("--metrics", "99999"), "--metrics is '99999'; expected a port from 0 to 65535"),
    "a host": (("--metrics", "metrics"), "--metrics is 'metrics'; expected a port"),
    "one name twice": (("--input", "a=x.mp4", "--input", "a=y.mp4"), "two inputs are called 'a'"),
    "a name alone": (("--input", "front="), "--input 'front=' names nothing"),
    "an absent second": (
        ("--input", "absent.mp4"),
        "there is no such video file or folder of images: 'absent.mp4'",
    ),
    "one overlay for two": (
        ("--input", "drive.mcap", "--overlay", "o.mp4"),
        "--overlay 'o.mp4' would hold what 2 inputs give; put {source} into its name, such as 'o-{source}.mp4'",
    ),
    "one folder for two": (
        ("--input", "drive.mcap", "--labels", "l"),
        "--labels 'l' would hold what 2 inputs give; put {source} into its name, such as 'l/{source}'",
    ),
    "one overlay by URL": (
        ("--input", "drive.mcap", "--output", "overlay:d/o.mp4"),
        "such as 'd/o-{source}.mp4'",
    ),
    "one topic for two": (
        ("--input", "cam-1=drive.mcap", "--input", "cam_1=drive.mcap", "--output", "mcap:m.mcap"),
        "--output 'mcap:m.mcap': the sources 'cam-1' and 'cam_1' would both be called 'cam_1' there",
    ),
    "over the second input": (
        ("--input", "drive.mcap", "--output", "drive.mcap"),
        "--output is the same file as --input",
    ),
    "over an input that is written otherwise": (
        ("--input", "mcap:dri%76e.mcap", "--output", "drive.mcap"),
        "--output is the same file as --input",
    ),
    "a camera's option": (("--policy", "every", "--camera-fps", "5"), "--camera-size, --camera-format and"),
}


@pytest.mark.parametrize(("arguments", "message"), BAD.values(), ids=BAD.keys())
def test_what_cannot_be_meant(tmp_path, monkeypatch, network, tdnet_run, arguments, message):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(network, "open", classmethod(lambda *args, **options: pytest.fail("it was loaded")))
    write_mcap(tmp_path / "drive.mcap", {"/cam": logs.camera()["/cam"]})
    write_mcap(tmp_path / "in.mcap", {"/cam": logs.camera()["/cam"]})
    before = sorted(path.name for path in tmp_path.iterdir())
    line = error_line(*tdnet_run("--engine", "x.plan", "--input", "in.mcap", *arguments))
    assert message in line
    assert sorted(path.name for path in tmp_path.iterdir()) == before
