"""Metadata of packages: what extras lack, what is too old, what clashes. Nothing of it is imported."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tdnet_runtime.doctor import packages
from tdnet_runtime.doctor.findings import Finding, State
from tdnet_runtime.doctor.packages import Installed, check_packages

TOOLKIT = (
    "numpy>=1.24", "msgspec>=0.18", "onnxruntime>=1.18; extra == 'cpu'", "onnxruntime-gpu>=1.20; extra == 'cuda'",
    "tdnet-deploy[cpu]; extra == 'export'", "torch>=2.5; extra == 'export'", "av>=17; extra == 'cli'",
    "opencv-python-headless>=4.8; extra == 'cli'", "hypothesis; extra == 'dev'",
    "nothing>=1; python_version < '3' and extra == 'dds'", "rerun-sdk>=0.23; extra == 'rerun'",
)  # fmt: skip


@pytest.fixture
def install(tmp_path: Path) -> Callable[..., None]:
    """install(name, version, *requirements, folder=...): as pip records it."""

    def make(name: str, version: str, *requires: str, folder: str = "site") -> None:
        record = tmp_path / folder / f"{name.replace('-', '_')}-{version}.dist-info"
        record.mkdir(parents=True)
        lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
        (record / "METADATA").write_text(
            "\n".join([*lines, *(f"Requires-Dist: {r}" for r in requires)]) + "\n"
        )

    make("tdnet-deploy", "0.1.0", *TOOLKIT)
    make("msgspec", "0.20")
    return make


@pytest.fixture
def look(host_with, by_name, tmp_path: Path) -> Callable[[], dict[str, Finding]]:
    pytest.importorskip("packaging")
    folders = [str(tmp_path / name) for name in ("site", "system")]
    return lambda: by_name(check_packages(host_with(), Installed(folders)))


def test_what_each_extra_lacks(install, look) -> None:
    install("numpy", "2.1.0")
    install("onnxruntime", "1.20.0")
    install("av", "14.0.0")
    found = look()
    assert found["core"].text == "numpy 2.1.0, msgspec 0.20"
    assert found["cpu"].state is State.OK
    assert (found["export"].state, found["export"].fix) == (
        State.ABSENT,
        "pip install 'tdnet-deploy[export]'",
    )
    assert found["cli"].state is State.WARNING
    assert found["cli"].text.endswith("another version: av 14.0.0 (needs >=17)")
    assert not found.keys() & {"dev", "dds"}


def test_no_command_makes_two_onnxruntimes(install, look) -> None:
    install("numpy", "2.1.0")
    install("onnxruntime", "1.20.0")
    fix = look()["cuda"].fix
    assert fix == "pip uninstall --yes onnxruntime && pip install 'tdnet-deploy[cuda]'"


def test_a_wheel_of_the_same_files_stands_in(install, look) -> None:
    install("numpy", "2.1.0")
    install("onnxruntime-gpu", "1.20.0")
    install("opencv-contrib-python", "4.10")
    install("av", "18")
    found = look()
    assert (found["cpu"].state, found["cuda"].state, found["cli"].state) == (State.OK,) * 3
    assert "opencv-contrib-python 4.10" in found["cli"].text


@pytest.mark.parametrize(
    ("wheels", "kept"),
    [
        (("onnxruntime", "onnxruntime-gpu"), "onnxruntime-gpu"),
        (("opencv-python", "opencv-python-headless"), "opencv-python-headless"),
        (("opencv_contrib_python", "opencv-python"), "opencv-python"),
    ],
)
def test_wheels_that_clash(install, look, wheels: tuple[str, str], kept: str) -> None:
    install("numpy", "2.1.0")
    for wheel in wheels:
        install(wheel, "1.30" if "onnx" in wheel else "4.10")
    found = next(each for name, each in look().items() if " + " in name)
    assert (found.state, found.fix.rpartition(" ")[2]) == (State.WARNING, kept)
    assert found.fix.startswith("pip uninstall --yes ")


def test_numpy_1_below_a_wheel_of_numpy_2(install, look) -> None:
    install("numpy", "1.26.4")
    install("rerun-sdk", "0.41", "numpy>=2", "pillow>=8; extra == 'x'", "absent>=3")
    found = look()["numpy"]
    assert found.text == "numpy 1.26.4 is installed, rerun-sdk 0.41 needs >=2"
    assert found.fix.startswith("pip install 'numpy>=2'")


def test_one_package_in_two_folders(install, look) -> None:
    install("numpy", "2.1.0")
    install("numpy", "1.21.5", folder="system")
    found = look()["numpy"]
    assert found.state is State.NOTE
    assert found.text.startswith("it is there several times: 2.1.0 in ")


def test_another_name_of_a_folder_is_no_other_folder(install, host_with, by_name, tmp_path: Path) -> None:
    """As the lib64 of virtual environments, which leads to lib."""
    install("numpy", "2.1.0")
    (tmp_path / "lib64").symlink_to("site")
    folders = [str(tmp_path / name) for name in ("lib64", "site")]
    assert "numpy" not in by_name(check_packages(host_with(), Installed(folders)))


def test_a_torn_upgrade(install, look) -> None:
    install("numpy", "2.1.0")
    install("numpy", "2.0.0")
    assert look()["numpy"].state is State.WARNING


def test_damaged_records_and_odd_requirements_are_passed_over(install, look, tmp_path: Path) -> None:
    install("numpy", "not-a-version")
    (tmp_path / "site" / "gone-1.dist-info").mkdir()
    (tmp_path / "site" / "empty-1.dist-info").mkdir()
    (tmp_path / "site" / "empty-1.dist-info" / "METADATA").write_bytes(b"\xff\xfe\0")
    install("rerun-sdk", "1", "this is >> no requirement")
    found = look()
    assert "core" in found
    assert not found.keys() & {"gone", "empty"}


def test_without_packaging_versions_are_not_compared(install, host_with, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(packages, "_requirement_class", lambda: None)
    names = [each.name for each in check_packages(host_with(), Installed([str(tmp_path / "site")]))]
    assert names == ["packaging"]


def test_sources_that_are_not_installed(host_with, tmp_path: Path) -> None:
    found = list(check_packages(host_with(), Installed([str(tmp_path / "nothing")])))
    assert [(each.name, each.state) for each in found] == [("tdnet-deploy", State.NOTE)]


def test_this_environment(host_with) -> None:
    """Whatever is installed here."""
    assert list(check_packages(host_with()))
