"""docs/training-data.md: its tables are valid settings, and its folders open."""

import re
from pathlib import Path

import msgspec
import pytest
from tests.data_sets.small import picture, truth, write

from tdnet_data.opening import open_dataset
from tdnet_data.settings import DataSettings

tomllib = pytest.importorskip("tomllib", reason="part of Python from 3.11 on")

PAGE = (Path(__file__).parents[2] / "docs" / "training-data.md").read_text()
BLOCKS = [tomllib.loads(text) for text in re.findall(r"^```toml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)]


def test_tables_are_settings():
    pytest.importorskip("torch")
    from tdnet_train.clips.settings import ClipSettings

    data = [msgspec.convert(block["data"], DataSettings) for block in BLOCKS if "data" in block]
    assert len(data) == 5
    (clips,) = (block["clips"] for block in BLOCKS if "clips" in block)
    then = clips.pop("then")
    assert [msgspec.convert(table, ClipSettings).stage for table in (clips, then)] == ["still", "video"]


def test_every_setting_is_told_of():
    assert [name for name in DataSettings.__struct_fields__ if not re.search(rf"\b{name}\b", PAGE)] == []


def test_the_first_folder_opens(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("walk_8", "walk_9", "walk_10", "stairs/1"):
        write(f"kitchen/images/train/{name}.jpg", picture(0))
    Path("kitchen/names.txt").write_text("road\nsky\ncar")
    for name in ("walk_10", "stairs/1"):
        write(f"kitchen/labels/train/{name}.png", truth(0))
    dataset = open_dataset(msgspec.convert(BLOCKS[0]["data"], DataSettings), "train")
    assert {sequence.name: [frame.name for frame in sequence.frames] for sequence in dataset.sequences} == {
        "stairs": ["stairs/1"],
        "walk": ["walk_8", "walk_9", "walk_10"],
    }
    assert dataset.labelled == ((0, 0), (1, 2))
