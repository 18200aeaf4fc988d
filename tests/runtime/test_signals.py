"""Signals end the commands: real processes, in each phase of a run, also where a library does not come back."""

from __future__ import annotations

import fcntl
import os
import re
import select
import signal
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import av
import pytest
from tests.guard import children, running

from tdnet_runtime.cli.interrupt import stop_on_interrupt
from tdnet_runtime.signals import Ended, Ending, importing

SIGNALS = [
    (signal.SIGINT, 130, "interrupted"),
    (signal.SIGTERM, 143, "terminated"),
    (signal.SIGHUP, 129, "terminated"),
]

# A run of the fake backend on a made-up source. `stage` is where it stops: it says so on stdout, and stays there.
RUN = """
import ctypes, os, sys, threading, time
PLAN, FOLDER, STAGE = sys.argv[1:4]
import numpy
from tdnet_runtime.cli import run_main
from tdnet_runtime.cli import run as command
from tdnet_runtime.media.damage import DamageLog, OnDamage
from tdnet_runtime.media.frames import SourceFrame
from tdnet_runtime.media.overlay import OverlayWriter


def there():
    print("there", flush=True)


def wait_for_the_test():
    \"\"\"In a call that comes back: when the test says so, or its terminal is gone.\"\"\"
    there()
    try:
        os.read(0, 1)
    except OSError:
        pass


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
    if stream.frame_index == 4 and STAGE == "frame":
        wait_for_the_test()
    if stream.frame_index == 4 and STAGE == "stuck in a frame":
        stuck()
    return real_push(stream, *arguments, **options)


def closed(overlay):
    if STAGE == "closing":
        wait_for_the_test()
    real_close(overlay)


command.open_source = lambda *arguments, **options: Source()
from tdnet_runtime import Segmenter
real_open, Segmenter.open = Segmenter.open, opened
from tdnet_runtime.stream import Stream
real_push, Stream.push = Stream.push, pushed
real_close, OverlayWriter.close = OverlayWriter.close, closed
sys.argv[1:] = ["--engine", PLAN, "--input", "x", "--backend", "fake"]
sys.argv += ["--labels", FOLDER + "/labels", "--overlay", FOLDER + "/o.mp4"]
run_main()
"""

Process = subprocess.Popen[str]
Start = Callable[..., Process]


@pytest.fixture
def begin(child_env: Mapping[str, str], made_up_bundle: Path) -> Iterator[Start]:
    """Begin a run, in a folder, that stops at a stage."""
    with ExitStack() as begun:

        def one(stage: str, folder: Path, *, before: Callable[[], object] | None = None) -> Process:
            return begun.enter_context(
                running(
                    [sys.executable, "-c", RUN, made_up_bundle, folder, stage],
                    env={**child_env, "COLUMNS": "200"},
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                    preexec_fn=before,
                )
            )

        yield one


def wait_until_there(process: Process) -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == "there\n", process.stderr and process.stderr.read()


@dataclass(frozen=True)
class Signalled:
    """A run that was sent a signal at its stage, and what it should end with."""

    process: Process
    folder: Path
    number: int
    code: int
    said: str


Signal = Callable[[str], list[Signalled]]


@pytest.fixture
def signalled(begin: Start, tmp_path: Path) -> Signal:
    """Runs beside each other, since they wait for seconds: one for each signal, which it is sent at the stage."""

    def at(stage: str) -> list[Signalled]:
        runs = []
        for number, code, word in SIGNALS:
            folder = tmp_path / f"{number}"
            folder.mkdir()
            runs.append(Signalled(begin(stage, folder), folder, number, code, f"tdnet-run: {word}\n"))
        pending = {run.process.stdout: run for run in runs}
        while pending:  # in the order in which they come, since some do not stay
            for stdout in select.select(pending, [], [])[0]:
                run = pending.pop(stdout)
                wait_until_there(run.process)
                run.process.send_signal(run.number)
        return runs

    return at


def ended(process: Process, *, limit_s: float = 60) -> tuple[int, str, str]:
    """It goes on where it waited for the test: its exit code, stdout and stderr."""
    out, err = process.communicate("\n", timeout=limit_s)
    return process.returncode, out, err


def written(folder: Path) -> tuple[int, int]:
    """Label images, and frames of the overlay."""
    with av.open(str(folder / "o.mp4")) as container:
        return len(list((folder / "labels").iterdir())), sum(1 for _ in container.decode(video=0))


@pytest.mark.parametrize(("stage", "frames"), [("frame", 5), ("patient camera", 4), ("camera", 4)])
def test_the_frame_is_finished(signalled: Signal, stage: str, frames: int) -> None:
    """Or, where there is none yet, nothing is waited for: neither for a slow camera nor for one that is stuck."""
    for run in signalled(stage):
        returned, out, err = ended(run.process)
        assert (run.number, returned, err) == (run.number, run.code, run.said)
        assert re.search(rf"^frames +{frames}, then interrupted *$", out, re.MULTILINE)
        assert written(run.folder) == (frames, frames)


@pytest.mark.parametrize("stage", ["opening", "stuck while opening"])
def test_before_the_first_frame(signalled: Signal, stage: str) -> None:
    for run in signalled(stage):
        assert (run.number, *ended(run.process)) == (run.number, run.code, "", run.said)
        assert not (run.folder / "o.mp4").exists()


def test_while_the_files_are_closed(signalled: Signal) -> None:
    for run in signalled("closing"):
        returned, out, err = ended(run.process)
        assert (run.number, returned, err) == (run.number, run.code, run.said)
        assert written(run.folder) == (9, 9)
        assert re.search("^frames +9", out, re.MULTILINE)


@pytest.mark.parametrize("stage", ["stuck in a frame", "file"])
def test_a_second_signal_ends_what_is_stuck(signalled: Signal, stage: str) -> None:
    runs = signalled(stage)
    time.sleep(0.6)
    for run in runs:
        assert run.process.poll() is None  # it would finish the frame
        run.process.send_signal(run.number)
    for run in runs:
        assert (run.number, *ended(run.process)[::2]) == (run.number, run.code, run.said)


def test_a_signal_that_is_sent_twice_is_one(begin: Start, tmp_path: Path) -> None:
    """As `timeout` does, and a terminal that closes together with its shell."""
    process = begin("frame", tmp_path)
    wait_until_there(process)
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
    if HOW == "a thread of its own":
        threading.Thread(target=print).start()


class Dropped:
    def __del__(self):  # whose exceptions Python drops
        signal.raise_signal(signal.SIGTERM)


def dropping():
    Dropped()
    time.sleep(20)
    print("went on", flush=True)


def dropping_twice():
    try:
        dropping()
    finally:
        time.sleep(0.4)
        dropping()


def dropping_while_it_finishes():
    from tdnet_runtime.signals import Ended, current_ending
    with current_ending() as ending, ending.finishing():
        try:
            with ending.waiting():
                dropping()
        except Ended:
            print("finished", ending.number, flush=True)


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


if HOW in ("no thread", "a thread of its own"):
    threading.Thread.start = refuse
sys.modules["made_up"] = types.ModuleType("made_up")
sys.modules["made_up"].call = {
    "no thread": worked, "a thread of its own": worked, "twice": slow, "dropped": dropping, "dropped twice": dropping_twice,
    "dropped while it finishes": dropping_while_it_finishes,
}.get(HOW, interrupted)
launch("tdnet-x", "made_up:call", extra="cpu")
"""


@pytest.mark.parametrize(
    ("how", "code", "out", "err"),
    [
        ("an import", 143, "", "tdnet-x: terminated\n"),
        ("an engine", 143, "", "tdnet-x: terminated\n"),
        ("a library", 143, "", "tdnet-x: terminated\n"),
        ("no thread", 0, "worked\n", ""),
        (
            "a thread of its own",
            1,
            "worked\n",
            "tdnet-x: error: can't start new thread: the system limits processes and threads (ulimit -u, a container's "
            "pids limit) or memory; raise the limit\n",
        ),
        ("twice", 130, "finished True\n", "tdnet-x: interrupted\n"),
        ("dropped", 143, "", "tdnet-x: terminated\n"),
        ("dropped twice", 143, "", "tdnet-x: terminated\n"),
        ("dropped while it finishes", 143, "finished 15\n", "tdnet-x: terminated\n"),
    ],
)
def test_a_command_that_is_in_trouble(
    child_env: Mapping[str, str], how: str, code: int, out: str, err: str
) -> None:
    """What a signal makes of a library's call is the signal's doing; without a thread that looks on it goes as well; and
    `timeout -s INT`, or a launcher beside a terminal, sends SIGINT twice, by which a slow end is not cut off."""
    done = subprocess.run(
        [sys.executable, "-c", LAUNCHED, how], env=dict(child_env), capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (code, out, err)


def test_a_signal_waits_for_the_end_of_an_import() -> None:
    seen = []

    @importing()
    def outer() -> None:
        with suppress(ImportError):
            inner()
        seen.append("outer")

    @importing()
    def inner() -> None:
        signal.raise_signal(signal.SIGTERM)
        seen.append("inner")
        raise ImportError

    with Ending() as ending:
        with pytest.raises(Ended):
            outer()
        assert (ending.number, ending.cut_off, seen) == (signal.SIGTERM, True, ["inner", "outer"])
        with importing():  # it was raised once
            pass
    with Ending(), pytest.raises(Ended):
        inner()  # whatever else is raised in it


def test_a_second_signal_does_not_wait() -> None:
    @importing()
    def import_slowly() -> None:
        signal.raise_signal(signal.SIGTERM)
        time.sleep(0.4)
        signal.raise_signal(signal.SIGTERM)
        pytest.fail("it went on")

    with Ending(), pytest.raises(Ended):
        import_slowly()


def test_an_import_while_it_finishes_raises_nothing() -> None:
    with Ending() as ending, ending.finishing():
        with importing():
            signal.raise_signal(signal.SIGTERM)
        assert ending.number == signal.SIGTERM


def test_imports_of_other_threads_hold_nothing() -> None:
    inside, leave = threading.Event(), threading.Event()

    def imports() -> None:
        with importing():
            inside.set()
            leave.wait(60)

    thread = threading.Thread(target=imports)
    with Ending():
        thread.start()
        inside.wait(60)
        with pytest.raises(Ended):
            signal.raise_signal(signal.SIGTERM)
        leave.set()
        thread.join()
    with importing():  # no command runs
        pass


def test_other_errors_that_python_drops_are_told_as_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    class Faulty:
        def __del__(self) -> None:
            raise ValueError

    told: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda dropped: told.append(dropped.exc_type))
    before = sys.unraisablehook
    with Ending():
        Faulty()
    assert (told, sys.unraisablehook) == ([ValueError], before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_ignored_signals_stay_so(begin: Start, tmp_path: Path, number: signal.Signals) -> None:
    """nohup ignores SIGHUP, a shell SIGINT for what it runs in the background."""
    process = begin("frame", tmp_path, before=lambda: signal.signal(number, signal.SIG_IGN))
    wait_until_there(process)
    process.send_signal(number)
    returned, out, err = ended(process)
    assert (returned, err) == (0, "")
    assert re.search("^frames +9 *$", out, re.MULTILINE)


def test_a_terminal_that_closes(child_env: Mapping[str, str], made_up_bundle: Path, tmp_path: Path) -> None:
    """It takes with it what progress and summary are written to."""
    ours, theirs = os.openpty()

    def take_terminal() -> None:
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    with running(
        [sys.executable, "-c", RUN, made_up_bundle, tmp_path, "frame"],
        env=dict(child_env),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=take_terminal,
    ) as process:
        os.close(theirs)
        try:
            said = b""
            while b"there" not in said:
                said += os.read(ours, 1000)
        finally:
            os.close(ours)
        assert process.wait(60) == 129
    assert written(tmp_path)[0] == 5


# As PID 1, for which the kernel knows no default actions

_UNSHARE = ["unshare", "--pid", "--fork", "--mount-proc"]


def _no_namespaces() -> str | None:
    try:
        done = subprocess.run([*_UNSHARE, "true"], capture_output=True, text=True, timeout=60)
    except OSError as error:
        return f"unshare does not start: {error}"
    return None if done.returncode == 0 else f"no PID namespace can be made here: {done.stderr.strip()}"


def _only_child(pid: int) -> int:
    (child,) = children(pid)
    return child


INSPECT = """
import time, tdnet_runtime.cli.inspect as command
from tdnet_runtime.cli import inspect_main
def opened(path, **options):
    print("there", flush=True)
    time.sleep(60)
command.Bundle.open = opened
import sys
sys.argv[1:] = ["x"]
inspect_main()
"""


@pytest.mark.parametrize(
    ("lines", "stage", "program"),
    [(RUN, "frame", "tdnet-run"), (RUN, "opening", "tdnet-run"), (INSPECT, "", "tdnet-inspect")],
)
def test_as_the_first_process_of_a_container(
    child_env: Mapping[str, str], made_up_bundle: Path, tmp_path: Path, lines: str, stage: str, program: str
) -> None:
    if (reason := _no_namespaces()) is not None:
        pytest.skip(reason)
    with ExitStack() as begun:
        runs = []
        for number, code, word in SIGNALS[1:]:
            folder = tmp_path / f"{number}"
            folder.mkdir()
            process = begun.enter_context(
                running(
                    [*_UNSHARE, "--kill-child", sys.executable, "-c", lines, made_up_bundle, folder, stage],
                    env=dict(child_env),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                )
            )
            runs.append((process, number, code, word))
        for process, number, _, _ in runs:
            wait_until_there(process)
            os.kill(_only_child(process.pid), number)
        for process, number, code, word in runs:
            assert (number, *ended(process)[::2]) == (number, code, f"{program}: {word}\n")


# In this process


@pytest.mark.parametrize("number", [number for number, _, _ in SIGNALS])
def test_a_second_one_does_not_wait(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with stop_on_interrupt() as asked:
        assert not asked()
        signal.raise_signal(number)
        assert asked()
        time.sleep(0.4)  # sooner it would be the same one
        with pytest.raises(Ended):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(number) is before
