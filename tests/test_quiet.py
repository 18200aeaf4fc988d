"""No command asks a host, nor writes anything but what it was asked for: see docs/quiet.md."""

import ast
import configparser
import importlib.util
import ipaddress
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("cv2")

from tests.watch.watcher import Seen, compiled_watch, watched

from tdnet_runtime.media.scene import render

ROOT = Path(__file__).parents[1]
SCRIPTS = {
    name.strip(): target.strip()
    for name, target in (
        line.split("=")
        for line in (lambda parser: (parser.read(ROOT / "setup.cfg"), parser)[1])(
            configparser.ConfigParser()
        )["options.entry_points"]["console_scripts"]
        .strip()
        .splitlines()
    )
}
"""By name, `module:function`."""


def installed(*modules: str) -> bool:
    return all(importlib.util.find_spec(module) is not None for module in modules)


@dataclass(frozen=True)
class Given:
    """What the commands are given."""

    checkpoint: Path
    bundle: Path
    images: Path
    data: Path


@dataclass(frozen=True)
class Case:
    """One command line; see `watched`. Processes of one that is `several` speak to each other, on this machine."""

    name: str
    script: str
    arguments: Callable[[Given], list[object]]
    needs: tuple[str, ...] = ()
    slow: bool = False
    several: bool = False


CASES = (
    Case(
        "export",
        "tdnet-export",
        lambda given: [
            "--ckpt",
            given.checkpoint,
            "--out",
            "x.plan",
            "--precision",
            "fp32",
            "--precision",
            "fp16",
        ],
    ),
    Case(
        "export-rtx",
        "tdnet-export",
        lambda given: ["--ckpt", given.checkpoint, "--out", "x.plan", "--backend", "tensorrt-rtx"],
        needs=("tensorrt_rtx", "polygraphy"),
    ),
    Case(
        "export-int8",
        "tdnet-export",
        lambda given: [
            *("--ckpt", given.checkpoint, "--out", "x.plan", "--precision", "int8"),
            *("--calibration", given.images, "--max-loss", "0.9"),
        ],
        needs=("nncf",),
    ),
    Case(
        "rebuild",
        "tdnet-export",
        lambda given: ["--rebuild", given.bundle, "--backend", "tensorrt-rtx", "--precision", "fp32"],
        needs=("tensorrt_rtx", "polygraphy"),
    ),
    Case("inspect", "tdnet-inspect", lambda given: [given.bundle, "--extract", "members"]),
    Case("doctor", "tdnet-doctor", lambda given: ["--engine", given.bundle]),
    *(
        Case(
            f"run-{backend}",
            "tdnet-run",
            lambda given, backend=backend: [
                *("--engine", given.bundle, "--backend", backend, "--input", given.images),
                *("--overlay", "overlay.mp4", "--labels", "labels"),
            ],
            needs=needs,
        )
        for backend, needs in (("onnxruntime", ("onnxruntime",)), ("openvino", ("openvino",)), ("auto", ()))
    ),
    Case(
        "bench",
        "tdnet-bench",
        lambda given: [
            *("--engine", given.bundle, "--ckpt", given.checkpoint, "--input", given.images, "--frames", "3"),
            *("--backend", "onnxruntime", *(("--backend", "openvino") if installed("openvino") else ())),
            *(
                "--peer",
                "pytorch",
                "--peer",
                "pytorch-channels-last",
                "--html",
                "page.html",
                "--json",
                "run.json",
            ),
        ],
        needs=("matplotlib", "jinja2", "onnxruntime"),
    ),
    Case(
        "eval",
        "tdnet-eval",
        lambda given: [
            *("--engine", given.bundle, "--backend", "onnxruntime", "--ckpt", given.checkpoint),
            *("--data", given.data, "--split", "val", "--pictures", "pictures", "--json", "eval.json"),
        ],
        needs=("matplotlib", "onnxruntime"),
    ),
    Case(
        "batch",
        "tdnet-batch",
        lambda given: [
            *(
                "--engine",
                given.bundle,
                "--backend",
                "onnxruntime",
                "--input",
                given.images,
                "--output",
                "labels",
            ),
        ],
        needs=("ray", "fsspec", "onnxruntime"),
        slow=True,
        several=True,
    ),
    Case(
        "train",
        "tdnet-train",
        lambda given: ["--config", given.data / "train.toml", "--out", "run"],
        needs=("kornia", "matplotlib", "tomli_w", "yaml"),
    ),
    Case(
        "bench-roofline",
        "tdnet-bench",
        lambda given: [
            *("--engine", given.bundle, "--input", given.images, "--frames", "2"),
            *("--backend", "onnxruntime", "--peer", "none", "--roofline"),
        ],
        needs=("onnxruntime", "onnx"),
        slow=True,
    ),
    Case(
        "bench-compile",
        "tdnet-bench",
        lambda given: [
            *("--engine", given.bundle, "--input", given.images, "--frames", "2"),
            *("--backend", "onnxruntime", "--peer", "torch-compile"),
        ],
        needs=("onnxruntime",),
        slow=True,
    ),
)


HOMELESS = (
    next(case for case in CASES if case.name == "run-auto"),
    Case(  # the least in which PyTorch and Matplotlib are asked for their folders
        "bench",
        "tdnet-bench",
        lambda given: [
            *("--engine", given.bundle, "--ckpt", given.checkpoint, "--input", given.images, "--frames", "1"),
            *("--backend", "onnxruntime", "--peer", "pytorch", "--html", "page.html"),
        ],
        needs=("matplotlib", "jinja2", "onnxruntime"),
    ),
)


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    try:
        return compiled_watch(tmp_path_factory.mktemp("watch"))
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no C compiler for the watch: {error}")


@pytest.fixture
def given(tiny_checkpoint, tiny_bundle, tmp_path: Path) -> Given:
    """A bundle of the test's own, since one command writes into it."""
    import cv2

    bundle = tmp_path / "given" / "tiny.plan"
    images = tmp_path / "given" / "images"
    images.mkdir(parents=True)
    bundle.write_bytes(tiny_bundle("td2-fa18").read_bytes())
    for t in range(12):
        cv2.imwrite(str(images / f"{t}.png"), np.ascontiguousarray(render(t, height=64, width=96)[..., ::-1]))
    data = tmp_path / "given" / "data"
    for part, channels in (("images", 3), ("labels", 1)):
        (data / part / "val").mkdir(parents=True)
        cv2.imwrite(str(data / part / "val" / "0.png"), np.ones((64, 96, channels), np.uint8))
    (data / "names.txt").write_text("a\nb\nc\nd\ne\n")
    (data / "train.toml").write_text(
        f"train_split = 'val'\nvalidation.split = ''\nnetwork = {{name = 'td2-fa18', size = [64, 96], width = 0.125}}\n"
        f"data = {{root = '{data}', may_be_empty = ['a', 'c', 'd', 'e']}}\nstages = [{{steps = 2}}]\nrun.batch = 1\n"
    )
    return Given(tiny_checkpoint("td2-fa18"), bundle, images, data)


def started(script: str, arguments: list[object]) -> list[str]:
    module, _, function = SCRIPTS[script].partition(":")
    return ["python", "-c", f"from {module} import {function}; {function}()", *map(str, arguments)]


def require(case: Case) -> None:
    if not installed(*case.needs):
        pytest.skip(f"needs {', '.join(case.needs)}")


@pytest.mark.parametrize(
    "case", [pytest.param(case, id=case.name, marks=[pytest.mark.slow] * case.slow) for case in CASES]
)
def test_a_command_asks_nobody_and_leaves_nothing(case: Case, library, given, tmp_path) -> None:
    require(case)
    # `--rebuild` writes the bundle anew, beside it first
    allowed = (given.bundle.parent,) if case.name == "rebuild" else ()
    command = started(case.script, case.arguments(given))
    seen = watched(library, tmp_path / "watched", command, allowed=allowed)
    assert seen.done.returncode == 0, seen.done.stderr
    asked = [host for host in seen.asked if not (case.several and on_the_loopback(host))]
    astray = [path for path in seen.astray if not (case.several and path.startswith("/tmp/tdnet-ray-"))]
    assert (asked, astray, seen.left) == ([], [], [])


def on_the_loopback(host: str) -> bool:
    """Whether an address with a port or without, or a name, is reached without a network."""
    if host.startswith("["):
        host = host[1:].partition("]")[0]
    elif host.count(":") == 1:
        host = host.partition(":")[0]
    if host == "localhost":
        return True
    try:
        found = ipaddress.ip_address(host)
    except ValueError:
        return False
    return (getattr(found, "ipv4_mapped", None) or found).is_loopback


@pytest.mark.parametrize(
    "host", ["localhost", "127.0.0.1", "127.0.0.1:80", "::1", "[::1]:80", "[::ffff:127.0.0.1]:80"]
)
def test_what_is_on_the_loopback(host: str) -> None:
    assert on_the_loopback(host)


@pytest.mark.parametrize(
    "host", ["here", "here:80", "0.0.0.0", "192.0.2.2:80", "[2001:db8::1]:80", "[::ffff:192.0.2.2]:80"]
)
def test_what_is_not_on_the_loopback(host: str) -> None:
    assert not on_the_loopback(host)


REPORTING = {"onnxruntime", "openvino", "nncf"}


def test_what_reports_is_imported_in_one_place() -> None:
    """An import that goes past `import_without_telemetry` may be the process's first."""
    past = []
    for folder in ("models", "runtime", "export", "benchmarks"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Import):
                    names = [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom):
                    names = [node.module or ""]
                elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(
                    ("import_module", "require")
                ):
                    names = [str(a.value) for a in node.args[:1] if isinstance(a, ast.Constant)]
                else:
                    continue
                past += [f"{path}:{node.lineno}" for name in names if name.partition(".")[0] in REPORTING]
    assert past == []


def test_every_console_script_is_watched() -> None:
    assert {case.script for case in CASES} == set(SCRIPTS)


@pytest.mark.parametrize("home", [None, "/proc/nobody"], ids=["unset", "cannot be made"])
@pytest.mark.parametrize("case", HOMELESS, ids=lambda case: case.name)
def test_no_home_is_needed(case: Case, home: str | None, library, given, tmp_path) -> None:
    require(case)
    seen = watched(library, tmp_path / "watched", started(case.script, case.arguments(given)), HOME=home)
    assert seen.done.returncode == 0, seen.done.stderr
    assert "Traceback" not in seen.done.stderr
    assert (seen.asked, seen.astray, seen.left) == ([], [], [])


def in_python(library: Path, folder: Path, lines: str, **variables: str | None) -> Seen:
    seen = watched(library, folder, ["python", "-c", lines], **variables)
    assert seen.done.returncode == 0, seen.done.stderr
    return seen


class TestTheWatchSees:
    def test_nothing_where_nothing_is(self, library, tmp_path) -> None:
        assert in_python(library, tmp_path / "w", "open('mine', 'w').close()").quiet

    def test_a_look_up(self, library, tmp_path) -> None:
        lines = "import socket\ntry: socket.getaddrinfo('collector.invalid', 443)\nexcept OSError: pass"
        assert in_python(library, tmp_path / "w", lines).asked == ["collector.invalid"]

    def test_a_datagram_of_a_child(self, library, tmp_path) -> None:
        inner = "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect(('127.0.0.1', 9))"
        lines = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {inner!r}], check=True)"
        assert in_python(library, tmp_path / "w", lines).asked == ["127.0.0.1:9"]

    def test_a_file_that_is_gone_again(self, library, tmp_path) -> None:
        lines = "import os, pathlib; path = pathlib.Path.home() / 'id'; path.write_text('7'); path.unlink()"
        seen = in_python(library, tmp_path / "w", lines)
        assert (seen.astray, seen.left) == ([str(tmp_path / "w/home/id")], [])

    def test_what_is_left_in_the_temporary_folder(self, library, tmp_path) -> None:
        seen = in_python(library, tmp_path / "w", "import tempfile; tempfile.mkdtemp(prefix='left-')")
        assert len(seen.left) == 1
        assert Path(seen.left[0]).name.startswith("left-")

    def test_native_code(self, library, tmp_path) -> None:
        """ONNX Runtime's own reports, which a user's own setting has switched on."""
        ort = pytest.importorskip("onnxruntime", minversion="1.29")
        del ort
        lines = (
            "from tdnet_runtime.backends.onnxruntime import unavailable\nassert unavailable() is None\n"
            "import os; assert os.environ['ORT_DISABLE_TELEMETRY'] == '0'"
        )
        seen = in_python(library, tmp_path / "w", lines, ORT_DISABLE_TELEMETRY="0")
        if not seen.left:
            pytest.skip("this build of ONNX Runtime has no telemetry")
        assert any(Path(path).name == "deviceid" for path in seen.left)
        assert any(".onnxruntime" in path for path in seen.astray)

    @pytest.mark.slow  # it waits for the first report
    def test_native_code_that_looks_a_host_up(self, library, tmp_path) -> None:
        pytest.importorskip("onnxruntime", minversion="1.29")
        lines = "import time, onnxruntime\ntime.sleep(25)"
        seen = in_python(library, tmp_path / "w", lines)
        if not seen.left:
            pytest.skip("this build of ONNX Runtime has no telemetry")
        assert seen.asked
