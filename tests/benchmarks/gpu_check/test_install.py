"""The environment on a host without a network: what it sees, and what is said of what is missing."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import zipfile
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tdnet_bench.gpu_check import install as install_module
from tdnet_bench.gpu_check.install import (
    Group,
    InstallError,
    gpu_name,
    groups,
    install,
    join_parts,
    main,
    make_environment,
)

ROOT = Path(__file__).parents[3]
SCRIPT = ROOT / "benchmarks" / "tdnet_bench" / "gpu_check" / "install.py"


def wheel(folder: Path, name: str, *, requires: str | None = None) -> Path:
    """A wheel with one module, which says its own name."""
    path = folder / f"{name}-1.0-py3-none-any.whl"
    info = f"{name}-1.0.dist-info"
    need = f"Requires-Dist: {requires}\n" if requires else ""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}.py", f"NAME = {name!r}\n")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{need}")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    return path


def python_says(python: Path, code: str) -> str:
    own = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, env=own, check=True)
    return done.stdout.strip()


def test_what_is_installed() -> None:
    found = {group.name: group for group in groups((ROOT / "setup.cfg").read_text())}
    names = {name: [r.partition(">")[0] for r in group.requirements] for name, group in found.items()}
    needed = ["numpy", "msgspec", "psutil", "typer", "rich", "opencv-python-headless"]
    assert names["the check"] == needed
    assert {"onnx", "scipy"} <= set(names["tdnet-bench"])
    carried = (ROOT / "docs" / "gpu-check.md").read_text().partition("pip download $FOR --dest wheels ")[2]
    assert sorted(carried.partition("#")[0].split()) == sorted(needed)
    assert names["GPU access"] == ["cuda-core", "cuda-bindings"]
    assert names["ONNX Runtime for CUDA"] == ["onnxruntime-gpu"]
    assert names["TensorRT-RTX"] == ["tensorrt-rtx", "polygraphy"]
    assert [name for name, group in found.items() if group.needed] == ["the check"]


MORE = ("av", "scipy", "onnx", "jinja2", "matplotlib", "onnxruntime", "cuda", "tensorrt_rtx", "polygraphy")
WITHOUT = """
import sys
absent = set(sys.argv.pop(1).split(","))
class Finder:
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] in absent:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Finder)
"""


@pytest.mark.parametrize(
    ("absent", "code"),
    [
        (
            (*MORE, "torch", "pytest", "hypothesis"),
            "import tdnet_bench.gpu_check.cli, tdnet_bench.gpu_check.frames",
        ),
        (
            MORE,
            "import pytest; from tdnet_bench.gpu_check.check import _TESTS; "
            "sys.exit(pytest.main([*_TESTS, '-m', 'gpu', '-q', '--collect-only', '-p', 'no:cacheprovider']))",
        ),
    ],
    ids=["the check", "tests"],
)
def test_it_works_with_what_it_needs_alone(absent: tuple[str, ...], code: str) -> None:
    command = [sys.executable, "-c", WITHOUT + code, ",".join(absent)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def driver(*, status: int = 0, count: int = 1) -> Any:
    def devices(pointer: Any) -> int:
        pointer._obj.value = count
        return 0

    def named(buffer: Any, size: int, device: Any) -> int:
        assert (size, device.value) == (256, 5)
        buffer.value = b"NVIDIA Fake 100"
        return 0

    def got(pointer: Any, index: int) -> int:
        pointer._obj.value = 5 + index
        return 0

    return lambda name: SimpleNamespace(
        cuInit=lambda flags: status, cuDeviceGetCount=devices, cuDeviceGet=got, cuDeviceGetName=named
    )


def absent(name: str) -> ctypes.CDLL:
    raise OSError(f"{name}: cannot open shared object file")


def test_no_gpu() -> None:
    assert gpu_name(driver()) == "NVIDIA Fake 100"
    for load, reason in (
        (driver(count=0), "the CUDA driver finds no GPU"),
        (driver(status=999), r"the CUDA driver does not start \(cuInit returns 999\)"),
        (absent, "libcuda.so.1: cannot open"),
    ):
        with pytest.raises(InstallError, match=reason):
            gpu_name(load)


def test_split_wheels_are_joined(tmp_path: Path) -> None:
    folder, target = tmp_path / "wheels", tmp_path / "joined"
    folder.mkdir()
    target.mkdir()
    for end, part in (("ab", b"456"), ("aa", b"123"), ("ac", b"7")):
        (folder / f"big-1.0-py3-none-any.whl.{end}").write_bytes(part)
    (folder / "whole-1.0-py3-none-any.whl").write_bytes(b"x")
    assert join_parts(folder, target) == ["big-1.0-py3-none-any.whl"]
    assert [(path.name, path.read_bytes()) for path in target.iterdir()] == [
        ("big-1.0-py3-none-any.whl", b"1234567")
    ]


def test_the_environment_sees_the_host_behind_its_own(tmp_path: Path) -> None:
    """Also where the host is a virtual environment itself, as here."""
    host, wheels = tmp_path / "host", tmp_path / "wheels"
    host.mkdir()
    wheels.mkdir()
    (host / "both.py").write_text("NAME = 'host'\n")
    (host / "other.py").write_text("NAME = 'host'\n")
    wheel(wheels, "both")
    python = make_environment(tmp_path / "env", [str(host), *install_module._host_folders()])
    assert install(python, Group("g", ("both",), needed=True), [wheels]) is None
    assert python_says(python, "import both, other, numpy; print(both.NAME, other.NAME)") == "both host"


def test_a_wheel_that_is_missing(tmp_path: Path) -> None:
    python = make_environment(tmp_path / "env", install_module._host_folders())
    wheel(tmp_path, "lonely", requires="nosuchfriend")
    for name, missing in (("nosuchwheel", "nosuchwheel"), ("lonely", "nosuchfriend")):
        reason = install(python, Group("g", (name,), needed=False), [tmp_path])
        assert reason is not None
        assert missing in reason
        assert "\n" not in reason


def prepared(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, missing: str, wheels: bool = True) -> int:
    """`main` on a host with a GPU, where the group `missing` cannot be installed."""
    monkeypatch.setattr(install_module, "gpu_name", lambda: "G")
    monkeypatch.setattr(install_module, "make_environment", lambda folder, host: folder / "python")
    monkeypatch.setattr(
        install_module,
        "install",
        lambda python, group, sources: "no wheel" if group.name == missing else None,
    )
    (tmp_path / "env").mkdir(exist_ok=True)
    (tmp_path / "wheels").mkdir(exist_ok=True)
    given = ["--wheels", str(tmp_path / "wheels")] if wheels else []
    return main(["--venv", str(tmp_path / "env"), *given])


@pytest.mark.parametrize("missing", ["ONNX Runtime for CUDA", "TensorRT-RTX"])
def test_it_goes_on_without_an_engine(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str], missing: str
) -> None:
    assert prepared(monkeypatch, tmp_path, missing=missing) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"gpu-check: left out {missing} (")
    assert line.endswith("): no wheel")
    assert not (tmp_path / "env" / "wheels").exists()


def test_it_does_not_go_on_without_what_it_needs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert prepared(monkeypatch, tmp_path, missing="the check") == 1
    assert capsys.readouterr().err == (
        "gpu-check: error: the check cannot be installed from WHEELS: no wheel\n"
    )


@pytest.mark.parametrize(
    ("carried", "asked"),
    [
        (["cu13-1.7-py3-none-any.whl", "cu13_libs-1.7-py3-none-any.whl"], "tensorrt-rtx"),
        (["cu12-1.7-py3-none-any.whl", "cu12_libs-1.7-py3-none-any.whl.aa"], "tensorrt-rtx-cu12"),
        (["cu12-1.7-py3-none-any.whl", "cu13_libs-1.7-py3-none-any.whl.aa"], "tensorrt-rtx"),
        ([], "tensorrt-rtx"),
    ],
)
def test_tensorrt_rtx_of_the_cuda_that_is_carried(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    carried: list[str],
    asked: str,
) -> None:
    (tmp_path / "wheels").mkdir()
    for name in carried:
        (tmp_path / "wheels" / f"tensorrt_rtx_{name}").touch()
    assert prepared(monkeypatch, tmp_path, missing="TensorRT-RTX") == 0
    assert f"left out TensorRT-RTX ({asked}>=1.7, polygraphy" in capsys.readouterr().err


def test_no_wheels_at_all(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert prepared(monkeypatch, tmp_path, missing="", wheels=False) == 0


def test_it_runs_without_any_package(tmp_path: Path) -> None:
    """As a file, isolated: on a machine without a GPU it says so in one line."""
    with suppress(InstallError):
        pytest.skip(f"there is a {gpu_name()} here")
    done = subprocess.run(
        [sys.executable, "-I", "-S", SCRIPT, "--venv", tmp_path / "env"], capture_output=True, text=True
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("gpu-check: error: no GPU can be used here, and nothing was installed: ")
    assert not (tmp_path / "env").exists()


def test_wheels_that_are_no_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(install_module, "gpu_name", lambda: "G")
    assert main(["--venv", str(tmp_path / "env"), "--wheels", str(tmp_path / "absent")]) == 1
    assert "WHEELS is no folder" in capsys.readouterr().err
