"""Children that tell, crash, hang and babble: none of it reaches this process."""

from __future__ import annotations

import importlib
import json
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest

from tdnet_runtime.doctor import probe_child
from tdnet_runtime.doctor.findings import State
from tdnet_runtime.doctor.probing import probe

CHILD = """
import json, os, signal, sys, time
n = int(sys.argv[1])
loaded = []
for number, text in enumerate(sys.argv[3 + n:]):
    kind, *given = json.loads(text)
    print(json.dumps({"begin": number}), flush=True)
    if kind == "crash" or (kind == "clash" and loaded):
        print("free(): invalid pointer", file=sys.stderr, flush=True)
        os.kill(os.getpid(), signal.SIGSEGV)
    if kind == "hang":
        time.sleep(600)
    if kind == "leave":
        os._exit(3)
    if kind == "babble":
        os.write(1, b"no JSON\\n[1]\\n" + bytes(range(256)) + b"\\n")
    loaded.append(kind)
    told = {"end": number, "state": "ok", "words": kind, "facts": {}}
    print(json.dumps(told), flush=True)
os._exit(0)
"""
"""A child of the same protocol, whose kinds are what they are called."""


def states(*kinds: str, limit_s: float = 30.0, code: str = CHILD) -> dict[str, str]:
    found = probe([(kind,) for kind in kinds], limit_s=limit_s, code=code)
    assert list(found) == [(kind,) for kind in kinds] or set(found) == {(kind,) for kind in kinds}
    return {kind: found[kind,].words for kind in kinds}


def test_all_is_well() -> None:
    assert states("a", "b", "babble", "c") == {kind: kind for kind in ("a", "b", "babble", "c")}


def test_a_crash_is_its_own() -> None:
    found = states("a", "crash", "b")
    assert found == {
        "a": "a",
        "b": "b",
        "crash": "it kills its process (SIGSEGV); its last words: free(): invalid pointer",
    }


def test_a_library_that_others_make_crash() -> None:
    outcome = probe([("a",), ("clash",), ("b",)], code=CHILD)["clash",]
    assert (outcome.state, outcome.alone) == (State.OK, (("a",),))


def test_one_that_hangs_is_ended() -> None:
    started_s = time.monotonic()
    found = probe([("a",), ("hang",), ("b",)], limit_s=1.0, code=CHILD)
    assert found["hang",].words == "it did not end within 1 s"
    assert (found["hang",].dead, found["b",].state) == (True, State.OK)
    assert time.monotonic() - started_s < 300


def test_one_that_leaves() -> None:
    assert states("leave", "a") == {"a": "a", "leave": "its process ended with exit code 3"}


@pytest.mark.parametrize("code", ["raise SystemExit('no such interpreter')", "import os; os.abort()", ""])
def test_a_child_that_does_not_even_begin(code: str) -> None:
    found = probe([("a",), ("b",)], limit_s=30.0, code=code)
    assert {outcome.state for outcome in found.values()} == {State.BROKEN}


def test_no_process_to_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    assert "no process can be started" in states("a")["a"]


def test_the_real_child(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    """A package that is there, one that is not, one that does not load, and one that takes everything down.

    Modules of the current folder are not its business.
    """
    (tmp_path / "hurt.py").write_text("raise RuntimeError('compiled for another\\nNumPy')")
    (tmp_path / "deadly.py").write_text(
        "import os, signal; print('noise', flush=True); os.kill(os.getpid(), signal.SIGABRT)"
    )
    (tmp_path / "cwd").mkdir()
    (tmp_path / "cwd" / "json.py").write_text("raise SystemExit('the wrong json')")
    monkeypatch.chdir(tmp_path / "cwd")
    monkeypatch.syspath_prepend(tmp_path)
    names = ("msgspec", "absent_package", "hurt", "deadly")
    found = {name: outcome for (_, name, _), outcome in probe([("package", n, "cli") for n in names]).items()}
    assert {name: outcome.state for name, outcome in found.items()} == {
        "msgspec": State.OK,
        "absent_package": State.ABSENT,
        "hurt": State.BROKEN,
        "deadly": State.BROKEN,
    }
    assert found["absent_package"].words.endswith("install it with: pip install 'tdnet-deploy[cli]'")
    assert found["hurt"].words == "RuntimeError: compiled for another NumPy"
    assert "(SIGABRT), in " in found["deadly"].words
    assert found["deadly"].words.endswith("deadly.py; its last words: noise")
    assert [path.name for path in Path.cwd().iterdir()] == ["json.py"]  # no core file


@pytest.mark.parametrize("name", sorted(probe_child._MODULES))
def test_every_backend_answers(name: str) -> None:
    """In this process, whatever is installed: an answer, and no exception."""
    state, words, _ = probe_child._tried(probe_child._PROBES["backend"], [name])
    assert state in ("ok", "absent")
    assert words
    assert json.dumps(words)


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_what_an_uninstall_leaves_is_no_engine(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder without its modules is imported as an empty package."""
    monkeypatch.setitem(sys.modules, name, ModuleType(name))
    state, words, _ = probe_child._tried(probe_child._PROBES["backend"], [name])
    assert (state, "is not installed" in words) == ("absent", True), words


def test_the_real_child_tells_where_it_hangs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "endless.py").write_text("import time\ntime.sleep(600)")
    monkeypatch.syspath_prepend(tmp_path)
    asked = ("package", "endless", "cli")
    words = probe([asked], limit_s=8.0)[asked].words
    assert words == f"it did not end within 8 s, in {tmp_path / 'endless.py'}"


@pytest.mark.parametrize("backend", ["openvino", "onnxruntime", "cuda"])
def test_an_engine_that_raises_whatever_when_it_is_imported(
    backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenVINO 2026.4 raises FileNotFoundError where the current folder is gone: `auto` goes on to the next one."""
    from tdnet_runtime import backends

    def broken(_: str) -> None:
        raise FileNotFoundError(2, "No such file or directory")

    loaded = importlib.import_module(f"tdnet_runtime.backends.{backend}")
    monkeypatch.setattr(loaded, "import_without_telemetry", broken)
    reason = backends.unavailable(backend)
    assert reason is not None
    assert "does not load ([Errno 2] No such file or directory); install it" in reason
