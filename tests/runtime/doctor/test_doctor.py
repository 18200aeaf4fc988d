"""The command: text, JSON, exit codes, and that no check can take it down."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tdnet_runtime import preflight
from tdnet_runtime.backends import tensorrt
from tdnet_runtime.cli import doctor as command
from tdnet_runtime.cli import doctor_main
from tdnet_runtime.doctor import abilities, examination, graphics
from tdnet_runtime.doctor.abilities import check_abilities
from tdnet_runtime.doctor.examination import Examination, examine
from tdnet_runtime.doctor.findings import Finding, Report, State, isolated
from tdnet_runtime.doctor.host import Host
from tdnet_runtime.doctor.probing import Outcome

GONE = Outcome(
    state=State.ABSENT,
    words="the package 'x' is not installed; install it with: pip install 'tdnet-deploy[x]'",
)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without children: everything works."""

    def check() -> list[Finding]:
        return list(check_abilities(lambda probes: {p: Outcome(state=State.OK, words="") for p in probes}))

    monkeypatch.setattr(abilities, "check_abilities", check)


@pytest.fixture
def run(quick, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["x", *arguments])
        with pytest.raises(SystemExit) as ended:
            doctor_main()
        return (ended.value.code, *capsys.readouterr())

    return call


def test_text_and_json_say_the_same(run) -> None:
    code, out, error = run()
    assert (code, error) == (0, "")
    assert "Processor and memory" in out
    code, out, error = run("--json")
    told = json.loads(out)
    assert (code, error, told["exit_code"], told["schema_version"]) == (0, "", 0, 1)
    assert told["platform"] == preflight.platform_name()
    assert {"section", "name", "state", "text", "fix", "facts"} == set(told["findings"][0])
    assert {each["state"] for each in told["findings"]} <= {state.value for state in State}


def test_without_rich_it_is_plain(run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tdnet_runtime.cli.doctor_view", None)
    code, out, error = run()
    assert (code, error) == (0, "")
    assert "ok       Processor and memory: cores: " in out


def test_what_was_asked_for_and_is_broken(run, tmp_path: Path) -> None:
    code, out, _ = run("--engine", str(tmp_path / "no.plan"), "--json")
    assert code == 1
    assert json.loads(out)["findings"][-1]["state"] == "broken"
    code, out, _ = run("--ros", "ros2://?domain=999")
    assert code == 1
    assert "BROKEN" in out
    assert "1 broken" in out


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--sha256", "0" * 64], 1, "tdnet-doctor: error: --sha256 goes with --engine"),
        (["--backend", "cuda"], 1, "--backend goes with --engine"),
        (["--engine"], 2, "expected one argument"),
        (["more"], 2, "unrecognized arguments: more"),
        (["--eng", "x"], 2, "unrecognized arguments"),
        (["--engine", ""], 1, "--engine was given an empty value"),
    ],
)
def test_wrong_usage(run, arguments: list[str], code: int, words: str) -> None:
    ended, out, error = run(*arguments)
    assert (ended, out, words in error, "Traceback" in error) == (code, "", True, False), error


def test_help(run) -> None:
    code, out, _ = run("--help")
    assert (code, out.startswith("usage: tdnet-doctor [-h]")) == (0, True)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("no\nway"),
        MemoryError(),
        OSError(5, "Input/output error"),
        UnicodeDecodeError("utf-8", b"", 0, 1, "x"),
    ],
)
def test_a_check_that_fails_hides_no_other(quick, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fails(host: Host) -> list[Finding]:
        raise error

    monkeypatch.setattr(graphics, "check_graphics", fails)
    report = examine(Examination())
    failed = [each for each in report.findings if each.name == "this check"]
    assert [each.section for each in failed] == ["GPU"]
    assert {each.section for each in report.findings} >= {"Packages", "Processor and memory", "System"}
    assert report.exit_code == 0
    json.loads(report.to_json())


def test_what_a_check_had_found_before_it_failed_is_kept() -> None:
    def check():
        yield Finding(section="S", name="first", state=State.OK, text="x")
        raise ValueError("second")

    assert [each.name for each in isolated("S", check)] == ["first", "this check"]


def test_strange_text_is_harmless(capsys: pytest.CaptureFixture[str]) -> None:
    """A camera's name, or a driver's words, are strangers' data."""
    odd = Finding(
        section="S",
        name="a\x1b[31m",
        state=State.WARNING,
        text="[bold]x[/] \x1b]0;t\x07 \u202e \ud800",
        fix="f\n",
    )
    report = Report(toolkit="0", python="3", platform="p", findings=(odd,))
    command._show(report)
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "[bold]x[/]" in out
    assert report.to_json().isascii()


def test_nothing_is_installed() -> None:
    """Each ability is told of with its command, nothing is broken, and that no bundle can run is said."""
    found = list(check_abilities(lambda probes: dict.fromkeys(probes, GONE)))
    assert {each.state for each in found[:-1]} == {State.ABSENT}
    assert {each.fix for each in found[:-1]} == {"pip install 'tdnet-deploy[x]'"}
    assert (found[-1].name, found[-1].state) == ("all", State.WARNING)


def test_sections_are_those_of_the_registries() -> None:
    names: dict[str, set[str]] = {}
    for each in check_abilities(lambda probes: dict.fromkeys(probes, GONE)):
        names.setdefault(each.section, set()).update(each.name.split(", "))
    assert names["Inputs"] >= {"file", "camera", "rtsp", "mcap", "rosbag2", "ros2"}
    assert names["Outputs"] >= {"labels", "mcap", "rerun", "rerun+serve", "foxglove", "ros2"}
    assert names["ROS 2 transports"] == {"rmw_zenoh", "DDS"}


def test_libraries_that_clash_are_named() -> None:
    clash = Outcome(state=State.OK, words="", alone=(("backend", "cuda"), ("package", "zenoh", "zenoh")))
    found = abilities.finding_from_outcome("S", "cv2", clash)
    assert (found.state, "kills a process that has loaded cuda, zenoh before" in found.text) == (
        State.WARNING,
        True,
    )


@pytest.mark.parametrize(
    ("words", "fix"),
    [
        ("none; install it with: pip install 'tdnet-deploy[cpu]'", "pip install 'tdnet-deploy[cpu]'"),
        ("old; pip install 'numpy>=1,<2' (others may need it)", "pip install 'numpy>=1,<2'"),
        ("a bag; convert it: pip install rosbags, then go on", "pip install rosbags"),
        ("old: pip install 'av>=11': '/x'", "pip install 'av>=11'"),
        (
            "anew: pip uninstall --yes onnxruntime && pip install onnxruntime-gpu; see",
            "pip uninstall --yes onnxruntime && pip install onnxruntime-gpu",
        ),
        (
            "no engines; tdnet-export --rebuild a,b.plan --backend x.",
            "tdnet-export --rebuild a,b.plan --backend x",
        ),
        ("tdnet-export --rebuild '/a b/(c);d.plan'", "tdnet-export --rebuild '/a b/(c);d.plan'"),
        ("differ. Build the engines anew (tdnet-export --rebuild).", ""),
        (f"not installed; {tensorrt.BACKEND.install}", ""),
    ],
)
def test_a_fix_is_a_command_that_can_be_run(words: str, fix: str) -> None:
    outcome = Outcome(state=State.BROKEN, words=words)
    assert abilities.finding_from_outcome("S", "x", outcome).fix == fix


def test_every_room_is_looked_at(quick) -> None:
    sections = {each.section for each in examine(Examination()).findings}
    assert sections >= {
        "Packages",
        "Engines",
        "Inputs",
        "Outputs",
        "GPU",
        "Processor and memory",
        "ROS 2",
        "System",
    }
    assert examination.Examination() == Examination(bundle=None, ros=None)
