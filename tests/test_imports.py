"""What importing brings, and what is missing without the extras: each case in a process of its own."""

from __future__ import annotations

import configparser
import importlib
import json
import os
import re
import subprocess
import sys
import typing
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from types import ModuleType

import pytest

import tdnet_runtime
from tdnet_runtime.extras import BRINGS

ROOT = Path(__file__).parents[1]
PACKAGES = {
    "tdnet_batch": "runtime",
    "tdnet_data": "models",
    "tdnet_eval": "models",
    "tdnet_models": "models",
    "tdnet_train": "models",
    "tdnet_runtime": "runtime",
    "tdnet_export": "export",
    "tdnet_bench": "benchmarks",
}
OPTIONAL = (
    "torch",
    "onnx",
    "onnxruntime",
    "onnxscript",
    "cv2",
    "av",
    "typer",
    "rich",
    "psutil",
    "scipy",
    "cuda",
    "tensorrt",
    "tensorrt_rtx",
    "polygraphy",
    "openvino",
    "prometheus_client",
    "mcap",
    "zstandard",
    "lz4",
    "rerun",
    "foxglove",
    "zenoh",
    "cyclonedds",
    "ray",
    "fsspec",
)
FIRST_MISSING = {
    "tdnet-batch": "ray",
    "tdnet-export": "export",
    "tdnet-bench": "bench",
    "tdnet-eval": "eval",
    "tdnet-train": "train",
    "tdnet-run": "cli",
    "tdnet-inspect": "cli",
}
"""Console scripts, and the extra that each one's error installs."""
NEED_NONE = {"tdnet-doctor"}
"""Console scripts that work without any: what is missing is what they tell."""

BLOCK = f"""
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {OPTIONAL!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Blocked())
"""


def _scripts() -> dict[str, str]:
    """Console scripts of setup.cfg and their functions, `package.module:function`."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    lines = config["options.entry_points"]["console_scripts"].strip().splitlines()
    return {name.strip(): function.strip() for name, _, function in (line.partition("=") for line in lines)}


def _listed_packages() -> list[str]:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    return config["options"]["packages"].split()


@pytest.fixture
def python(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """python(code, *arguments): run it in a new process in an empty folder; warnings are errors."""
    own = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    path = os.pathsep.join(str(ROOT / folder) for folder in PACKAGES.values())

    def run(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-W", "error", "-c", code, *map(str, arguments)],
            cwd=tmp_path,
            env={**own, "PYTHONPATH": path, "COLUMNS": "200"},
            capture_output=True,
            text=True,
            timeout=120,
        )

    return run


@pytest.mark.parametrize(
    "package",
    [
        *PACKAGES,
        "tdnet_runtime.cli",
        "tdnet_runtime.live",
        "tdnet_runtime.media",
        "tdnet_runtime.ros",
        "tdnet_runtime.serving",
        "tdnet_runtime.serving.remote",
        "tdnet_runtime.sinks",
        "tdnet_runtime.sinks.registry",
        "tdnet_runtime.sources",
        "tdnet_runtime.sources.registry",
        "tdnet_runtime.transports",
        "tdnet_runtime.backends",
    ],
)
def test_packages_import_without_any_extra(
    python: Callable[..., subprocess.CompletedProcess[str]], package: str
) -> None:
    done = python(f"{BLOCK}\nimport {package}; print({package}.__name__)")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{package}\n", "")


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_bring_nothing_optional(
    python: Callable[..., subprocess.CompletedProcess[str]], package: str
) -> None:
    """Although all of it is installed here."""
    done = python(f"import json, sys, {package}; print(json.dumps(sorted(sys.modules)))")
    assert (done.returncode, done.stderr) == (0, "")
    roots = {name.partition(".")[0] for name in json.loads(done.stdout)}
    assert roots.isdisjoint(OPTIONAL)
    assert {name for name in roots if name.startswith("tdnet_")} <= {package, "tdnet_runtime"}


def test_the_runtime_brings_numpy_and_msgspec_alone(
    python: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    """And what these two bring themselves."""
    code = "import json, sys, {}; print(json.dumps([name.partition('.')[0] for name in sys.modules]))"
    base, runtime = (
        set(json.loads(python(code.format(names)).stdout))
        for names in ("numpy, msgspec", "tdnet_runtime; from tdnet_runtime import *")
    )
    assert runtime - base - set(sys.stdlib_module_names) == {"tdnet_runtime"}


def test_what_is_for_live_operation_comes_only_where_it_is_asked_for(
    python: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    code = """
import sys
from tdnet_runtime import *
print([name for name in sys.modules if "live" in name or name == "asyncio"])
"""
    assert python(code).stdout == "[]\n"


def test_a_segmenter_needs_no_extra_but_its_engine(
    python: Callable[..., subprocess.CompletedProcess[str]],
    tiny_bundle: Callable[[str], Path],
) -> None:
    """Frames of the network's size, without OpenCV: what `pip install tdnet-deploy[cpu]` gives."""
    pytest.importorskip("torch")
    block = BLOCK.replace("'onnxruntime', ", "")
    code = f"""{block}
import numpy
from tdnet_runtime import FrameError, Segmenter
with Segmenter.open(sys.argv[1]) as segmenter, segmenter.stream() as stream:
    size = segmenter.manifest.input
    print(stream.push(numpy.zeros((size.height, size.width, 3), numpy.uint8)).labels.shape)
    stream.reset()
    try:
        stream.push(numpy.zeros((30, 40, 3), numpy.uint8))
    except FrameError as error:
        print(error)
"""
    done = python(code, tiny_bundle("td2-fa18"))
    assert (done.returncode, done.stderr) == (0, "")
    shape, error = done.stdout.splitlines()
    assert shape == "(64, 96)"
    assert "without OpenCV" in error


def test_images_are_read_and_engines_rebuilt_without_pyav(
    python: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    """As on a GPU host, which gets wheels by hand. A video says what is missing."""
    cv2 = pytest.importorskip("cv2")
    pytest.importorskip("torch")
    import numpy

    cv2.imwrite(str(tmp_path / "a.png"), numpy.zeros((8, 8, 3), numpy.uint8))
    (tmp_path / "a.mp4").write_bytes(b"0")
    code = """
import sys
sys.modules["av"] = None
import tdnet_bench.cli, tdnet_export.cli
from tdnet_export.engines import rebuild
from tdnet_runtime.media.sources import open_source
with open_source(sys.argv[1]) as source:
    print(len(list(source)))
try:
    open_source(sys.argv[1] + "/a.mp4")
except ImportError as error:
    print(error.name)
"""
    done = python(code, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == ["1", "av"]


def test_all_scripts_are_known_here() -> None:
    assert _scripts().keys() == FIRST_MISSING.keys() | NEED_NONE


def test_the_doctor_works_without_any_extra(python: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """As text without Rich; the children that try things are not blocked."""
    done = python(f"{BLOCK}\nfrom tdnet_runtime.cli import doctor_main; doctor_main()")
    assert done.stderr == ""
    assert re.search(r"^ok +Processor and memory: cores: \d+ of \d+", done.stdout, re.MULTILINE), done.stdout


@pytest.mark.parametrize("arguments", [(), ("--help",)], ids=["bare", "help"])
@pytest.mark.parametrize("script", FIRST_MISSING)
def test_scripts_without_their_extra_say_what_installs_it(
    python: Callable[..., subprocess.CompletedProcess[str]], script: str, arguments: tuple[str, ...]
) -> None:
    module, function = _scripts()[script].split(":")
    done = python(f"{BLOCK}\nfrom {module} import {function}; {function}()", *arguments)
    extra = FIRST_MISSING[script]
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(
        rf"{script}: error: the package '\w+' is not installed; install it with: "
        rf"pip install 'tdnet-deploy\[{extra}\]'\n",
        done.stderr,
    ), done.stderr


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Twelve frames of the rendered scene, 60x84, as a video file."""
    import av

    from tdnet_runtime.media.scene import render

    path = tmp_path / "clip.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=Fraction(25))
        stream.height, stream.width, stream.pix_fmt = 60, 84, "yuv420p"
        for index in range(12):
            frame = av.VideoFrame.from_ndarray(render(index, height=60, width=84), format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def test_a_whole_run_never_imports_torch(
    python: Callable[..., subprocess.CompletedProcess[str]],
    tiny_bundle: Callable[[str], Path],
    clip: Path,
    tmp_path: Path,
) -> None:
    pytest.importorskip("torch")
    code = """
import json, sys
from tdnet_runtime.cli import run_main
try:
    run_main()
except SystemExit as error:
    with open("seen.json", "w") as file:
        json.dump({"code": error.code, "modules": sorted(sys.modules)}, file)
"""
    done = python(
        code,
        "--engine",
        tiny_bundle("td4-psp18"),
        "--backend",
        "onnxruntime",
        "--input",
        clip,
        "--labels",
        "labels",
        "--overlay",
        "o.mp4",
    )
    seen = json.loads((tmp_path / "seen.json").read_text())
    assert seen["code"] in (0, None), done.stderr
    assert len(list((tmp_path / "labels").glob("*.png"))) == 12
    assert (tmp_path / "o.mp4").stat().st_size > 1000
    roots = {name.partition(".")[0] for name in seen["modules"]}
    assert {"onnxruntime", "av", "cv2", "tdnet_runtime"} <= roots  # it did run
    assert roots.isdisjoint(
        {"torch", "onnx", "scipy", "psutil", "tdnet_models", "tdnet_export", "tdnet_eval", "tdnet_bench"}
    )


# The public surface


def _own_names(module: ModuleType) -> set[str]:
    """Public names that the module offers from its own package: no modules, nothing of others."""
    return {
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and not isinstance(value, ModuleType)
        and str(getattr(value, "__module__", "")).partition(".")[0] == module.__name__.partition(".")[0]
    }


@pytest.mark.parametrize("package", _listed_packages())
def test_all_is_what_can_be_imported(package: str) -> None:
    if package == "tdnet_models":
        pytest.importorskip("torch")
    module = importlib.import_module(package)
    names = getattr(module, "__all__", [])
    assert all(hasattr(module, name) for name in names)
    assert list(names) == sorted(set(names), key=lambda name: (not name.isupper(), name))
    if package == "tdnet_runtime":
        assert set(names) == _own_names(module)
    elif package in PACKAGES:  # lazy, or a `main` alone
        assert _own_names(module) - set(names) <= {"launch"}


@pytest.mark.parametrize("package", ["tdnet_models", "tdnet_runtime"])
def test_unknown_names_of_lazy_packages(package: str) -> None:
    module = importlib.import_module(package)
    for name in ("load_chekpoint", "not.there"):
        with pytest.raises(AttributeError, match=f"module '{package}' has no attribute '{name}'"):
            getattr(module, name)


def test_threads_may_ask_for_names_at_once(python: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    code = """
import threading
import tdnet_runtime
begin, found = threading.Barrier(3), []
def ask(name):
    begin.wait()
    found.append(getattr(tdnet_runtime, name))
threads = [threading.Thread(target=ask, args=(name,)) for name in ("Segmenter", "Result", "Bundle")]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert len(found) == 3, found
"""
    done = python(code)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_module_and_a_name_of_it_may_be_imported_at_once(
    python: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    """The module imports another one of the package by name while it is imported itself."""
    code = """
import importlib, sys, threading, time
import tdnet_runtime
class Slow:
    def find_spec(self, name, path=None, target=None):
        if name == "tdnet_runtime.gpu.labels" and threading.current_thread() is not threading.main_thread():
            begun.set()
            time.sleep(0.1)
begun = threading.Event()
sys.meta_path.insert(0, Slow())
thread = threading.Thread(target=importlib.import_module, args=("tdnet_runtime.gpu.labels",), daemon=True)
thread.start()
begun.wait()
assert tdnet_runtime.DeviceLabels
thread.join()
"""
    done = python(code)
    assert (done.returncode, done.stderr) == (0, "")


def test_modules_are_there_without_an_import_of_their_own(
    python: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    done = python("import tdnet_runtime\nassert tdnet_runtime.bundle.Bundle is tdnet_runtime.Bundle")
    assert done.returncode == 0, done.stderr


def test_tools_can_read_what_stream_gives() -> None:
    """The class is named where it is annotated, though it is imported when it is asked for."""
    hints = typing.get_type_hints(tdnet_runtime.Segmenter.stream)
    assert hints["return"] == tdnet_runtime.Stream | tdnet_runtime.DeviceStream


def test_a_robot_without_a_gpu_imports_nothing_for_one(
    python: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    """Each module is a part of the time to the first mask; what is left out is there where it is asked for."""
    code = """
import sys
import tdnet_runtime
from tdnet_runtime import Bundle, MemoryUse, Result, Segmenter, Stream, StreamSnapshot, StreamState
late = ("tdnet_runtime.device_stream", "tdnet_runtime.gpu.device", "tdnet_runtime.gpu.labels")
assert not [name for name in late if name in sys.modules]
assert {*tdnet_runtime.__all__} <= {*dir(tdnet_runtime)}
assert not [name for name in late if name in sys.modules]
from tdnet_runtime import DeviceLabels, DeviceResult, DeviceStream
assert DeviceStream.__module__ == "tdnet_runtime.device_stream"
"""
    done = python(code)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("package", [*sorted(PACKAGES), "tdnet_runtime.cli"])
def test_signals_are_a_commands_own_before_anything_heavy_is_imported(
    python: Callable[..., subprocess.CompletedProcess[str]], package: str
) -> None:
    """Until `launch` is called, Ctrl-C is a traceback."""
    done = python(
        f"import sys, {package}; print(sorted({{'numpy', 'msgspec', 'asyncio'}} & {{*sys.modules}}))"
    )
    assert done.stdout == "[]\n"


def test_models_without_torch_say_what_installs_it(
    python: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    code = f"""{BLOCK}
import tdnet_models
from tdnet_runtime import MissingExtraError
for name in tdnet_models.__all__:
    try:
        getattr(tdnet_models, name)
    except MissingExtraError as error:
        assert str(error) == (
            f"tdnet_models.{{name}} needs PyTorch, which is not installed; install it with: "
            "pip install 'tdnet-deploy[export]'"
        ), error
    else:
        raise AssertionError(name)
"""
    done = python(code)
    assert (done.returncode, done.stderr) == (0, "")


def test_public_modules_export_what_they_list() -> None:
    """Every module's `__all__` names exist: a rename cannot leave one behind."""
    pytest.importorskip("torch")
    count = 0
    for package, folder in PACKAGES.items():
        for path in sorted((ROOT / folder / package).rglob("*.py")):
            parts = path.relative_to(ROOT / folder).with_suffix("").parts
            if parts[-1] == "__main__":
                continue
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            try:
                module = importlib.import_module(name)
            except ModuleNotFoundError as error:
                if not any(str(error.name) in brought for brought in BRINGS.values()):
                    raise
                continue  # an extra's
            missing = [public for public in getattr(module, "__all__", []) if not hasattr(module, public)]
            assert not missing, (name, missing)
            count += 1
    assert count > 40


def test_the_blocker_blocks(python: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """Or the tests above would prove nothing."""
    for name in OPTIONAL:
        done = python(f"{BLOCK}\nimport {name}.anything")
        assert done.returncode == 1
        assert f"No module named '{name}" in done.stderr


_WIDENS = re.compile(r"[-+*] ?np\.u?int(?:p|\d+)\(|\bnp\.u?int(?:p|\d+)\([^()]*\) ?[-+*]")


@pytest.mark.parametrize("package", sorted(PACKAGES))
def test_no_array_is_widened_by_a_scalar_of_numpys(package: str) -> None:
    """NumPy 1 keeps an array's own type beside a scalar that fits it: uint8 labels times a large one wrap around."""
    for path in (ROOT / PACKAGES[package] / package).rglob("*.py"):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            assert not _WIDENS.search(line.split("#")[0]), f"{path}:{number}: write array.astype(type) first"
