"""docs/training.md: its commands lead from a folder of images to a verified bundle, here in tiny."""

import re
import shlex
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("kornia", reason="the extra `train` is not installed")
pytest.importorskip("onnx")

import tdnet_eval  # noqa: E402
import tdnet_export  # noqa: E402
import tdnet_train  # noqa: E402
from tdnet_runtime import Bundle  # noqa: E402
from tdnet_train.comparison.plan import planned  # noqa: E402
from tdnet_train.comparison.settings import read_comparison  # noqa: E402
from tdnet_train.config_file import read_settings  # noqa: E402

PAGE = Path(__file__).parents[2] / "docs" / "training.md"
MAINS = {"tdnet-train": tdnet_train.main, "tdnet-export": tdnet_export.main, "tdnet-eval": tdnet_eval.main}
TINY = {"449": "49", "577": "65", "width = 0.5": "width = 0.125", "warmup_steps = 200": "warmup_steps = 1"}
TINY |= {"batch = 8": "batch = 2"}
"""What of the page is made smaller; and epochs are."""


def block(kind):
    return re.search(rf"```{kind}\n(.*?)```", PAGE.read_text(), re.S)[1]


def tiny(text):
    for before, after in TINY.items():
        text = text.replace(before, after)
    return re.sub(r"epochs = \d+", "epochs = 1", text)


@pytest.fixture
def kitchen(tmp_path, request):
    """A folder of one's own with so many classes, each in every image: 8 for training, 3 for validation."""
    classes = request.param
    for split, count in (("train", 8), ("val", 3)):
        for kind in ("images", "labels"):
            (tmp_path / "kitchen" / kind / split).mkdir(parents=True)
        for index in range(count):
            labels = np.random.default_rng(index).permutation(np.arange(60 * 80) % classes).reshape(60, 80)
            image = (labels[..., None] * [5, 3, 1] + 20 * index).astype(np.uint8)
            for kind, content in (("images", image), ("labels", labels.astype(np.uint8))):
                cv2.imwrite(str(tmp_path / "kitchen" / kind / split / f"walk_{index}.png"), content)
    names = "".join(f"thing{index}\n" for index in range(classes))
    (tmp_path / "kitchen" / "names.txt").write_text(names)
    (tmp_path / "kitchen.toml").write_text(tiny(block("toml")))
    return tmp_path


@pytest.mark.parametrize("kitchen", [2, pytest.param(40, marks=pytest.mark.slow)], indirect=True)
def test_the_commands_of_the_page(kitchen, monkeypatch):
    monkeypatch.chdir(kitchen)
    for line in tiny(block("sh")).splitlines():
        words = shlex.split(line)
        monkeypatch.setattr(sys, "argv", words)
        with pytest.raises(SystemExit) as ended:
            MAINS[words[0]]()
        assert ended.value.code in (None, 0), line
    with Bundle.open(kitchen / "kitchen.plan") as bundle:
        assert len(bundle.manifest.classes) == len((kitchen / "kitchen" / "names.txt").read_text().split())
    assert (kitchen / "runs" / "kitchen" / "report.html").exists()


def test_the_page_says_what_the_settings_are(tmp_path):
    """Every field that it names is one."""
    (tmp_path / "kitchen.toml").write_text(block("toml"))
    settings = read_settings(tmp_path / "kitchen.toml")
    for table, field in re.findall(r"`(network|loss|optimizer|run|validation)\.(\w+)", PAGE.read_text()):
        assert hasattr(getattr(settings, table), field), f"{table}.{field}"


def test_the_pages_comparison_is_one(tmp_path):
    kitchen, compared = re.findall(r"```toml\n(.*?)```", PAGE.read_text(), re.S)
    (tmp_path / "kitchen.toml").write_text(kitchen)
    (tmp_path / "pays.toml").write_text(compared)
    plan = planned(tmp_path / "pays.toml", read_comparison(tmp_path / "pays.toml"), tmp_path / "runs")
    assert [len(row.members) for row in plan.rows] == [1, 3, 3]
    assert plan.rows[2].members[0].needs == (plan.rows[0].members[0].folder,)
