"""Paths that the system does not let one look at: one line each, whatever the command. Root may look everywhere, so that
the names here are too long, which raises on the same way as a folder without the right to search it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from tests.runtime.sinks.conftest import CLASSES
from tests.runtime.sources.logs import IMAGE_TYPE, images, write_db3, write_mcap

from tdnet_runtime.bundle import write_bundle
from tdnet_runtime.cli.run_options import RunOptions
from tdnet_runtime.doctor.surroundings import _temporary
from tdnet_runtime.errors import ExportError, MediaError, OptionError, TdnetError
from tdnet_runtime.media.output_folder import OutputFolder
from tdnet_runtime.os_errors import told_as
from tdnet_runtime.sinks.registry import open_sink
from tdnet_runtime.sinks.sink import SinkNetwork
from tdnet_runtime.sources import log_folder
from tdnet_runtime.sources.log_folder import open_log
from tdnet_runtime.sources.registry import open_source

NETWORK = SinkNetwork(name="n", digest="d", classes=CLASSES)
LONG = "x" * 300
NEEDS = {"mcap": "mcap", "mcap in a folder": "mcap", "rerun": "rerun"}
LOOKS: dict[str, tuple[type[TdnetError], Callable[[Path], object]]] = {
    "mcap": (MediaError, lambda folder: open_sink(f"{folder}/{LONG}.mcap", NETWORK)),
    "mcap in a folder": (MediaError, lambda folder: open_sink(f"{folder}/{LONG}/a.mcap", NETWORK)),
    "rerun": (MediaError, lambda folder: open_sink(f"{folder}/{LONG}.rrd", NETWORK)),
    "overlay": (MediaError, lambda folder: open_sink(f"{folder}/{LONG}.mp4", NETWORK)),
    "labels": (MediaError, lambda folder: open_sink(f"labels:{folder}/{LONG}", NETWORK)),
    "colors": (MediaError, lambda folder: open_sink(f"colors:{folder}/{LONG}", NETWORK)),
    "a folder": (MediaError, lambda folder: OutputFolder(folder / LONG, purpose="x")),
    "a log": (MediaError, lambda folder: open_log(folder / LONG)),
    "mcap:": (MediaError, lambda folder: open_source(f"mcap:{folder}/{LONG}")),
    "a video": (MediaError, lambda folder: open_source(folder / f"{LONG}.mp4")),
    "a bundle": (ExportError, lambda folder: write_bundle(folder / LONG, None, {})),  # type: ignore[arg-type]
    "--json": (OptionError, lambda folder: RunOptions(engine="x", inputs={"": "0"}, json=folder / LONG)),
}


@pytest.mark.parametrize("name", LOOKS)
def test_names_that_are_too_long(tmp_path: Path, name: str) -> None:
    kind, look = LOOKS[name]
    if name in NEEDS:
        pytest.importorskip(NEEDS[name])
    with pytest.raises(kind, match="File name too long"):
        look(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_is_told() -> None:
    with (
        pytest.raises(MediaError, match=r"^opening it: Permission denied: '/locked'$"),
        told_as(MediaError, "opening it"),
    ):
        raise PermissionError(13, "Permission denied", "/locked")
    with pytest.raises(OptionError, match=r"^--x: no words$"), told_as(OptionError, "--x"):
        raise OSError("no words")
    with pytest.raises(ValueError, match="a defect"), told_as(OptionError, "--x"):
        raise ValueError("a defect")


def test_a_temporary_folder_that_cannot_be_looked_at(tmp_path: Path) -> None:
    host = SimpleNamespace(environ={"TMPDIR": LONG, "TMP": str(tmp_path)})
    assert _temporary(host) == tmp_path  # type: ignore[arg-type]


def test_a_link_that_leads_to_itself(tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    RunOptions(engine="x", inputs={"": "0"}, json=loop)  # as any link, it is replaced
    with pytest.raises(MediaError, match="not a folder"):
        RunOptions(engine="x", inputs={"": "0"}, labels=loop)


def test_a_bag_of_the_longest_name(tmp_path: Path) -> None:
    """SQLite's own file beside it would have too long a name."""
    path = tmp_path / ("x" * 251 + ".db3")
    write_db3(tmp_path / "a.db3", {"/cam": (IMAGE_TYPE, "cdr", images(3))})
    (tmp_path / "a.db3").rename(path)
    with open_source(path) as source:
        assert len(list(source)) == 3


@pytest.mark.parametrize("left", [0, 1, 2])
def test_parts_that_a_recorder_removes_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: int
) -> None:
    names = ["d_0.mcap", "d_1.mcap"]
    for index, name in enumerate(names):
        write_mcap(tmp_path / name, {"/cam": (IMAGE_TYPE, "cdr", images(3, first=3 * index))})
    listed = log_folder._parts_in

    def removed(folder: Path) -> list[Path]:
        parts = listed(folder)
        for name in names[: len(names) - left]:
            os.unlink(folder / name)  # noqa: PTH108
        return parts

    monkeypatch.setattr(log_folder, "_parts_in", removed)
    if not left:
        with pytest.raises(MediaError, match="opening the log: No such file or directory"):
            open_log(tmp_path)
        return
    files, warnings = open_log(tmp_path)
    for file in files:
        file.close()
    assert len(files) == left
    assert warnings == ["'d_0.mcap' was removed meanwhile"][: 2 - left]
