"""Configurations: read, set on the command line, printed, and refused in one line."""

import re
import sys

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("kornia", reason="the extra `train` is not installed")
yaml = pytest.importorskip("yaml")

from tdnet_models.preprocessing import PRESETS  # noqa: E402
from tdnet_runtime.errors import OptionError, TdnetError  # noqa: E402
from tdnet_train import main  # noqa: E402
from tdnet_train.config_file import digest, read_settings, written  # noqa: E402
from tdnet_train.public_yaml import read_public_yaml  # noqa: E402
from tdnet_train.running.setup import preprocessing_of, require_own_scale  # noqa: E402

PUBLIC = {
    "model": {"arch": "td2_fa", "backbone": "resnet18", "syncBN": True, "path_num": 2},
    "teacher": {
        "arch": "pspnet_2p",
        "backbone": "resnet101",
        "teacher_model": "./no/psp101.pkl",
        "path_num": 2,
    },
    "data": {
        "dataset": "camvid",
        "train_split": "train",
        "val_split": "val",
        "img_rows": 1025,
        "path": "/data/x",
    },
    "training": {
        "n_workers": 8,
        "train_iters": 4000,
        "batch_size": 8,
        "val_interval": 500,
        "print_interval": 25,
        "loss": {"name": "OhemCELoss2D", "thresh": 0.6, "ignore_index": 250},
        "optimizer": {
            "name": "adaoptimizer",
            "momentum": 0.8,
            "wd": 2.0e-4,
            "lr0": 2.0e-2,
            "max_iter": 4000,
            "power": 0.8,
            "warmup_steps": 100,
            "warmup_start_lr": 1.0e-4,
        },
        "train_augmentations": {
            "rotate": 5,
            "colorjtr": [0.5, 0.4, 0.3],
            "scale": [720, 960],
            "hflip": 0.4,
            "rscale": [0.75, 1.0, 2.0],
            "rcrop": [360, 480],
            "colornorm": [[0.4, 0.5, 0.6], [0.2, 0.2, 0.3]],
        },
        "resume": "./no/fa18.pkl",
        "visdom": False,
        "my_own": 3,
    },
    "validating": {"resume": "./no/best.pkl", "n_workers": 8, "batch_size": 4},
}


def test_what_is_written_reads_back(config):
    settings = read_settings(config, ["run.seed=5", "loss.class_weights=[1.0, 2.0, 0.5]"])
    again = config.with_name("again.toml")
    again.write_bytes(written(settings))
    assert read_settings(again) == settings
    assert b"momentum" in written(settings)  # defaults are printed too


def test_a_scale_belongs_to_its_preset(config):
    """A configuration that was written whole has the default of each field, also where another preset is set in it."""
    config.write_bytes(written(read_settings(config)))
    for preset in PRESETS:
        settings = read_settings(config, [f"preprocessing.preset={preset}"]).preprocessing
        assert preprocessing_of(settings) == PRESETS[preset]
    settings = read_settings(config, ["preprocessing.preset=none", "preprocessing.scale=1.0"]).preprocessing
    assert preprocessing_of(settings).scale == 1
    fields = ["preprocessing.mean=[1, 2, 3]", "preprocessing.std=[1, 1, 1]", "preprocessing.scale=0.5"]
    assert preprocessing_of(read_settings(config, fields).preprocessing).scale == 0.5


def test_a_run_of_an_earlier_version_keeps_its_presets_scale(config):
    """Which it began with, whatever its configuration says; one that begins is refused."""
    settings = read_settings(config, ["preprocessing.scale=0.5"]).preprocessing
    assert preprocessing_of(settings) == PRESETS["imagenet"]
    with pytest.raises(OptionError, match=r"preprocessing.scale is 0.5"):
        require_own_scale(settings)


@pytest.mark.parametrize("field", ["run.checkpoint_minutes", "optimizer.clip_norm"])
def test_no_limit_may_be_endless(field, config):
    settings = read_settings(config, [f"{field}=inf"])
    config.write_bytes(written(settings))
    assert read_settings(config) == settings
    for value in ("-inf", "nan"):
        with pytest.raises(OptionError, match=rf"{field} is {value}, expected a finite number"):
            read_settings(config, [f"{field}={value}"])


def test_a_digest_is_of_what_is_asked_for(config):
    """A field's default is as good as the field left out, so that fields to come change no name."""
    plain = read_settings(config)
    assert re.fullmatch(r"[0-9a-f]{8}", digest(plain))
    assert digest(read_settings(config, ["optimizer.momentum=0.9", "stages.0.clips.noise=0.0"])) == digest(
        plain
    )
    others = ["run.seed=5", "stages.0.clips.noise=3.0", "network.size=[96, 128]", "optimizer.momentum=0.8"]
    assert len({digest(plain), *(digest(read_settings(config, [other])) for other in others)}) == 5


def test_fields_are_set_on_the_command_line(config):
    fields = [
        "network.size=[96, 128]",
        "stages.1.clips.flip=0.0",
        "network.name=td4-psp18",
        "teacher.checkpoint=t.pth",
    ]
    settings = read_settings(config, fields)
    assert settings.network.size == (96, 128)
    assert settings.stages[1].clips.flip == 0
    assert settings.network.name == "td4-psp18"
    assert settings.teacher is not None


BROKEN = {
    "run.batch=0": r"run.batch is 0, expected 1 or more",
    "run.batch=two": r"run.batch: expected `int`, got `str`",
    "run.bach=2": r"run: object contains unknown field `bach`",
    "run.precision=fp8": r"run.precision: invalid enum value 'fp8'",
    "run.precision=fp16": r"run.precision is fp16, which needs a GPU",
    "run.device=tpu": r"run.device is 'tpu'; expected auto, cpu, cuda or cuda:N",
    "run.device=cuda:7": r"run.device is 'cuda:7', but PyTorch finds no GPU|run.device is 'cuda:7'; PyTorch finds",
    "run.ema=1.0": r"run.ema is 1.0, expected 0 or more, below 1",
    "loss.ohem_threshold=7.0": r"loss.ohem_threshold is 7.0, expected a probability",
    "loss.cross_entropy=0.0": r"loss.cross_entropy and loss.dice are both 0",
    "loss.alpha=-1.0": r"loss.alpha is -1.0, expected 0 or more",
    "loss.class_weights=[1.0, 2.0]": r"loss.class_weights has 2 values, expected one for each of the 3 classes",
    "stages=[]": r"has no \[\[stages\]\]",
    "stages.0.epochs=1.0": r"a stage has either steps or epochs",
    "stages.0.learning_rate=0.0": r"stages.0.learning_rate is 0.0, expected a value above 0",
    "stages.5.steps=1": r"--set was given 'stages.5.steps=1'; there are 2 of them",
    "stages.².steps=1": r"--set was given 'stages.².steps=1'; there are 2 of them",
    "network.size=[48]": r"network.size: expected `array` of length 2",
    "network.size=[8, 8]": r"cannot take an input of 8x8",
    "network.name=unet": r"network.name is 'unet'; known are",
    "network.propagation=all": r"network.propagation: invalid enum value 'all'",
    "preprocessing.preset=caffe": r"preprocessing.preset is 'caffe'; expected one of imagenet",
    "preprocessing.mean=[0.1, 0.2, 0.3]": r"preprocessing.mean and preprocessing.std go together",
    "data.weight=3": r"data.weight is 3, but weight is for the data sets that a stage mixes, \[\[stages.data\]\]; leave",
    "data.root=/no/where": r"there is no such folder: '/no/where'",
    "validation.split=nightly": r"nightly",
    "teacher.checkpoint=/no/psp.pth": r"cannot read the checkpoint '/no/psp.pth': No such file",
    "start.kind=imagenet": r"start.kind is 'imagenet', but start.checkpoint names no file",
    "loss.class_weights=[0.0, 0.0, 0.0]": r"loss.class_weights are all 0; nothing would be learnt",
    "loss.class_weights=[]": r"loss.class_weights has 0 values, expected one for each of the 3 classes",
    "loss.class_weights=[-1.0, 1.0, 1.0]": r"loss.class_weights.0 is -1.0, expected 0 or more",
    "loss.ohem_share=2.0": r"loss.ohem_share is 2.0, expected 1 at the most",
    "loss.alpha=inf": r"loss.alpha is inf, expected a finite number",
    "optimizer.clip_norm=-1": r"optimizer.clip_norm is -1.0, expected 0 or more",
    "optimizer.clip_norm=nan": r"optimizer.clip_norm is nan, expected a finite number",
    "optimizer.weight_decay=-1": r"optimizer.weight_decay is -1.0, expected 0 or more",
    "optimizer.momentum=-0.1": r"optimizer.momentum is -0.1, expected 0 or more, below 1",
    "optimizer.momentum=1": r"optimizer.momentum is 1.0, expected 0 or more, below 1",
    "optimizer.momentum=nan": r"optimizer.momentum is nan, expected a finite number",
    "optimizer.betas=[1.0, 0.9]": r"optimizer.betas.0 is 1.0, expected 0 or more, below 1",
    "optimizer.head_factor=-1": r"optimizer.head_factor is -1.0, expected 0 or more",
    "optimizer.map_smoothness=-1": r"optimizer.map_smoothness is -1.0, expected 0 or more",
    "stages.0.power=-1": r"stages.0.power is -1.0, expected 0 or more",
    "stages.1.warmup_steps=-5": r"stages.1.warmup_steps is -5, expected 0 or more",
    "stages.0.epochs=nan": r"stages.0.epochs is nan, expected a finite number",
    "stages.0.epochs=inf": r"stages.0.epochs is inf, expected a finite number",
    "stages.0.learning_rate=inf": r"stages.0.learning_rate is inf, expected a finite number",
    "run.checkpoint_minutes=nan": r"run.checkpoint_minutes is nan, expected a finite number",
    "run.checkpoint_minutes=-1": r"run.checkpoint_minutes is -1.0, expected 0 or more",
    "network.width=inf": r"network.width is inf, expected a finite number",
    "validation.every_epochs=inf": r"validation.every_epochs is inf, expected a finite number",
    "data.min_confidence=nan": r"data.min_confidence: expected `float` >= 0.0",
    "preprocessing.scale=0.0": r"preprocessing.scale is 0.0, expected a value above 0",
    "preprocessing.scale=0.5": r"preprocessing.scale is 0.5, but that of preprocessing.preset = 'imagenet' is 0.0039",
    "data.root=/r\udcff": r"data.root is '/r\\udcff', which is not UTF-8, as .* has to be; rename it, or make a link",
    "start.checkpoint=r\udcff": r"start.checkpoint is 'r\\udcff', which is not UTF-8",
    'data.map={"1\udcff"="road"}': r"data.map.key is '1\\udcff', which is not UTF-8",
    "batch": r"--set was given 'batch'; expected FIELD=VALUE",
}


@pytest.mark.parametrize("override", BROKEN)
def test_what_cannot_be_meant_is_refused_in_one_line(override, config, tmp_path, monkeypatch, capsys):
    """And before anything is written."""
    arguments = ["--config", str(config), "--out", str(tmp_path / "run"), "--set", override]
    monkeypatch.setattr(sys, "argv", ["tdnet-train", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    said = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("Looking through")]
    assert ended.value.code == 1, said
    assert len(said) == 1
    assert said[0].startswith("tdnet-train: error: ")
    with pytest.raises(TdnetError, match=BROKEN[override]):
        raise TdnetError(said[0])
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "name a configuration with --config"),
        (
            ("--config", "a.toml", "--resume", "b"),
            "name a configuration with --config, a run to go on with",
        ),
        (("--resume", "b", "--set", "run.batch=1"), "--resume takes all from the run's folder"),
        (("--resume", "no-such"), "there is no run in that folder"),
        (("--config", "no-such.toml"), "cannot read the configuration 'no-such.toml': No such file"),
        (("--config", "bad.toml"), "the configuration 'bad.toml' is not TOML"),
        (("--config", "bad.yml"), "the configuration 'bad.yml' is not YAML"),
        (("--config", "loop.yml"), "the configuration 'loop.yml' is not YAML: maximum recursion depth"),
        (("--config", "date.yml"), "the configuration 'date.yml' is not YAML: "),
        (("--config", "other.yml"), "no YAML file of the public training code: it has no `model`"),
    ],
)
def test_options_that_cannot_be_meant(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.toml").write_text("[network\n")
    (tmp_path / "bad.yml").write_text("a: [1\n")
    (tmp_path / "other.yml").write_text("a: 1\n")
    (tmp_path / "loop.yml").write_text("model: &a\n  arch: *a\n")
    (tmp_path / "date.yml").write_text("model: 2024-13-45\n")
    monkeypatch.setattr(sys, "argv", ["tdnet-train", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr().err
    assert ended.value.code == 1
    assert said.count("\n") == 1
    assert message in said


# The public code's YAML


def write_yaml(folder, **changes):
    content = yaml.safe_load(yaml.safe_dump(PUBLIC))
    for path, value in changes.items():
        *tables, key = path.split("__")
        place = content
        for table in tables:
            place = place[table]
        place[key] = value
    file = folder / "public.yml"
    file.write_text(yaml.safe_dump(content))
    return file


def test_a_public_file_is_read_as_it_is(tmp_path):
    settings, notes = read_public_yaml(write_yaml(tmp_path))
    network, stage = settings.network, settings.stages[0]
    assert (network.name, network.size, network.memory_stride) == ("td2-fa18", (360, 480), 3)
    assert (settings.data.kind, settings.data.root) == ("camvid", "/data/x")
    assert (stage.steps, stage.learning_rate, stage.power) == (4000, 0.02, 0.8)
    assert (stage.warmup_steps, stage.warmup_start, stage.warmup) == (100, 1e-4, "exponential")
    clips = stage.clips
    assert (clips.stage, clips.base_hw, clips.scales) == ("video", (720, 960), (0.75, 1.0, 2.0))
    assert (clips.rotate, clips.flip) == (5, 0.4)
    assert (clips.brightness, clips.contrast, clips.saturation) == (0.5, 0.4, 0.3)
    assert settings.loss.ohem_threshold == 0.6
    assert (settings.optimizer.momentum, settings.optimizer.weight_decay) == (0.8, 2e-4)
    assert settings.preprocessing.mean == (0.4, 0.5, 0.6)
    assert settings.validation.every_steps == 500
    assert (settings.run.batch, settings.run.log_steps) == (8, 25)
    told = "\n".join(notes)
    assert "training.my_own of" in told
    assert "psp101.pkl' is not there: training goes on without distillation" in told
    assert "fa18.pkl' is not there: training begins with random weights" in told
    assert len(notes) == 4  # and rscale's padding: all else has a counterpart, or does nothing there either


def test_one_number_stands_for_all(tmp_path):
    """As it does for the public code's `rcrop`; and YAML 1.1 takes `1e-4` for text."""
    settings, _ = read_public_yaml(
        write_yaml(
            tmp_path,
            training__train_augmentations={"rcrop": 64, "scale": 96, "rscale": 1.5, "colorjtr": 0.2},
            training__loss={"name": "SegmentationLosses", "weight": 2.0},
            training__optimizer={"lr0": "1e-4", "wd": "1e-5"},
        )
    )
    clips = settings.stages[0].clips
    assert (settings.network.size, clips.base_hw, clips.scales) == ((64, 64), (96, 96), (1.5,))
    assert (clips.brightness, clips.contrast, clips.saturation) == (0.2, 0.2, 0.2)
    assert settings.loss.class_weights == (2.0,)
    assert (settings.stages[0].learning_rate, settings.optimizer.weight_decay) == (1e-4, 1e-5)
    settings, _ = read_public_yaml(write_yaml(tmp_path, training__train_augmentations={"scale": 96}))
    assert (settings.network.size, settings.stages[0].clips.base_hw) == ((96, 96), None)


def test_what_differs_is_noted(tmp_path):
    """An entry with a counterpart that is not quite one."""
    file = write_yaml(
        tmp_path,
        training__optimizer__max_iter=8000,
        validating__val_augmentations={"scale": [720, 960], "colornorm": [[0.5, 0.5, 0.5], [1, 1, 1]]},
    )
    told = "\n".join(read_public_yaml(file)[1])
    assert (
        "training.optimizer.max_iter is 8000 and training.train_iters 4000: the learning rate falls" in told
    )
    assert (
        "val_augmentations.scale is [720, 960]: validation brings frames to the network's size, [360, 480]"
        in told
    )
    assert "validating.val_augmentations.colornorm differs from training's" in told
    same = {"scale": [360, 480], "colornorm": PUBLIC["training"]["train_augmentations"]["colornorm"]}
    assert len(read_public_yaml(write_yaml(tmp_path, validating__val_augmentations=same))[1]) == 4


def test_crops_of_frames_as_they_are(tmp_path):
    """No `scale` before the crop: of Cityscapes it is known how large frames are, else it has to be said."""
    bare = {key: value for key, value in PUBLIC["training"]["train_augmentations"].items() if key != "scale"}
    file = write_yaml(tmp_path, training__train_augmentations=bare, data__dataset="cityscapes")
    assert read_public_yaml(file)[0].stages[0].clips.base_hw == (1024, 2048)
    file = write_yaml(tmp_path, training__train_augmentations=bare)
    with pytest.raises(
        OptionError, match=r"has no training.train_augmentations.scale: the public code crops"
    ):
        read_public_yaml(file)
    settings, _ = read_public_yaml(file, ["stages.0.clips.base_hw=[720, 960]"])
    assert (settings.stages[0].clips.base_hw, settings.network.size) == ((720, 960), (360, 480))


def test_files_that_are_there_are_used(tmp_path):
    for name in ("teacher.pkl", "psp.pkl"):
        (tmp_path / name).write_bytes(b"x")
    file = write_yaml(
        tmp_path,
        teacher__teacher_model=str(tmp_path / "teacher.pkl"),
        training__resume=str(tmp_path / "psp.pkl"),
    )
    settings, notes = read_public_yaml(file)
    assert settings.teacher.checkpoint.endswith("teacher.pkl")
    assert (settings.start.kind, settings.start.checkpoint[-7:]) == ("pspnet", "psp.pkl")
    assert len(notes) == 2


def test_a_public_batch_is_that_of_all_processes(tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert read_public_yaml(write_yaml(tmp_path))[0].run.batch == 2
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(
        OptionError, match=r"training.batch_size is 8 for all processes together, and 3 of them"
    ):
        read_public_yaml(write_yaml(tmp_path))


@pytest.mark.parametrize(
    ("change", "value", "message"),
    [
        ("model__arch", "unet", r"model.arch is 'unet', expected one of td2_psp"),
        ("model__path_num", 4, r"model.path_num is 4, but td2_fa has 2"),
        ("model__backbone", "vgg16", r"model.backbone is 'vgg16'"),
        ("data__dataset", "carla", r"data.dataset is 'carla', which is a loader of its own"),
        ("training__loss", {"name": "Focal"}, r"training.loss.name is 'Focal'"),
        ("training__batch_size", "eight", r"run.batch: expected `int`, got `str`"),
        ("model__arch", ["td2_fa"], r"model.arch is \['td2_fa'\], expected one of td2_psp"),
        (
            "training__train_augmentations__rcrop",
            [1, 2, 3],
            r"rcrop is \[1, 2, 3\], expected a list of 2 numbers, or one",
        ),
        (
            "training__train_augmentations__rcrop",
            "big",
            r"rcrop is 'big', expected a list of 2 numbers, or one",
        ),
        (
            "training__train_augmentations__scale",
            [720, None],
            r"scale is \[720, None\], expected a list of 2 numbers",
        ),
        (
            "training__train_augmentations__rscale",
            ["big"],
            r"rscale is \['big'\], expected a list of some numbers",
        ),
        ("training__train_augmentations__rscale", [], r"rscale is \[\], expected a list of some numbers"),
        ("training__train_augmentations__rscale", True, r"rscale is True, expected a list of some numbers"),
        (
            "training__train_augmentations__colorjtr",
            [0.5, 0.5],
            r"colorjtr is \[0.5, 0.5\], expected a list of 3 numbers",
        ),
        (
            "training__train_augmentations__colornorm",
            0.5,
            r"colornorm is 0.5, expected \[\[mean, …\], \[std, …\]\]",
        ),
        (
            "training__train_augmentations__colornorm",
            [[0.5], [0.5]],
            r"colornorm is \[0.5\], expected a list of 3 numbers",
        ),
        ("training__optimizer__lr0", "fast", r"training.optimizer.lr0 is 'fast', expected a number"),
        ("training__optimizer__wd", [1], r"training.optimizer.wd is \[1\], expected a number"),
        ("training__optimizer__warmup_start_lr", "slow", r"warmup_start_lr is 'slow', expected a number"),
        (
            "training__loss",
            {"name": "SegmentationLosses", "weight": "all"},
            r"loss.weight is 'all', expected a list",
        ),
    ],
)
def test_public_files_that_cannot_be_meant(change, value, message, tmp_path):
    with pytest.raises(OptionError, match=message):
        read_public_yaml(write_yaml(tmp_path, **{change: value}))
