"""A run that was cut off goes on as if nothing had happened."""

import errno
import os
import shutil
import tracemalloc
from contextlib import nullcontext
from io import StringIO

import pytest
from rich.console import Console

torch = pytest.importorskip("torch")
pytest.importorskip("kornia", reason="the extra `train` is not installed")

from tdnet_runtime.errors import DataError  # noqa: E402
from tdnet_train.command import go_on  # noqa: E402
from tdnet_train.comparison.scores import keep_scores  # noqa: E402
from tdnet_train.config_file import read_settings  # noqa: E402
from tdnet_train.errors import TrainingError  # noqa: E402
from tdnet_train.running import data as running_data  # noqa: E402
from tdnet_train.running import folder  # noqa: E402
from tdnet_train.running.data import open_data  # noqa: E402
from tdnet_train.running.folder import RunFolder  # noqa: E402
from tdnet_train.running.ranks import joined_ranks  # noqa: E402
from tdnet_train.running.setup import prepared  # noqa: E402

TIMES = ("step_s", "memory_mib", "seconds")


def curve(files):
    return [{k: v for k, v in entry.items() if k not in TIMES} for entry in files.entries()]


def test_a_resumed_run_equals_an_uninterrupted_one(trained, tmp_path):
    """Stopped at the end of a stage and within one: bit for bit, the averaged weights and all curves.

    A kill leaves lines of the journal that no checkpoint has, and perhaps half of one: they are computed again.
    """
    whole = trained(tmp_path / "whole")
    assert sum(entry["kind"] == "validation" for entry in whole.entries()) >= 2
    for stop_at in (3, 5):
        parts = trained(tmp_path / str(stop_at), stop_at=stop_at)
        with parts.journal.open("a") as file:
            file.write('{"kind": "steps", "step": 6, "loss": 1}\n{"kind": "ste')
        trained(tmp_path / str(stop_at))
        assert curve(parts) == curve(whole)
        for name in ("best", "last"):
            one, other = (torch.load(getattr(files, name), weights_only=True) for files in (whole, parts))
            assert one["best_iou"] == other["best_iou"]
            for key, value in one["model_state"].items():
                assert torch.equal(value, other["model_state"][key]), key


def test_accumulation_goes_on_within_an_epoch(trained, tmp_path):
    options = ("run.accumulate=3", "stages.0.steps=1", "stages.1.steps=2", "stages.1.warmup_steps=1")
    whole = trained(tmp_path / "whole", *options)
    trained(tmp_path / "parts", *options, stop_at=2)
    assert curve(trained(tmp_path / "parts", *options)) == curve(whole)


SHORT = ("validation.split=", "stages.0.steps=1", "stages.1.steps=1", "stages.1.warmup_steps=0")


class KilledError(BaseException):
    """No handler of errors sees a kill."""


def assert_same_weights(one, other):
    for name in ("best", "last"):
        first, second = (torch.load(getattr(files, name), weights_only=True) for files in (one, other))
        assert first["epoch"] == second["epoch"]
        assert all(
            torch.equal(value, second["model_state"][key]) for key, value in first["model_state"].items()
        )


def killed_after(left, write):
    """The method `write` while there is something left."""

    def written_or_killed(*args, **kwargs):
        if next(left, None) is None:
            raise KilledError
        write(*args, **kwargs)

    return written_or_killed


def test_a_kill_while_checkpoints_are_written_costs_no_weights(trained, tmp_path, monkeypatch):
    """Of a run without validation: last, resume; then, before each of which it is killed, last, best, resume."""
    whole = trained(tmp_path / "whole", *SHORT)
    for kill_at in (2, 3, 4):
        left = iter(range(kill_at))
        with monkeypatch.context() as patch:
            for name in ("save_network", "save_state"):
                patch.setattr(RunFolder, name, killed_after(left, getattr(RunFolder, name)))
            with pytest.raises(KilledError):
                trained(tmp_path / str(kill_at), *SHORT)
        files = RunFolder(tmp_path / str(kill_at))
        state = files.load_state(torch.device("cpu"))
        assert torch.load(files.last, weights_only=True)["epoch"] >= state["progress"]["step"]
        assert_same_weights(trained(tmp_path / str(kill_at), *SHORT), whole)


def test_weights_that_are_missing_of_a_finished_run_are_written_anew(trained, tmp_path):
    """As a kill left them where `resume.pth` was written first."""
    whole, cut = (trained(tmp_path / name, *SHORT) for name in ("whole", "cut"))
    cut.best.unlink()
    cut.last.write_bytes(b"old")
    assert_same_weights(trained(tmp_path / "cut", *SHORT), whole)


def test_other_data_are_no_data_to_go_on_with(trained, street, tmp_path):
    """Fewer, more, other names, other labels; frames after a sequence's last label change nothing."""
    root = tmp_path / "own"
    shutil.copytree(street, root)
    options = (f"data.root={root}", f"data.names={root}/names.txt")
    files = trained(tmp_path / "run", *options, stop_at=5)
    images, labels = root / "images" / "train", root / "labels" / "train"
    last = images / "a_007.png"
    changes = {
        r"\(stage 1\) are not what they were: then own train: 8 labelled of 8 frames in 1 sequence, now own train: 7 ": [
            (last, None),
            (labels / last.name, None),
        ],
        r"\(stage 1\) are .*, now own train: 7 labelled of 8": [(labels / "a_003.png", None)],
        r"\(stage 1\) are .*, now the same by other names; put them back as they were, or begin another run, with ": [
            (last, images / "a_008.png"),
            (labels / last.name, labels / "a_008.png"),
        ],
        r"\(validation\) are not what they were": [(root / "labels" / "val" / "a_009.png", None)],
    }
    for message, moves in changes.items():
        places = [(old, new or tmp_path / f"kept{n}") for n, (old, new) in enumerate(moves)]
        for old, new in places:
            shutil.move(old, new)
        with pytest.raises(TrainingError, match=message):
            trained(tmp_path / "run", *options)
        for old, new in places:
            shutil.move(new, old)
    copied = root / "images" / "val" / "a_000.png"
    copied.symlink_to(images / copied.name)
    shutil.copy(labels / copied.name, root / "labels" / "val")
    with pytest.raises(DataError, match=r"a frame of 'val' of 'own' is trained on as well"):
        go_on(files.path, Console(file=StringIO()))
    copied.unlink()
    (root / "labels" / "val" / copied.name).unlink()
    shutil.copy(last, images / "a_008.png")
    trained(tmp_path / "run", *options)


def test_a_run_of_an_earlier_version_goes_on(trained, tmp_path):
    """It says nothing of its data; a stage that is shorter than what was done of it ends."""
    files = trained(tmp_path / "run", stop_at=2)
    state = torch.load(files.resume, weights_only=True)
    state.pop("data", None)
    torch.save(state, files.resume)
    trained(tmp_path / "run", "stages.0.steps=1")
    assert files.entries()[-1]["step"] == 2 + 5


def test_best_weights_that_were_lost(trained, tmp_path):
    """Of a finished run they are its last ones, validated; of another those of the next validation. The page says so."""
    still = (
        "run.ema=0.0",
        "stages.1.learning_rate=1e-9",
        "stages.1.warmup_steps=0",
        "validation.every_steps=1",
    )
    for stop_at in (4, None):
        files = trained(tmp_path / str(stop_at), *still, stop_at=stop_at)
        files.best.unlink()
        trained(tmp_path / str(stop_at), *still)
        bests = [entry for entry in files.entries() if entry.get("best")]
        assert (8 if stop_at is None else 5) in {entry["step"] for entry in bests}
        best = bests[-1]
        saved = torch.load(files.best, weights_only=True)
        assert (saved["epoch"], saved["best_iou"]) == (best["step"], best["miou"])
    last = torch.load(files.last, weights_only=True)
    assert all(torch.equal(value, saved["model_state"][key]) for key, value in last["model_state"].items())
    go_on(files.path, Console(file=StringIO()))
    assert f"at step {best['step']}</h2>" in files.page.read_text()


class FullDisk:
    """A file that takes nothing."""

    def write(self, data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("part", ["save_network", "save_state", "cut_journal"])
def test_a_full_disk_is_told_in_one_line(part, trained, tmp_path, monkeypatch):
    files = trained(tmp_path / "run", stop_at=2)
    before = files.resume.read_bytes()
    monkeypatch.setattr(folder, "atomic_file", lambda path: nullcontext(FullDisk()))
    for other in {"save_network", "save_state", "cut_journal"} - {part}:
        monkeypatch.setattr(RunFolder, other, lambda *args, **kwargs: None)
    message = r"cannot write into the run's folder '.*run': No space left on device; make room there, and go on from"
    with pytest.raises(TrainingError, match=message):
        trained(tmp_path / "run")
    assert files.resume.read_bytes() == before


class Filling(FullDisk):
    """A file that ends in the midst, as disks do."""

    def __init__(self, left, error):
        self.left, self.error = left, error

    def write(self, data):
        self.left -= len(data)
        if self.left < 0:
            raise self.error
        return len(data)

    def flush(self):
        pass


def test_a_disk_that_fills_while_a_checkpoint_is_written(tmp_path, monkeypatch):
    """And whatever else ends it there: of neither does PyTorch say anything."""
    files, state = RunFolder(tmp_path), {"weights": torch.zeros(1 << 16)}
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    for error, told in ((full, TrainingError), (KeyboardInterrupt(), KeyboardInterrupt)):
        for left in (0, 100, 1 << 17, 1 << 18):
            monkeypatch.setattr(folder, "atomic_file", lambda path: nullcontext(Filling(left, error)))  # noqa: B023
            with pytest.raises(told) as raised:
                files.save_state(state)
            assert told is KeyboardInterrupt or "No space left on device" in str(raised.value)


def test_a_checkpoint_is_not_copied_in_memory(tmp_path):
    """It goes into its file piece by piece."""
    state = {"weights": torch.zeros(1 << 20)}
    tracemalloc.start()
    RunFolder(tmp_path).save_state(state)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 1 << 21  # of 4 MiB
    assert torch.equal(torch.load(tmp_path / "resume.pth", weights_only=True)["weights"], state["weights"])


def test_names_are_looked_at_once_for_all_checkpoints(config, monkeypatch):
    data = open_data(read_settings(config))
    before = dict(data.marks)
    monkeypatch.setattr(running_data, "_mark", None)
    assert data.marks == before


def test_a_full_disk_under_journal_page_and_scores(tmp_path, monkeypatch):
    files = RunFolder(tmp_path)
    files.journal.symlink_to("/dev/full")
    with pytest.raises(
        TrainingError, match=r"No space left on device; make room there, .*: tdnet-train --resume "
    ):
        files.write({"kind": "steps"})
    monkeypatch.setattr(folder, "atomic_file", lambda path: nullcontext(FullDisk()))
    for write in (lambda: files.write_whole(files.page, b"page"), lambda: keep_scores(tmp_path, {})):
        with pytest.raises(TrainingError, match=r"No space left on device; make room there"):
            write()


def test_weights_that_cannot_be_read_are_told(tmp_path):
    files = RunFolder(tmp_path)
    with pytest.raises(
        TrainingError, match=r"cannot read the run's weights '.*best.pth': .*No such file.*--resume"
    ):
        files.load_network(files.best)
    files.best.write_bytes(b"weights")
    with pytest.raises(
        TrainingError, match=r"cannot read the run's weights '.*best.pth': .*remove it and write"
    ):
        files.load_network(files.best)


def test_all_first_weights_follow_from_the_seed(config):
    """Those of the auxiliary heads too, whatever was drawn before."""
    settings = read_settings(config, ["network.name=psp18", "run.seed=3"])

    def weights(drawn):
        torch.manual_seed(drawn)
        with joined_ranks("cpu") as ranks:
            return prepared(settings, open_data(settings), ranks).network.weights()

    one, other = weights(1), weights(2)
    assert any(name.startswith("auxlayer.") for name in one)
    assert all(torch.equal(value, other[name]) for name, value in one.items())
