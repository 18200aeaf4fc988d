from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from tests.guard import running

from tdnet_bench.documents.document import Document
from tdnet_bench.documents.journal import read_run
from tdnet_bench.records.frames import FrameRecord
from tdnet_eval.result_file import write_document

MAIN = "import tdnet_bench; tdnet_bench.main()"
NO_TORCH = """
import sys

class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            raise ModuleNotFoundError("No module named 'torch'", name="torch")

import importlib.util
real = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: None if name == "torch" else real(name, package)
sys.meta_path.insert(0, NoTorch())
"""
"""As on a machine where PyTorch was never installed."""

TERMINAL = "import sys; sys.stdout.isatty = lambda: True\n"


def _environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "COLUMNS": "80", "NO_COLOR": "1"}


Done = subprocess.CompletedProcess[str]
Bench = Callable[..., Done]


@pytest.fixture
def bench(command: Callable[..., Done]) -> Bench:
    """bench(*arguments): in this process, where the process is not what is tested."""
    return partial(command, "tdnet-bench")


def _run(*arguments: str | Path, code: str = MAIN) -> Done:
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        env=_environment(),
    )


def _error(done: Done) -> str:
    """The one line on stderr of a user's error."""
    assert done.returncode == 1, done.stderr
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("tdnet-bench: error: ")
    return line.removeprefix("tdnet-bench: error: ")


def test_help_shows_examples_and_exit_codes(bench: Bench) -> None:
    done = bench("--help")
    assert done.returncode == 0
    text = " ".join(done.stdout.split())
    assert "tdnet-bench --engine tdnet50.plan --ckpt best.pth" in text
    assert "tdnet-bench compare before.json after.json" in text
    assert "3 something that was asked for was left out" in text
    assert "4 a side's labels agree with the reference's by less than 95%" in text
    options = (
        "engine",
        "ckpt",
        "frames",
        "input",
        "labels",
        "fps",
        "json",
        "html",
        "threads",
        "backend",
        "peer",
    )
    for option in options:
        assert f"--{option}" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--engine"),
        (["--engine", "x.plan", "--frames", "0"], "--frames"),
        (["--engine", "x.plan", "--threads", "-1"], "--threads"),
        (["--engine", "x.plan", "--fast"], "--fast"),
        (["compare", "a.json"], "B.json"),
        (["--engine", "x.plan", "contrast"], "contrast"),
    ],
)
def test_wrong_usage_exits_with_2(bench: Bench, arguments: list[str], message: str) -> None:
    done = bench(*arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_user_errors_are_one_line(bench: Bench, engine: Path, tmp_path: Path) -> None:
    ckpt = tmp_path / "other.pth"
    ckpt.write_bytes(b"something else")
    fake = ("--engine", engine, "--backend", "fake", "--peer", "none")
    assert "--engine needs a file" in _error(bench("--engine", tmp_path / "absent.plan"))
    assert "--peer none contradicts" in _error(bench(*fake, "--ckpt", ckpt))
    assert "its SHA-256 is" in _error(bench(*fake[:4], "--ckpt", ckpt))
    assert "no backend 'warp'" in _error(bench("--engine", engine, "--backend", "warp"))
    assert "bundle" in _error(bench("--engine", ckpt, "--peer", "none"))
    assert "these are no records" in _error(bench("show", ckpt.rename(tmp_path / "x.records.jsonl")))


def test_a_run_prints_its_tables(engine: Path) -> None:
    done = _run(
        "--engine", engine, "--backend", "fake", "--frames", "2", "--threads", "1", code=NO_TORCH + MAIN
    )
    assert done.returncode == 0, done.stderr
    assert "fake:fp32: ms per warm frame, back to back" in done.stdout
    assert "PyTorch is not installed" in " ".join(done.stdout.split())
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert done.stderr == ""


def test_a_page_is_written_with_the_run_and_later(bench: Bench, engine: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    page, later, document = tmp_path / "a.html", tmp_path / "b.html", tmp_path / "a.json"
    arguments = ("--engine", engine, "--backend", "fake", "--frames", "2", "--peer", "none", "--roofline")
    done = bench(*arguments, "--json", document, "--html", page)
    assert done.returncode == 0, done.stderr
    done = bench("show", document, "--html", later)
    assert done.returncode == 0, done.stderr
    for text in (page.read_text(), later.read_text()):
        assert "fake:fp32 has no roofline" in text
        assert "</html>" in text


def test_without_torch_what_was_asked_for_is_left_out_and_the_exit_code_tells(
    engine: Path, tmp_path: Path
) -> None:
    ckpt = tmp_path / "best.pth"
    ckpt.write_bytes(b"the weights")
    path = tmp_path / "run.json"
    arguments = ("--engine", engine, "--backend", "fake", "--frames", "2", "--ckpt", ckpt, "--json", path)
    done = _run(*arguments, code=NO_TORCH + MAIN)
    assert done.returncode == 3, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if "left out" in line]
    assert line == (
        "tdnet-bench: left out pytorch: PyTorch is not installed; install it with: "
        "pip install 'tdnet-deploy[export]'"
    )
    content = json.loads(path.read_text())
    assert content["exit_code"] == 3
    assert content["left_out"][0]["what"] == "pytorch"


def test_a_backend_that_the_bundle_lacks_is_left_out_and_the_exit_code_tells(
    bench: Bench,
    tiny_bundle: Callable[[str], Path],
) -> None:
    pytest.importorskip("onnxruntime")
    arguments = ("--engine", tiny_bundle("td2-fa18"), "--backend", "onnxruntime", "--frames", "2")
    done = bench(*arguments, "--peer", "onnxruntime:fp16", "--peer", "fake")
    assert done.returncode in (3, 4), done.stderr  # the fake's labels are others
    text = " ".join(done.stdout.split())
    assert "LEFT OUT onnxruntime:fp16: " in text
    assert "fp16" in text.partition("LEFT OUT onnxruntime:fp16: ")[2]


def test_a_reference_that_disagrees_is_loud_and_the_exit_code_tells(
    bench: Bench, tiny_bundle: Callable[[str], Path], tmp_path: Path
) -> None:
    """The fake's labels beside those of the bundle's own FP32 graphs."""
    pytest.importorskip("onnxruntime")
    path = tmp_path / "run.json"
    done = bench(
        "--engine", tiny_bundle("td2-fa18"), "--backend", "onnxruntime", "--frames", "2",
        "--peer", "fake", "--json", path,
    )  # fmt: skip
    assert done.returncode == 4, done.stderr
    loud = [line for line in done.stderr.splitlines() if "THE REFERENCE DISAGREES" in line]
    assert len(loud) == 1
    assert "fake:fp32" in loud[0]


def test_json_alone_is_quiet_but_on_a_terminal(bench: Bench, engine: Path, tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    arguments = ("--engine", engine, "--backend", "fake", "--frames", "2", "--peer", "none", "--json", path)
    done = bench(*arguments, "--threads", "1")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    content = json.loads(path.read_text())
    assert content["config"]["threads"] == 1
    assert len(content["records"]) == 3
    assert [entry.name for entry in tmp_path.iterdir() if entry.name.startswith("run")] == ["run.json"]
    again = _run(*arguments, "--threads", "1", code=TERMINAL + MAIN)
    assert again.returncode == 0
    assert "back to back" in again.stdout
    other = bench(*arguments, "--threads", "2")
    assert "--json holds a run of another configuration (threads 1, now 2)" in _error(other)


@contextmanager
def _measuring(arguments: tuple[str | Path, ...], journal: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that has written some records; it is killed in the end."""
    command = [sys.executable, "-c", MAIN, *map(str, arguments), "--json", str(journal.parent / "run.json")]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": _environment()}
    with running(command, **pipes) as process:
        until = time.monotonic() + 60
        while not (journal.exists() and journal.read_bytes().count(b"\n") > 4):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < until
            time.sleep(0.05)
        yield process


def test_a_killed_run_leaves_records_that_can_be_shown(bench: Bench, engine: Path, tmp_path: Path) -> None:
    journal = tmp_path / "run.records.jsonl"
    arguments = ("--engine", engine, "--backend", "fake", "--frames", "100000", "--peer", "none")
    with _measuring(arguments, journal):
        pass
    assert not (tmp_path / "run.json").exists()
    left = read_run(journal)
    assert len(left.records) >= 4
    assert [r.frame for r in left.records if isinstance(r, FrameRecord)] == list(range(len(left.records)))
    done = bench("show", journal)
    assert done.returncode == 0, done.stderr
    assert "CUT SHORT" in done.stdout
    assert "back to back" in done.stdout


@pytest.mark.parametrize(
    ("number", "code_given", "word"),
    [
        (signal.SIGINT, 130, "interrupted"),
        (signal.SIGTERM, 143, "terminated"),
        (signal.SIGHUP, 129, "terminated"),
    ],
)
def test_a_signal_says_where_the_records_are(
    engine: Path, tmp_path: Path, number: int, code_given: int, word: str
) -> None:
    journal = tmp_path / "run.records.jsonl"
    arguments = ("--engine", engine, "--backend", "fake", "--frames", "100000", "--peer", "none")
    with _measuring(arguments, journal) as process:
        process.send_signal(number)
        _, stderr = process.communicate(timeout=20)
    assert process.returncode == code_given
    assert stderr.splitlines() == [
        f"tdnet-bench: what was measured is in {str(journal)!r}",
        f"tdnet-bench: {word}",
    ]
    assert read_run(journal).records


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--sha256", "0" * 64], "--sha256"),
        (["--engine", "x.plan", "--frames", "60"], "--engine, --frames"),
        (["--roofline"], "--roofline"),
    ],
)
def test_options_of_a_run_are_not_ignored_beside_show(bench: Bench, options: list[str], named: str) -> None:
    line = _error(bench(*options, "show", "run.json"))
    assert line == f"{named} goes with a run, not with show: leave it out"


def test_two_runs_are_compared(bench: Bench, document: Document, tmp_path: Path) -> None:
    import msgspec

    first, second = tmp_path / "a.json", tmp_path / "b.json"
    write_document(document, first)
    write_document(document, second)
    done = bench("compare", first, second)
    assert done.returncode == 0, done.stderr
    assert "A frame of the first run takes 1.000 of the second's time" in done.stdout
    other = msgspec.structs.replace(document, config=msgspec.structs.replace(document.config, height=96))
    write_document(other, second)
    assert "height is 48 and 96" in _error(bench("compare", first, second))
    assert "--side 'warp'" in _error(bench("compare", first, first, "--side", "warp"))


def test_a_document_can_be_shown_again(bench: Bench, document: Document, tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    write_document(document, path)
    done = bench("show", path)
    assert done.returncode == 0, done.stderr
    assert "LEFT OUT torch-compile: no C++ compiler" in done.stdout


def test_the_package_imports_without_its_extras() -> None:
    blocked = ("typer", "rich", "psutil", "scipy", "torch", "cv2", "av", "onnxruntime")
    done = _run(code=f"import sys\nsys.modules.update(dict.fromkeys({blocked}))\nimport tdnet_bench")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("package", ["psutil", "scipy"])
def test_a_missing_extra_is_one_line_that_installs_it(package: str, engine: Path) -> None:
    """Before anything is measured."""
    arguments = ("--engine", engine, "--backend", "fake", "--frames", "100000")
    done = _run(*arguments, code=f"import sys\nsys.modules[{package!r}] = None\n" + MAIN)
    assert "pip install 'tdnet-deploy[bench]'" in _error(done)


def test_a_page_does_not_replace_the_run_that_it_shows(
    bench: Bench, document: Document, tmp_path: Path
) -> None:
    path = tmp_path / "run.json"
    write_document(document, path)
    content = path.read_bytes()
    assert "--html and RUN are the same file" in _error(
        bench("show", path, "--html", f"{tmp_path}/./run.json")
    )
    assert path.read_bytes() == content
