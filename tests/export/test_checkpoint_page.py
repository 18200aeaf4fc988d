"""docs/checkpoints.md, the sections on what an export is told: each row is given to `tdnet-export` as a user gives it."""

import re

import pytest
import torch
from tests.conftest import TINY_FEATURES
from tests.models.test_checkpoint import state_of
from tests.models.test_checkpoint_forms import rows
from typer.testing import CliRunner

from tdnet_export import cli, pipeline
from tdnet_export.classes import class_specs
from tdnet_models import load_checkpoint
from tdnet_models.preprocessing import IMAGENET, PRESETS, Preprocessing
from tdnet_runtime.errors import CheckpointError, OptionError, SizeError

MAPS = {name: TINY_FEATURES[name] for name in ("td2-fa18", "td4-psp18", "td2-psp50")}
OWN = Preprocessing(mean=(0.29, 0.33, 0.28), std=(0.18, 0.19, 0.2))


def given(monkeypatch, checkpoint, *arguments):
    """The options that the command makes of its arguments; what it raises."""
    seen = []
    monkeypatch.setattr(pipeline, "bundle_from_checkpoint", lambda options, **_: seen.append(options))
    monkeypatch.setattr(cli, "show_summary", lambda *_: None)
    result = CliRunner().invoke(cli.app, ["--ckpt", str(checkpoint), *arguments])
    if result.exception is not None:
        raise result.exception
    return seen[0]


@pytest.fixture
def sized(monkeypatch, tiny_checkpoint):
    """sized(network, size): (H, W) of the network, and what its maps were resampled from."""

    def load(name, size=None):
        path = tiny_checkpoint(name)
        options = given(monkeypatch, path, *(["--size", size] if size else []))
        network = load_checkpoint(path, size=options.size_hw)
        return network.spec.input_size, network.resampled_from

    return load


def exact_sizes_are_taken(sized):
    for name, (h, w) in MAPS.items():
        for height, width in ((8 * h - 7, 8 * w), (8 * h, 8 * w - 7), (8 * h - 3, 8 * w - 5)):
            assert sized(name, f"{height}x{width}") == ((height, width), None)


def psp_is_assumed(sized):
    for name in ("td4-psp18", "td2-psp50"):
        assert sized(name) == (tuple(8 * (side - 1) + 1 for side in MAPS[name]), None)


def fanet_is_assumed(sized):
    assert sized("td2-fa18") == ((64, 96), None)


def others_are_approximate(sized):
    for name, (h, w) in MAPS.items():
        for height, width in ((8 * h + 1, 8 * w), (8 * h, 8 * w + 1), (8 * h - 8, 8 * w), (8 * w, 8 * h)):
            assert sized(name, f"{height}x{width}") == ((height, width), (h, w))


def any_size_of_psp_is_exact(sized):
    for size in ((41, 8192), (100, 77), (769, 1537)):
        assert sized("psp101", "{}x{}".format(*size)) == (size, None)


def psp_alone_is_assumed(sized):
    assert sized("psp101") == ((769, 1537), None)


def limits_are_held(sized):
    for name, kept in (("td2-fa18", r".* nearest: 57x96$"), ("psp101", "$")):
        with pytest.raises(SizeError, match=f"sides are 41 to 8192; nearest: 41x200{kept}"):
            sized(name, "40x200")
    with pytest.raises(SizeError, match=r"nearest: 64x8192; .* nearest: 64x96$"):
        sized("td2-fa18", "64x8193")


def small_maps_are_refused(tmp_path):
    torch.save(state_of("td4-psp18", feature_size=(5, 9))[1], tmp_path / "small.pth")
    with pytest.raises(
        SizeError, match=r"33x65: sides are 41 to 8192; nearest: 41x65; its LayerNorm maps \[5, 9\]"
    ):
        load_checkpoint(tmp_path / "small.pth")


def sizes_have_a_form(sized):
    for size in ("64", "64x", "x96", "64,96", "64x96x3", "-64x96", "64.0x96", "big"):
        with pytest.raises(OptionError, match=r"--size is '.*'; expected HEIGHTxWIDTH"):
            sized("td2-fa18", size)


SIZES = {
    "td2 or td4 with maps of h×w, ⌈H/8⌉ = h and ⌈W/8⌉ = w": ("taken", exact_sizes_are_taken),
    "td2-psp or td4-psp, no `--size`": ("taken", psp_is_assumed),
    "td2-fa, no `--size`": ("taken", fanet_is_assumed),
    "td2 or td4, another H or W": ("taken", others_are_approximate),
    "psp, any H and W": ("taken", any_size_of_psp_is_exact),
    "psp, no `--size`": ("taken", psp_alone_is_assumed),
    "a side below 41 or above 8192": ("refused", limits_are_held),
    "maps of fewer than six rows or columns, no `--size`": ("refused", small_maps_are_refused),
    "not HEIGHTxWIDTH": ("refused", sizes_have_a_form),
}
VALUES = ["--mean", "0.29,0.33,0.28", "--std", "0.18,0.19,0.2"]
PREPROCESSING = {
    "nothing": [([], IMAGENET, "assumed")],
    "`--preprocessing imagenet`, `unit`, `none` or `ptsemseg`": [
        (["--preprocessing", name], preset, "user") for name, preset in PRESETS.items()
    ],
    "`--mean` and `--std`, three numbers each or one for all channels": [
        (VALUES, OWN, "user"),
        (["--mean", "0.5", "--std", "0.5"], Preprocessing(mean=(0.5,) * 3, std=(0.5,) * 3), "user"),
    ],
    "the same with `--scale`": [
        (
            ["--mean", "116.3", "--std", "57", "--scale", "1"],
            Preprocessing(mean=(116.3,) * 3, std=(57.0,) * 3, scale=1.0),
            "user",
        )
    ],
    "`--bgr` alone": [(["--bgr"], IMAGENET.bgr, "assumed")],
    "`--bgr` with a preset": [
        (["--bgr", "--preprocessing", name], preset.bgr, "user") for name, preset in PRESETS.items()
    ],
    "`--bgr` with `--mean` and `--std`": [
        ([*VALUES, "--bgr"], Preprocessing(mean=OWN.mean, std=OWN.std, color_order="BGR"), "user")
    ],
    "`--mean` or `--std` or `--scale` without the rest": [
        VALUES[:2],
        VALUES[2:],
        ["--scale", "1"],
        [*VALUES[:2], "--scale", "1"],
    ],
    "a preset and values": [
        ["--preprocessing", "unit", *VALUES],
        ["--preprocessing", "unit", "--scale", "1"],
    ],
    "an unknown preset, no numbers, two or four numbers": [
        ["--preprocessing", "cityscapes"],
        ["--mean", "none", "--std", "1"],
        ["--mean", "0.5,0.5", "--std", "1"],
        ["--mean", "0.5,0.5,0.5,0.5", "--std", "1"],
    ],
    "values that cannot be meant: of another scale than the pixels, 0 or a sign, NaN": [
        ["--mean", "116.3", "--std", "57"],
        ["--mean", "0.485", "--std", "0.229", "--scale", "1"],
        ["--mean", "0.5", "--std", "0"],
        ["--mean", "-0.5", "--std", "0.5"],
        ["--mean", "nan", "--std", "0.5"],
        [*VALUES, "--scale", "0"],
    ],
}
ONE_CLASS = {
    "one class, no `--threshold`": [([], 1, 0.5)],
    "one class, 0.0001 to 0.9999": [
        (["--threshold", text], 1, float(text)) for text in ("0.0001", "0.3", "0.9999")
    ],
    "one class, another number": [
        (["--threshold", text], 1, None) for text in ("0", "1", "-0.5", "nan", "128")
    ],
    "more classes": [(["--threshold", "0.5"], count, None) for count in (2, 40)],
    "more classes than 256, no `--threshold`": [([], 257, None)],
}


def verdict(section, row):
    return re.match(r"taken|refused", rows(section)[row])[0]


@pytest.mark.parametrize(
    ("section", "tests"), [("Sizes", SIZES), ("Preprocessing", PREPROCESSING), ("One class", ONE_CLASS)]
)
def test_the_page_and_the_tests_have_the_same_rows(section, tests):
    assert list(rows(section)) == list(tests)


@pytest.mark.parametrize("row", SIZES)
def test_sizes(row, sized, tmp_path):
    expected, test = SIZES[row]
    test(tmp_path if test is small_maps_are_refused else sized)
    assert verdict("Sizes", row) == expected


@pytest.mark.parametrize("row", PREPROCESSING)
def test_preprocessing(row, monkeypatch, tmp_path):
    for case in PREPROCESSING[row]:
        if verdict("Preprocessing", row) == "refused":
            with pytest.raises(OptionError, match=r"^--(mean|std|scale|preprocessing)[^\n]*$"):
                given(monkeypatch, tmp_path / "x.pth", *case)
            continue
        arguments, expected, source = case
        options = given(monkeypatch, tmp_path / "x.pth", *arguments)
        assert options.wanted_preprocessing == expected
        assert (options.preprocessing is None) == (source == "assumed")


@pytest.mark.parametrize("row", ONE_CLASS)
def test_one_class(row, monkeypatch, tmp_path):
    for arguments, classes, threshold in ONE_CLASS[row]:

        def labels(arguments=arguments, classes=classes):
            options = given(monkeypatch, tmp_path / "x.pth", *arguments)
            return options.threshold_for(classes), class_specs(classes, None)

        if verdict("One class", row) == "refused":
            with pytest.raises((OptionError, CheckpointError), match=r"--threshold|8-bit"):
                labels()
            continue
        found, specs = labels()
        assert found == threshold
        assert [spec.name for spec in specs] == ["background", "foreground"]
