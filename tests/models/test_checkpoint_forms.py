"""docs/checkpoints.md, row by row: each form is built and must be taken, asked for or refused as the page says."""

import argparse
import datetime
import functools
import gzip
import json
import pathlib
import pickle
import re
import struct
import warnings
import zipfile
from collections import OrderedDict
from itertools import dropwhile, takewhile

import numpy as np
import pytest
import torch
from tests.models.test_checkpoint import state_of, tiny_state
from tests.models.test_depths import BAD as NO_NETWORKS

from tdnet_models import load_checkpoint
from tdnet_models.variants import VARIANTS
from tdnet_runtime.errors import CheckpointError, OptionError

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "checkpoints.md"
NAME = "td2-fa18"


def rows(section):
    """First cell → last cell of the table in a section of the page."""
    text = PAGE.read_text().split(f"\n## {section}\n")[1].split("\n## ")[0]
    lines = dropwhile(lambda line: not line.startswith("|"), text.splitlines())
    table = takewhile(lambda line: line.startswith("|"), lines)  # a blank line ends it for readers, too
    cells = [[c.strip() for c in line.strip("|").split("|")] for line in table]
    return {row[0]: row[-1] for row in cells[2:]}


def state():
    return tiny_state(NAME)


def other(factor=0.5):
    """Another network of the same shapes, as an average would be."""
    return {k: v * factor if v.is_floating_point() else v for k, v in state().items()}


def prefixed(prefix, tensors=None):
    return {prefix + key: value for key, value in (tensors or state()).items()}


def alternating(*prefixes):
    """Each name with another prefix than the one before."""
    return {prefixes[i % len(prefixes)] + key: value for i, (key, value) in enumerate(state().items())}


def with_entries(*names, shape=(5, 3), **wrapped):
    return dict(wrapped) | {name: torch.full(shape, torch.nan) for name in names} | state()


def content(make, **options):
    return lambda path: torch.save(make(), path, **options)


STORED = {torch.float32: "F32", torch.float16: "F16", torch.int64: "I64", torch.uint8: "U8"}


def safetensors(path, tensors):
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for name, value in tensors.items():
        raw = value.contiguous().numpy().tobytes()
        offsets = [len(data), len(data) + len(raw)]
        header[name] = {"dtype": STORED[value.dtype], "shape": list(value.shape), "data_offsets": offsets}
        data += raw
    head = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(head)) + head + data)


def one_bit_off(path):
    """In the middle of the largest weights; the file is as long as it was, and all values stay finite."""
    torch.save(state(), path)
    with zipfile.ZipFile(path) as archive:
        largest = max(archive.infolist(), key=lambda member: member.file_size)
    data = bytearray(path.read_bytes())
    data[largest.header_offset + largest.file_size // 2 & ~3] ^= 1
    path.write_bytes(data)


def without_check_sums(path):
    if not hasattr(torch.serialization, "set_crc32_options"):
        pytest.skip("before PyTorch 2.6 they were always written")
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(state(), path)
    finally:
        torch.serialization.set_crc32_options(True)


def arrays(path):
    with path.open("wb") as file:
        np.savez(file, a=np.ones(3))


def in_archive(path):
    torch.save(state(), path.with_name("best.pth"))
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(path.with_name("best.pth"), "runs/best.pth")


def bundle(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("manifest.json", "{}")


def script(path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # newer PyTorch deprecates it
        torch.jit.script(torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1))).save(str(path))


def graph(path):
    onnx = pytest.importorskip("onnx")
    value = onnx.helper.make_tensor_value_info
    ends = value("x", onnx.TensorProto.FLOAT, [1]), value("y", onnx.TensorProto.FLOAT, [1])
    made = onnx.helper.make_graph([onnx.helper.make_node("Relu", ["x"], ["y"])], "g", [ends[0]], [ends[1]])
    onnx.save(onnx.helper.make_model(made), path)


def optimizer():
    parameter = torch.nn.Parameter(torch.ones(2))
    adam = torch.optim.Adam([parameter])
    parameter.grad = torch.ones(2)
    adam.step()
    return adam.state_dict()


def beside():
    """What training scripts keep, as NumPy 1 and 2, Python's paths and argparse pickle it."""
    return {
        "best_iou": np.float64(0.5),
        "confusion": np.ones((3, 3)),
        "args": argparse.Namespace(lr=0.1, arch="td2_fa"),
        "log": pathlib.PurePosixPath("/runs"),
        "date": datetime.datetime(2026, 1, 1),
        "epoch": 3,
        "model_state": state(),
    }


class Unknown:
    """Of a user's module."""


def without(pattern):
    return {key: value for key, value in state().items() if not re.search(pattern, key)}


def heads():
    return state() | {key: torch.ones(9, *state()[key].shape[1:]) for key in ("head2.conv_out.weight",)}


def swa():
    return {"n_averaged": torch.tensor(7), **prefixed("module.")}


def psp(*, without_fc=False):
    made = tiny_state("td4-psp18")
    return {k: v for k, v in made.items() if not (without_fc and re.match(r"pretrained\d\.fc\.", k))}


FILES = {
    "`torch.save`, as a zip file": content(state),
    "`torch.save` before PyTorch 1.6, no zip file": content(state, _use_new_zipfile_serialization=False),
    "`torch.save` without check sums": without_check_sums,
    "pickle protocol 3": content(state, pickle_protocol=3),
    "safetensors": lambda path: safetensors(path, state()),
    "float64, float16 or bfloat16 weights": [
        content(lambda kind=kind: {k: v.to(kind) if v.is_floating_point() else v for k, v in state().items()})
        for kind in (torch.float64, torch.float16, torch.bfloat16)
    ],
    "NumPy numbers and arrays, paths, dates and an `argparse.Namespace` beside the weights": [
        content(beside),
        content(beside, _use_new_zipfile_serialization=False),
    ],
    "pickle protocol 4 or 5": [
        content(state, pickle_protocol=protocol, _use_new_zipfile_serialization=new)
        for protocol in (4, 5)
        for new in (True, False)
    ],
    "`pickle.dump` without PyTorch": [
        lambda path, protocol=protocol: path.write_bytes(pickle.dumps(state(), protocol))
        for protocol in (0, 1, 2, 4, 5)
    ],
    "a whole network, `torch.save(model)`": [
        content(lambda: torch.nn.Sequential(torch.nn.Conv2d(1, 1, 1))),
        content(lambda: torch.nn.Sequential(torch.nn.Conv2d(1, 1, 1)), _use_new_zipfile_serialization=False),
    ],
    "another class's object beside the weights": content(lambda: {"model": state(), "config": Unknown()}),
    "TorchScript archive": script,
    "ONNX model": graph,
    "TensorRT engine": lambda path: path.write_bytes(b"ftrt" + bytes(100)),
    "bundle of this toolkit": bundle,
    "NumPy archive": arrays,
    "zip or gzip archive around a checkpoint": [
        in_archive,
        lambda path: path.write_bytes(gzip.compress(b"x" * 99)),
    ],
    "Git LFS pointer": lambda path: path.write_text(
        "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"
    ),
    "web page": lambda path: path.write_text("\n<!DOCTYPE html>\n<html></html>"),
    "empty file": lambda path: path.touch(),
    "folder": lambda path: path.mkdir(),
    "damaged file": [
        lambda path: (torch.save(state(), path), path.write_bytes(path.read_bytes()[:-5000])),
        one_bit_off,
    ],
    "names and shapes alone (`meta` tensors), tensors without values": [
        content(lambda: {key: value.to("meta") for key, value in state().items()}),
        content(lambda: {k: v[:0] if "conv_out" in k and "aux" not in k else v for k, v in state().items()}),
    ],
    "quantised or integer weights": [
        content(lambda: state() | {"head1.conv_out.weight": torch.ones(5, 8, 1, 1, dtype=torch.int8)}),
    ],
    "NaN or infinite weights": [
        content(lambda bad=bad: state() | {"head1.conv_out.weight": torch.full((5, 8, 1, 1), bad)})
        for bad in (torch.nan, torch.inf)
    ],
    "negative variances of BatchNorms": content(
        lambda: state() | {"pretrained1.bn1.running_var": torch.full((8,), -1e-3)}
    ),
}
EMA = [
    ("model", "ema"),
    ("state_dict", "model_ema"),
    ("model_state", "ema_state_dict"),
    ("state_dict", "averaged_model"),
]
WRAPPERS = {
    "state dict": [content(state), content(lambda: OrderedDict(state()))],
    "`state_dict`": content(lambda: {"state_dict": state(), "epoch": 3}),
    "`model`": content(lambda: {"model": state(), "optimizer": optimizer(), "args": {"lr": 1e-3}}),
    "`model_state_dict`": content(lambda: {"model_state_dict": state(), "loss": torch.tensor(0.5)}),
    "`model_state` with `epoch` and `best_iou`, as the public training saves": content(
        lambda: {"epoch": 90000, "model_state": state(), "best_iou": np.float64(0.7)}
    ),
    "`net`": content(lambda: {"net": prefixed("module."), "acc": 0.5}),
    "`model` in `state`, or `state_dict` in `model`": [
        content(lambda: {"state": {"model": state(), "epoch": 2}}),
        content(lambda: {"model": {"state_dict": state()}, "epoch": 2}),
        content(lambda: {"a": {"b": {"c": {"state_dict": state()}}}}),
    ],
    "prefix `module.` (DataParallel)": content(lambda: prefixed("module.")),
    "prefix `_orig_mod.` (torch.compile)": content(lambda: prefixed("_orig_mod.")),
    "prefixes `module.` and `_orig_mod.` repeated and mixed": [
        content(lambda prefix=prefix: {"model": prefixed(prefix)})
        for prefix in ("module.module.", "_orig_mod.module.", "module._orig_mod.module.")
    ]
    + [content(lambda: alternating("module._orig_mod.", "_orig_mod.module.", "module."))],
    "`_orig_mod.` or `module.` within a name (a compiled or wrapped part)": content(
        lambda: {
            re.sub(r"^(pretrained1|enc2)\.", r"\1._orig_mod.module.", key): v for key, v in state().items()
        }
    ),
    "`_fsdp_wrapped_module.` or `_checkpoint_wrapped_module.` before or within a name": [
        content(lambda: prefixed("_fsdp_wrapped_module.")),
        content(lambda: {"state_dict": prefixed("model._fsdp_wrapped_module.module.")}),
        content(
            lambda: {
                key.replace("layer1.", "layer1._fsdp_wrapped_module._checkpoint_wrapped_module."): value
                for key, value in state().items()
            }
        ),
    ],
    "prefix `module.` before some names only": content(lambda: alternating("", "module.")),
    "Lightning: `state_dict` with prefix `model.`, `net.` or `network.`": [
        content(
            lambda prefix=prefix: {
                "epoch": 1,
                "global_step": 9,
                "pytorch-lightning_version": "2.4.0",
                "state_dict": prefixed(prefix) | {"loss_fn.weight": torch.ones(5)},
                "callbacks": {"ModelCheckpoint{'monitor': 'iou'}": {"best_model_score": torch.tensor(0.5)}},
                "optimizer_states": [optimizer()],
                "lr_schedulers": [],
                "hyper_parameters": {"lr": 0.1},
            }
        )
        for prefix in ("model.", "net.", "network.", "model._orig_mod.", "model.module.")
    ],
    "the same weights in two wrappers": [
        content(lambda: {"state_dict": state(), "model": {k: v.clone() for k, v in state().items()}}),
        content(lambda: {"state_dict": state(), "ema": prefixed("module.")}),
    ],
    "weights averaged by SWA: `n_averaged` and prefix `module.`": [
        content(swa),
        content(lambda: {"swa_state_dict": swa(), "epoch": 3}),
    ],
    "an EMA alone": [
        content(lambda: {"ema": swa(), "updates": 3}),
        content(lambda: prefixed("ema_model.module.")),
    ],
    "raw weights and an EMA without names (a list of tensors)": content(
        lambda: {"model": state(), "ema": {"decay": 0.99, "shadow_params": list(other().values())}}
    ),
    "raw weights and an EMA in two wrappers": [
        content(lambda raw=raw, ema=ema: {raw: prefixed("module."), ema: other()}) for raw, ema in EMA
    ],
    "raw weights and an EMA under two prefixes": [
        content(lambda: {"state_dict": prefixed("model.") | prefixed("ema.module.", other())}),
        content(lambda: state() | prefixed("model_ema.", other())),
    ],
    "two networks in two wrappers": [
        content(lambda: {"net": state(), "teacher": state_of("psp101")[1]}),
        content(lambda: {"student": {"model": state()}, "other": {"model": psp()}}),
    ],
    "the same names with and without `module.`, and other values": [
        content(lambda: state() | prefixed("module.", other())),
        content(lambda: prefixed("module.") | other()),
    ],
    "one bare tensor": [
        content(lambda: torch.ones(3, 4)),
        content(lambda: torch.nn.Parameter(torch.ones(2))),
    ],
    "list of tensors or of state dicts": [
        content(lambda: [torch.ones(1), torch.ones(2)]),
        content(lambda: [state()]),
        content(lambda: {"models": [state(), other()]}),
    ],
    "optimizer alone": [content(optimizer), content(lambda: {"epoch": 3, "optimizer_state": optimizer()})],
    "SWA's counter alone": content(lambda: {"n_averaged": torch.tensor(3)}),
    "nothing but numbers and names": content(lambda: {"epoch": 3, "arch": "td2_fa", "lr": [0.1]}),
}
ENTRIES = {
    "`loss_fn.weight`, `criterion.*`": [
        content(
            lambda: {"model_state": with_entries("loss_fn.weight", "criterion.ce.weight", "aux_loss.weight")}
        ),
        content(lambda: prefixed("module.", with_entries("loss_fn.weight", "loss.0.weight"))),
    ],
    "`total_ops`, `total_params` of thop at any depth": content(
        lambda: with_entries(
            "total_ops",
            "pretrained1.total_params",
            "pretrained1.layer1.0.conv1.total_ops",
            "spare.total_ops",
            shape=(1,),
        )
    ),
    "`teacher.*`": [
        content(lambda: with_entries("teacher.conv.weight") | prefixed("teacher.", state_of("psp101")[1])),
        content(lambda: prefixed("model.", state() | prefixed("teacher.module.", state_of("psp101")[1]))),
    ],
    "`teacher.*` and no student": [
        content(lambda: prefixed("teacher.", state_of("psp101")[1])),
        content(lambda: {"model": prefixed("module.teacher.module.", state_of("psp101")[1]), "epoch": 3}),
    ],
    "`auxlayer*`": content(lambda: with_entries("auxlayer.conv5.0.weight", "auxlayer1.conv5.4.bias")),
    "`head_aux*` of another number of classes than the head": [
        content(lambda: state() | {"head_aux1.conv_out.weight": torch.ones(9, 4, 1, 1)}),
        content(lambda: psp() | {"head_aux1.conv_out.weight": torch.ones(9, 4, 1, 1)}),
    ],
    "optimizer, scheduler, scaler": content(
        lambda: {
            "state_dict": state(),
            "optimizer_state": {"state": {0: {"exp_avg": torch.ones(2)}}, "named": {"momentum": other()}},
            "scheduler": {"last_lr": [0.1], "base": other()},
            "scaler": {"scale": 1.0},
        }
    ),
    "no `num_batches_tracked` (before PyTorch 0.4.1)": content(lambda: without("num_batches_tracked")),
    "no `fc`": content(lambda: psp(without_fc=True)),
    "entries of no known part within the network's": content(
        lambda: state() | {"pretrained1.cbam.weight": torch.ones(2, 2)}
    ),
    "entries of no known part beside the network's": [
        content(lambda: state() | {"spare.weight": torch.ones(2, 2)}),
        content(lambda: {"state_dict": prefixed("model.") | {"refine.conv.weight": torch.ones(2, 2)}}),
        content(lambda: prefixed("model.") | {"refine.head.conv.weight": torch.ones(2, 2)}),
    ],
    "missing parts": [
        content(lambda part=part: without(rf"^{part}")) for part in ("layer_norm1", "atn2", "enc1", "head")
    ],
    "no BatchNorm statistics": content(lambda: without(r"running_(mean|var)|num_batches")),
    "heads with different numbers of classes": content(heads),
}


def foreign(*names):
    return content(lambda: {name: torch.ones(2, 2) for name in names})


RESNET = [
    f"layer{n}.{b}.{part}" for n in (1, 2, 3, 4) for b in (0, 1) for part in ("conv1.weight", "bn1.weight")
]
FOREIGN = {
    "a plain ResNet, which": foreign("conv1.weight", *RESNET, "fc.weight"),
    "(DeepLab, FCN": foreign(*(f"backbone.{name}" for name in RESNET), "classifier.4.weight"),
    "MMSegmentation": foreign(*(f"backbone.{name}" for name in RESNET), "decode_head.conv_seg.weight"),
    "a YOLO network": foreign("model.0.conv.weight", "model.2.m.0.cv1.conv.weight"),
    "an HRNet": foreign("conv1.weight", "layer1.0.conv1.weight", "stage2.0.branches.0.0.conv1.weight"),
    "a per-frame FANet": foreign(
        *(f"resnet.{name}" for name in RESNET), "ffm_4.up.conv.weight", "clslayer_8.conv.weight"
    ),
}
NETWORK_ROWS = {
    "sub-networks of different depths": [NO_NETWORKS["mixed depths"], NO_NETWORKS["mixed depths of four"]],
    "ResNet-152 or another number of blocks": [NO_NETWORKS["ResNet-152"]],
    "ResNet-50 or -101 with a 7×7 stem in a PSPNet": [NO_NETWORKS["torchvision's stem"]],
    "three sub-networks, or one without its partner": [
        NO_NETWORKS["three sub-networks"],
        NO_NETWORKS["one of two sub-networks"],
    ],
    "the teacher in training (`group1`, `group2`)": [NO_NETWORKS["teacher"]],
}
SECTIONS = {"Files": FILES, "Wrappers and prefixes": WRAPPERS, "Entries beside the network": ENTRIES}
CASES = [
    pytest.param(section, row, make, id=f"{row}-{index}")
    for section, forms in SECTIONS.items()
    for row, makes in forms.items()
    for index, make in enumerate(makes if isinstance(makes, list) else [makes])
]


@functools.cache
def verdicts(section):
    return {row: re.match(r"taken|asked for|refused", verdict)[0] for row, verdict in rows(section).items()}


@pytest.mark.parametrize("section", SECTIONS)
def test_the_page_and_the_tests_have_the_same_rows(section):
    assert list(rows(section)) == list(SECTIONS[section])


@pytest.mark.parametrize(("section", "row", "make"), CASES)
def test_each_row_is_true(section, row, make, tmp_path, capfd):
    path = tmp_path / "some.pth"
    make(path)
    verdict = verdicts(section)[row]
    if verdict == "taken":
        network = load_checkpoint(path)
        expected = psp() if network.spec.name == "td4-psp18" else state()
        for key, value in network.state_dict().items():
            if "half" not in key and value.is_floating_point():
                assert torch.allclose(value, expected[key], rtol=1e-2, atol=1e-3), key
        assert "\n" not in str(network.provenance)
        assert len(str(network.provenance)) < 1500
    else:
        with pytest.raises(CheckpointError) as caught:
            load_checkpoint(path)
        text = str(caught.value)
        assert ("--weights" in text) == (verdict == "asked for")
        assert "nearest" not in text or "td2-fa18" in text
        assert "\n" not in text
        assert len(text) - len(str(path)) < 1500
    assert capfd.readouterr() == ("", "")


def test_the_networks_of_the_page_are_those_that_are_built():
    table = rows("Networks")
    named = [
        name for row, verdict in table.items() if verdict == "taken" for name in re.findall(r"`(.+?)`", row)
    ]
    assert sorted(named) == sorted(VARIANTS)  # each is loaded by test_depths.py
    refused = [row for row, verdict in table.items() if verdict == "refused"]
    assert refused[:-1] == list(NETWORK_ROWS)  # refused there too


@pytest.mark.parametrize("what", FOREIGN)
def test_other_networks_are_called_by_their_names(what, tmp_path):
    FOREIGN[what](tmp_path / "some.pth")
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(tmp_path / "some.pth")
    text = str(caught.value)
    assert what in text
    assert "nearest" not in text
    assert "no TDNet" in text


def lightning():
    return {"state_dict": prefixed("model.") | prefixed("ema.module.", other())}


WEIGHTS = [
    (lambda: {"model": prefixed("module."), "ema": other()}, {"model": 1, "ema": 0.5}),
    (
        lightning,
        {"state_dict.model": 1, "state_dict.ema": 0.5},
    ),
    (
        lightning,
        {"state_dict.ema.module": 0.5},
    ),
    (lambda: state() | prefixed("module.", other()), {".": 1, "module": 0.5}),
    (lambda: prefixed("module.") | other(), {".": 0.5, "module": 1}),
    (
        lambda: {"a": {"state_dict": state()}, "b": {"state_dict": other()}},
        {"a": 1, "b": 0.5, "b.state_dict": 0.5},
    ),
    (lambda: state() | prefixed("teacher.", other()), {".": 1, "teacher": 0.5}),
    (
        lambda: {"state_dict": prefixed("model.") | {"refine.conv.weight": torch.ones(2, 2)}},
        {"state_dict.model": 1},
    ),
    (lambda: {"model": state()}, {"model": 1}),
]


@pytest.mark.parametrize("index", range(len(WEIGHTS)))
def test_a_choice_is_followed(index, saved):
    make, choices = WEIGHTS[index]
    path = saved(make())
    for choice, factor in choices.items():
        network = load_checkpoint(path, weights=choice)
        expected = other(factor)
        assert all(torch.equal(value, expected[key]) for key, value in network.state_dict().items()), choice


@pytest.mark.parametrize("choice", ["emma", "mod", "model.", "", "epoch", "optimizer"])
def test_a_choice_that_is_not_there_names_those_that_are(choice, saved):
    path = saved({"model": state(), "ema": other(), "epoch": 3, "optimizer": optimizer()})
    with pytest.raises(OptionError, match=rf"--weights is '{choice}'; the networks .* are: 'model', 'ema'$"):
        load_checkpoint(path, weights=choice)


def test_an_empty_choice_is_none(saved):
    """As of a variable of the shell that is not set."""
    with pytest.raises(OptionError, match=r"--weights is ''; the networks .* are: '\.'$"):
        load_checkpoint(saved(state()), weights="")


def test_a_choice_within_which_there_are_two_is_asked_again(saved):
    path = saved({"a": {"model": state(), "ema": other()}, "b": other(0.25)})
    with pytest.raises(CheckpointError, match=r"'a\.model' \(616 tensors\), 'a\.ema' \(616 tensors\)"):
        load_checkpoint(path, weights="a")


def test_the_line_says_what_was_taken_and_what_was_left(saved):
    trained = prefixed(
        "module.", with_entries("loss_fn.weight", "auxlayer1.conv5.0.weight", "auxlayer1.conv5.1.weight")
    )
    network = load_checkpoint(saved({"epoch": 3, "model_state": trained, "optimizer_state": optimizer()}))
    assert str(network.provenance) == (
        "616 tensors of 'model_state', prefix 'module.' taken off; "
        "left: epoch, optimizer_state, loss_fn (1 tensor), auxlayer1 (2 tensors)"
    )
    plain = load_checkpoint(saved(state()))
    assert str(plain.provenance) == "616 tensors of the file itself; left: nothing"
    many = load_checkpoint(saved({"net": state()} | {f"entry{n}" * 30: n for n in range(500)}))
    assert str(many.provenance).endswith("... and 492 more")
    assert len(str(many.provenance)) < 1500


def test_safetensors_of_odd_kinds(tmp_path):
    path = tmp_path / "some.safetensors"
    safetensors(path, state() | {"loss_fn.weight": torch.ones(0)})
    assert load_checkpoint(path).spec.name == NAME
    data = path.read_bytes()
    for cut in (len(data) - 1, 200, 9):
        path.write_bytes(data[:cut])
        with pytest.raises(CheckpointError, match="damaged"):
            load_checkpoint(path)
    for header in (
        b"[]",
        b'{"a": 3}',
        b'{"a": {"dtype": "F9", "shape": [1], "data_offsets": [0, 4]}}',
        b"{" * 5000,
    ):
        path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(8))
        with pytest.raises(CheckpointError, match="damaged"):
            load_checkpoint(path)
    entry = {"dtype": "F32", "shape": [2], "data_offsets": [-8, 0]}
    header = json.dumps({"a": entry}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(8))
    with pytest.raises(CheckpointError, match="damaged safetensors"):
        load_checkpoint(path)


ODD = [("U16", 2), ("U64", 8), ("C64", 8), ("F8_E4M3", 1)]


@pytest.mark.parametrize(("dtype", "size"), ODD, ids=[dtype for dtype, _ in ODD])
def test_odd_dtypes_of_safetensors_matter_in_weights_alone(dtype, size, tmp_path):
    path = tmp_path / "some.safetensors"
    safetensors(path, state() | {"loss_fn.seed": torch.zeros(size, dtype=torch.uint8)})
    renamed(path, "loss_fn.seed", dtype)
    assert load_checkpoint(path).provenance.tensors == 616


def test_an_odd_dtype_of_a_weight_is_refused_by_name(tmp_path):
    path = tmp_path / "some.safetensors"
    safetensors(path, state() | {"head1.conv_out.weight": torch.zeros(2, 5, 8, 1, dtype=torch.uint8)})
    renamed(path, "head1.conv_out.weight", "U16", shape=[5, 8, 1, 1])
    with pytest.raises(CheckpointError, match=r"has 'head1\.conv_out\.weight' as torch\.uint16"):
        load_checkpoint(path)


def renamed(path, name, dtype, shape=(1,)):
    """The bytes of a tensor in a safetensors file as another dtype and shape."""
    data = path.read_bytes()
    start = 8 + struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:start])
    header[name] |= {"dtype": dtype, "shape": list(shape)}
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data[start:])


def itself():
    """A mapping that holds itself under many names."""
    made = {}
    made |= {f"again{n}": made for n in range(300)}
    return made


LONG = "a" * 5000


def quantised():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # newer PyTorch deprecates it
        made = [torch.quantize_per_tensor(torch.ones(8), 0.1, 0, torch.qint8) for _ in range(2)]
    return {
        name: state() | {"pretrained1.bn1.weight": value}
        for name, value in zip(("model", "ema"), made, strict=True)
    }


STRANGE = {
    "itself": (itself, r"holds no named tensors; its entries are 'again0' \(dict\)"),
    "control characters": (lambda: {"a\nb\x1b[31m": torch.ones(1)}, r"its tensors are a\?b\?\[31m\. Known"),
    "control characters beside": (lambda: state() | {"x\ny.w": torch.ones(2, 2)}, r"has not \(x\?y\)"),
    "long names": (lambda: {LONG: torch.ones(1)}, r"its tensors are a{77}\.{4} Known"),
    "long names of two": (lambda: {LONG: state(), "b" * 5000: other()}, r"holds 2 networks"),
    "many trunks": (
        lambda: {f"pretrained{n}.layer1.0.conv1.weight": torch.ones(1) for n in range(500)},
        r"it has the trunks (pretrained\d+, ){7}pretrained\d+ and 492 more; expected",
    ),
    "many dimensions": (lambda: dict.fromkeys(state(), torch.ones([1] * 60)), r"is no td2-fa18 \(0 of its"),
    "no channels": (lambda: dict.fromkeys(state(), torch.ones(0)), r"of another shape"),
    "axes of TensorFlow": (
        lambda: {k: v.permute(tuple(reversed(range(v.dim())))).clone() for k, v in state().items()},
        r"its weights have their axes in another order than PyTorch's",
    ),
    "all in one row": (
        lambda: {k: v.flatten() if v.dim() else v for k, v in state().items()},
        r"axes in another order .* or have lost some",
    ),
    "a metric's counts": (
        lambda: prefixed("model.") | {"val_iou.confmat": torch.zeros(5, 5, dtype=torch.int64)},
        r"entries that td2-fa18 has not \(val_iou\) and may compute .* --weights model leaves them",
    ),
    "an entry beside, wrapped": (
        lambda: prefixed("module.") | {"module.spare.weight": torch.ones(2, 2)},
        r"entries that td2-fa18 has not \(spare\) and may compute",
    ),
    "matrices": (
        lambda: {k: v.squeeze() for k, v in state().items()},
        r"axes in another order .* or have lost some",
    ),
    "infrared beside colour": (
        lambda: state() | {f"pretrained{p}.conv1.weight": torch.ones(8, 4, 7, 7) for p in (1, 2)},
        r"its first convolution takes 4 channels, a frame has 3",
    ),
    "NumPy arrays": (
        lambda: {k: v.numpy() for k, v in state().items()},
        r"holds no named tensors; its entries are 'pretrained1\.conv1\.weight' \(NumPy array\)",
    ),
    "optimizer": (
        lambda: {"opt": optimizer()},
        r"holds the state of an optimizer and no weights; .*'opt' \(dict\)",
    ),
    "a name twice, once compiled": (
        lambda: state() | {"pretrained1._orig_mod.conv1.weight": torch.ones(8, 3, 7, 7)},
        r"1 unexpected \(pretrained1\._orig_mod\.conv1\.weight\)",
    ),
    "sparse weights in two wrappers": (
        lambda: {
            k: state() | {"pretrained1.bn1.weight": torch.ones(8).to_sparse()} for k in ("model", "ema")
        },
        r"holds 2 networks with different weights: 'model' .*, 'ema' ",
    ),
    "quantised weights in two wrappers": (
        quantised,
        r"holds 2 networks with different weights: 'model' .*, 'ema' ",
    ),
    "shapes beside weights": (
        lambda: {"model": state(), "ema": {key: value.to("meta") for key, value in state().items()}},
        r"holds 2 networks with different weights: 'model' .*, 'ema' ",
    ),
    "averaged parameters": (
        lambda: {"ema": {"shadow": without("running_|num_batches")}},
        r"the statistics of its BatchNorms are missing, as in an average of the parameters alone; load it into",
    ),
}


@pytest.mark.parametrize("case", STRANGE)
def test_what_strangers_may_send_ends_in_one_short_line(case, saved):
    make, message = STRANGE[case]
    content = make()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of saving quantised tensors
        path = saved(content)
    with pytest.raises(CheckpointError, match=message) as caught:
        load_checkpoint(path)
    text = str(caught.value)
    assert text.isprintable()
    assert len(text) - len(str(path)) < 1500
