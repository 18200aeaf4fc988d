"""A street of coloured boxes, in the folder convention, and configurations that train on it in seconds."""

from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("tomli_w", reason="the extra `train` is not installed")

HEIGHT, WIDTH = 48, 64
NAMES = "road 128 64 128\nsky 70 130 180\nbox 220 20 60\n"
CONFIG = """
[network]
name = "td2-fa18"
size = [48, 64]
width = 0.125

[data]
root = "{root}"
names = "{root}/names.txt"

[[stages]]
name = "still"
steps = 3
learning_rate = 0.01
clips.stage = "still"

[[stages]]
name = "video"
steps = 5
learning_rate = 0.01
warmup_steps = 2
clips.scale = [0.9, 1.2]

[validation]
every_epochs = 1.0

[run]
batch = 2
log_steps = 2
threads = 1
ema = 0.9
"""


def picture(index):
    """A frame, uint8 [H, W, 3] RGB, and its labels, uint8 [H, W]."""
    labels = np.zeros((HEIGHT, WIDTH), np.uint8)
    labels[:20] = 1
    left = 4 + 5 * index % 40
    labels[16:32, left : left + 14] = 2
    colors = np.array([[90, 90, 90], [120, 160, 220], [200, 40, 40]], np.uint8)
    noise = np.random.default_rng(index).integers(0, 20, (HEIGHT, WIDTH, 3), np.uint8)
    labels[:2] = 255
    return colors[labels % 255] + noise, labels


@pytest.fixture(scope="session")
def street(tmp_path_factory):
    """The data set's folder: 8 frames for training, 4 for validation, all labelled. Read it only."""
    root = tmp_path_factory.mktemp("street")
    for split, indices in (("train", range(8)), ("val", range(8, 12))):
        for kind in ("images", "labels"):
            (root / kind / split).mkdir(parents=True)
        for index in indices:
            image, labels = picture(index)
            cv2.imwrite(str(root / "images" / split / f"a_{index:03}.png"), image[..., ::-1])
            cv2.imwrite(str(root / "labels" / split / f"a_{index:03}.png"), labels)
    (root / "names.txt").write_text(NAMES)
    return root


@pytest.fixture
def config(street, tmp_path):
    """The path of a configuration that trains td2-fa18 in two stages, 8 steps in all."""
    path = tmp_path / "street.toml"
    path.write_text(CONFIG.format(root=street))
    return path


@pytest.fixture
def trained(config):
    """trained(folder, *overrides, stop_at=None): a run; its folder's files."""
    from tdnet_train.config_file import read_settings, written
    from tdnet_train.running.data import looked_through, open_data
    from tdnet_train.running.folder import RunFolder
    from tdnet_train.running.ranks import joined_ranks
    from tdnet_train.running.setup import prepared
    from tdnet_train.running.trainer import Trainer

    def train(folder: Path, *overrides: str, stop_at: int | None = None) -> RunFolder:
        settings = read_settings(config, overrides)
        torch.set_num_threads(1)
        files = RunFolder(folder)
        with joined_ranks(settings.run.device) as ranks:
            data = open_data(settings)
            settings, _ = looked_through(settings, data)
            setup = prepared(settings, data, ranks)
            trainer = Trainer(setup, files, stop=lambda: trainer.progress.step == stop_at)
            state = files.load_state(ranks.device)
            if state is None:
                files.begin(written(settings))
            else:
                files.cut_journal(state["progress"]["step"])
                trainer.go_on_from(state)
            assert trainer.run() is (stop_at is None)
        return files

    return train
