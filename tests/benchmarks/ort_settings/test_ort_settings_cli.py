"""The command as its user has it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tdnet_bench.ort_settings.document import read
from tdnet_bench.ort_settings.summary import summarise
from tdnet_runtime.bundle import Bundle


def command(*arguments: object, code: str | None = None) -> subprocess.CompletedProcess[str]:
    start = ["-m", "tdnet_bench.ort_settings"] if code is None else ["-c", code]
    return subprocess.run(
        [sys.executable, *start, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "COLUMNS": "80", "NO_COLOR": "1"},
    )


def error(done: subprocess.CompletedProcess[str]) -> str:
    """The one line on stderr of a user's error."""
    assert done.returncode == 1, done.stderr
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("ort-settings: error: ")
    return line.removeprefix("ort-settings: error: ")


@pytest.fixture
def plan(tiny_bundle: Callable[[str], Path]) -> Path:
    pytest.importorskip("torch")
    pytest.importorskip("onnxruntime")
    return tiny_bundle("td2-fa18")


def test_a_measurement(plan: Path, tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    arguments = ("--engine", plan, "--frames", "3", "--threads", "2", "--json", path)
    done = command(*arguments)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert all(line.startswith("ort-settings: BUSY MACHINE: ") for line in done.stderr.splitlines())
    found = read(path)
    assert [entry.name for entry in tmp_path.glob("settings*")] == ["settings.json"]
    assert str(plan.parent) not in path.read_text()
    with Bundle.open(plan) as bundle:
        assert (found.engine, found.bundle_digest) == (plan.name, bundle.digest)
        size = bundle.manifest.input
        assert (found.network, found.height, found.width) == ("td2-fa18", size.height, size.width)
        kept = sum(bundle.manifest.members[f"graphs/fp32/{graph}.onnx"].size for graph in ("subnet1", "apm1"))
    assert (found.graphs, found.threads, found.rounds) == (("subnet1", "apm1"), 2, 3)
    assert found.summary == summarise(found.records)
    names = [variant.name for variant in found.variants]
    assert list(found.summary.variants) == names
    assert names[0] == "base"
    assert len(names) == 10
    content = json.loads(path.read_bytes())
    calls = [r for r in content["records"] if r["kind"] == "call"]
    assert len(calls) == 3 * 2 * len(names)
    assert len({(r["round"], r["graph"], r["turn"]) for r in calls}) == len(calls)
    assert len({r["variant"] for r in calls if r["turn"] == 0}) == 3  # another one first in each round
    for figures in found.summary.variants.values():
        assert figures.labels_equal > 0.9
        assert all(graph.median_ms > 0 for graph in figures.graphs.values())
    assert found.summary.forms["as exported"].size_bytes == kept
    assert len(found.summary.forms) == len(found.forms) == 5
    loads = [(r["of"], r["name"]) for r in content["records"] if r["kind"] == "load"]
    assert len(loads) == (len(names) + 5) * found.repeats
    assert {name for of, name in loads if of == "variant"} == set(names)

    again = command(*arguments, code="import sys; sys.stdout.isatty = lambda: True\n"
                    "import tdnet_bench.ort_settings as command; command.main()")  # fmt: skip
    assert again.returncode == 0, again.stderr
    assert "Loading path 1 from memory" in again.stdout
    assert read(path).environment.started_at >= found.environment.started_at


def test_without_json_the_tables_are_all_there_is(plan: Path, tmp_path: Path) -> None:
    done = command("--engine", plan, "--frames", "1", "--threads", "1")
    assert (done.returncode, done.stderr) == (0, "")
    assert "path 1 with other settings of ONNX Runtime" in done.stdout
    assert "spinning" not in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_user_errors_are_one_line(engine: Path, plan: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine.json"
    mine.write_text('{"my": "notes"}')
    assert "--json would replace another file" in error(command("--engine", plan, "--json", mine))
    assert mine.read_text() == '{"my": "notes"}'
    assert "absent.plan" in error(command("--engine", tmp_path / "absent.plan"))
    assert "not a TDNet bundle" in error(command("--engine", mine))
    assert "ONNX Runtime cannot load graph 'subnet1'" in error(command("--engine", engine))
    no_scipy = "import sys; sys.modules['scipy'] = None\nimport tdnet_bench.ort_settings as c; c.main()"
    assert "pip install 'tdnet-deploy[bench]'" in error(command("--engine", plan, code=no_scipy))


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ((), "--engine"),
        (("--engine", "x.plan", "--frames", "0"), "--frames"),
        (("--engine", "x.plan", "--threads", "0"), "--threads"),
    ],
)
def test_wrong_usage(arguments: tuple[str, ...], named: str) -> None:
    done = command(*arguments)
    assert done.returncode == 2
    assert named in done.stderr
    assert "Traceback" not in done.stderr


def test_help() -> None:
    done = command("--help")
    assert done.returncode == 0
    assert "Usage: python -m tdnet_bench.ort_settings [OPTIONS]" in done.stdout
    assert "Exit codes: 0 everything was measured" in " ".join(done.stdout.split())
