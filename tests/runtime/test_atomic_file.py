"""A file that appears when it is whole, and who may read it then."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tdnet_runtime import atomic_file as module
from tdnet_runtime.atomic_file import PARTIAL_SUFFIX, atomic_file


@pytest.fixture
def umask() -> Iterator[Callable[[int], int]]:
    """Set the umask, until the test is over."""
    before = os.umask(0o022)
    yield os.umask
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize(("mask", "expected"), [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600)])
def test_a_new_file_follows_the_umask(
    tmp_path: Path, umask: Callable[[int], int], mask: int, expected: int
) -> None:
    umask(mask)
    with atomic_file(tmp_path / "new") as file:
        file.write(b"new")
    (tmp_path / "plain").write_bytes(b"what an ordinary program makes")
    assert mode(tmp_path / "new") == mode(tmp_path / "plain") == expected


@pytest.mark.parametrize("kept", [0o600, 0o640, 0o664, 0o755, 0o444])
def test_a_replaced_files_permissions_are_kept_from_the_first_byte(
    tmp_path: Path, umask: Callable[[int], int], kept: int
) -> None:
    umask(0o027)
    path = tmp_path / "file"
    path.write_bytes(b"old")
    path.chmod(kept)
    with atomic_file(path) as file:
        (partial,) = tmp_path.glob(f"*{PARTIAL_SUFFIX}")
        assert mode(partial) == kept
        file.write(b"new")
        assert (mode(path), path.read_bytes()) == (kept, b"old")
    assert (mode(path), path.read_bytes()) == (kept, b"new")
    assert list(tmp_path.iterdir()) == [path]


def test_set_user_id_is_not_kept(tmp_path: Path) -> None:
    """It would give the rights of another owner than the old file's."""
    path = tmp_path / "file"
    path.write_bytes(b"old")
    path.chmod(0o4750)
    with atomic_file(path) as file:
        file.write(b"new")
    assert mode(path) == 0o750


def test_through_a_link_it_is_the_files_permissions(tmp_path: Path) -> None:
    """A link's own are 0777."""
    (tmp_path / "file").write_bytes(b"old")
    (tmp_path / "file").chmod(0o600)
    (tmp_path / "link").symlink_to("file")
    with atomic_file(tmp_path / "link") as file:
        file.write(b"new")
    assert mode(tmp_path / "link") == 0o600


def test_nothing_is_set_where_nothing_differs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A FAT file system has one mode for all, and refuses to set any."""

    def refuse(descriptor: int, mode: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    (tmp_path / "file").write_bytes(b"old")
    monkeypatch.setattr(module.os, "fchmod", refuse)
    with atomic_file(tmp_path / "file") as file:
        file.write(b"new")
    assert (tmp_path / "file").read_bytes() == b"new"


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError("no")])
def test_an_exception_leaves_what_was_there(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def interrupted() -> None:
        with atomic_file(path) as file:
            file.write(b"new")
            raise error

    with pytest.raises(type(error)):
        interrupted()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
