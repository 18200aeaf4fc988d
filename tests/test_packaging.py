"""What is installed is what is in the tree: packages, scripts, extras, versions."""

import configparser
import importlib
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("models", "runtime", "export", "benchmarks")


@pytest.fixture(scope="module")
def setup_cfg():
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    return parser


def lines(text):
    return [line.strip() for line in text.strip().splitlines() if line.strip()]


def test_every_package_is_listed(setup_cfg):
    found = {
        ".".join(init.parent.relative_to(ROOT / folder).parts)
        for folder in FOLDERS
        for init in (ROOT / folder).rglob("__init__.py")
    }
    assert set(lines(setup_cfg["options"]["packages"])) == found


def test_console_scripts_exist(setup_cfg):
    for line in lines(setup_cfg["options.entry_points"]["console_scripts"]):
        module, function = line.split("=")[1].strip().split(":")
        assert callable(getattr(importlib.import_module(module), function)), line


def test_base_dependencies_stay_light(setup_cfg):
    names = {re.split(r"[<>=]", line)[0] for line in lines(setup_cfg["options"]["install_requires"])}
    assert names == {"numpy", "msgspec"}


def test_export_and_bench_cover_every_command(setup_cfg):
    extras = setup_cfg["options.extras_require"]
    for extra in ("export", "bench"):
        assert "tdnet-deploy[cpu,cli]" in lines(extras[extra])


def test_no_extra_brings_tensorrt_but_its_own(setup_cfg):
    """TensorRT comes from NVIDIA's index alone, and onnxruntime-gpu breaks onnxruntime: neither by accident."""
    extras = setup_cfg["options.extras_require"]

    def brings(extra):
        names = set()
        for line in lines(extras[extra]):
            if line.startswith("tdnet-deploy["):
                names.update(*(brings(other) for other in line[13:-1].split(",")))
            else:
                names.add(re.split(r"[\[<>=]", line)[0])
        return names

    assert [extra for extra in extras if "tensorrt" in brings(extra)] == ["tensorrt"]
    assert [extra for extra in extras if "onnxruntime-gpu" in brings(extra)] == ["cuda"]
    assert "tensorrt-rtx" in brings("dev")  # it builds without a GPU, so CI does


def test_version_is_the_changelogs():
    from tdnet_runtime import __version__

    newest = re.search(r"^## \[(\d+\.\d+\.\d+)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest is not None
    assert newest[1] == __version__


def test_constraints_pin_torch():
    assert "torch==2.13.0" in lines((ROOT / "constraints.txt").read_text())


@pytest.mark.slow
def test_wheel_holds_exactly_the_packages(setup_cfg, tmp_path):
    pytest.importorskip("build")
    command = [sys.executable, "-m", "build", "--wheel", "--outdir", str(tmp_path), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        folders = {Path(name).parent.as_posix() for name in archive.namelist() if ".dist-info" not in name}
        assert {"tdnet_runtime/py.typed", "tdnet_models/py.typed"} <= set(archive.namelist())
    assert {folder.replace("/", ".") for folder in folders} == set(lines(setup_cfg["options"]["packages"]))
