import contextlib
import os
import re
import resource
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tdnet_runtime.media import native_stderr
from tdnet_runtime.media.native_stderr import held_stderr


def test_given_out_after_success(capfd):
    with held_stderr():
        os.write(2, b"from a C library\n")
        assert capfd.readouterr().err == ""
    assert capfd.readouterr().err == "from a C library\n"


def test_dropped_after_failure(capfd):
    def fail_with_noise():
        with held_stderr():
            os.write(2, b"noise\n")
            raise ValueError("reported")

    with pytest.raises(ValueError, match="reported"):
        fail_with_noise()
    os.write(2, b"restored\n")
    assert capfd.readouterr().err == "restored\n"


def test_noise_is_kept_from_others_words(capfd):
    with held_stderr(re.compile("Corrupt")) as noise:
        os.write(2, b"before\nCorrupt \xff data\nafter, without an end")
    assert noise == ["Corrupt \ufffd data"]
    assert capfd.readouterr().err == "before\nafter, without an end"


def test_more_than_a_pipe_holds_comes_whole(capfd):
    with held_stderr():
        os.write(2, b"x" * 300_000)
    assert capfd.readouterr().err == "x" * 300_000


def test_without_any_folder_to_write_to(monkeypatch):
    def forbidden(*arguments, **options):
        raise OSError(30, "Read-only file system")

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", forbidden)
        patch.setattr("tempfile.TemporaryFile", forbidden)
        with held_stderr(re.compile("noise")) as noise:
            os.write(2, b"noise\n")
    assert noise == ["noise"]


@pytest.mark.parametrize("call", ["dup", "memfd_create"])
def test_goes_on_where_it_cannot_hold(capfd, monkeypatch, call):
    def forbidden(*arguments):
        raise OSError(1, "Operation not permitted")

    before = set(Path("/proc/self/fd").iterdir())
    with monkeypatch.context() as patch:
        patch.setattr(os, call, forbidden)
        with held_stderr(re.compile("noise")) as noise:
            os.write(2, b"noise\n")
    assert noise == []
    assert capfd.readouterr().err == "noise\n"
    assert set(Path("/proc/self/fd").iterdir()) == before
    with held_stderr():
        pass  # as before


def test_an_error_of_the_block_is_its_own_where_nothing_can_be_held(monkeypatch):
    monkeypatch.delattr(os, "memfd_create")
    with pytest.raises(OSError, match="the block's"), held_stderr():
        raise OSError("the block's")


def test_no_descriptor_left(capfd):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        with held_stderr():
            os.write(2, b"said\n")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert capfd.readouterr().err == "said\n"


def test_a_daemon_without_stderr():
    code = """
import os
os.close(2)
from tdnet_runtime.media.native_stderr import held_stderr
with held_stderr():
    pass
try:
    os.fstat(2)
except OSError:
    print("still closed")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "still closed\n"


def test_threads_take_turns_and_the_descriptor_is_never_lost(capfd):
    before = os.fstat(2)
    begin = threading.Barrier(4)
    mixed = []

    def work(number):
        begin.wait()
        for _ in range(200):
            with held_stderr(re.compile("mine")) as noise:
                os.write(2, f"mine {number}\n".encode())
            if noise != [f"mine {number}"]:
                mixed.append(noise)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert mixed == []
    assert (os.fstat(2).st_dev, os.fstat(2).st_ino) == (before.st_dev, before.st_ino)
    os.write(2, b"still here\n")
    assert capfd.readouterr().err == "still here\n"


@contextlib.contextmanager
def another_threads_block():
    """Another thread is inside a block, for as long as this one lasts."""
    held, finish = threading.Event(), threading.Event()

    def hang():
        with held_stderr():
            held.set()
            finish.wait()

    thread = threading.Thread(target=hang)
    thread.start()
    held.wait()
    try:
        yield
    finally:
        finish.set()
        thread.join()


def test_another_threads_endless_block_is_not_waited_for(capfd, monkeypatch):
    monkeypatch.setattr(native_stderr, "_WAIT_S", 0.0)
    with another_threads_block(), held_stderr(re.compile("noise")) as noise:
        os.write(2, b"noise\n")
    assert noise == []
    assert capfd.readouterr().err == "noise\n"  # late, by the other one


def test_each_endless_block_is_waited_for_once(monkeypatch):
    """By whoever comes; and then no more until it has ended."""
    monkeypatch.setattr(native_stderr, "_WAIT_S", 0.01)
    waits = []

    class Lock:
        def __init__(self):
            self.lock = threading.Lock()
            self.release = self.lock.release

        def acquire(self, timeout):
            waits.append(timeout)
            return self.lock.acquire(timeout=timeout)

    monkeypatch.setattr(native_stderr._owner, "lock", Lock())
    for _ in range(2):
        with another_threads_block():
            waits.clear()
            for _ in range(3):
                with held_stderr():
                    pass
            assert waits == [0.01, 0, 0]
        with held_stderr(re.compile("noise")) as noise:
            os.write(2, b"noise\n")
        assert (waits[3], noise) == (0.01, ["noise"])


def test_a_fork_in_another_threads_block_has_its_stderr_back():
    code = """
import os, threading
from tdnet_runtime.media.native_stderr import held_stderr
held, finish = threading.Event(), threading.Event()
def hang():
    with held_stderr():
        held.set()
        finish.wait()
thread = threading.Thread(target=hang)
thread.start()
held.wait()
child = os.fork()
if child == 0:
    os.write(2, b"child\\n")
    with held_stderr():
        os.write(2, b"child's block\\n")
    os._exit(0)
os.waitpid(child, 0)
finish.set()
thread.join()
with held_stderr():
    child = os.fork()  # by the owner itself
    if child == 0:
        os.write(2, b"second child\\n")
    else:
        os.waitpid(child, 0)
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "child\nchild's block\nsecond child\n")
