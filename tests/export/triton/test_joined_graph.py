"""The joined graph driven as Triton drives it, which is a loop of this project's and no server: `StateLoop`.

Its configuration is read by Triton's own schema where that is installed, else by the writer's own fields.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.export.triton.conftest import Repository

from tdnet_export.triton import graph_proof
from tdnet_export.triton.configs import graph_config
from tdnet_export.triton.joined_graph import joined_graph
from tdnet_export.triton.state_loop import StateLoop
from tdnet_runtime import ParityError, Segmenter
from tdnet_runtime.backends import onnxruntime
from tdnet_runtime.bundle import Bundle
from tdnet_runtime.media.scene import render
from tdnet_runtime.serving.frame_count import WRAP

Bundles = Callable[[str], Path]
TEMPORAL = ("td2-fa18", "td4-psp18")


def config_of(bundle: Path) -> dict[str, Any]:
    with Bundle.open(bundle) as opened:
        config = graph_config("x", "onnxruntime", opened, precision="fp32", streams=1, idle_s=1)
    return copy.deepcopy(dict(config))


def model_of(bundle: Path, change: Callable[[Any], None] = lambda model: None) -> bytes:
    """The joined graph of a bundle, changed."""
    onnx = pytest.importorskip("onnx")
    with Bundle.open(bundle) as opened:
        joined = joined_graph(opened.manifest, graphs_of(opened), precision="fp32")
        model = onnx.load_model_from_string(joined)
    change(model)
    return bytes(model.SerializeToString())


def graphs_of(bundle: Bundle) -> dict[str, bytes]:
    return {graph.name: bundle.read(graph.members["fp32"]) for graph in bundle.manifest.graphs}


def labels(loop: StateLoop, segmenter: Segmenter, starts: tuple[int, ...]) -> list[tuple[Any, Any]]:
    """(the loop's labels, the runtime's) of each frame; a new start for each number of frames."""
    height, width = segmenter.manifest.input.height, segmenter.manifest.input.width
    pairs = []
    with segmenter.stream() as stream:
        for run, count in enumerate(starts):
            stream.reset()
            for index in range(count):
                frame = render(40 * run + index, height=height, width=width)
                found = loop.infer(frame[None], start=index == 0)
                assert found["frame_index"].tolist() == [index]
                pairs.append((found["labels"][0], stream.push(frame).labels))
    return pairs


@pytest.mark.parametrize("name", TEMPORAL)
def test_labels_are_the_runtimes_over_3m_plus_2_frames_and_starts(
    repository: Repository, tiny_bundle: Bundles, name: str
) -> None:
    model = (repository(name) / f"{name}-onnx" / "1" / "model.onnx").read_bytes()
    loop = StateLoop(model, config_of(tiny_bundle(name)))
    with Segmenter.open(tiny_bundle(name), backend="onnxruntime") as segmenter:
        m = len(segmenter.manifest.paths)
        pairs = labels(loop, segmenter, (3 * m + 2, 1, m - 1, m + 1))
    assert len(pairs) == 3 * m + 2 + 1 + 2 * m
    for found, expected in pairs:
        np.testing.assert_array_equal(found, expected)


def test_two_sequences_do_not_touch_each_other(repository: Repository, tiny_bundle: Bundles) -> None:
    """The state is Triton's, and the graph has none of its own."""
    name = "td2-fa18"
    model = (repository(name) / f"{name}-onnx" / "1" / "model.onnx").read_bytes()
    loops = [StateLoop(model, config_of(tiny_bundle(name))) for _ in range(2)]
    with Segmenter.open(tiny_bundle(name), backend="onnxruntime") as segmenter:
        height, width = segmenter.manifest.input.height, segmenter.manifest.input.width
        with segmenter.stream() as one, segmenter.stream() as two:
            for index in range(8):
                for loop, stream, begin in ((loops[0], one, 0), (loops[1], two, 70)):
                    frame = render(begin + index, height=height, width=width)
                    found = loop.infer(frame[None], start=index == 0)["labels"][0]
                    np.testing.assert_array_equal(found, stream.push(frame).labels)


def test_a_state_without_its_zeros_is_noticed(tiny_bundle: Bundles) -> None:
    """0·NaN is NaN in cold frames, too: what a server does that was told of no initial state."""
    bundle = tiny_bundle("td2-fa18")
    config = config_of(bundle)
    for state in config["sequence_batching"]["state"]:
        if state["input_name"] != "frame":
            del state["initial_state"]
    with Segmenter.open(bundle, backend="onnxruntime") as segmenter:
        pairs = labels(StateLoop(model_of(bundle), config), segmenter, (1,))
    assert any((found != expected).any() for found, expected in pairs)


def swap_inputs(kind: str, output: str) -> Callable[[Any], None]:
    """Plants a fault: a node of the schedule with its inputs in another order."""

    def change(model: Any) -> None:
        (node,) = (n for n in model.graph.node if n.op_type == kind and output in n.output)
        node.input[1], node.input[2] = node.input[2], node.input[1]

    return change


def always_the_first_path(model: Any) -> None:
    (node,) = (n for n in model.graph.node if "path" in n.output)
    node.op_type, node.input[1] = "Mul", "cold_frames"
    del node.attribute[:]
    for weight in model.graph.initializer:
        if weight.name == "cold_frames":
            weight.int32_data[:] = [0]


@pytest.mark.parametrize(
    "fault",
    [
        swap_inputs("Where", "warm"),
        swap_inputs("Where", "next_slot1_k"),
        swap_inputs("Where", "next_slot2_v"),
        always_the_first_path,
    ],
)
def test_the_proof_notices_planted_faults(
    tiny_bundle: Bundles, monkeypatch: pytest.MonkeyPatch, fault: Callable[[Any], None]
) -> None:
    path = tiny_bundle("td2-fa18")
    monkeypatch.setattr(graph_proof, "joined_graph", lambda *_, **__: model_of(path, fault))
    with (
        Bundle.open(path) as bundle,
        pytest.raises(ParityError, match="gives another labels than the bundle at"),
    ):
        graph_proof.prove_graph(bundle, graphs_of(bundle), config_of(path), precision="fp32")


def test_an_int8_graph_is_held_against_its_own_nodes(tiny_bundle: Bundles) -> None:
    """Optimised graphs are not equal to the bit: what stands beside a convolution says how its steps are rounded."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("torch")
    from tests.export.int8.conftest import with_pairs

    path = tiny_bundle("td2-fa18")
    with Bundle.open(path) as bundle:
        graphs = {}
        for name, data in graphs_of(bundle).items():
            model = onnx.load_model_from_string(data)
            scales = {node.name: 0.05 for node in model.graph.node if node.op_type == "Conv"}
            graphs[name] = with_pairs(model, scales).SerializeToString()
        assert graph_proof.prove_graph(bundle, graphs, config_of(path), precision="int8") == 10


def test_what_the_runtime_makes_of_its_graphs_is_not_held_against_the_joined_one(
    tiny_bundle: Bundles, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The runtime's labels of FP32 graphs come from NumPy, and attention in parts, where the server's graph has neither."""

    def own_form(*_: object) -> None:
        raise AssertionError("the runtime's own form")

    path = tiny_bundle("td4-psp18")  # first of all: its export runs the runtime as it is
    monkeypatch.setattr(onnxruntime, "own_form", own_form)
    monkeypatch.setattr(onnxruntime, "cut_labels", own_form)
    with Bundle.open(path) as bundle:
        assert graph_proof.prove_graph(bundle, graphs_of(bundle), config_of(path), precision="fp32") == 18


def test_the_count_goes_round_without_a_cold_frame(tiny_bundle: Bundles) -> None:
    """A year and more of frames: labels stay those of the stream whose memory it has."""
    bundle = tiny_bundle("td4-psp18")
    model = model_of(bundle)
    loops = [StateLoop(model, config_of(bundle)) for _ in range(2)]
    height, width = 65, 97
    told = []
    for index in range(14):
        frame = render(index, height=height, width=width)[None]
        if index == 4:
            loops[1]._state["frame"] += np.int32(WRAP - 4)
        found = [loop.infer(frame, start=index == 0) for loop in loops]
        told.append(int(found[1]["frame_index"][0]))
        np.testing.assert_array_equal(found[0]["labels"], found[1]["labels"])
    assert told[4:10] == [WRAP, WRAP + 1, WRAP + 2, WRAP + 3, 4, 5]


def test_fp16_is_proven_rounded(command, tiny_checkpoint: Bundles, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """At the export, and with all that a bundle may give."""
    given = (
        "--confidence",
        "--logits",
        "--precision",
        "fp16",
        "--triton",
        "m",
        "--triton-backend",
        "onnxruntime",
    )
    done = command(
        "tdnet-export", "--ckpt", tiny_checkpoint("td2-fa18"), "--out", "x.plan", *given, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    told = " ".join(done.stdout.split())
    assert "one graph in FP16: every label as the bundle's over 10 frames and two starts" in told
    assert "rounded to FP16 on both sides" in told
    text = (tmp_path / "m/x-onnx/config.pbtxt").read_text()
    assert text.count("data_type: TYPE_FP16") == 2 * 4  # the states, twice
    assert 'name: "confidence"' in text
    assert 'name: "logits"' in text


def test_tensorrt_takes_the_graph(tiny_bundle: Bundles) -> None:
    """Its RTX product does, whose builder needs no GPU: conditionals, the counter, UINT8 outside of the branches."""
    pytest.importorskip("tensorrt_rtx")
    pytest.importorskip("polygraphy")
    from tdnet_export.engines import build_engines

    graph = model_of(tiny_bundle("td2-fa18"))
    spec, members = build_engines({"joined": graph}, backend="tensorrt-rtx", precision="fp32")
    assert len(members[spec.graphs["joined"].engine]) > 1000
