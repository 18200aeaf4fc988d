"""Files for Rerun's viewer, looked into by Rerun's own program; its server, on loopback."""

import errno
import importlib.util
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from tests.runtime.sinks.conftest import make_result
from tests.runtime.sinks.test_foxglove_view import listening

from tdnet_runtime.errors import MediaError, OptionError
from tdnet_runtime.media import append_file
from tdnet_runtime.sinks.registry import open_sink

TASKS = Path("/proc/self/task")

rerun = pytest.importorskip("rerun", reason="rerun-sdk is not installed")
rerun_file = pytest.importorskip("tdnet_runtime.sinks.rerun_file")
rerun_recording = pytest.importorskip("tdnet_runtime.sinks.rerun_recording")
rrd_index = pytest.importorskip("tdnet_runtime.sinks.rrd_index")
rerun_program = pytest.importorskip("tdnet_runtime.sinks.rerun_program").rerun_program


def program(tmp_path, *arguments):
    """Rerun's own, which is not to report its use."""
    own = {
        **os.environ,
        "XDG_CONFIG_HOME": str(tmp_path / "c"),
        "XDG_DATA_HOME": str(tmp_path / "d"),
        "CI": "1",
    }
    command = [rerun_program(), *map(str, arguments)]  # not -m rerun_cli, which exits with 0 always
    return subprocess.run(command, env=own, capture_output=True, text=True, timeout=60)


def write(path, network, count=5, **options):
    with open_sink(path, network) as sink:
        for index in range(count):
            sink.write(make_result(index, **options))
    return path


def test_a_file_that_rerun_itself_finds_whole(tmp_path, network):
    path = write(tmp_path / "a.rrd", network, confidence=True, source="front")
    done = program(tmp_path, "rrd", "verify", path)
    assert done.returncode == 0, done.stderr
    told = program(tmp_path, "rrd", "print", "-vv", path).stdout
    for words in (
        "/front/frame",
        "/front/mask",
        "/front/confidence",
        "/front/latency/infer",
        "/front/latency/wait",
        "/front/dropped",
        "SegmentationImage",
        "AnnotationContext",
        "EncodedImage",
        "Scalars",
        "stamp",
    ):
        assert words in told, words
    rows = program(tmp_path, "rrd", "print", "-vvv", path).stdout
    assert "road" in rows


@pytest.mark.parametrize("first", [0, 1_700_000_000_123_456_789])
def test_stamps_to_the_nanosecond(tmp_path, network, monkeypatch, first):
    times = []
    real = rerun.RecordingStream.set_time

    def note(self, name, **value):
        if name == "stamp":
            times.append((threading.get_ident(), value))
        real(self, name, **value)

    monkeypatch.setattr(rerun.RecordingStream, "set_time", note)
    with open_sink(tmp_path / "a.rrd", network) as sink:
        for index in range(3):
            sink.write(make_result(index, stamp_ns=first + index))
    if first:
        assert [value["timestamp"] for _, value in times] == [
            np.datetime64(first + i, "ns") for i in range(3)
        ]
    else:
        assert [value["duration"] for _, value in times] == [np.timedelta64(i, "ns") for i in range(3)]
    assert {thread for thread, _ in times} == {threading.get_ident()}


def test_two_threads_are_refused(tmp_path, network):
    """Time is each thread's own: frames would have none."""
    errors = []
    with open_sink(tmp_path / "a.rrd", network) as sink:
        sink.write(make_result(0))

        def other():
            with pytest.raises(MediaError, match="came from two threads") as caught:
                sink.write(make_result(1))
            errors.append(caught)

        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert len(errors) == 1


def test_frames_as_asked_for(tmp_path, network):
    sizes = {
        form: write(tmp_path / f"{form}.rrd?frames={form}", network)
        and (tmp_path / f"{form}.rrd").stat().st_size
        for form in ("raw", "none")
    }
    assert sizes["raw"] > sizes["none"]
    with pytest.raises(OptionError, match="frames is 'gif'; expected jpeg, raw, none"):
        open_sink(f"rerun:{tmp_path}/a.rrd?frames=gif", network)


class FullDisk:
    """An unbuffered file with room for so many bytes."""

    def __init__(self, file, room):
        self.file, self.room = file, room

    def write(self, data):
        if not self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        count = self.file.write(bytes(data)[: self.room])
        self.room -= count
        return count

    def close(self):
        self.file.close()


@pytest.mark.parametrize("room", [0, 500, 30_000, 60_000])
def test_a_full_disk_leaves_what_is_whole(tmp_path, network, monkeypatch, room):
    path = tmp_path / "a.rrd"
    real = append_file.open_alone
    monkeypatch.setattr(append_file, "open_alone", lambda path: FullDisk(real(path), room))
    monkeypatch.setattr(rerun_file, "_WRITE_S", 0)
    sink = open_sink(path, network)
    with pytest.raises(MediaError, match=r"'.*' stopped after \d+ results: No space left") as caught:
        write_all(sink, 99)
    with pytest.raises(MediaError, match="it was finished before and takes no more"):
        sink.write(make_result(0))
    sink.close()
    readable = int(str(caught.value).split("the first ")[1].split()[0])
    if not readable:
        assert not path.exists() or not path.stat().st_size
        return
    assert program(tmp_path, "rrd", "verify", "--check-footers=false", path).returncode == 0
    assert masks_in(tmp_path, path) == readable


def write_all(sink, count):
    for index in range(count):
        sink.write(make_result(index))


def masks_in(tmp_path, path):
    told = program(tmp_path, "rrd", "print", "-v", path).stdout
    return sum(int(rows) for rows in re.findall(r"(\d+) rows.*/mask", told))


def test_a_kill_costs_no_result_of_a_piece_that_was_written(tmp_path):
    code = """
import os, sys
sys.path.insert(0, sys.argv[2])
from tests.runtime.sinks.conftest import CLASSES, make_result
from tdnet_runtime.sinks import rerun_file
from tdnet_runtime.sinks.registry import open_sink
from tdnet_runtime.sinks.sink import SinkNetwork
rerun_file._WRITE_S = 0
sink = open_sink(sys.argv[1], SinkNetwork(name="n", digest="d", classes=CLASSES))
for index in range(7):
    sink.write(make_result(index))
os.kill(os.getpid(), 9)
"""
    path = tmp_path / "a.rrd"
    command = [sys.executable, "-c", code, str(path), str(Path(__file__).parents[3])]
    assert subprocess.run(command, timeout=100).returncode == -9
    assert masks_in(tmp_path, path) == 7
    assert program(tmp_path, "rrd", "verify", "--check-footers=false", path).returncode == 0


def test_many_pieces_of_several_sources_are_one_file(tmp_path, network, monkeypatch):
    monkeypatch.setattr(rerun_file, "_WRITE_S", 0)
    path = tmp_path / "a.rrd"
    with open_sink(path, network) as sink:
        for index in range(40):
            sink.write(make_result(index, source=("front", "rear")[index % 2]))
    done = program(tmp_path, "rrd", "verify", path)
    assert done.returncode == 0, done.stderr
    assert masks_in(tmp_path, path) == 40


def without_index(tmp_path, path, caplog, words):
    """One warning, and a file that is whole but for its index."""
    (line,) = caplog.messages
    assert re.search(
        f"all results are in it, but not the index that 'rerun rrd verify' looks for .{words}", line
    )
    done = program(tmp_path, "rrd", "verify", path)
    assert done.returncode != 0
    assert "Missing RRD footer" in done.stderr + done.stdout
    assert program(tmp_path, "rrd", "verify", "--check-footers=false", path).returncode == 0
    assert masks_in(tmp_path, path) == 5
    mended = tmp_path / "mended.rrd"
    assert program(tmp_path, "rrd", "filter", path, "-o", mended).returncode == 0
    assert program(tmp_path, "rrd", "verify", mended).returncode == 0


def test_a_disk_that_is_full_at_the_index(tmp_path, network, monkeypatch, caplog):
    real = rrd_index.add_index

    def full(path, file):
        file._file = FullDisk(file._file, 500)
        real(path, file)

    monkeypatch.setattr(rerun_file, "add_index", full)
    without_index(tmp_path, write(tmp_path / "a.rrd", network), caplog, "No space left")


PROGRAMS = {
    "fails": ("cat {path}; exit 3", "Command 'rerun rrd filter' returned non-zero exit status 3"),
    "fails in the index": (
        "cat {path} {path}; exit 3",
        "Command 'rerun rrd filter' returned non-zero exit status 3",
    ),
    "changes": ("tr R S <{path}", "rerun rrd filter changes what is in it"),
    "stops early": (
        "head -c 99 {path}; exit 1",
        "Command 'rerun rrd filter' returned non-zero exit status 1",
    ),
    "is slow": ("cat {path} {path}; exec sleep 99", "Command 'rerun rrd filter' timed out after 0.5 seconds"),
}


@pytest.mark.parametrize(("script", "words"), PROGRAMS.values(), ids=PROGRAMS.keys())
def test_a_program_that_makes_no_index(tmp_path, network, monkeypatch, caplog, script, words):
    path, stub = tmp_path / "a.rrd", tmp_path / "rerun"
    options = f'[ "$2" != verify ] || exec {rerun_program()} "$@"'
    stub.write_text(f"#!/bin/sh\n{options}\n{script.format(path=path)}\n")
    stub.chmod(0o755)
    monkeypatch.setattr(rrd_index, "rerun_program", lambda: str(stub))
    monkeypatch.setattr(rrd_index, "_LIMIT_S", 0.5 if "sleep" in script else 60)
    without_index(tmp_path, write(path, network), caplog, words)


def test_a_kill_at_the_index_costs_nothing(tmp_path, network):
    path = write(tmp_path / "a.rrd", network)
    whole = path.read_bytes()
    for missing in (1, 40, 2000, 4000):
        path.write_bytes(whole[:-missing])
        assert program(tmp_path, "rrd", "stats", path).returncode == 0
        assert masks_in(tmp_path, path) == 5


def test_rerun_without_its_program(tmp_path, network, monkeypatch, caplog):
    real = importlib.util.find_spec
    with monkeypatch.context() as patch:
        patch.setattr(
            importlib.util,
            "find_spec",
            lambda name, *rest: None if name == "rerun_cli" else real(name, *rest),
        )
        write(tmp_path / "a.rrd", network)
    without_index(tmp_path, tmp_path / "a.rrd", caplog, "rerun-sdk is installed without its program")


def test_a_version_that_knows_no_index(tmp_path, network, monkeypatch, caplog):
    stub = tmp_path / "rerun"
    stub.write_text("#!/bin/sh\necho Usage: rerun rrd verify\n")
    stub.chmod(0o755)
    monkeypatch.setattr(rrd_index, "rerun_program", lambda: str(stub))
    path = write(tmp_path / "a.rrd", network)
    assert caplog.messages == []
    assert masks_in(tmp_path, path) == 5


def test_an_interrupt_at_the_index_ends_the_program(tmp_path, network, monkeypatch):
    started = []
    real = subprocess.Popen

    def note(*arguments, **options):
        started.append(real(*arguments, **options))
        return started[-1]

    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(rrd_index.subprocess, "Popen", note)
    monkeypatch.setattr(rrd_index, "_append_rest", interrupted)
    path = tmp_path / "a.rrd"
    with pytest.raises(KeyboardInterrupt):
        write(path, network)
    assert all(process.poll() is not None for process in started)
    assert masks_in(tmp_path, path) == 5


def test_files_of_others_are_not_replaced(tmp_path, network):
    path = tmp_path / "a.rrd"
    for content in (b"notes", b"RRF2 of another"):
        path.write_bytes(content)
        with pytest.raises(MediaError, match="the file exists and was not written by tdnet; name another"):
            open_sink(path, network)
        assert path.read_bytes() == content
    path.unlink()
    write(path, network)
    assert masks_in(tmp_path, write(path, network, count=2)) == 2  # our own is


def test_nothing_is_written_without_a_result(tmp_path, network):
    with open_sink(tmp_path / "a.rrd", network):
        pass
    assert list(tmp_path.iterdir()) == []


def test_two_at_once(tmp_path, network):
    first, second = (open_sink(tmp_path / "a.rrd", network) for _ in range(2))
    first.write(make_result(0))
    with pytest.raises(MediaError, match="another run is writing it; name another file"):
        second.write(make_result(0))
    second.close()
    first.close()
    assert program(tmp_path, "rrd", "verify", tmp_path / "a.rrd").returncode == 0


@pytest.mark.skipif(not TASKS.is_dir(), reason="threads are looked up in /proc")
def test_no_thread_outlives_its_file(tmp_path, network):
    """Rerun's own end with a sweep that dropping a recording does not make."""

    def write(name):
        with open_sink(f"rerun:{tmp_path}/{name}.rrd", network) as sink:
            sink.write(make_result(0))

    write("first")  # what Rerun keeps for all
    before = set(TASKS.iterdir())
    for name in ("second", "third"):
        write(name)
    names = [task / "comm" for task in set(TASKS.iterdir()) - before]
    assert not [name for name in names if name.exists() and "Recording" in name.read_text()]


def test_the_applications_own_recording_stays(tmp_path, network):
    """Rerun's sweep would take it away, and all that the application logs from then on would be lost."""
    before = rerun.get_global_data_recording()
    try:
        rerun.init("robot")
        mine = rerun.get_global_data_recording()
        pieces = mine.binary_stream()
        pieces.read()
        write(tmp_path / "a.rrd", network)
        assert rerun.get_global_data_recording() is not None
        rerun.log("pose", rerun.Scalars([1.0]))
        assert b"pose" in (pieces.read() or b"")
        mine.disconnect()
    finally:
        rerun.set_global_data_recording(before)


def test_another_recording_that_cannot_be_flushed(tmp_path, network, monkeypatch):
    """Its viewer has gone, which costs this file nothing."""

    def gone():
        raise RuntimeError("gRPC connection gracefully disconnected")

    monkeypatch.setattr(rerun_recording.rerun_bindings, "flush_and_cleanup_orphaned_recordings", gone)
    path = write(tmp_path / "a.rrd", network)
    assert program(tmp_path, "rrd", "verify", path).returncode == 0


def test_a_disk_that_tells_when_the_file_is_closed(tmp_path, network, monkeypatch):
    """As network file systems do."""

    class Late(FullDisk):
        def close(self):
            super().close()
            raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    path = tmp_path / "a.rrd"
    real = append_file.open_alone
    monkeypatch.setattr(append_file, "open_alone", lambda path: Late(real(path), 1 << 20))
    sink = open_sink(path, network)
    write_all(sink, 3)
    with pytest.raises(MediaError, match=r"'.*' stopped after 3 results: Disk quota exceeded"):
        sink.close()
    sink.close()


@pytest.mark.parametrize(
    ("spec", "kind", "words"),
    [
        ("rerun:a.txt", OptionError, "end the name of a Rerun file in .rrd"),
        ("rerun:none/a.rrd", MediaError, "there is no folder 'none'; make it first"),
        ("rerun+serve:here", OptionError, "expected rerun.serve://HOST:PORT"),
        ("rerun+serve://127.0.0.1:65536", OptionError, "the port is 65536, expected 65535 at the most"),
        ("rerun+serve://?memory=lots", OptionError, "memory is 'lots'; expected such as 256MB or 5%"),
    ],
)
def test_what_cannot_be_meant(tmp_path, monkeypatch, network, spec, kind, words):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(kind, match=words):
        open_sink(spec, network)


@pytest.fixture
def port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def test_serving_on_loopback_and_without_a_word_to_others(tmp_path, monkeypatch, network, port):
    monkeypatch.setenv("HOME", str(tmp_path))
    spec = f"rerun+serve://127.0.0.1:{port}"
    with open_sink(spec, network) as sink:
        for index in range(200):  # nobody looks, and nothing waits
            sink.write(make_result(index))
        assert listening(port) == {"0100007F"}
        (told,) = sink._server._log.parent.rglob("analytics.json")
        assert json.loads(told.read_text())["analytics_enabled"] is False
        with pytest.raises(
            MediaError, match=f"the port is in use; name another: rerun.serve://127.0.0.1:{port + 1}"
        ):
            open_sink(spec, network)
        sink._server._process.kill()
        sink._server._process.wait()
        with pytest.raises(MediaError, match="its server has ended"):
            sink.write(make_result(0))
    assert listening(port) == set()
    assert not list(tmp_path.rglob("*analytics*"))


def test_a_server_outlives_the_thread_that_opened_it(network, port):
    opened = []
    thread = threading.Thread(
        target=lambda: opened.append(open_sink(f"rerun+serve://127.0.0.1:{port}", network))
    )
    thread.start()
    thread.join()
    with opened[0] as sink:
        with pytest.raises(subprocess.TimeoutExpired):
            sink._server._process.wait(1)
        sink.write(make_result(0))
    assert listening(port) == set()


FORKED = """
import os, signal, sys
sys.path.insert(0, sys.argv[2])
from tests.runtime.sinks.conftest import CLASSES, make_result
from tdnet_runtime.sinks.registry import open_sink
from tdnet_runtime.sinks.sink import SinkNetwork
sink = open_sink(sys.argv[1], SinkNetwork(name="n", digest="d", classes=CLASSES))
ends = os.fork()
if not ends:
    sys.exit()
os.waitpid(ends, 0)
assert sink._server._log.exists()
sink.write(make_result(0))
stays = os.fork()
if not stays:
    signal.pause()
print(stays, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_process_takes_its_server_along_whatever_it_forked(network, child_env, port):
    """One child ended before, which the server survives; another one is still there."""
    root = str(Path(__file__).parents[3])
    command = [sys.executable, "-c", FORKED, f"rerun+serve://127.0.0.1:{port}", root]
    with subprocess.Popen(command, env=child_env, stdout=subprocess.PIPE) as process:
        stays = int(process.stdout.readline() or 0)
        assert stays
        try:
            assert process.wait(60) == -9
            until = time.monotonic() + 20
            while listening(port) and time.monotonic() < until:
                time.sleep(0.05)
            assert listening(port) == set()
            os.kill(stays, 0)
        finally:
            os.kill(stays, 9)


def test_classes_that_cannot_be_told_at_first_are_told_with_the_next_result(tmp_path, network, monkeypatch):
    told = []
    real = rerun.RecordingStream.log

    def log(self, path, entity, **options):
        if isinstance(entity, rerun.AnnotationContext):
            told.append(path)
            if len(told) == 1:
                raise RuntimeError("not now")
        real(self, path, entity, **options)

    monkeypatch.setattr(rerun.RecordingStream, "log", log)
    with open_sink(tmp_path / "a.rrd", network) as sink:
        with pytest.raises(RuntimeError, match="not now"):
            sink.write(make_result(0))
        for index in range(1, 4):
            sink.write(make_result(index))
    assert len(told) == 2


def test_a_file_that_could_not_be_begun_takes_no_more_results(tmp_path, network, monkeypatch):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    sink = open_sink(f"{tmp_path}/a.rrd", network)
    with monkeypatch.context() as patch:
        patch.setattr(rerun.RecordingStream, "binary_stream", interrupted)
        with pytest.raises(KeyboardInterrupt):
            sink.write(make_result(0))
    with pytest.raises(MediaError, match="it was finished before and takes no more"):
        sink.write(make_result(1))
    sink.close()
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_was_refused_once_stays_as_it_is(tmp_path, network):
    """Of another run, whose end does not make it ours; or of another program, which came after the opening."""
    first, second = (open_sink(f"{tmp_path}/a.rrd", network) for _ in range(2))
    with first:
        first.write(make_result(0))
        with pytest.raises(MediaError, match="another run is writing it; name another file"):
            second.write(make_result(0))
    whole = (tmp_path / "a.rrd").read_bytes()
    with pytest.raises(MediaError, match="it was finished before and takes no more"):
        second.write(make_result(1))
    second.close()
    assert (tmp_path / "a.rrd").read_bytes() == whole
    late = open_sink(f"{tmp_path}/b.rrd", network)
    (tmp_path / "b.rrd").write_bytes(b"of another program")
    with pytest.raises(MediaError, match="was not written by tdnet; name another"):
        late.write(make_result(0))
    late.close()
    assert (tmp_path / "b.rrd").read_bytes() == b"of another program"
