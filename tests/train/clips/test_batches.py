"""Batches are a function of seed, epoch, step and rank alone."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

pytest.importorskip("cv2")
pytest.importorskip("torch")
pytest.importorskip("kornia")

import torch
from tests.data_sets.small import LABELLED, picture, truth, write, write_folder

from tdnet_data.mixture import open_mixture
from tdnet_data.opening import open_dataset
from tdnet_data.settings import DataSettings
from tdnet_models.preprocessing import IMAGENET, PRESETS
from tdnet_runtime.errors import DataError, OptionError
from tdnet_train.clips.ahead import made_ahead
from tdnet_train.clips.batches import Batches
from tdnet_train.clips.settings import ClipSettings

PLAIN = ClipSettings(scale=(1.0, 1.0), flip=0.0, brightness=0.0, contrast=0.0, saturation=0.0)
WILD = ClipSettings(simulate=True, rotate=10.0, white_balance=0.2, shading=0.5, blur_px=1.0, noise=5.0)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    root = write_folder(tmp_path_factory.mktemp("own"))
    return open_dataset(DataSettings(root=str(root)), "train")


@pytest.fixture(scope="module")
def mixture(tmp_path_factory):
    """Two data sets of several frames, of different sizes."""
    first = write_folder(tmp_path_factory.mktemp("first"))
    second = tmp_path_factory.mktemp("second")
    (second / "names.txt").write_text((first / "names.txt").read_text())
    for number in range(7):
        write(second / "images" / "train" / f"walk_{number}.png", picture(number, (40, 40)))
        write(second / "labels" / "train" / f"walk_{number}.png", truth(number, (40, 40)))
    return open_mixture((DataSettings(root=str(first), weight=2.0), DataSettings(root=str(second))), "train")


def batches(data, settings=WILD, **changes):
    arguments = {"size_hw": (24, 32), "frames": 3, "batch": 2, "seed": 5, "preprocessing": IMAGENET}
    return Batches(data, settings, **arguments | changes)


def assert_same(one, other):
    assert one.names == other.names
    assert torch.equal(one.frames, other.frames)
    assert torch.equal(one.labels, other.labels)


def test_a_clip_without_chance(dataset):
    """Oldest first, the labelled frame last, normalised; labels are the newest frame's."""
    settings = ClipSettings(
        **{name: getattr(PLAIN, name) for name in PLAIN.__struct_fields__} | {"gap_max": 1}
    )
    seeds = {"drive1_10": (0, 1, 2), "drive2_2": (3, 3, 4), "drive2_3": (3, 4, 5)}
    seen = {}
    for batch in batches(dataset, settings, batch=1, preprocessing=PRESETS["none"]).epoch(0):
        assert batch.frames.shape == (1, 3, 3, 24, 32)
        assert (batch.frames.dtype, batch.labels.dtype) == (torch.float32, torch.int64)
        seen[batch.names[0]] = batch
    assert set(seen) == set(LABELLED)
    for name, batch in seen.items():
        for frame, seed in zip(batch.frames[0], seeds[name], strict=True):
            np.testing.assert_allclose(frame.permute(1, 2, 0), picture(seed), atol=0.02)
        np.testing.assert_array_equal(batch.labels[0], truth(seeds[name][-1]))


def test_still_clips_are_one_frame(dataset):
    for batch in batches(dataset, ClipSettings(stage="still")).epoch(0):
        assert torch.equal(batch.frames[:, 0], batch.frames[:, 2])
        assert torch.equal(batch.frames[:, 1], batch.frames[:, 2])


def test_all_frames_of_a_clip_are_varied_alike(tmp_path):
    """Frames that are equal stay equal, whatever chance does."""
    for number in range(1, 4):
        write(tmp_path / "images" / "train" / f"{number}.png", picture(0))
    write(tmp_path / "labels" / "train" / "3.png", truth(0))
    (tmp_path / "names.txt").write_text("road\nsky\ncar")
    dataset = open_dataset(DataSettings(root=str(tmp_path)), "train")
    for epoch in range(4):
        (batch,) = batches(dataset, ClipSettings(rotate=10.0), batch=1).epoch(epoch)
        torch.testing.assert_close(batch.frames[:, 0], batch.frames[:, 2])


def test_simulated_frames_differ_and_the_labelled_one_does_not(tmp_path):
    write(tmp_path / "images" / "train" / "hall.png", picture(0))
    write(tmp_path / "labels" / "train" / "hall.png", truth(0))
    (tmp_path / "names.txt").write_text("road\nsky\ncar")
    dataset = open_dataset(DataSettings(root=str(tmp_path)), "train")
    (moved,) = batches(dataset, ClipSettings(simulate=True, rotate=10.0), batch=1).epoch(0)
    (stood,) = batches(dataset, ClipSettings(rotate=10.0), batch=1).epoch(0)
    assert torch.equal(stood.frames[:, 0], stood.frames[:, 2])
    assert not torch.allclose(moved.frames[:, 0], moved.frames[:, 1], atol=0.05)
    torch.testing.assert_close(moved.frames[:, 2], stood.frames[:, 2], atol=1e-3, rtol=0)
    assert torch.equal(moved.labels, stood.labels)


def test_an_epoch_goes_on_from_any_step(mixture):
    whole = list(batches(mixture).epoch(3))
    assert len(whole) == batches(mixture).steps_per_epoch == 6
    for begin in (0, 1, 5, 6):
        rest = list(batches(mixture).epoch(3, begin=begin))
        assert len(rest) == 6 - begin
        for one, other in zip(whole[begin:], rest, strict=True):
            assert_same(one, other)


def test_epochs_and_seeds_differ(mixture):
    first, again, later = (next(batches(mixture).epoch(number)) for number in (0, 0, 1))
    assert_same(first, again)
    assert not torch.equal(first.frames, later.frames)
    assert not torch.equal(first.frames, next(batches(mixture, seed=6).epoch(0)).frames)


@pytest.mark.parametrize("workers", [1, 3])
def test_workers_change_nothing(mixture, workers):
    torch.manual_seed(0)
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    for one, other in zip(batches(mixture).epoch(0), batches(mixture, workers=workers).epoch(0), strict=True):
        assert_same(one, other)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize("ranks", [2, 3])
def test_ranks_share_what_one_process_sees(mixture, ranks):
    alone = list(batches(mixture, batch=6).epoch(1))
    shared = [
        list(batches(mixture, batch=6 // ranks, rank=rank, ranks=ranks).epoch(1)) for rank in range(ranks)
    ]
    assert len(alone) == 2
    for step, whole in enumerate(alone):
        parts = [batches_of_rank[step] for batches_of_rank in shared]
        assert sum((part.names for part in parts), ()) == whole.names
        assert torch.equal(torch.cat([part.frames for part in parts]), whole.frames)
        assert torch.equal(torch.cat([part.labels for part in parts]), whole.labels)


def test_bgr_networks_get_their_order(dataset):
    rgb, bgr = (next(batches(dataset, PLAIN, preprocessing=p).epoch(0)) for p in (IMAGENET, IMAGENET.bgr))
    torch.testing.assert_close(rgb.frames.flip(2), bgr.frames)


def test_ended_early_nothing_goes_on(mixture):
    epoch = batches(mixture, workers=2).epoch(0)
    next(epoch)
    epoch.close()
    with pytest.raises(StopIteration):
        next(epoch)


@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_comes_at_its_step(workers):
    def make(item):
        if item == 2:
            raise DataError("broken")
        return item

    made = made_ahead(make, range(9), workers=workers)
    assert [next(made), next(made)] == [0, 1]
    with pytest.raises(DataError, match="broken"):
        next(made)


def test_workers_run_pytorch_on_one_core_each():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        made = made_ahead(lambda _: torch.get_num_threads(), range(5), workers=2)
        assert next(made) == 1
        with ThreadPoolExecutor(1) as others:
            assert others.submit(torch.get_num_threads).result() == 2
        assert set(made) == {1}
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("error", "expected", "message"),
    [
        (
            RuntimeError("can't start new thread"),
            OptionError,
            r"run.workers is 3, and the system has not so many",
        ),
        (RuntimeError("another"), RuntimeError, "another"),
        (KeyboardInterrupt(), KeyboardInterrupt, None),
    ],
)
def test_a_thread_that_does_not_start_leaves_none_waiting(error, expected, message, monkeypatch):
    barriers, begin = [], threading.Thread.start

    class Barrier(threading.Barrier):
        def __init__(self, parties):
            super().__init__(parties)
            barriers.append(self)

    def start(thread):
        if thread.name == "clips_2":
            raise error
        begin(thread)

    monkeypatch.setattr(threading, "Barrier", Barrier)
    monkeypatch.setattr(threading.Thread, "start", start)
    before = torch.get_num_threads()
    try:
        with pytest.raises(expected, match=message):
            next(made_ahead(str, range(9), workers=3))
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("clips_")]
    finally:
        barriers[0].abort()  # or nobody ends the interpreter
    assert torch.get_num_threads() == before


def test_frames_that_do_not_go_together_are_named(tmp_path):
    root = write_folder(tmp_path)
    write(root / "images" / "train" / "drive1_9.png", picture(0, (12, 16)))
    dataset = open_dataset(DataSettings(root=str(root)), "train")
    with pytest.raises(DataError, match=r"a frame is 12x16 .*drive1_10.png' after it 24x32.*drive1_9.png'"):
        list(batches(dataset, ClipSettings(gap_max=1), batch=3).epoch(0))
    write(root / "images" / "train" / "drive1_9.png", picture(0))
    write(root / "labels" / "train" / "drive1_10.png", truth(0, (12, 16)))
    with pytest.raises(
        DataError, match=r"label image is 12x16 .*its frame is 24x32: '.*labels.*drive1_10.png'"
    ):
        list(batches(dataset, batch=3).epoch(0))
