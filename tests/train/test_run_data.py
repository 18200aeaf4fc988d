"""The data sets of a run together."""

import cv2
import numpy as np
import pytest
from tests.data_sets.small import picture, write_folder

pytest.importorskip("torch")
pytest.importorskip("kornia", reason="the extra `train` is not installed")

from tdnet_train.config_file import read_settings
from tdnet_train.running.data import open_data


@pytest.mark.parametrize("bright", ["day", "night"])
def test_the_splits_of_a_run_have_one_bit_depth(bright, config, tmp_path):
    """Whichever of them needs more bits, also as a stage's own data."""
    samples = {
        split: picture(1).astype(np.uint16) << (4 if split == bright else 1) for split in ("day", "night")
    }
    for split, image in samples.items():
        write_folder(tmp_path / "own", split=split)
        for path in (tmp_path / "own" / "images" / split).iterdir():
            cv2.imwrite(str(path), image[..., ::-1])
    root = f"{tmp_path / 'own'}"
    fields = [f"data.root={root}", "data.names=names.txt", "train_split=day", "validation.split=night"]
    fields.append(f'stages.0.data=[{{root = "{root}"}}]')
    data = open_data(read_settings(config, fields))
    for dataset in (data.train, data.validation, data.stages[0].parts[0][0]):
        image = dataset.image(dataset.sequences[0].frames[0])
        np.testing.assert_allclose(image, samples[dataset.split] * (255 / 4095), atol=0.51)
