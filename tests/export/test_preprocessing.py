"""What users say of their training's preprocessing reaches the graphs, at no cost, and what cannot be meant does not."""

import dataclasses
import io

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from rich.console import Console
from tests.conftest import tiny_state
from typer.testing import CliRunner

from tdnet_export import cli, trunk_graph
from tdnet_export.options import ExportOptions
from tdnet_export.pipeline import bundle_from_checkpoint
from tdnet_export.precision import half_precision_model
from tdnet_export.preprocessing import check_preprocessing, parse_preprocessing
from tdnet_export.trunk_graph import damping
from tdnet_export.view import show_summary
from tdnet_models import ReferenceStream, load_checkpoint
from tdnet_models.preprocessing import IMAGENET, PRESETS, Preprocessing
from tdnet_runtime import Segmenter
from tdnet_runtime.bundle import Bundle
from tdnet_runtime.errors import ExportError, OptionError
from tdnet_runtime.media.scene import render

CAFFE = Preprocessing(mean=(103.9, 116.8, 123.7), std=(1.0, 1.0, 1.0), scale=1.0, color_order="BGR")
OWN = Preprocessing(mean=(0.29, 0.33, 0.41), std=(0.18, 0.19, 0.25), color_order="BGR")
SIZE = {"psp101": (49, 65)}


def colourful(index, size):
    """A frame whose channels differ everywhere."""
    frame = render(index, height=size[0], width=size[1])
    return np.stack([frame[..., 0] // 2, frame[..., 1], 255 - frame[..., 2] // 3], axis=2)


def parsed(**given):
    return parse_preprocessing(
        **({"preset": None, "mean": None, "std": None, "scale": None, "bgr": False} | given)
    )


def test_nothing_said_is_nothing():
    assert parsed() is None
    assert parsed(bgr=True) is None


@pytest.mark.parametrize("name", PRESETS)
def test_presets(name):
    assert parsed(preset=name) == PRESETS[name]
    check_preprocessing(PRESETS[name])


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"mean": "0.485,0.456,0.406", "std": "0.229,0.224,0.225"}, IMAGENET),
        ({"mean": "0.485 0.456 0.406", "std": "0.229, 0.224, 0.225", "scale": "1/255"}, IMAGENET),
        ({"mean": "103.9,116.8,123.7", "std": "1", "scale": "1", "bgr": True}, CAFFE),
        ({"mean": "0", "std": "1"}, PRESETS["unit"]),
        ({"mean": "0.5", "std": "0.5"}, Preprocessing(mean=(0.5,) * 3, std=(0.5,) * 3)),
        (
            {"mean": "1", "std": "1", "scale": "1/127.5"},
            Preprocessing(mean=(1,) * 3, std=(1,) * 3, scale=1 / 127.5),
        ),
        ({"mean": "0", "std": "255", "scale": "1"}, Preprocessing(mean=(0,) * 3, std=(255,) * 3, scale=1)),
        (
            {"mean": "0", "std": "1", "scale": "0.0039"},
            Preprocessing(mean=(0,) * 3, std=(1,) * 3, scale=0.0039),
        ),
    ],
)
def test_values_in_the_order_of_the_networks_channels(given, expected):
    assert parsed(**given) == expected
    check_preprocessing(expected)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"preset": "cityscape"}, r"--preprocessing is 'cityscape'; expected imagenet, unit, none, ptsemseg"),
        ({"preset": "unit", "scale": "1"}, r"--preprocessing names all values; leave it out, or --scale"),
        ({"mean": "0.5"}, r"--mean needs --std"),
        ({"std": "0.5"}, r"--std needs --mean"),
        ({"scale": "1"}, r"--scale needs --mean and --std"),
        ({"mean": "1,2", "std": "1"}, r"--mean is '1,2', 2 numbers; expected three"),
        ({"mean": "", "std": "1"}, r"--mean is '', 0 numbers"),
        ({"mean": "1,2,3,4", "std": "1"}, r"--mean .* 4 numbers"),
        ({"mean": "1,x,3", "std": "1"}, r"--mean has 'x'; expected a number or a fraction such as 1/255"),
        ({"mean": "0", "std": "1", "scale": "1/0"}, r"--scale has '1/0'"),
        ({"mean": "0", "std": "1", "scale": "1/"}, r"--scale has '1/'"),
    ],
)
def test_what_is_no_preprocessing_is_refused(given, message):
    with pytest.raises(OptionError, match=message):
        parsed(**given)


@pytest.mark.parametrize(
    ("mean", "std", "scale", "message"),
    [
        (
            (123.675, 116.28, 103.53),
            (58.395, 57.12, 57.375),
            1 / 255,
            "--mean .* divide both, .* or give --scale 1 ",
        ),
        ((0.485, 0.456, 0.406), (58.395, 57.12, 57.375), 1 / 255, "--std is 58.395.* divide it by 255, or"),
        ((0.485, 0.456, 0.406), (0.0009, 0.0009, 0.0009), 1 / 255, "--std is .* 1/255: multiply it by 255$"),
        ((0.0019, 0.0018, 0.0016), (1.0, 1.0, 1.0), 1 / 255, "--mean is .* 1/255: multiply it by 255$"),
        (
            (0.485, 0.456, 0.406),
            (0.229, 0.224, 0.225),
            1.0,
            "--mean is .* next to nothing .* or give --scale 1/255",
        ),
        (
            (123.675, 116.28, 103.53),
            (0.229, 0.224, 0.225),
            1.0,
            "--std is .* next to nothing .* multiply it by 255",
        ),
        ((0.0, 0.0, 0.0), (0.229, 0.224, 0.225), 1.0, "--std is .* next to nothing"),
        ((-0.485, -0.456, -0.406), (0.229, 0.224, 0.225), 1 / 255, "--mean .* leave out the sign"),
        ((0.5, 0.5, 0.5), (0.5, 0.0, 0.5), 1 / 255, "--std is 0.5,0,0.5; .* positive numbers, 1 for none"),
        ((0.5, 0.5, 0.5), (0.5, -0.5, 0.5), 1 / 255, "--std .* positive numbers"),
        ((float("nan"), 0.5, 0.5), (0.5, 0.5, 0.5), 1 / 255, "--mean is nan,0.5,0.5; expected finite"),
        ((0.5, 0.5, 0.5), (0.5, float("inf"), 0.5), 1 / 255, "--std is 0.5,inf,0.5; expected finite"),
        ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5), 255.0, "--scale is 255; expected what .*: 1/255, or 1"),
        ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5), 0.0, "--scale is 0"),
        ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5), -1 / 255, "--scale is -0.00"),
        ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5), float("nan"), "--scale is nan"),
        ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), 1 / 65025, "--std is 1,1,1, but pixels are 0 to 0.0039"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_the_remedy(mean, std, scale, message, tmp_path):
    preprocessing = Preprocessing(mean=mean, std=std, scale=scale)
    with pytest.raises(OptionError, match=message) as caught:
        ExportOptions(checkpoint=tmp_path / "x.pth", preprocessing=preprocessing)
    assert "\n" not in str(caught.value)


def test_values_of_the_default_and_of_presets_follow_their_colours(tmp_path):
    options = ExportOptions(checkpoint=tmp_path / "x.pth", bgr=True)
    assert options.wanted_preprocessing == IMAGENET.bgr
    assert dataclasses.replace(options, preprocessing=IMAGENET).wanted_preprocessing == IMAGENET.bgr
    assert dataclasses.replace(options, preprocessing=OWN).wanted_preprocessing == OWN
    assert dataclasses.replace(options, bgr=False).wanted_preprocessing == IMAGENET


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """exported(name, preprocessing): (checkpoint, bundle) of a tiny network, FP32 and FP16, made once."""
    folder, done = tmp_path_factory.mktemp("preprocessed"), {}

    def make(name, preprocessing, *, exchanged=False):
        key = name, preprocessing, exchanged
        if key not in done:
            checkpoint = folder / f"{len(done)}.pth"
            state = tiny_state(name)
            stems = {f"{key}.weight" for key in stems_of(state)}
            # as training would have made them: smaller where pixels are up to 255, and turned
            state |= {key: state[key] / (64 if preprocessing.scale == 1 else 1) for key in stems}
            state |= {key: state[key].flip(1) for key in stems if exchanged}
            torch.save(state, checkpoint)
            out = folder / f"{len(done)}.plan"
            bundle_from_checkpoint(
                ExportOptions(
                    checkpoint=checkpoint,
                    out=out,
                    size_hw=SIZE.get(name),
                    precisions=("fp32", "fp16"),
                    preprocessing=preprocessing,
                )
            )
            done[key] = checkpoint, out
        return done[key]

    return make


def stems_of(state):
    stems = {key.rsplit(".", 1)[0] for key in state if key.startswith("pretrained") and ".layer" not in key}
    return {
        key for key in stems if key.endswith((".conv1.0", ".conv1")) and state[f"{key}.weight"].shape[1] == 3
    }


def labels_of_bundle(path, frames, precision="fp32"):
    with Segmenter.open(path, backend="onnxruntime", precision=precision) as segmenter:
        stream = segmenter.stream()
        return np.stack([stream.push(frame).labels for frame in frames])


def labels_of_oracle(network, frames, preprocessing):
    stream = ReferenceStream(network, preprocessing=preprocessing)
    return np.stack([stream.push(frame).argmax(0).numpy() for frame in frames])


@pytest.mark.parametrize("preprocessing", [OWN, CAFFE], ids=["own", "caffe"])
@pytest.mark.parametrize("name", ["td2-fa18", "td2-psp50", "psp101"])
def test_a_bgr_bundle_is_the_oracle_in_either_order(name, preprocessing, exported):
    """== the oracle that turns == the oracle of the same values as RGB on frames with exchanged channels."""
    checkpoint, bundle = exported(name, preprocessing)
    network = load_checkpoint(checkpoint, size=SIZE.get(name))
    frames = [colourful(t, network.spec.input_size) for t in range(5)]
    found = labels_of_bundle(bundle, frames)
    as_rgb = dataclasses.replace(preprocessing, color_order="RGB")
    turned = [frame[..., ::-1] for frame in frames]
    assert (found == labels_of_oracle(network, frames, preprocessing)).mean() > 0.9995
    assert (found == labels_of_oracle(network, turned, as_rgb)).mean() > 0.9995
    for other in (as_rgb, preprocessing.rgb):
        assert (
            found == labels_of_oracle(network, frames, other)
        ).mean() < 0.995  # weights that were never trained


def test_a_network_of_exchanged_channels_gives_the_labels_of_the_rgb_one(exported):
    """As users' do who trained on OpenCV's order: the same masks from the same RGB frames."""
    frames = [colourful(t, (64, 96)) for t in range(5)]
    _, rgb = exported("td2-fa18", OWN.rgb)
    _, bgr = exported("td2-fa18", OWN, exchanged=True)
    for precision in ("fp32", "fp16"):
        assert np.array_equal(
            labels_of_bundle(rgb, frames, precision), labels_of_bundle(bgr, frames, precision)
        )


@pytest.mark.parametrize("name", ["td2-fa18", "td2-psp50"])
def test_the_graphs_cost_the_same(name, exported, tiny_bundle):
    plain, turned = tiny_bundle(name), exported(name, CAFFE)[1]
    assert nodes_of(plain, "subnet1") == nodes_of(turned, "subnet1")


def nodes_of(path, graph):
    with Bundle.open(path) as bundle:
        member = bundle.manifest.graph(graph).members["fp32"]
        return [(node.op_type, node.name) for node in onnx.load_from_string(bundle.read(member)).graph.node]


def test_the_manifest_says_it(exported, tiny_bundle):
    with Bundle.open(exported("td2-fa18", CAFFE)[1]) as bundle:
        stated = bundle.manifest.input
    assert (stated.mean, stated.std, stated.scale) == (CAFFE.mean, CAFFE.std, 1.0)
    assert (stated.color_order, stated.preprocessing_from) == ("BGR", "user")
    with Bundle.open(tiny_bundle("td2-fa18")) as bundle:
        assumed = bundle.manifest.input
    assert (assumed.mean, assumed.std, assumed.scale) == (IMAGENET.mean, IMAGENET.std, 1 / 255)
    assert (assumed.color_order, assumed.preprocessing_from) == ("RGB", "assumed")


def test_damping_is_exact_and_leaves_what_is_normalised_alone():
    assert [damping(preset) for preset in (IMAGENET, PRESETS["unit"], OWN, PRESETS["ptsemseg"])] == [1.0] * 4
    assert (damping(PRESETS["none"]), damping(CAFFE)) == (64.0, 64.0)


def test_first_weights_of_pixels_as_they_are_survive_fp16(tmp_path, monkeypatch):
    """Trained on 0 to 255 the first weights are 255 times smaller, below FP16's normal range."""
    state = tiny_state("td2-fa18")
    state |= {f"{stem}.weight": state[f"{stem}.weight"] / 255 / 8 for stem in stems_of(state)}
    checkpoint = tmp_path / "none.pth"
    torch.save(state, checkpoint)
    options = ExportOptions(
        checkpoint=checkpoint,
        out=tmp_path / "none.plan",
        precisions=("fp32", "fp16"),
        preprocessing=PRESETS["none"],
    )
    summary = bundle_from_checkpoint(options)
    assert summary.reports["fp16"].label_agreement > 0.99
    with Bundle.open(options.out) as bundle:
        single = onnx.load_from_string(bundle.read(bundle.manifest.graph("subnet1").members["fp32"]))
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in single.graph.initializer}
    raw = state["pretrained1.conv1.weight"].numpy()
    gain = state["pretrained1.bn1.weight"] / (state["pretrained1.bn1.running_var"] + 1e-5).sqrt()
    np.testing.assert_allclose(
        weights["trunk/stem/weight"], 64 * raw * gain.numpy()[:, None, None, None], rtol=1e-6
    )
    half_precision_model(single)
    monkeypatch.setattr(trunk_graph, "damping", lambda _: 1.0)
    with pytest.raises(ExportError, match=r"trunk/stem/weight.*FP16"):
        bundle_from_checkpoint(options)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--mean", "123.675,116.28,103.53", "--std", "58.4,57.1,57.4"], "divide both"),
        (
            ["--rebuild", "x.plan", "--backend", "tensorrt", "--bgr"],
            "--rebuild takes all from the bundle; leave out --bgr",
        ),
        (["--rebuild", "x.plan", "--mean", "0", "--threshold", "0.5"], "leave out --mean, --threshold"),
        (["--preprocessing", "imagenet", "--std", "1"], "leave it out, or --std"),
    ],
)
def test_the_command_line_refuses_in_one_line(arguments, message, tmp_path):
    checkpoint = [] if "--rebuild" in arguments else ["--ckpt", str(tmp_path / "absent.pth")]
    result = CliRunner().invoke(cli.app, [*checkpoint, *arguments])
    assert isinstance(result.exception, OptionError)
    assert message in str(result.exception)


def test_the_command_line_hands_it_on(tiny_checkpoint, tmp_path):
    out = tmp_path / "a.plan"
    arguments = ["--ckpt", str(tiny_checkpoint("td2-fa18")), "--out", str(out)]
    arguments += ["--bgr", "--mean", "103.9,116.8,123.7", "--std", "1", "--scale", "1"]
    result = CliRunner().invoke(cli.app, arguments, env={"COLUMNS": "400"})
    assert result.exit_code == 0, result.output
    with Bundle.open(out) as bundle:
        assert bundle.manifest.input.mean == CAFFE.mean
        assert bundle.manifest.input.color_order == "BGR"
    assert (
        "BGR, (x - mean)/std, mean B 103.9, G 116.8, R 123.7, std B 1, G 1, R 1; stated at the export"
        in result.output
    )


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (
            {},
            "RGB, (x/255 - mean)/std, mean R 0.485, G 0.456, B 0.406, std R 0.229, G 0.224, B 0.225; ASSUMED",
        ),
        (
            {"bgr": True},
            "mean B 0.406, G 0.456, R 0.485, std B 0.225, G 0.224, R 0.229; BGR as stated, mean, std and",
        ),
        ({"preprocessing": IMAGENET}, "B 0.225; stated at the export"),
    ],
    ids=["assumed", "half assumed", "stated"],
)
def test_the_summary_shows_what_was_assumed(options, expected, tiny_checkpoint, tmp_path):
    out = tmp_path / "a.plan"
    summary = bundle_from_checkpoint(
        ExportOptions(checkpoint=tiny_checkpoint("td2-fa18"), out=out, **options)
    )
    text = io.StringIO()
    show_summary(summary, Console(file=text, width=400))
    assert expected in text.getvalue()
