"""A bundle's fitness: verified here, asked and run in children that are made up, and once in real ones."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace

import pytest

from tdnet_runtime.backends import AUTO_ORDER
from tdnet_runtime.bundle import Bundle
from tdnet_runtime.doctor import fitness
from tdnet_runtime.doctor.findings import Finding, State
from tdnet_runtime.doctor.fitness import BundleRequest, check_bundle
from tdnet_runtime.doctor.probing import Outcome, Probe

OK = Outcome(state=State.OK, words="")
RAN = Outcome(
    state=State.OK,
    words="",
    facts={"backend": "openvino", "precision": "fp32", "description": "OpenVINO, CPU", "memory_mib": 12},
)
GONE = Outcome(
    state=State.ABSENT, words="it is not installed; install it with: pip install 'tdnet-deploy[cpu]'"
)
DEAD = Outcome(state=State.BROKEN, words="it kills its process (SIGSEGV)", dead=True)

Answers = Mapping[tuple[str, str], Outcome]


@pytest.fixture
def look(host_with, made_up_bundle: Path) -> Callable[..., list[Finding]]:
    """look(answers by kind and backend, options): what is found; what has no answer is not installed."""

    def run(answers: Answers, *, files: Mapping[str, str] | None = None, **options) -> list[Finding]:
        def try_all(probes: list[Probe], **_: float) -> dict[Probe, Outcome]:
            return {each: answers.get((each[0], each[1]), GONE) for each in probes}

        request = BundleRequest(path=options.pop("path", made_up_bundle), **options)
        return list(check_bundle(host_with(files), request, try_all))

    return run


def last(found: list[Finding]) -> tuple[State, str]:
    return found[-1].state, found[-1].text


def test_the_first_that_runs_is_taken(look, made_up_bundle: Path) -> None:
    found = look({("fit", "openvino"): OK, ("fit", "onnxruntime"): OK, ("frame", "openvino"): RAN})
    assert last(found)[0] is State.OK
    assert found[-1].text.startswith(
        "openvino in fp32 is taken, and ran a black frame: OpenVINO, CPU; it took 12 MiB"
    )
    assert {each.name for each in found if each.state is State.ABSENT} == {"tensorrt", "tensorrt-rtx", "cuda"}
    assert found[1].text == hashlib.sha256(made_up_bundle.read_bytes()).hexdigest()
    assert next(each for each in found if each.name == "cuda").fix == "pip install 'tdnet-deploy[cpu]'"


def test_engines_that_nobody_has_run(made_up_bundle: Path) -> None:
    """The command goes into a shell as it stands."""
    with Bundle.open(made_up_bundle) as bundle:
        engines = SimpleNamespace(title="tensorrt/sm90", proof=None)
        names = ("network", "input", "classes", "precisions")
        given = SimpleNamespace(
            path=made_up_bundle.rename(made_up_bundle.with_name("my robot's.plan")),
            digest=bundle.digest,
            file_sha256=bundle.file_sha256,
            manifest=SimpleNamespace(
                engines=[engines], **{name: getattr(bundle.manifest, name) for name in names}
            ),
        )
        found = {each.name: each for each in fitness._verified(given)}
    assert shlex.split(found["engines"].fix) == ["tdnet-export", "--verify", str(given.path)]


def test_one_that_seems_to_fit_and_does_not_run(look) -> None:
    refuses = Outcome(state=State.BROKEN, words="ONNX Runtime refuses it")
    found = look(
        {
            ("fit", "openvino"): OK,
            ("fit", "onnxruntime"): OK,
            ("frame", "openvino"): refuses,
            ("frame", "onnxruntime"): RAN,
        }
    )
    assert [each.state for each in found][-2:] == [State.BROKEN, State.OK]


def test_one_that_takes_the_process_down(look) -> None:
    """`auto` would ask it, too."""
    found = look({("fit", "tensorrt"): DEAD, ("fit", "onnxruntime"): OK, ("frame", "onnxruntime"): RAN})
    auto = next(each for each in found if each.name == "auto")
    assert auto.state is State.BROKEN
    assert auto.fix == "--backend onnxruntime, backend='onnxruntime'"
    assert last(found)[0] is State.OK


def test_nothing_fits(look) -> None:
    assert last(look({})) == (State.BROKEN, "no backend can run this bundle here; why, is above")
    found = look({("fit", "onnxruntime"): OK}, backend="cuda")
    assert [each.name for each in found][-2:] == ["cuda", "engine"]
    assert last(look({("fit", "cuda"): OK}))[0] is State.BROKEN


def test_no_memory_to_try_it(look) -> None:
    found = look({("fit", "onnxruntime"): OK}, files={"/proc/meminfo": "MemAvailable: 0 kB\n"})
    assert (found[-1].name, found[-1].state) == ("memory", State.WARNING)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"sha256": "0" * 64}, "was asked for"),
        ({"sha256": "xyz"}, "expected the 64 hexadecimal digits"),
        ({"path": Path("absent.plan")}, "there is no such bundle"),
        ({"path": Path("/")}, "this is a folder"),
        ({"path": Path(__file__)}, "this is not a TDNet bundle"),
        ({"path": Path("a\0b")}, "cannot be opened"),
        ({"backend": "magic"}, "there is no backend 'magic'"),
        ({"precision": "fp7"}, "there is no precision 'fp7'"),
    ],
)
def test_what_cannot_be_opened_is_broken(look, options, words: str) -> None:
    found = look({("fit", "onnxruntime"): OK}, **options)
    assert (found[-1].state, words in found[-1].text) == (State.BROKEN, True), found[-1]
    assert len(found) == 1


def test_real_children(host_with, tiny_bundle: Callable[[str], Path]) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("onnxruntime")
    path = tiny_bundle("td2-fa18")
    pin = hashlib.sha256(path.read_bytes()).hexdigest()
    found = list(check_bundle(host_with(), BundleRequest(path=path, backend="onnxruntime", sha256=pin)))
    assert last(found)[0] is State.OK, found
    assert found[-1].facts["backend"] == "onnxruntime"
    assert found[-1].facts["memory_mib"] > 0


def test_every_backend_of_auto_is_asked(look) -> None:
    assert {each.name for each in look({})} >= set(AUTO_ORDER)
