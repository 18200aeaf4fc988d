"""The manifest's validation: each contradiction has its own message, and nothing else gets through."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from tdnet_runtime import manifest as manifest_module
from tdnet_runtime.errors import BundleFormatError, BundleVersionError
from tdnet_runtime.manifest import (
    ClassSpec,
    Manifest,
    MemberSpec,
    TensorSpec,
    decode_manifest,
    encode_manifest,
)

Tree = dict[str, Any]
DIGEST = "0" * 64


@pytest.fixture
def tree(tiny_manifest: Manifest, tiny_members: dict[str, bytes]) -> Tree:
    """The tiny manifest with members, as JSON objects that a test may spoil."""
    members = {name: MemberSpec(size=len(data), sha256=DIGEST) for name, data in tiny_members.items()}
    full = msgspec.structs.replace(tiny_manifest, members=members)
    decoded: Tree = json.loads(encode_manifest(full))
    return decoded


def _decode(tree: Tree) -> Manifest:
    return decode_manifest(json.dumps(tree).encode())


def test_public_names_exist() -> None:
    assert all(hasattr(manifest_module, name) for name in manifest_module.__all__)


def test_encode_then_decode_gives_the_same_manifest(tree: Tree) -> None:
    manifest = _decode(tree)
    assert decode_manifest(encode_manifest(manifest)) == manifest
    assert encode_manifest(manifest) == encode_manifest(_decode(tree))


def test_bytes_and_precisions_are_derived(tree: Tree) -> None:
    manifest = _decode(tree)
    assert TensorSpec(name="t", shape=(2, 3), dtype="float16").nbytes == 12
    assert manifest.state.nbytes == 2 * (4 + 6) * 4
    assert manifest.precisions == ("fp32",)
    assert manifest.graph("apm2").name == "apm2"
    with pytest.raises(KeyError):
        manifest.graph("apm3")


def test_precisions_are_those_of_every_graph(tree: Tree) -> None:
    for graph in tree["graphs"]:
        graph["members"]["fp16"] = f"graphs/fp16/{graph['name']}.onnx"
    del tree["graphs"][3]["members"]["fp16"]
    for graph in tree["graphs"][:3]:
        tree["members"][graph["members"]["fp16"]] = {"size": 1, "sha256": DIGEST}
    assert _decode(tree).precisions == ("fp32",)


HALF = ("query", "value", "memory_k", "memory_v", "slot1_k", "slot1_v", "slot2_k", "slot2_v")
ENGINES = "engines/tensorrt-rtx/1.7.1.116-portable"


def _add_fp16(tree: Tree) -> None:
    """Graphs in FP16 beside those in FP32."""
    for graph in tree["graphs"]:
        member = graph["members"]["fp16"] = f"graphs/fp16/{graph['name']}.onnx"
        tree["members"][member] = {"size": 1, "sha256": DIGEST}
    tree["dtypes"] = {"fp16": dict.fromkeys(HALF, "float16")}


def _add_engines(tree: Tree) -> None:
    """A set of engines of the FP16 graphs."""
    _add_fp16(tree)
    graphs = {}
    for graph in tree["graphs"]:
        kinds = {"engine": "engine", "layers": "layers.json", "log": "log"}
        names = {kind: f"{ENGINES}/{graph['name']}.{ending}" for kind, ending in kinds.items()}
        tree["members"] |= {name: {"size": 1, "sha256": DIGEST} for name in names.values()}
        graphs[graph["name"]] = names | {"graph_sha256": DIGEST, "build_seconds": 1.5, "half_share": 0.97}
    tree["engines"] = [
        {
            "backend": "tensorrt-rtx",
            "key": "1.7.1.116-portable",
            "precision": "fp16",
            "product_version": "1.7.1.116",
            "compute_capabilities": [],
            "platform": "linux-x86_64",
            "options": {},
            "graphs": graphs,
        }
    ]


def test_a_precision_has_tensors_of_its_own(tree: Tree) -> None:
    """The graphs' and the memory's; what the precision does not name stays as it is."""
    _add_fp16(tree)
    manifest = _decode(tree)
    assert manifest.at("fp32") is manifest
    half = manifest.at("fp16")
    types = {t.name: t.dtype for g in half.graphs for t in (*g.inputs, *g.outputs)}
    assert {name for name, dtype in types.items() if dtype == "float16"} == set(HALF)
    assert types["warm"] == "float32"
    assert [tensor.dtype for tensor in half.state.entry] == ["float16", "float16"]
    assert half.state.nbytes * 2 == manifest.state.nbytes
    assert half.graph("subnet1").members == manifest.graph("subnet1").members


def _spoil_engine(key: str, value: object) -> Callable[[Tree], None]:
    return lambda tree: tree["engines"][0]["graphs"]["apm1"].update({key: value})


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda t: t["dtypes"].update(fp8={}), "dtypes are stated for 'fp8', but the graphs are in"),
        (
            lambda t: t["dtypes"]["fp16"].update(other="float16"),
            r"'fp16' are stated for \['other'\], which no",
        ),
        (lambda t: t["dtypes"]["fp16"].update(query="float8"), "'query' has dtype 'float8'"),
        (
            lambda t: t["dtypes"]["fp16"].pop("memory_k"),
            r"graph 'apm1' has slot2_k float16 \[2, 2\], expected slot2_k float32",
        ),
        (lambda t: t["dtypes"]["fp16"].update(warm="float16"), "expected warm float32"),
        (lambda t: t["dtypes"]["fp16"].update(labels="float16"), "expected labels uint8"),
        (lambda t: t["engines"].append(t["engines"][0]), "repeat"),
        (
            lambda t: t["engines"][0].update(precision="int8"),
            "are of the precision 'int8', which no graph has",
        ),
        (
            lambda t: t["engines"][0]["graphs"].pop("apm1"),
            r"are of \['apm2', 'subnet1', 'subnet2'\], the graphs",
        ),
        (
            _spoil_engine("engine", "graphs/fp16/apm1.onnx"),
            "'graphs/fp16/apm1.onnx', not a listed one in engines/",
        ),
        (_spoil_engine("log", f"{ENGINES}/absent.log"), "absent.log', not a listed one"),
        (
            _spoil_engine("graph_sha256", "1" * 64),
            "was built from another graph than 'graphs/fp16/apm1.onnx'",
        ),
        (_spoil_engine("graph_sha256", "1"), "names the graph digest '1'"),
        (
            _spoil_engine("half_share", 1.5),
            "a half-precision share of 1.5 and an INT8 share of 0.0, which is not possible",
        ),
        (
            _spoil_engine("int8_share", 0.5),
            "a half-precision share of 0.97 and an INT8 share of 0.5, which is not",
        ),
        (_spoil_engine("int8_share", -0.5), "an INT8 share of -0.5, which is not possible"),
        (_spoil_engine("build_seconds", -1), "was built in -1.0 s"),
    ],
)
def test_contradictions_about_precisions_and_engines(
    tree: Tree, spoil: Callable[[Tree], None], message: str
) -> None:
    _add_engines(tree)
    _decode(tree)
    spoil(tree)
    with pytest.raises(BundleFormatError, match=message):
        _decode(tree)


def test_a_per_frame_network_has_no_state(tree: Tree) -> None:
    tree["paths"] = [{"index": 1, "subnet": "whole", "apm": None, "reads": []}]
    tree["state"] = {"slots": 0, "entry": [], "stride": 4, "cold_frames": 0}
    tree["graphs"] = [
        {
            "name": "whole",
            "inputs": [{"name": "image", "shape": [1, 4, 8, 3], "dtype": "uint8"}],
            "outputs": [{"name": "labels", "shape": [1, 4, 8], "dtype": "uint8"}],
            "members": {"fp32": "graphs/fp32/subnet1.onnx"},
        }
    ]
    assert _decode(tree).state.nbytes == 0


SUBNET1, APM1, SUBNET2, APM2 = range(4)
WARM = {"name": "warm", "shape": [1], "dtype": "float32"}
LABELS = {"name": "labels", "shape": [1, 4, 8], "dtype": "uint8"}
MEMBER = {"size": 1, "sha256": DIGEST}


def _confidence(*graphs: int, dtype: str = "uint8", width: int = 8) -> Callable[[Tree], None]:
    def spoil(tree: Tree) -> None:
        for graph in graphs:
            outputs = tree["graphs"][graph]["outputs"]
            outputs.append({"name": "confidence", "shape": [1, 4, width], "dtype": dtype})

    return spoil


def test_confidence_comes_with_all_labels_or_none(tree: Tree) -> None:
    assert not _decode(tree).gives_confidence
    _confidence(APM1, APM2)(tree)
    assert _decode(tree).gives_confidence


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_confidence(APM1), r"'confidence' is given by \['apm1'\], expected \['apm1', 'apm2'\], or none"),
        (_confidence(SUBNET1), r"'confidence' is given by \['subnet1'\], expected"),
        (_confidence(APM1, APM2, dtype="float32"), r"gives .*, expected confidence uint8 \[1, 4, 8\]"),
        (_confidence(APM1, APM2, width=7), r"gives .*, expected confidence uint8 \[1, 4, 8\]"),
    ],
)
def test_other_confidence_is_refused(spoil: Callable[[Tree], None], message: str, tree: Tree) -> None:
    spoil(tree)
    with pytest.raises(BundleFormatError, match=message):
        _decode(tree)


def test_logits_of_one_path_alone_are_refused(tree: Tree) -> None:
    """They would be shown with the other path's labels."""
    tree["graphs"][APM2]["outputs"].append({"name": "logits", "shape": [1, 2, 4, 8], "dtype": "float32"})
    with pytest.raises(BundleFormatError, match=r"'logits' is given by \['apm2'\], expected"):
        _decode(tree)


@pytest.mark.parametrize("version", [1, 2, 3])
def test_a_manifest_from_before_confidence_has_none(tree: Tree, version: int) -> None:
    tree["schema_version"] = version
    for summary in tree["parity"].values():
        summary.pop("confidence_error")
    old = _decode(tree)
    assert not old.gives_confidence
    assert old.parity["fp32"].confidence_error is None


def _own(tree: Tree, *paths: int, takes: str = "value", gives: str = "labels") -> None:
    """Give these paths graphs of their own."""
    for path in paths:
        tensors = {each["name"]: each for graph in tree["graphs"] for key in _ENDS for each in graph[key]}
        name = f"own{path}"
        tree["paths"][path - 1]["own"] = name
        graph = {
            "name": name,
            "inputs": [tensors[takes]],
            "outputs": [tensors[gives]],
            "members": {"fp32": name},
        }
        tree["graphs"].append(graph)
        tree["members"][name] = MEMBER


_ENDS = ("inputs", "outputs")


def test_own_graphs_are_on_all_paths_or_on_none(tree: Tree) -> None:
    assert _decode(tree).own_graphs == ()
    _own(tree, 1)
    with pytest.raises(
        BundleFormatError, match=r"path 2 has the own graph None beside the APM 'apm2'; expected"
    ):
        _decode(tree)
    _own(tree, 2)
    manifest = _decode(tree)
    assert manifest.own_graphs == ("own1", "own2")
    assert decode_manifest(encode_manifest(manifest)) == manifest


@pytest.mark.parametrize(
    ("wiring", "message"),
    [
        ({"takes": "warm"}, "'own1' takes 'warm', which nothing gives on path 1"),
        ({"takes": "slot2_v"}, "'own1' takes 'slot2_v', which nothing gives on path 1"),
        ({"gives": "memory_k"}, r"'own1' gives \['memory_k'\], which is for the sub-network"),
        ({"gives": "query"}, r"'own1' gives query .*, expected labels uint8 \[1, 4, 8\]"),
    ],
)
def test_an_own_graph_goes_from_the_sub_network_to_labels(
    wiring: dict[str, str], message: str, tree: Tree
) -> None:
    _own(tree, 1, 2, **wiring)
    with pytest.raises(BundleFormatError, match=message):
        _decode(tree)


def test_what_comes_with_labels_comes_with_those_of_own_graphs(tree: Tree) -> None:
    _own(tree, 1, 2)
    _confidence(APM1, APM2)(tree)
    with pytest.raises(BundleFormatError, match=r"expected \['apm1', 'apm2', 'own1', 'own2'\], or none"):
        _decode(tree)
    _confidence(4, 5)(tree)
    assert _decode(tree).gives_confidence


def test_an_own_graph_that_is_absent_is_refused(tree: Tree) -> None:
    _own(tree, 1, 2)
    tree["graphs"].pop()
    with pytest.raises(BundleFormatError, match="path 2 runs graph 'own2', but the graphs are"):
        _decode(tree)


@pytest.mark.parametrize("version", [1, 2, 3, 4])
def test_a_manifest_from_before_own_graphs_has_none(tree: Tree, version: int) -> None:
    tree["schema_version"] = version
    for part in (*tree["paths"], *tree["parity"].values()):
        part.pop("own")
    old = _decode(tree)
    assert (old.own_graphs, old.parity["fp32"].own) == ((), None)


@pytest.mark.parametrize("version", [1, 2])
def test_an_older_manifest_says_what_it_assumed(tree: Tree, version: int) -> None:
    for part, name in ((tree, "threshold"), (tree["input"], "scale"), (tree["input"], "preprocessing_from")):
        del part[name]
    tree["schema_version"] = version
    old = _decode(tree)
    assert (old.input.scale, old.input.color_order, old.input.preprocessing_from) == (
        1 / 255,
        "RGB",
        "assumed",
    )
    assert (old.threshold, old.channels) == (None, 2)


def _logits(channels: int) -> Callable[[Tree], None]:
    def spoil(tree: Tree) -> None:
        for graph in (APM1, APM2):
            outputs = tree["graphs"][graph]["outputs"]
            outputs.append({"name": "logits", "shape": [1, channels, 4, 8], "dtype": "float32"})

    return spoil


def test_logits_have_a_channel_for_each_class_and_one_with_a_threshold(tree: Tree) -> None:
    one_each, one = json.loads(json.dumps(tree)), json.loads(json.dumps(tree))
    _logits(2)(one_each)
    assert _decode(one_each).channels == 2
    one_each["threshold"] = 0.5
    with pytest.raises(BundleFormatError, match=r"expected \[1, 1, 4, 8\] for 2 classes by a threshold"):
        _decode(one_each)
    _logits(1)(one)
    with pytest.raises(BundleFormatError, match=r"gives logits .* expected \[1, 2, 4, 8\] for 2 classes"):
        _decode(one)
    one["threshold"] = 0.5
    assert _decode(one).channels == 1
    one["classes"] = one["classes"][:1]
    with pytest.raises(BundleFormatError, match=r"a threshold of 0.5 for 1 classes; .* for 2"):
        _decode(one)


def test_members_are_compared_only_once_they_are_listed(tiny_manifest: Manifest, tree: Tree) -> None:
    assert tiny_manifest.members == {}
    tree["members"] = {}
    with pytest.raises(BundleFormatError, match="lists no members"):
        _decode(tree)


@pytest.mark.parametrize("version", [1, 2])
def test_an_old_manifest_says_nothing_of_where_its_size_comes_from(tree: Tree, version: int) -> None:
    """And its feature size is not held to the rule."""
    tree["schema_version"] = version
    del tree["input"]["size_from"]
    tree["feature_size"] = [1, 2]
    assert _decode(tree).input.size_from == "assumed"


@pytest.mark.parametrize("version", [0, 6, -1, 10**15])
def test_an_unknown_schema_names_the_range_that_is_read(tree: Tree, version: int) -> None:
    tree["schema_version"] = version
    tree["future field"] = True
    with pytest.raises(
        BundleVersionError, match=rf"schema version {version}; .* reads 1 to 5; install a matching"
    ):
        _decode(tree)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "cannot be read: Input data was truncated"),
        (b"\xff\xfe", "cannot be read: JSON is malformed"),
        (b'{"schema_version": 1, "network": "\xff"}', "is not valid: .*(?i:utf-8)"),
        (b"[1]", "cannot be read: Expected `object`, got `array`"),
        (b"{}", "has no schema_version: not a TDNet bundle"),
        (b'{"schema_version": "1"}', "cannot be read: Expected `int`, got `str`"),
        (b'{"schema_version": true}', "cannot be read: Expected `int`, got `bool`"),
        (b'{"schema_version": ' + b"9" * 5000 + b"}", "cannot be read"),
        (b'{"schema_version": 1' + b"0" * 30 + b"}", "cannot be read: Expected `int` <="),
        (b'{"schema_version": 1}', "is not valid: Object missing required field"),
        (b'{"schema_version": 1, "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "recursion depth"),
    ],
)
def test_what_is_no_manifest_is_a_format_error(data: bytes, message: str) -> None:
    with pytest.raises(BundleFormatError, match=message):
        decode_manifest(data)


def _set(*keys: str | int, to: Any) -> Callable[[Tree], None]:
    def spoil(tree: Tree) -> None:
        node: Any = tree
        for key in keys[:-1]:
            node = node[key]
        node[keys[-1]] = to

    return spoil


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        # Types.
        (_set("extra", to=1), "unknown field `extra`"),
        (_set("network", to=3), r"Expected `str`, got `int` - at `\$.network`"),
        (_set("size_resampled", to=0), "Expected `bool`, got `int`"),
        (_set("input", "height", to=4.5), "Expected `int`, got `float`"),
        (_set("input", "mean", to=[0.5]), "Expected `array` of length 3"),
        (_set("classes", 0, "color", to=[1, 2]), "Expected `array` of length 3"),
        (_set("paths", to={}), "Expected `array`, got `object`"),
        (_set("state", "extra", to=1), "unknown field `extra`"),
        # Single parts.
        (_set("input", "height", to=0), "input size 0x8 is outside"),
        (_set("input", "width", to=1 << 17), "input size 4x131072 is outside"),
        (_set("input", "color_order", to="GRB"), "only RGB and BGR, NHWC, are known"),
        (_set("input", "layout", to="NCHW"), "only RGB and BGR, NHWC, are known"),
        (_set("input", "std", to=[0.1, 0.0, 0.1]), "standard deviations .* expected finite ones, positive"),
        (_set("input", "scale", to=0.0), "scale 0.0, expected finite ones, positive"),
        (_set("input", "preprocessing_from", to="guessed"), "as 'guessed' said, not user or assumed"),
        (_set("threshold", to=0.0), "a threshold of 0.0 for 2 classes; expected one between 0 and 1, for 2"),
        (_set("threshold", to=1.0), "a threshold of 1.0 for 2 classes"),
        (_set("widths", "value", to=-1), "width 'value' is -1, expected 0 to"),
        (_set("widths", "stages", to=[4, 1 << 20]), "width 'stages' is .* expected 0 to"),
        (_set("feature_size", to=[0, 2]), "feature size .* does not fit the input size"),
        (_set("feature_size", to=[1, 9]), "feature size .* does not fit the input size"),
        (
            _set("feature_size", to=[1, 2]),
            r"feature size \(1, 2\) is not that of the input size .*: \(1, 1\)",
        ),
        (_set("input", "size_from", to="checkpoint"), "size is from 'checkpoint', expected user or assumed"),
        (_set("classes", to=[]), "0 classes"),
        (_set("classes", to=[{"name": "x", "color": [0, 0, 0]}] * 257), "257 classes"),
        (_set("classes", 0, "name", to=""), "empty name"),
        (_set("classes", 0, "color", to=[0, 256, 0]), "colour .* outside 0..255"),
        (_set("checkpoint_sha256", to="abc"), "checkpoint digest 'abc' is not a SHA-256"),
        (
            _set("graphs", SUBNET1, "inputs", 0, "name", to="Image 1"),
            "tensor name 'Image 1' is not of the form",
        ),
        (_set("graphs", SUBNET1, "inputs", 0, "dtype", to="int64"), "dtype 'int64', not one of"),
        (_set("graphs", SUBNET1, "inputs", 0, "shape", to=[1, -4, 8, 3]), "expected 1 to 4 positive sides"),
        (_set("graphs", SUBNET1, "inputs", 0, "shape", to=[]), "expected 1 to 4 positive sides"),
        (_set("graphs", SUBNET1, "inputs", 0, "shape", to=[1 << 20] * 4), "absurdly large"),
        (_set("graphs", SUBNET1, "name", to="../x"), "graph name '../x' is not of the form"),
        (_set("graphs", APM1, "outputs", to=[]), "expected distinct inputs and outputs"),
        (_set("graphs", APM1, "outputs", to=[WARM, LABELS]), "expected distinct inputs and outputs"),
        (_set("graphs", APM1, "members", "FP 32", to="x"), "precision 'FP 32' is not of the form"),
        (_set("members", "graphs/fp32/apm1.onnx", "size", to=-1), "member size -1"),
        (_set("members", "graphs/fp32/apm1.onnx", "sha256", to="A" * 64), "digest .* is not valid"),
        (_set("parity", "fp32", "frames", to=0), "parity over 0 frames .* is not possible"),
        (_set("parity", "fp32", "label_agreement", to=1.5), "agreement 1.5.* is not possible"),
        (_set("parity", "fp32", "worst_frame_agreement", to=1.0), "worst frame 1.0.* is not possible"),
        (_set("parity", "fp32", "logits_error", to=-0.1), "logits error -0.1 is not possible"),
        (_set("parity", "fp32", "confidence_error", to=1.5), "confidence error of 1.5, outside 0 to 1"),
        # Graphs and members.
        (_set("graphs", to=[]), "no precision in which every graph is present"),
        (_set("graphs", APM2, "members", to={"fp16": "x"}), "no precision in which every graph is present"),
        (_set("graphs", APM2, "name", to="apm1"), r"graph names \[.*\] repeat"),
        (
            _set("graphs", APM2, "members", "fp32", to="graphs/fp32/apm1.onnx"),
            "named as graph 'apm1' in fp32 and as graph 'apm2' in fp32",
        ),
        (
            _set("graphs", APM2, "members", "fp32", to="graphs/x"),
            "names the member 'graphs/x', which is not listed",
        ),
        (_set("parity", "fp32", "report", to="reports/x"), "fp32 report 'reports/x' is not listed"),
        (_set("members", "manifest.json", to=MEMBER), "'manifest.json' lists itself"),
        (_set("members", "/etc/passwd", to=MEMBER), "'/etc/passwd' is absolute"),
        (_set("members", "a/../../b", to=MEMBER), "has a '..' part"),
        (_set("members", "a\\b", to=MEMBER), "has a backslash"),
        (_set("members", "C:/b", to=MEMBER), "starts with a drive letter"),
        (_set("members", "a//b", to=MEMBER), "is not normalised"),
        (_set("members", "./b", to=MEMBER), "is not normalised"),
        (_set("members", "", to=MEMBER), "has 0 characters"),
        (_set("members", "x" * 201, to=MEMBER), "has 201 characters"),
        (_set("members", "a/.hidden", to=MEMBER), "not of the form"),
        (_set("members", "a/\x1b[31m", to=MEMBER), "not of the form"),
        (_set("members", "reports", to=MEMBER), "'reports' would be a file and, .* a folder"),
        # Schedule.
        (_set("paths", to=[]), r"path indices are \[\], expected 1 to 1"),
        (_set("paths", 1, "index", to=3), r"path indices are \[1, 3\], expected 1 to 2"),
        (_set("paths", 0, "subnet", to="subnet9"), "path 1 runs graph 'subnet9', but the graphs are"),
        (_set("paths", 0, "apm", to=None), "path 1 has the APM None, but the state has 2 slots"),
        (
            _set("paths", 0, "reads", to=[1]),
            r"path 1 reads the slots \(1,\), expected \(2,\), the oldest first",
        ),
        (_set("paths", 0, "reads", to=[2, 2]), "path 1 reads the slots"),
        (_set("paths", 0, "reads", to=[]), "path 1 reads the slots"),
        (_set("state", "slots", to=3), "3 slots and 1 cold frames for 2 paths"),
        (_set("state", "slots", to=-1), "-1 slots of stride 1"),
        (_set("state", "stride", to=0), "2 slots of stride 0"),
        (_set("state", "cold_frames", to=0), "2 slots and 0 cold frames for 2 paths"),
        (_set("state", "entry", to=[]), "2 slots, and 0 tensors in each|not a graph's to give"),
        (_set("state", "entry", to=[WARM, WARM]), r"the tensors .* of a slot repeat"),
        # Wiring.
        (
            _set("graphs", SUBNET1, "inputs", 0, "shape", to=[1, 3, 8, 4]),
            r"subnet2.* has image uint8 \[1, 4, 8, 3\]",
        ),
        (
            _set("input", "height", to=6),
            r"'subnet1' takes image uint8 \[1, 4, 8, 3\], expected image .*6, 8, 3",
        ),
        (_set("graphs", SUBNET1, "inputs", 0, "name", to="frame"), "takes frame .* expected image"),
        (_set("graphs", APM2, "outputs", 0, "name", to="classes"), "gives classes .* expected labels uint8"),
        (
            _set("graphs", APM2, "outputs", 0, "dtype", to="float32"),
            "labels float32 .* another graph labels uint8",
        ),
        (
            _set("graphs", APM1, "inputs", 0, "shape", to=[1, 2, 2, 1]),
            r"'apm1' has query float32 \[1, 2, 2, 1\]",
        ),
        (
            _set("graphs", APM1, "inputs", 0, "name", to="key"),
            "'apm1' takes 'key', which nothing gives on path 1",
        ),
        (
            _set("graphs", APM1, "inputs", 2, "name", to="slot1_k"),
            "'apm1' takes 'slot1_k', which nothing gives",
        ),
        (
            _set("graphs", APM1, "inputs", 2, "shape", to=[2, 9]),
            r"'apm1' has slot2_k .*expected slot2_k float32 \[2, 2\]",
        ),
        (_set("graphs", APM1, "inputs", 4, "shape", to=[2]), r"'apm2' has warm float32 \[1\], another"),
        (_set("graphs", APM1, "inputs", to=[WARM]), "reads slot 2, but graph 'apm1' takes nothing of it"),
        (
            _set("graphs", SUBNET1, "outputs", 2, "name", to="key"),
            "'subnet1' has nothing of that name, expected memory_k",
        ),
        (
            _set("graphs", SUBNET1, "outputs", 2, "name", to="memory_q"),
            "gives 'memory_q', which is not a graph's",
        ),
        (
            _set("graphs", SUBNET1, "outputs", 2, "name", to="slot2_k"),
            "gives 'slot2_k', which is not a graph's",
        ),
        (
            _set("graphs", SUBNET1, "outputs", 2, "name", to="warm"),
            "'subnet1' gives 'warm'|another graph warm",
        ),
    ],
)
def test_contradictions_are_refused(tree: Tree, spoil: Callable[[Tree], None], message: str) -> None:
    spoil(tree)
    with pytest.raises(BundleFormatError, match=message):
        _decode(tree)


def test_an_apm_without_warm_has_no_cold_start(tree: Tree) -> None:
    for apm in (APM1, APM2):
        tree["graphs"][apm]["inputs"].pop()
    with pytest.raises(BundleFormatError, match="does not take 'warm', so it has no cold start"):
        _decode(tree)


def test_warm_is_one_number(tree: Tree) -> None:
    for apm in (APM1, APM2):
        tree["graphs"][apm]["inputs"][4]["shape"] = [2]
    with pytest.raises(BundleFormatError, match=r"takes warm float32 \[2\], expected warm float32 \[1\]"):
        _decode(tree)


def test_an_apm_does_not_write_the_memory(tree: Tree) -> None:
    memory = {"name": "memory_k", "shape": [2, 2], "dtype": "float32"}
    tree["graphs"][APM1]["outputs"].append(memory)
    with pytest.raises(BundleFormatError, match=r"'apm1' gives \['memory_k'\], which is for the sub-network"):
        _decode(tree)


def test_parts_are_immutable_and_keyword_only() -> None:
    spec = ClassSpec(name="road", color=(0, 0, 0))
    with pytest.raises(AttributeError):
        spec.name = "sky"  # type: ignore[misc]
    with pytest.raises(TypeError):
        ClassSpec("road", (0, 0, 0))  # type: ignore[call-arg]
