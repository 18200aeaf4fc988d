"""Children that are forked from a process with an open bundle: real ones, each of which must end within seconds."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path

import pytest

ENGINES = [
    "fake",
    "onnxruntime",
    pytest.param(
        "openvino",
        marks=pytest.mark.skipif(find_spec("openvino") is None, reason="OpenVINO is not installed"),
    ),
]

# What every parent begins with. `ends(do)` forks a child that runs `do`: its exit code, or "hangs" after a time limit.
PARENT = """
import os, signal, sys, threading, time, warnings
import numpy
from tdnet_runtime import Bundle, Segmenter, StreamError, TdnetError
from tdnet_runtime.backends.cpu_count import usable_cpus
warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12's, of fork() in a process with threads
PLAN, BACKEND, FOLDER = sys.argv[1:4]


def watched(pid, limit_s=20):
    until = time.monotonic() + limit_s
    while time.monotonic() < until:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return "hangs"


def ends(do):
    sys.stdout.flush()
    pid = os.fork()
    if not pid:
        signal.alarm(60)  # should this process be killed, its child ends as well
        do()
        sys.exit(0)
    return watched(pid)


def refused(call, kind=StreamError):
    try:
        call()
    except kind as error:
        assert f"in process {os.getpid()}; process " in str(error), error
        assert "multiprocessing.get_context('spawn')" in str(error), error
        return True
    raise AssertionError("it worked")


def frame_of(segmenter):
    size = segmenter.manifest.input
    return numpy.random.default_rng(0).integers(0, 255, (size.height, size.width, 3), numpy.uint8)


def opened(**options):
    return Segmenter.open(PLAN, backend=BACKEND, threads=min(2, usable_cpus()), **options)


def own_bundle_works():
    with opened() as own, own.stream() as stream:
        assert (stream.push(frame).labels == first).all()
        stream.push(frame)
"""

ENDINGS = """
segmenter = opened()
stream = segmenter.stream()
frame = frame_of(segmenter)
first = stream.push(frame).labels
before = stream.snapshot()


def in_with_blocks():
    with opened() as own, own.stream() as its:  # in the child: its own, which is closed
        its.push(frame)
    raise SystemExit(3)


def dead():
    from tdnet_runtime import BackendError, BundleError, StreamState
    assert refused(lambda: stream.push(frame))
    for call in (stream.prepare, stream.reset, stream.snapshot, segmenter.stream):
        assert refused(call)
    assert refused(lambda: stream.restore(before))
    assert refused(lambda: stream.tensor("labels"))
    assert refused(segmenter.backend.session, BackendError)
    assert refused(lambda: segmenter.bundle.read("manifest.json"), BundleError)
    assert stream.state is StreamState.CLOSED
    assert segmenter.manifest.input.height == frame.shape[0]  # what is plain data stays


def closed():
    for thing in (stream, segmenter, segmenter.backend, segmenter.bundle, stream, segmenter):
        thing.close()
    assert refused(lambda: stream.push(frame))


def dropped():
    import gc
    global stream, segmenter
    segmenter.backend.close()
    del stream, segmenter
    gc.collect()


def daemon():  # as daemons are started: the grandchild is nobody's child, and the file says how it ended
    sys.stdout.flush()
    if os.fork():
        os._exit(0)
    os.setsid()
    refused(lambda: stream.push(frame))
    own_bundle_works()
    code = ends(lambda: refused(lambda: stream.push(frame)))  # a great-grandchild
    with open(FOLDER + "/daemon", "w") as said:
        said.write(str(code))
    sys.exit(0)


def in_threads_variables():
    sys.stdout.flush()
    mine = threading.local()
    ready, done = threading.Event(), threading.Event()

    def work():
        mine.segmenter = opened()
        mine.stream = mine.segmenter.stream()
        mine.stream.push(frame)
        ready.set()
        done.wait()

    thread = threading.Thread(target=work)
    thread.start()
    ready.wait()
    code = ends(lambda: None)
    done.set()
    thread.join()
    return code


def left():
    with opened() as other, other.stream() as its:
        its.push(frame)
        return ends(lambda: sys.exit(7))  # through both blocks


def forked_in_a_thread():
    codes = []
    thread = threading.Thread(target=lambda: codes.append(ends(lambda: refused(lambda: stream.push(frame)))))
    thread.start()
    thread.join()
    return codes[0]


codes = {
    "exit": ends(lambda: None),
    "exit with a code": ends(lambda: sys.exit(5)),
    "_exit": ends(lambda: os._exit(6)),
    "an error": ends(lambda: os.dup2(os.open(os.devnull, os.O_WRONLY), 2) and 1 / 0),
    "left by an exit": left(),
    "dead": ends(dead),
    "closed": ends(closed),
    "dropped": ends(dropped),
    "a bundle of its own": ends(own_bundle_works),
    "both": ends(in_with_blocks),
    "variables of other threads": in_threads_variables(),
    "forked in a thread": forked_in_a_thread(),
    "daemon": ends(daemon),
}
for _ in range(2000):
    if os.path.exists(FOLDER + "/daemon") and open(FOLDER + "/daemon").read():
        break
    time.sleep(0.01)
codes["of the daemon"] = open(FOLDER + "/daemon").read()
print(codes)
stream.restore(before)
stream.reset()
assert (stream.push(frame).labels == first).all()  # the parent did not notice
segmenter.close()
print("closed before", ends(own_bundle_works))
"""
EXPECTED = {
    "exit": 0,
    "exit with a code": 5,
    "_exit": 6,
    "an error": 1,
    "left by an exit": 7,
    "dead": 0,
    "closed": 0,
    "dropped": 0,
    "a bundle of its own": 0,
    "both": 3,
    "variables of other threads": 0,
    "forked in a thread": 0,
    "daemon": 0,
    "of the daemon": "0",
}

POOLS = """
import multiprocessing

def dead(index):
    refused(lambda: stream.push(frame))
    return index


def own(index):
    own_bundle_works()
    return index


def works_in_a_process(path, backend):
    with Segmenter.open(path, backend=backend, threads=1) as own, own.stream() as its:
        its.push(frame_of(own))


if __name__ == "__main__":
    segmenter = opened()
    stream = segmenter.stream()
    frame = frame_of(segmenter)
    first = stream.push(frame).labels
    fork = multiprocessing.get_context("fork")
    for work in (dead, own):
        process = fork.Process(target=work, args=(1,))
        process.start()
        process.join(30)
        print("process", process.exitcode)
    with fork.Pool(2) as pool:
        print("pool", pool.map_async(dead, range(4)).get(30), pool.map_async(own, range(2)).get(30))
        pool.close()
        pool.join()
    for method in ("spawn", "forkserver"):
        process = multiprocessing.get_context(method).Process(target=works_in_a_process, args=(PLAN, BACKEND))
        process.start()
        process.join(60)
        print(method, process.exitcode)
    try:
        multiprocessing.get_context("spawn").Process(target=print, args=(segmenter,)).start()
    except TdnetError as error:
        print(error)
    # As gunicorn does with --preload: workers are forked, serve, and get SIGTERM, after which they leave between frames.
    workers = []
    for _ in range(2):
        ready, told = os.pipe()
        sys.stdout.flush()
        pid = os.fork()
        if not pid:
            asked = []
            signal.signal(signal.SIGTERM, lambda *_: asked.append(True))
            with opened() as mine, mine.stream() as its:
                its.push(frame)
                os.write(told, b".")
                while not asked:
                    its.push(frame)
            sys.exit(0)
        os.read(ready, 1)
        workers.append(pid)
    for pid in workers:
        os.kill(pid, signal.SIGTERM)
    print("workers", [watched(pid) for pid in workers])
    assert (segmenter.stream().push(frame).labels == first).all()
    segmenter.close()
"""

# Another thread is inside an engine, or the runtime, at the time of the fork: its locks stay locked in the child.
AT_WORK = """
from tdnet_runtime import BackendError, backends

segmenter = opened()
stream = segmenter.stream()
frame = frame_of(segmenter)
first = stream.push(frame).labels
inside, go_on = threading.Event(), threading.Event()


def halting(function):
    def halt(*arguments, **options):
        inside.set()
        assert go_on.wait(30)
        return function(*arguments, **options)
    return halt


def dead():
    refused(lambda: stream.push(frame))
    refused(segmenter.stream)
    stream.close()
    segmenter.close()
    try:
        opened()
    except BackendError as error:
        assert "forked it while another thread was inside an engine" in str(error), error
    else:
        raise AssertionError("it was opened")


def while_inside(call):
    inside.clear(), go_on.clear()
    thread = threading.Thread(target=call)
    thread.start()
    assert inside.wait(30)
    codes = ends(dead), ends(lambda: None)
    go_on.set()
    thread.join()
    return codes


memory, backend = stream._memory, segmenter.backend
real_run, real_session, real_close = memory.run, backend.session, backend.close
memory.run = halting(real_run)
print("push", while_inside(lambda: stream.push(frame)))
memory.run = real_run
backend.session = halting(real_session)
print("stream", while_inside(segmenter.stream))
backend.session = real_session
module = sys.modules["tdnet_runtime.backends." + BACKEND]
real_open, module.open_bundle = module.open_bundle, halting(module.open_bundle)
print("open", while_inside(lambda: opened().close()))
module.open_bundle = real_open
assert (segmenter.stream().push(frame).labels == first).all()
assert ends(own_bundle_works) == 0  # nobody is inside any more
backend.close = halting(real_close)
print("close", while_inside(segmenter.close))
"""

# Forks that another one overtakes, and forks of which Python is not told.
UNUSUAL = """
import ctypes
segmenter = opened()
stream = segmenter.stream()
frame = frame_of(segmenter)
first = stream.push(frame).labels
libc = ctypes.PyDLL(None)


def by_c(do):
    sys.stdout.flush()
    pid = libc.fork()
    if not pid:
        signal.alarm(60)
        do()
        sys.exit(0)
    return watched(pid)


def dropped():
    global segmenter, stream
    segmenter.close()
    del segmenter, stream


print("by C", by_c(lambda: None), by_c(lambda: refused(lambda: stream.push(frame))), by_c(stream.close), by_c(dropped))
print("own", by_c(own_bundle_works))

codes = []
second = threading.Thread(target=lambda: codes.append(ends(lambda: refused(lambda: stream.push(frame)))))
second.start()
assert between.wait(30)
codes.append(ends(lambda: refused(lambda: stream.push(frame))))
overtaken.set()
second.join()
print("two threads", codes)
"""
# Before a fork, hooks are called in the reverse order: this one between ours and logging's, which waits for its lock.
WAITS = """
import concurrent.futures.thread, logging, os, threading
between, overtaken = threading.Event(), threading.Event()


def hook():
    if threading.current_thread() is not threading.main_thread():
        between.set()
        assert overtaken.wait(30)


os.register_at_fork(before=hook)
"""

# Outputs and inputs that are open: the child's end must neither finish, cut, remove nor advance them.
FILES = """
from fractions import Fraction
from pathlib import Path
from tdnet_runtime import MediaError
from tdnet_runtime.atomic_file import atomic_file
from tdnet_runtime.media import camera
from tdnet_runtime.media.frames import SourceFrame
from tdnet_runtime.media.overlay import OverlayWriter
from tdnet_runtime.media.sinks import LabelWriter
from tdnet_runtime.media.video import VideoSource
from tdnet_runtime.temporary_folder import temporary_folder
folder = Path(FOLDER)
labels = numpy.zeros((64, 96), numpy.uint8)
SIZE = {"size_hw": (64, 96), "fps": Fraction(25), "colors": [(1, 2, 3)]}


def frame(index):
    return SourceFrame(image=numpy.full((64, 96, 3), 10 * index, numpy.uint8), name=str(index), stamp_ns=0)


with OverlayWriter(folder / "a.mp4", **SIZE) as writer:
    for index in range(12):
        writer.write(frame(index), labels)
        if index == 5:
            size = (folder / "a.mp4").stat().st_size
            print("overlay left", ends(lambda: sys.exit(3)))
            print("overlay closed", ends(writer.close))
            print("overlay used", ends(lambda: refused(lambda: writer.write(frame(6), labels), MediaError)))
            print("as long as before", (folder / "a.mp4").stat().st_size == size)
            with LabelWriter(folder / "labels") as images:
                print("labels", ends(lambda: images.write(frame(1), labels)))

with VideoSource(folder / "a.mp4") as source:
    frames = iter(source)
    read = [next(frames).image for _ in range(3)]
    print("video left", ends(lambda: sys.exit(4)))
    print("video closed", ends(source.close))
    print("video read", ends(lambda: refused(lambda: next(frames), MediaError)))
    print("video begun", ends(lambda: refused(lambda: next(iter(source)), MediaError)))
    read += [each.image for each in frames]
with VideoSource(folder / "a.mp4") as source:
    print("the same frames", [(a == b.image).all() for a, b in zip(read, source, strict=True)].count(True))


class Capture:  # OpenCV's, which would stop the parent's camera
    def release(self):
        (folder / "released").write_text(str(os.getpid()))

    def read(self):
        return True, numpy.zeros((64, 96, 3), numpy.uint8)

    def __del__(self):
        self.release()


its = camera.CameraSource.__new__(camera.CameraSource)
its._capture, its.size_hw, its.description = Capture(), (64, 96), "a camera"
print("camera", ends(lambda: refused(lambda: next(iter(its)), MediaError)), ends(its.close), ends(lambda: sys.exit(2)))
print("released", (folder / "released").exists())
its.close()
print("released by", (folder / "released").read_text() == str(os.getpid()))

for name, do in {
    "left": lambda: sys.exit(5),
    "error": lambda: os.dup2(os.open(os.devnull, os.O_WRONLY), 2) and 1 / 0,
    "ended": lambda: None,
}.items():
    with atomic_file(folder / name) as file:
        file.write(b"one ")
        print(name, ends(do))
        file.write(b"two")
    print((folder / name).read_text())
with temporary_folder("of-the-parent-") as scratch:
    print("folder", ends(lambda: sys.exit(7)), ends(lambda: None), scratch.is_dir())
print(scratch.exists())
child = None
with atomic_file(folder / "through") as file:  # the child leaves the block as if all were well
    file.write(b"half")
    sys.stdout.flush()
    child = os.fork()
    if not child:
        signal.alarm(30)
    else:
        print("through", watched(child))
        print((folder / "through").exists())
        file.write(b" and half")
if not child:
    sys.exit(6)
print((folder / "through").read_text(), sorted(path.name for path in folder.glob("*.partial")))
"""
FILES_SAID = """overlay left 3
overlay closed 0
overlay used 0
as long as before True
labels 0
video left 4
video closed 0
video read 0
video begun 0
the same frames 12
camera 0 0 2
released False
released by True
left 5
one two
error 1
one two
ended 0
one two
folder 7 0 True
False
through 6
False
half and half []
"""

Parent = Callable[..., str]


@pytest.fixture
def parent(child_env: Mapping[str, str], tmp_path: Path) -> Parent:
    """Run a parent's lines on a bundle and a backend, `before` ahead of all imports; gives its stdout."""

    def run(lines: str, plan: Path, backend: str, *, before: str = "") -> str:
        script = tmp_path / "parent.py"
        script.write_text(before + PARENT + lines)
        done = subprocess.run(
            [
                sys.executable,
                "-W",
                "ignore::DeprecationWarning",
                str(script),
                str(plan),
                backend,
                str(tmp_path),
            ],
            env=dict(child_env),
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    return run


@pytest.fixture
def plan_for(made_up_bundle: Path, tiny_bundle: Callable[[str], Path]) -> Callable[[str], Path]:
    return lambda backend: made_up_bundle if backend == "fake" else tiny_bundle("td2-fa18")


@pytest.mark.parametrize("backend", ENGINES)
def test_children_are_refused_and_end(backend: str, parent: Parent, plan_for: Callable[[str], Path]) -> None:
    assert parent(ENDINGS, plan_for(backend), backend) == f"{EXPECTED}\nclosed before 0\n"


@pytest.mark.parametrize("backend", ENGINES)
def test_workers(backend: str, parent: Parent, plan_for: Callable[[str], Path]) -> None:
    assert parent(POOLS, plan_for(backend), backend).splitlines() == [
        "process 0",
        "process 0",
        "pool [0, 1, 2, 3] [0, 1]",
        "spawn 0",
        "forkserver 0",
        "a Segmenter cannot be copied or sent to another process; send its path, and open it there",
        "workers [0, 0]",
    ]


@pytest.mark.parametrize("backend", ENGINES)
def test_forked_while_another_thread_is_inside(
    backend: str, parent: Parent, plan_for: Callable[[str], Path]
) -> None:
    calls = ("push", "stream", "open", "close")
    assert parent(AT_WORK, plan_for(backend), backend) == "".join(f"{call} (0, 0)\n" for call in calls)


@pytest.mark.parametrize("backend", ENGINES)
def test_forks_out_of_the_ordinary(backend: str, parent: Parent, plan_for: Callable[[str], Path]) -> None:
    said = parent(UNUSUAL, plan_for(backend), backend, before=WAITS)
    assert said.splitlines() == ["by C 0 0 0 0", "own 0", "two threads [0, 0]"]


def test_open_files_and_cameras_stay_the_parents(parent: Parent, made_up_bundle: Path) -> None:
    assert parent(FILES, made_up_bundle, "fake") == FILES_SAID


ROOT = Path(__file__).parents[2]
GPU = (
    f"""
sys.path.insert(0, {str(ROOT)!r})
from tests.runtime.gpu.conftest import device_stream, frame, host_stream, made_backend
from tests.runtime.gpu.fake_device import FakeDevice
from tests.runtime.test_stream import hand_made
"""
    """
from tdnet_runtime import BackendError, forks
from tdnet_runtime.backends import open_backend
with Bundle.open(PLAN) as bundle:
    manifest = hand_made(bundle.manifest, 2)
device = FakeDevice()
backend = made_backend(device, manifest)
on_host, on_gpu = host_stream(backend, manifest), device_stream(backend, manifest)
labels = on_gpu.push(frame(1)).labels
on_host.push(frame(1))


def untouched():
    raise AssertionError("the child touches the parent's GPU")


def dead():
    device.current = untouched
    for stream in (on_host, on_gpu):
        assert refused(lambda: stream.push(frame(2)))
        stream.close()
    assert refused(on_gpu.synchronize)
    assert refused(backend.session, BackendError)
    backend.close()
    for use in (lambda: labels.address, lambda: labels.__cuda_array_interface__, labels.__dlpack__):
        try:
            use()
        except StreamError as error:
            assert "this one was forked from it" in str(error)
        else:
            raise AssertionError("it was given")


def no_gpu():
    with Bundle.open(PLAN) as bundle:
        for name in ("cuda", "tensorrt", "tensorrt-rtx"):
            try:
                open_backend(name, bundle)
            except BackendError as error:
                assert f"process {os.getppid()} used a GPU and forked this one" in str(error), error
            else:
                raise AssertionError("it was opened")
    assert ends(lambda: sys.exit("used a GPU" not in forks.obstacle_to_gpus())) == 0


print(ends(dead))
forks.note_gpu()
print(ends(no_gpu), forks.obstacle_to_gpus())
on_host.push(frame(2)), on_gpu.push(frame(2)), on_gpu.synchronize()
on_host.close(), on_gpu.close(), backend.close()
"""
)


def test_a_gpu_is_left_alone(parent: Parent, made_up_bundle: Path) -> None:
    assert parent(GPU, made_up_bundle, "fake") == "0\n0 None\n"
