"""Cameras, room and the clock."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tdnet_runtime.doctor import surroundings
from tdnet_runtime.doctor.findings import State
from tdnet_runtime.doctor.surroundings import check_surroundings

DEVICES = {
    "/dev/video0": "",
    "/dev/video10": "",
    "/dev/video2": "",
    "/dev/video0_front": "",
    "/dev/video": "",
    "/sys/class/video4linux/video0/name": "USB Camera: USB Camera\n",
}


def test_cameras(host_with, by_name, monkeypatch: pytest.MonkeyPatch) -> None:
    able = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "video2" and able(path, mode))
    found = by_name(check_surroundings(host_with(DEVICES)))
    assert [name for name in found if name.startswith("/dev")] == [
        "/dev/video0",
        "/dev/video2",
        "/dev/video10",
    ]
    assert found["/dev/video0"].text == "USB Camera: USB Camera"
    assert (found["/dev/video2"].state, "usermod -aG video" in found["/dev/video2"].fix) == (
        State.WARNING,
        True,
    )


def test_no_camera_is_no_fault(host_with, by_name) -> None:
    assert by_name(check_surroundings(host_with()))["cameras"].state is State.ABSENT


def test_the_temporary_folder_of_the_environment(host_with, by_name, tmp_path: Path) -> None:
    found = by_name(check_surroundings(host_with(environ={"TMPDIR": str(tmp_path)})))
    assert found["temporary folder"].facts["path"] == str(tmp_path)
    assert list(tmp_path.iterdir()) == [tmp_path / "machine"]  # nothing was tried by writing


def test_nowhere_to_write(host_with, by_name, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    found = by_name(check_surroundings(host_with()))
    assert (found["temporary folder"].state, found["current folder"].state) == (State.WARNING, State.NOTE)


def test_a_folder_that_is_gone(host_with, by_name, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert by_name(check_surroundings(host_with()))["current folder"].state is State.WARNING


def test_little_room(host_with, by_name, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = type("Usage", (), {"free": 5 << 20})
    monkeypatch.setattr(surroundings.shutil, "disk_usage", lambda _: usage)
    assert "5 MiB free" in by_name(check_surroundings(host_with()))["temporary folder"].text


@pytest.mark.parametrize(
    ("kept", "state"),
    [(True, State.OK), (False, State.WARNING), (None, State.NOTE)],
    ids=["kept", "not", "unknown"],
)
def test_the_clock(
    host_with, by_name, monkeypatch: pytest.MonkeyPatch, kept: bool | None, state: State
) -> None:
    monkeypatch.setattr(surroundings, "_synchronised", lambda: kept)
    assert by_name(check_surroundings(host_with()))["clock"].state is state


def test_the_kernel_is_asked_and_not_told() -> None:
    assert surroundings._synchronised() in (True, False, None)
    assert surroundings._Timex().modes == 0
