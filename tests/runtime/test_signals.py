"""Signals end the commands: real processes, in each phase of a run, also where a library does not come back."""

from __future__ import annotations

import fcntl
import os
import re
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import av
import pytest

from tdnet_runtime.cli.interrupt import stop_on_interrupt
from tdnet_runtime.signals import Ended

SIGNALS = [
    (signal.SIGINT, 130, "interrupted"),
    (signal.SIGTERM, 143, "terminated"),
    (signal.SIGHUP, 129, "terminated"),
]
each_signal = pytest.mark.parametrize(
    ("number", "code", "word"), SIGNALS, ids=["SIGINT", "SIGTERM", "SIGHUP"]
)

# A run of the fake backend on a made-up source. `stage` is where it stops: it says so on stdout, and stays there.
RUN = """
import ctypes, signal, sys, threading, time
PLAN, FOLDER, STAGE = sys.argv[1:4]
if STAGE != "ignoring":  # a shell starts background jobs with it ignored
    signal.signal(signal.SIGINT, signal.default_int_handler)
import numpy
from tdnet_runtime.cli import run_main
from tdnet_runtime.cli import run as command
from tdnet_runtime.media.damage import DamageLog, OnDamage
from tdnet_runtime.media.frames import SourceFrame
from tdnet_runtime.media.overlay import OverlayWriter


def there():
    print("there", flush=True)


def stuck():
    \"\"\"In C, where signals change nothing: a mutex that is locked twice.\"\"\"
    mutex = ctypes.create_string_buffer(64)
    libc = ctypes.CDLL(None)
    libc.pthread_mutex_lock(mutex)
    threading.Timer(0.3, there).start()  # when it is in there
    libc.pthread_mutex_lock(mutex)


class Source:
    description, size_hw, fps = "a made-up source", (4, 8), None
    damage, facts = DamageLog(OnDamage.SKIP), {"reader": "none", "orientation": "as stored"}
    frame_count = None if STAGE in ("camera", "patient camera") else 9

    def __enter__(self):
        return self

    def __exit__(self, *error):
        assert STAGE != "camera", "a source that is stuck is not to be closed"

    def __iter__(self):
        for index in range(9):
            if index == 4 and STAGE in ("camera", "file"):
                stuck()
            if index == 4 and STAGE == "patient camera":
                there()
                time.sleep(1.5)
            yield SourceFrame(
                image=numpy.full((4, 8, 3), index, numpy.uint8), name=f"{index}", stamp_ns=index * 40_000_000
            )


def opened(*arguments, **options):
    if STAGE == "opening":
        there()
        time.sleep(60)
    if STAGE == "stuck while opening":
        stuck()
    return real_open(*arguments, **options)


def pushed(stream, *arguments, **options):
    if stream.frame_index == 4 and STAGE in ("frame", "ignoring"):
        there()
        time.sleep(1.5)
    if stream.frame_index == 4 and STAGE == "stuck in a frame":
        stuck()
    return real_push(stream, *arguments, **options)


def closed(overlay):
    if STAGE == "closing":
        there()
        time.sleep(1.5)
    real_close(overlay)


command.open_source = lambda *arguments, **options: Source()
real_open, command.Segmenter.open = command.Segmenter.open, opened
from tdnet_runtime.stream import Stream
real_push, Stream.push = Stream.push, pushed
real_close, OverlayWriter.close = OverlayWriter.close, closed
sys.argv[1:] = ["--engine", PLAN, "--input", "x", "--backend", "fake"]
sys.argv += ["--labels", FOLDER + "/labels", "--overlay", FOLDER + "/o.mp4"]
run_main()
"""

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(child_env: Mapping[str, str], made_up_bundle: Path, tmp_path: Path) -> Iterator[Start]:
    """Start a run that stops at a stage; it is there on return."""
    started: list[subprocess.Popen[str]] = []

    def begin(stage: str, *, before: Callable[[], object] | None = None) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", RUN, str(made_up_bundle), str(tmp_path), stage],
            env={**child_env, "COLUMNS": "200"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=before,
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "there\n", process.stderr and process.stderr.read()
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def ended(process: subprocess.Popen[str], *, limit_s: float = 20) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=limit_s)
    return process.returncode, out, err


def written(folder: Path) -> tuple[int, int]:
    """Label images, and frames of the overlay."""
    with av.open(str(folder / "o.mp4")) as container:
        return len(list((folder / "labels").iterdir())), sum(1 for _ in container.decode(video=0))


@each_signal
@pytest.mark.parametrize(("stage", "frames"), [("frame", 5), ("patient camera", 4), ("camera", 4)])
def test_the_frame_is_finished(
    start: Start, tmp_path: Path, stage: str, frames: int, number: int, code: int, word: str
) -> None:
    """Or, where there is none yet, nothing is waited for: neither for a slow camera nor for one that is stuck."""
    process = start(stage)
    process.send_signal(number)
    returned, out, err = ended(process)
    assert (returned, err) == (code, f"tdnet-run: {word}\n")
    assert re.search(rf"^frames +{frames}, then interrupted *$", out, re.MULTILINE)
    assert written(tmp_path) == (frames, frames)


@each_signal
@pytest.mark.parametrize("stage", ["opening", "stuck while opening"])
def test_before_the_first_frame(
    start: Start, stage: str, tmp_path: Path, number: int, code: int, word: str
) -> None:
    process = start(stage)
    process.send_signal(number)
    assert ended(process) == (code, "", f"tdnet-run: {word}\n")
    assert not (tmp_path / "o.mp4").exists()


@each_signal
def test_while_the_files_are_closed(start: Start, tmp_path: Path, number: int, code: int, word: str) -> None:
    process = start("closing")
    process.send_signal(number)
    returned, out, err = ended(process)
    assert (returned, err) == (code, f"tdnet-run: {word}\n")
    assert written(tmp_path) == (9, 9)
    assert re.search("^frames +9", out, re.MULTILINE)


@each_signal
@pytest.mark.parametrize("stage", ["stuck in a frame", "file"])
def test_a_second_signal_ends_what_is_stuck(
    start: Start, stage: str, number: int, code: int, word: str
) -> None:
    process = start(stage)
    process.send_signal(number)
    time.sleep(0.6)
    assert process.poll() is None  # it would finish the frame
    process.send_signal(number)
    assert ended(process)[::2] == (code, f"tdnet-run: {word}\n")


def test_a_signal_that_is_sent_twice_is_one(start: Start, tmp_path: Path) -> None:
    """As `timeout` does, and a terminal that closes together with its shell."""
    process = start("frame")
    process.send_signal(signal.SIGTERM)
    time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert ended(process)[::2] == (143, "tdnet-run: terminated\n")
    assert written(tmp_path) == (5, 5)


LAUNCHED = """
import os, signal, sys, threading, time, types
from tdnet_runtime.errors import BackendError
from tdnet_runtime.extras import launch
HOW = sys.argv.pop(1)
signal.signal(signal.SIGINT, signal.default_int_handler)


def interrupted():
    try:
        signal.raise_signal(signal.SIGTERM)
    except KeyboardInterrupt as error:
        if HOW == "an import":
            raise ImportError("initialization failed", name="onnxruntime") from error
        if HOW == "an engine":
            raise BackendError("ONNX Runtime is not installed (initialization failed)") from error
        raise RuntimeError("KeyboardInterrupt: <EMPTY MESSAGE>") from error


def worked():
    print("worked", flush=True)


def refuse(thread):
    raise RuntimeError("can't start new thread")


def slow():
    from tdnet_runtime.cli.interrupt import stop_on_interrupt
    with stop_on_interrupt() as asked:
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.05)
        time.sleep(1.5)
        print("finished", asked(), flush=True)


if HOW == "no thread":
    threading.Thread.start = refuse
sys.modules["made_up"] = types.ModuleType("made_up")
sys.modules["made_up"].call = {"no thread": worked, "twice": slow}.get(HOW, interrupted)
launch("tdnet-x", "made_up:call", extra="cpu")
"""


@pytest.mark.parametrize(
    ("how", "code", "out", "err"),
    [
        ("an import", 143, "", "tdnet-x: terminated\n"),
        ("an engine", 143, "", "tdnet-x: terminated\n"),
        ("a library", 143, "", "tdnet-x: terminated\n"),
        ("no thread", 0, "worked\n", ""),
        ("twice", 130, "finished True\n", "tdnet-x: interrupted\n"),
    ],
)
def test_a_command_that_is_in_trouble(
    child_env: Mapping[str, str], how: str, code: int, out: str, err: str
) -> None:
    """What a signal makes of a library's call is the signal's doing; without a thread that looks on it goes as well; and
    `timeout -s INT`, or a launcher beside a terminal, sends SIGINT twice, by which a slow end is not cut off."""
    done = subprocess.run(
        [sys.executable, "-c", LAUNCHED, how], env=dict(child_env), capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (code, out, err)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_ignored_signals_stay_so(start: Start, tmp_path: Path, number: signal.Signals) -> None:
    """nohup ignores SIGHUP, a shell SIGINT for what it runs in the background."""
    process = start("ignoring", before=lambda: signal.signal(number, signal.SIG_IGN))
    process.send_signal(number)
    returned, out, err = ended(process)
    assert (returned, err) == (0, "")
    assert re.search("^frames +9 *$", out, re.MULTILINE)


def test_a_terminal_that_closes(child_env: Mapping[str, str], made_up_bundle: Path, tmp_path: Path) -> None:
    """It takes with it what progress and summary are written to."""
    ours, theirs = os.openpty()

    def take_terminal() -> None:
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    process = subprocess.Popen(
        [sys.executable, "-c", RUN, str(made_up_bundle), str(tmp_path), "frame"],
        env=dict(child_env),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=take_terminal,
    )
    os.close(theirs)
    try:
        said = b""
        while b"there" not in said:
            said += os.read(ours, 1000)
    finally:
        os.close(ours)
    try:
        assert process.wait(20) == 129
    finally:
        process.kill()
        process.wait()
    assert written(tmp_path)[0] == 5


# As PID 1, for which the kernel knows no default actions

_UNSHARE = ["unshare", "--pid", "--fork", "--mount-proc"]


def _no_namespaces() -> str | None:
    try:
        done = subprocess.run([*_UNSHARE, "true"], capture_output=True, text=True)
    except OSError as error:
        return f"unshare does not start: {error}"
    return None if done.returncode == 0 else f"no PID namespace can be made here: {done.stderr.strip()}"


def _only_child(pid: int) -> int:
    until = time.monotonic() + 20
    while time.monotonic() < until:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        if children:
            return int(children[0])
        time.sleep(0.02)
    raise AssertionError("it has no child")


INSPECT = """
import time, tdnet_runtime.cli.inspect as command
from tdnet_runtime.cli import inspect_main
def opened(path):
    print("there", flush=True)
    time.sleep(60)
command.Bundle.open = opened
import sys
sys.argv[1:] = ["x"]
inspect_main()
"""


@pytest.mark.parametrize(("number", "code", "word"), SIGNALS[1:], ids=["SIGTERM", "SIGHUP"])
@pytest.mark.parametrize(
    ("lines", "stage", "program"),
    [(RUN, "frame", "tdnet-run"), (RUN, "opening", "tdnet-run"), (INSPECT, "", "tdnet-inspect")],
)
def test_as_the_first_process_of_a_container(
    child_env: Mapping[str, str],
    made_up_bundle: Path,
    tmp_path: Path,
    lines: str,
    stage: str,
    program: str,
    number: int,
    code: int,
    word: str,
) -> None:
    if (reason := _no_namespaces()) is not None:
        pytest.skip(reason)
    process = subprocess.Popen(
        [*_UNSHARE, sys.executable, "-c", lines, str(made_up_bundle), str(tmp_path), stage],
        env=dict(child_env),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    first = None
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "there\n"
        first = _only_child(process.pid)
        os.kill(first, number)
        assert ended(process)[::2] == (code, f"{program}: {word}\n")
        first = None
    finally:
        if first is not None:
            os.kill(first, signal.SIGKILL)
        process.kill()
        process.communicate()


# In this process


@each_signal
def test_a_second_one_does_not_wait(number: int, code: int, word: str) -> None:
    before = signal.getsignal(number)
    with stop_on_interrupt() as asked:
        assert not asked()
        signal.raise_signal(number)
        assert asked()
        time.sleep(0.4)  # sooner it would be the same one
        with pytest.raises(Ended):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(number) is before
