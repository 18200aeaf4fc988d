"""Real builds with TensorRT-RTX, which needs no GPU; and TensorRT's own path with a stand-in made of it."""

import dataclasses
import json
import re
import sys

import msgspec
import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from tests.conftest import SMALL_SIZE
from tests.export.engines.conftest import BUILDS, toy_graph
from tests.export.int8.conftest import with_pairs

from tdnet_export.engines import ENGINE_BACKENDS, BuildOptions, build_engines, rebuild, require_builder
from tdnet_export.engines.build import engine_key
from tdnet_export.engines.layer_sources import layers_from_log
from tdnet_export.engines.layers import half_share
from tdnet_export.int8.islands import stays_single
from tdnet_export.int8.signed import check_signed, half_signed_model
from tdnet_export.options import ExportOptions, RebuildOptions
from tdnet_export.precision_check import check_half
from tdnet_runtime.bundle import Bundle, write_bundle
from tdnet_runtime.engine_header import parse_engine_header
from tdnet_runtime.errors import ExportError, MissingExtraError, OptionError
from tdnet_runtime.manifest import EngineSpec
from tdnet_runtime.member_names import check_member_name

pytestmark = BUILDS
RTX = "tensorrt-rtx"

STAND_IN = """
import tensorrt_rtx
from tensorrt_rtx import *
from tdnet_export.engines import builder, device

__version__ = {version!r}
device.compute_capability = lambda: "8.7"
load = builder.load_timing_cache


def load_and_leave_a_mark(config, path):
    load(config, path)
    path.with_suffix(".loaded").touch()


builder.load_timing_cache = load_and_leave_a_mark


class Builder(tensorrt_rtx.Builder):
    def create_network(self, flags=0):
        assert flags == 1 << int(NetworkDefinitionCreationFlag.STRONGLY_TYPED), flags
        return super().create_network(flags)

    def build_serialized_network(self, network, config):
        assert not config.get_flag(BuilderFlag.TF32)
        assert config.profiling_verbosity == ProfilingVerbosity.DETAILED
        data = bytes(super().build_serialized_network(network, config))
        return {magic!r} + data[4:24] + bytes([10, 3, 0, 26]) + data[28:]
"""

WITHOUT_GPU = STAND_IN.replace('device.compute_capability = lambda: "8.7"', 'device._DRIVER = "libnone.so"')


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """stand_in(version, magic, source): a module `tensorrt` that the child imports."""

    def install(version="10.3.0.26", magic=b"ftrt", source=STAND_IN):
        folder = tmp_path / "site" / "tensorrt"
        folder.mkdir(parents=True)
        (folder / "__init__.py").write_text(source.format(version=version, magic=magic))
        monkeypatch.setattr(sys, "path", [str(folder.parent), *sys.path])
        monkeypatch.setenv("TDNET_TIMING_CACHE", str(tmp_path / "cache"))

    return install


@pytest.mark.parametrize("precision", ["fp16", "fp32"])
@pytest.mark.parametrize("name", SMALL_SIZE)
def test_all_networks_build_in_the_precision_that_was_asked(name, precision, small_graphs):
    graphs = small_graphs(name, precision)
    spec, members = build_engines(graphs, backend=RTX, precision=precision)
    assert list(spec.graphs) == list(graphs)
    assert spec.compute_capabilities == ()
    for engine in spec.graphs.values():
        assert str(parse_engine_header(members[engine.engine])) == f"TensorRT-RTX {spec.product_version}"
        layers = json.loads(members[engine.layers])["layers"]
        products = [layer for layer in layers if "half" in layer]
        assert len(products) >= 5
        # The feature fusion modules of td2-fa18 keep 12 products in FP32, all of them small.
        floats = 12 if (name, engine.engine.rpartition("/")[2]) == ("td2-fa18", "subnet1.engine") else 0
        assert sum(not layer["half"] for layer in products) == (
            floats if precision == "fp16" else len(products)
        )
        if precision == "fp32":
            assert engine.half_share == 0
        else:
            assert engine.half_share >= (0.97 if floats else 1)
        assert b"Layers:\nName: " in members[engine.log]
        found = layers_from_log(members[engine.log].decode())
        assert half_share(map(as_tensorrt_10, found)) == pytest.approx(engine.half_share, abs=0.001)
        if precision == "fp16" and engine.engine.endswith("apm1.engine"):
            scores = [layer["outputs"][0] for layer in layers if "scores" in layer["name"]]
            assert scores
            assert {dtype for _, _, dtype in scores} == {"float16"}  # FP32 where a side is odd
    if precision == "fp32" and "apm1" in graphs:
        with pytest.raises(ExportError, match=r"graph 'apm1'.*FP16 was asked, and 0\.0% .*FP32 are "):
            build_engines({"apm1": graphs["apm1"]}, backend=RTX, precision="fp16")


@pytest.mark.parametrize("precision", ["fp16", "fp32"])
@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("td4-psp18", (200, 383)),
        pytest.param("td2-psp50", (200, 383), marks=pytest.mark.slow),
        ("td2-fa18", (203, 391)),
        ("psp101", (203, 391)),
        pytest.param("td4-psp18", (256, 512), marks=pytest.mark.slow),
        pytest.param("td2-psp50", (256, 512), marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_sizes_of_every_kind_build(name, size, precision, small_graphs):
    """Not 8k+1, not 8k, no grid of the pyramid a divisor: Resize and the matrices have sizes of their own there."""
    graphs = small_graphs(name, precision, size)
    spec, _ = build_engines(graphs, backend=RTX, precision=precision)
    assert list(spec.graphs) == list(graphs)
    assert all((engine.half_share > 0.97) == (precision == "fp16") for engine in spec.graphs.values())


def as_tensorrt_10(layer):
    """The layer as that product lists it, with its constants behind its inputs."""
    return dataclasses.replace(layer, inputs=(*layer.inputs, *layer.constants), constants=())


def test_an_fp32_graph_cannot_pass_as_fp16():
    with pytest.raises(ExportError, match=r"graph 'toy'.*FP16 was asked, and 0\.0% .*FP32 are toy/"):
        build_engines({"toy": toy_graph("float32")}, backend=RTX, precision="fp16")


def test_an_fp16_graph_cannot_pass_as_fp32():
    with pytest.raises(ExportError, match=r"graph 'toy'.*FP32 was asked, and 100\.0%"):
        build_engines({"toy": toy_graph()}, backend=RTX, precision="fp32")


def test_members_key_and_progress():
    events = []
    graphs = {"subnet1": toy_graph(), "apm1": toy_graph(), "subnet2": toy_graph()}
    spec, members = build_engines(
        graphs, backend=RTX, precision="fp16", on_progress=events.append, expected_s={"apm1": 7.0}
    )
    folder = f"engines/tensorrt-rtx/{spec.key}"
    assert sorted(members) == sorted(
        f"{folder}/{graph}.{suffix}" for graph in graphs for suffix in ("engine", "layers.json", "log")
    )
    for member in members:
        check_member_name(member)
    assert isinstance(spec, EngineSpec)
    assert spec.key.startswith(f"{spec.product_version}-portable-{spec.platform}-fp16-")
    assert spec.options["tf32"] == "off"
    assert [(e.graph, e.done, e.seconds is None) for e in events] == [
        (None, 0, True),
        ("subnet1", 0, True),
        ("subnet1", 1, False),
        ("apm1", 1, True),
        ("apm1", 2, False),
        ("subnet2", 2, True),
        ("subnet2", 3, False),
    ]
    assert events[1].estimate_s is None
    assert events[3].estimate_s == 7.0
    assert events[5].estimate_s == events[2].seconds  # of the last graph of its kind
    assert {event.total for event in events} == {3}


def test_the_same_graphs_give_the_same_engines_and_logs():
    (first, members), (second, others) = (
        build_engines({"toy": toy_graph()}, backend=RTX, precision="fp16") for _ in range(2)
    )
    assert first.key == second.key
    assert members == others


def test_options_reach_the_key():
    first, _ = build_engines({"toy": toy_graph()}, backend=RTX, precision="fp16")
    options = BuildOptions(tf32=True, optimization_level=1, max_aux_streams=0)
    second, members = build_engines({"toy": toy_graph()}, backend=RTX, precision="fp16", options=options)
    assert first.key != second.key
    assert b"\ntf32: on\noptimization_level: 1\nmax_aux_streams: 0\n" in members[second.graphs["toy"].log]


def test_all_errors_of_the_parser_are_shown_with_their_nodes():
    with pytest.raises(ExportError) as caught:
        build_engines(
            {"good": toy_graph(), "apm1": toy_graph(bad=("toy/conv", "toy/matmul"))},
            backend=RTX,
            precision="fp16",
        )
    message = str(caught.value)
    assert "could not build graph 'apm1'" in message
    assert "with name: toy/conv and operator: NoSuchOperator" in message
    assert "with name: toy/matmul and operator: NoSuchOperator" in message
    assert "cudaError" not in message


def test_what_is_no_graph_is_refused():
    with pytest.raises(ExportError, match=r"could not build graph 'toy'.*Failed to parse the ONNX model"):
        build_engines({"toy": b"no graph"}, backend=RTX, precision="fp16")


def test_tensorrt_builds_on_the_same_path_with_its_timing_cache(stand_in, tmp_path, monkeypatch):
    stand_in()
    monkeypatch.chdir(tmp_path)  # the child works in another folder
    monkeypatch.setenv("TDNET_TIMING_CACHE", "cache")
    spec, members = build_engines({"toy": toy_graph()}, backend="tensorrt", precision="fp16")
    assert (spec.product_version, spec.compute_capabilities) == ("10.3.0.26", ("8.7",))
    assert spec.key.startswith("10.3.0.26-8.7-")
    assert str(parse_engine_header(members[spec.graphs["toy"].engine])) == "TensorRT 10.3.0.26"
    (cache,) = (tmp_path / "cache").glob("*.bin")
    assert cache.name == f"tensorrt-10.3.0.26-8.7-{spec.platform}.bin"
    assert cache.with_suffix(".loaded").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"version": "11.4.0.106"},
            r"TensorRT 10\.3\.0\.26 built it, not TensorRT 11\.4\.0\.106: two versions",
        ),
        ({"magic": b"vtrt"}, r"TensorRT-RTX 10\.3\.0\.26 built it, not TensorRT 10\.3\.0\.26"),
        ({"magic": b"what"}, "is not understood: the engine starts with b'what"),
    ],
)
def test_an_engine_that_says_otherwise_than_its_product_is_refused(stand_in, changes, message):
    stand_in(**changes)
    with pytest.raises(ExportError, match=message):
        build_engines({"toy": toy_graph()}, backend="tensorrt", precision="fp16")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            "import no_such_module_at_all",
            "does not load: No module named 'no_such_module_at_all'; install TensorRT",
        ),
        ("raise OSError('libnvinfer.so.10: cannot open')", r"does not load: libnvinfer\.so\.10"),
        ("__version__ = '10.3.0'", "the module 'tensorrt' is an empty one, without a Builder"),
    ],
)
def test_a_product_that_does_not_load_is_missing(stand_in, source, message):
    stand_in(source=source)
    with pytest.raises(MissingExtraError, match=message):
        build_engines({"toy": toy_graph()}, backend="tensorrt", precision="fp16")
    with pytest.raises(MissingExtraError, match=message):
        require_builder("tensorrt")


def test_tensorrt_without_a_gpu_says_where_to_build(stand_in):
    stand_in(source=WITHOUT_GPU)
    with pytest.raises(ExportError, match=r"no NVIDIA driver here .*or use --backend tensorrt-rtx") as build:
        build_engines({"toy": toy_graph()}, backend="tensorrt", precision="fp16")
    with pytest.raises(ExportError) as asked:
        require_builder("tensorrt")
    assert str(asked.value) == str(build.value)
    require_builder(RTX)  # needs none


def test_without_a_gpu_an_export_ends_before_its_first_stage(stand_in, tiny_checkpoint, tmp_path):
    """Not after minutes of proofs."""
    from tdnet_export.pipeline import bundle_from_checkpoint

    stand_in(source=WITHOUT_GPU)
    options = ExportOptions(
        checkpoint=tiny_checkpoint("td2-fa18"), out=tmp_path / "a.plan", backends=(RTX, "tensorrt")
    )
    stages = []
    with pytest.raises(ExportError, match="no NVIDIA driver here"):
        bundle_from_checkpoint(options, on_progress=lambda *stage: stages.append(stage))
    assert stages == []


def test_without_a_gpu_a_rebuild_ends_before_its_first_build(stand_in, tiny_bundle):
    """The first backend's engines take minutes, and would be lost."""
    stand_in(source=WITHOUT_GPU)
    events = []
    with pytest.raises(ExportError, match="no NVIDIA driver here"):
        rebuild(
            tiny_bundle("psp101"),
            backends=[RTX, "tensorrt"],
            precisions=["fp32"],
            on_progress=events.append,
        )
    assert events == []


def test_a_builder_that_gives_no_engine_is_an_error(stand_in):
    stand_in(source=STAND_IN + "\n    build_serialized_network = lambda self, network, config: None\n")
    with pytest.raises(
        ExportError,
        match=r"could not build graph 'toy' \(with Polygraphy \d.*\): Invalid Engine",
    ):
        build_engines({"toy": toy_graph()}, backend="tensorrt", precision="fp16")


def test_a_timing_cache_that_cannot_be_kept_is_no_graphs_fault(stand_in, tmp_path, monkeypatch):
    """Also where errors were logged, as TensorRT 10.3 to 10.5 log some for each LayerNorm."""
    said = "    __import__('logging').getLogger('Polygraphy').error('another fault')\n    load(config, path)"
    stand_in(source=STAND_IN.replace("    load(config, path)", said))
    (tmp_path / "file").touch()
    monkeypatch.setenv("TDNET_TIMING_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(
        ExportError, match=r"^TensorRT's timing cache, for which TDNET_TIMING_CACHE names a folder: Not a"
    ):
        build_engines({"toy": toy_graph()}, backend="tensorrt", precision="fp16")


def test_what_another_version_of_polygraphy_stumbles_on_is_the_toolkits_error(stand_in):
    """An AttributeError, say, of a layer without `precision_is_set`: TensorRT 11 under Polygraphy 0.49."""
    broken = STAND_IN + "\n    create_builder_config = lambda self: self.precision_is_set\n"
    stand_in(source=broken)
    with pytest.raises(
        ExportError, match=r"graph 'toy' \(with Polygraphy \d.*AttributeError.*precision_is_set"
    ):
        build_engines({"toy": toy_graph()}, backend="tensorrt", precision="fp16")


def test_a_tensorrt_before_10_3_is_named(stand_in):
    """JetPack 6.0 has 8.6, which lacks what is called: said at once, not as a missing attribute."""
    stand_in(version="8.6.2")
    with pytest.raises(
        MissingExtraError, match=r"this is TensorRT 8\.6\.2, which is too old: 10\.3.*JetPack 6\.1"
    ):
        require_builder("tensorrt")


def quantised_toy(zero, *, half=True):
    """ONNX bytes of a toy of `toy_graph` whose convolution reads steps with that zero point."""
    model = onnx.load_model_from_string(toy_graph("float32"))
    model = with_pairs(model, {"toy/conv": 0.02})
    if half:
        model = half_signed_model(model)
    for tensor in model.graph.initializer:
        if tensor.name == "toy/conv/x/zero":
            tensor.CopyFrom(numpy_helper.from_array(np.asarray(zero), tensor.name))
    return model.SerializeToString(deterministic=True)


def test_signed_steps_are_built():
    spec, members = build_engines({"toy": quantised_toy(np.int8(0))}, backend=RTX, precision="int8_fp16")
    engine = spec.graphs["toy"]
    # 16·3·3 products of the convolution for each 16 of the matrix product, which stays FP16.
    assert engine.int8_share == pytest.approx(0.9, abs=0.01)
    assert engine.half_share == pytest.approx(0.1, abs=0.01)
    assert b"UINT8" not in members[engine.log]
    assert f"-{spec.platform}-int8_fp16-" in spec.key


@pytest.mark.parametrize("backend", ENGINE_BACKENDS)
@pytest.mark.parametrize(("precision", "half"), [("int8_fp16", True), ("fp16", True), ("fp32", False)])
def test_unsigned_steps_are_refused(precision, half, backend, stand_in):
    """They are read as INT8, with a warning and half of the range cut off."""
    if backend == "tensorrt":
        stand_in()
    toy = quantised_toy(np.uint8(0), half=half)
    words = r"'toy' has quantisers with UINT8 zero points, which TensorRT.* takes for INT8.*export the checkpoint again"
    with pytest.raises(ExportError, match=words):
        build_engines({"toy": toy}, backend=backend, precision=precision)


def test_signed_steps_are_no_fp32_and_no_fp16():
    with pytest.raises(ExportError, match=r"FP32 was asked, and 90\.0% .*are INT8; INT8 are toy/conv"):
        build_engines({"toy": quantised_toy(np.int8(0), half=False)}, backend=RTX, precision="fp32")
    with pytest.raises(ExportError, match=r"FP16 was asked, and 10\.0% "):
        build_engines({"toy": quantised_toy(np.int8(0))}, backend=RTX, precision="fp16")
    with pytest.raises(ExportError, match=r"INT8 was asked, and 0\.0% .*others are toy/"):
        build_engines({"toy": toy_graph()}, backend=RTX, precision="int8_fp16")
    with pytest.raises(ExportError, match=r"INT8 was asked, and 0\.0% "):
        build_engines({"toy": toy_graph("float32")}, backend=RTX, precision="int8_fp16")


def test_int8_graphs_of_a_cpu_are_not_built(tiny_bundle, tmp_path):
    words = (
        r"asked in int8; expected fp16 or fp32 or int8_fp16: int8 graphs are made for CPUs.*Ask for int8_fp16"
    )
    for backend in ENGINE_BACKENDS:
        with pytest.raises(OptionError, match=words):
            build_engines({"toy": toy_graph()}, backend=backend, precision="int8")
    with pytest.raises(
        ExportError,
        match=r"graphs in fp32 only; export .* --precision int8_fp16 --calibration CLIP, or rebuild",
    ):
        rebuild(tiny_bundle("psp101"), backends=[RTX], precisions=["int8"])
    old = tmp_path / "old.plan"
    with Bundle.open(tiny_bundle("psp101")) as bundle:
        manifest = bundle.manifest
        members = {name: bundle.read(name) for name in manifest.members}
    graphs = tuple(
        msgspec.structs.replace(graph, members={**graph.members, "int8": f"graphs/int8/{graph.name}.onnx"})
        for graph in manifest.graphs
    )
    members |= {graph.members["int8"]: quantised_toy(np.uint8(0), half=False) for graph in graphs}
    write_bundle(old, msgspec.structs.replace(manifest, graphs=graphs, members={}), members)
    before = old.read_bytes()
    for asked in ("int8", "int8_fp16"):
        options = RebuildOptions(bundle=old, backends=(RTX,), precisions=(asked,))
        with pytest.raises(
            ExportError,
            match=r"int8 graphs are made for CPUs.*again with --precision int8_fp16 --calibration",
        ):
            rebuild(old, backends=options.backends, precisions=options.precisions)
    assert old.read_bytes() == before


@pytest.mark.parametrize("name", ["td4-psp18", "td2-fa18"])
def test_networks_build_in_int8(name, small_graphs):
    """All that may be INT8 is, quantised by hand; the rest is FP16 but for what is FP32 in FP16 engines too."""
    graphs, convolutions = {}, 0
    for graph, data in small_graphs(name, "fp32").items():
        model = onnx.load_model_from_string(data)
        names = [n.name for n in model.graph.node if n.op_type == "Conv" and not stays_single(n.name)]
        convolutions += len(names)
        found = half_signed_model(with_pairs(model, dict.fromkeys(names, 0.02)))
        check_half(found)
        check_signed(found)
        graphs[graph] = found.SerializeToString(deterministic=True)
    spec, members = build_engines(graphs, backend=RTX, precision="int8_fp16")
    found = 0
    for graph, engine in spec.graphs.items():
        layers = [layer for layer in json.loads(members[engine.layers])["layers"] if "int8" in layer]
        found += sum(layer["int8"] for layer in layers)
        floats = 12 if (name, graph) == ("td2-fa18", "subnet1") else 0
        assert sum(not (layer["half"] or layer["int8"]) for layer in layers) <= floats
        assert engine.int8_share > (0.95 if graph == "subnet1" else 0.8)
        assert engine.int8_share + engine.half_share > 0.97
        told = [
            line for line in members[engine.log].decode().split("\n") if line.startswith(("warning", "error"))
        ]
        assert all(
            re.search("Converting conv (activation|weight) scales to fp32", line) for line in told
        )  # FP16's are exact
    assert found == convolutions


def test_the_key_names_all_that_matters():
    known = {
        "product_version": "10.3.0",
        "compute_capabilities": ("8.7",),
        "platform": "linux-aarch64",
        "precision": "fp16",
        "graph_digests": {"apm1": "00"},
        "options": {"tf32": "off"},
    }
    others = {
        "product_version": "10.3.1",
        "compute_capabilities": ("8.6", "8.7"),
        "platform": "linux-x86_64",
        "precision": "fp32",
        "graph_digests": {"apm1": "01"},
        "options": {"tf32": "on"},
    }
    keys = {engine_key(**known)} | {engine_key(**{**known, name: value}) for name, value in others.items()}
    assert len(keys) == 7
    assert re.fullmatch(r"10\.3\.0-8\.7-linux-aarch64-fp16-[0-9a-f]{12}", engine_key(**known))
    assert engine_key(**known) == engine_key(**dict(reversed(known.items())))
    strange = engine_key(**{**known, "product_version": "1/../x y"})
    check_member_name(f"engines/tensorrt/{strange}/apm1.engine")
