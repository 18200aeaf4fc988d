"""`tdnet-train` from its configuration to its files."""

import os
import re
import shlex
import signal
import subprocess
import sys
import time

import pytest
from rich.console import Console

torch = pytest.importorskip("torch")
pytest.importorskip("kornia", reason="the extra `train` is not installed")
yaml = pytest.importorskip("yaml")

from tdnet_data.class_lists import CAMVID  # noqa: E402
from tdnet_models import load_checkpoint  # noqa: E402
from tdnet_runtime.errors import DataError, OptionError  # noqa: E402
from tdnet_train.command import go_on, start  # noqa: E402
from tdnet_train.errors import TrainingError  # noqa: E402
from tdnet_train.running.folder import RunFolder  # noqa: E402


@pytest.fixture
def console():
    """Its `file.getvalue()` is what was said."""
    from io import StringIO

    return Console(file=StringIO(), width=200)


def listing(folder):
    return {path.name for path in folder.iterdir()}


def test_a_run_ends_with_a_checkpoint_and_a_page(config, tmp_path, console):
    out = tmp_path / "street"
    start(config, out, ("loss.class_weights=balanced", "run.half_checkpoints=true"), console)
    said = console.file.getvalue()
    assert listing(out) == {
        "config.toml",
        "journal.jsonl",
        "best.pth",
        "last.pth",
        "resume.pth",
        "report.html",
    }
    assert "td2-fa18, 3 classes, 48x64" in said
    assert f"tdnet-export --ckpt {out / 'best.pth'} --size 48x64" in said
    assert "class_weights = [" in (out / "config.toml").read_text()  # in figures
    network = load_checkpoint(out / "best.pth", size=(48, 64))
    assert (network.spec.name, network.spec.classes) == ("td2-fa18", 3)
    page = (out / "report.html").read_text()
    for part in (
        "<svg",
        "validation mIoU",
        "<td>box<td>",
        "sub-network 2",
        "data:image/png;base64",
        "tdnet-export --ckpt",
    ):
        assert part in page
    entries = RunFolder(out).entries()
    scores = [entry["miou"] for entry in entries if entry["kind"] == "validation"]
    assert torch.load(out / "best.pth", weights_only=True)["best_iou"] == max(scores)
    with pytest.raises(TrainingError, match=r"holds a run already; go on with it: tdnet-train --resume"):
        start(config, out, (), console)


def test_a_run_does_not_replace_its_own_configuration(config, tmp_path, console):
    own = config.rename(tmp_path / "config.toml")
    content = own.read_bytes()
    with pytest.raises(
        OptionError, match="--out is the folder of --config, which would be replaced; name another"
    ):
        start(own, tmp_path, (), console)
    assert own.read_bytes() == content


SHORT = ("stages.0.steps=1", "stages.1.steps=3", "validation.split=")


def test_the_next_command_exports_what_was_trained(config, tmp_path, console):
    """Its preprocessing and memory stride, from a folder whose name a shell and rich would take apart."""
    out = tmp_path / "my [red] :cat: run"
    fields = ("preprocessing.mean=[0.4851234, 0.5, 0.25]", "preprocessing.std=[0.2, 0.25, 0.5]")
    fields += ("preprocessing.bgr=true", "validation.memory_stride=2")
    start(config, out, SHORT + fields, console)
    done, _, following = console.file.getvalue().splitlines()[-1].partition(". Next: ")
    assert done == f"Done: {out / 'report.html'}"
    export = ["tdnet-export", "--ckpt", str(out / "best.pth"), "--size", "48x64", "--memory-stride", "2"]
    export += ["--mean", "0.4851234,0.5,0.25", "--std", "0.2,0.25,0.5", "--scale", str(1 / 255), "--bgr"]
    assert shlex.split(following) == export
    resume = re.escape(f"tdnet-train --resume {shlex.quote(str(out))}, or name")
    with pytest.raises(TrainingError, match=resume):
        start(config, out, (), console)


def test_what_cannot_be_deployed_is_not_exported(config, tmp_path, console):
    start(config, tmp_path / "run", (*SHORT, "network.propagation=none"), console)
    said = console.file.getvalue().splitlines()[-1]
    assert "tdnet-export" not in said
    assert "propagation = 'none' is for comparisons: no bundle can be made of it" in said


def test_a_dry_run_tells_what_it_would_cost_and_writes_nothing(config, tmp_path, console):
    start(config, tmp_path / "street", (), console, dry_run=True)
    said = console.file.getvalue()
    assert "still: 3 steps of" in said
    assert "an epoch of 4 steps in" in said
    assert "all stages: 0:00:0" in said
    assert not (tmp_path / "street").exists()


def test_curves_for_tensorboard(config, tmp_path, console):
    pytest.importorskip("tensorboard")
    start(config, tmp_path / "street", ("stages.1.steps=3",), console, tensorboard=True)
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(tmp_path / "street" / "tensorboard")).Reload()
    assert {"train/loss", "train/learning_rate", "validation/miou"} <= set(events.Tags()["scalars"])
    assert [event.step for event in events.Scalars("train/loss")] == [2, 3, 5, 6]


def test_distillation_mixed_precision_and_four_paths(config, tmp_path, console):
    """A teacher trained here teaches a student that begins with its own weights."""
    teacher = ("network.name=psp18", "network.size=[49, 65]", "stages.0.steps=2", "stages.1.steps=3")
    start(config, tmp_path / "teacher", teacher, console)
    student = (
        "network.name=td4-psp18",
        "network.size=[49, 65]",
        f"teacher.checkpoint={tmp_path / 'teacher' / 'best.pth'}",
        "start.kind=pspnet",
        f"start.checkpoint={tmp_path / 'teacher' / 'last.pth'}",
        "run.precision=bf16",
        "loss.ohem_threshold=0.7",
        "stages.0.steps=2",
        "stages.1.steps=3",
    )
    start(config, tmp_path / "student", student, console)
    terms = RunFolder(tmp_path / "student").entries()[0]["terms"]
    assert set(terms) == {
        "cross_entropy",
        "own_cross_entropy",
        "auxiliary_cross_entropy",
        "distillation",
        "own_distillation",
        "loss",
    }
    assert sum(value for name, value in terms.items() if name != "loss") == pytest.approx(
        terms["loss"], rel=1e-3
    )
    assert load_checkpoint(tmp_path / "student" / "best.pth").spec.name == "td4-psp18"


def test_a_public_yaml_trains(street, tmp_path, console):
    """The public file's own form, on images laid out as CamVid's; the published widths would take a minute."""
    root = tmp_path / "camvid"
    for split in ("train", "val"):
        for kind, name in (("images", split), ("labels", f"{split}annot")):
            root.mkdir(exist_ok=True)
            (root / name).symlink_to(street / kind / split, target_is_directory=True)
    file = tmp_path / "public.yml"
    content = {
        "model": {"arch": "td2_fa", "backbone": "resnet18", "syncBN": True, "path_num": 2},
        "data": {"dataset": "camvid", "train_split": "train", "val_split": "val", "path": str(root)},
        "training": {
            "train_iters": 4,
            "batch_size": 2,
            "val_interval": 2,
            "print_interval": 2,
            "loss": {"name": "OhemCELoss2D", "thresh": 0.7, "ignore_index": 250},
            "optimizer": {"name": "adaoptimizer", "lr0": 1.0e-2, "wd": 1.0e-4, "warmup_steps": 2},
            "train_augmentations": {"rcrop": [48, 64], "rscale": [1.0, 1.5], "hflip": 0.5},
            "resume": None,
        },
    }
    file.write_text(yaml.safe_dump(content))
    fields = ("network.width=0.125", "data.may_be_empty=" + str(list(CAMVID.names[3:])))
    with pytest.raises(
        OptionError, match=r"has no training.train_augmentations.scale: .*stages.0.clips.base_hw="
    ):
        start(file, tmp_path / "run", fields, console)
    fields += ("stages.0.clips.base_hw=[48, 64]",)
    start(file, tmp_path / "run", fields, console)
    kinds = [(entry["kind"], entry["step"]) for entry in RunFolder(tmp_path / "run").entries()]
    assert kinds == [("steps", 2), ("validation", 2), ("steps", 4), ("validation", 4)]
    assert load_checkpoint(tmp_path / "run" / "best.pth", size=(48, 64)).spec.classes == 11


def test_a_loss_that_is_no_number_ends_the_run(config, tmp_path, console):
    fields = ("stages.0.learning_rate=1e30", "stages.0.steps=9", "optimizer.kind=sgd")
    with pytest.raises(
        TrainingError,
        match=r"the loss is nan at step \d of the run, in stage 'still': training diverged; lower",
    ):
        start(config, tmp_path / "run", fields, console)


def test_a_validation_split_needs_labels(config, street, tmp_path, console):
    (tmp_path / "data").mkdir()
    for name in ("images", "names.txt"):
        (tmp_path / "data" / name).symlink_to(street / name)
    (tmp_path / "data" / "labels" / "val").mkdir(parents=True)
    (tmp_path / "data" / "labels" / "train").symlink_to(street / "labels" / "train")
    with pytest.raises(DataError, match=r"labels|labelled"):
        start(config, tmp_path / "run", (f"data.root={tmp_path / 'data'}",), console)
    assert not (tmp_path / "run").exists()


def test_ctrl_c_writes_a_checkpoint_and_says_how_to_go_on(config, tmp_path, console):
    out = tmp_path / "run"
    command = [sys.executable, "-m", "tdnet_train", "--config", str(config), "--out", str(out)]
    command += ["--set", "stages.0.steps=100000", "--set", "run.log_steps=1", "--set", "validation.split=val"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        until_s = time.monotonic() + 300
        while not (out / "journal.jsonl").exists() and time.monotonic() < until_s and process.poll() is None:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=300)[1]
    assert process.returncode == 130, said
    assert f"Go on: tdnet-train --resume {out}" in said
    assert said.endswith("tdnet-train: interrupted\n")
    stopped = torch.load(out / "resume.pth", weights_only=True)["progress"]["step"]
    assert stopped == max(entry["step"] for entry in RunFolder(out).entries() if entry["kind"] == "steps")
    text = (out / "config.toml").read_text().replace("steps = 100000", f"steps = {stopped + 2}")
    (out / "config.toml").write_text(text)
    go_on(out, console)
    assert RunFolder(out).entries()[-1]["step"] == stopped + 2 + 5


def test_a_checkpoint_that_cannot_be_gone_on_from_is_told(config, tmp_path, console):
    out = tmp_path / "run"
    start(config, out, ("stages.0.steps=1", "stages.1.steps=3"), console)
    state = torch.load(out / "resume.pth", weights_only=True)
    for change, message in (
        (
            {"ranks": 2},
            r"has 2 processes, and now there would be 1, with other batches; go on with 2",
        ),
        ({"format": 0}, r"it was written by another version of this program"),
    ):
        torch.save(state | change, out / "resume.pth")
        with pytest.raises(TrainingError, match=message):
            go_on(out, console)
    torch.save(state, out / "resume.pth")
    whole = (out / "resume.pth").read_bytes()
    (out / "resume.pth").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(TrainingError, match=r"cannot go on from '.*resume.pth': it is damaged"):
        go_on(out, console)


def test_a_folder_whose_name_is_no_utf_8(config, tmp_path, console):
    """Found out neither at the end of the run nor by who goes on with it."""
    out = tmp_path / "ru\udcffn"
    start(config, out, ("stages.0.steps=1", "stages.1.steps=3"), console)
    assert "<h1>ru\\udcffn</h1>" in (out / "report.html").read_text()
    go_on(out, console)


def test_a_folder_whose_name_is_too_long(tmp_path, console):
    folder = tmp_path / ("x" * 300)
    with pytest.raises(TrainingError, match="looking into the run's folder: File name too long"):
        RunFolder(folder).require_new()
    with pytest.raises(OptionError, match=r"--resume .*: File name too long"):
        go_on(folder, console)
