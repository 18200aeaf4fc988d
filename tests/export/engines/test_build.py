"""Real builds with TensorRT-RTX, which needs no GPU; and TensorRT's own path with a stand-in made of it."""

import dataclasses
import json
import re
import sys
from pathlib import Path

import pytest
from tests.conftest import SMALL_SIZE
from tests.export.engines.conftest import BUILDS, toy_graph

from tdnet_export.engines import ENGINE_BACKENDS, BuildOptions, build_engines, rebuild, require_builder
from tdnet_export.engines.build import engine_key
from tdnet_export.engines.layer_sources import layers_from_log
from tdnet_export.engines.layers import half_share
from tdnet_export.options import ExportOptions, RebuildOptions
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
        ("td2-psp50", (200, 383)),
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


def test_tensorrt_builds_on_the_same_path_with_its_timing_cache(stand_in, tmp_path):
    stand_in()
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


def test_int8_graphs_are_not_built(tiny_bundle):
    """Their UINT8 zero points are read as INT8, with a warning and half of the range cut off."""
    words = r"engines were asked in int8; expected fp16 or fp32: INT8 graphs are made for CPUs"
    for backend in ENGINE_BACKENDS:
        with pytest.raises(OptionError, match=words):
            build_engines({"toy": toy_graph()}, backend=backend, precision="int8")
        with pytest.raises(OptionError, match=words):
            rebuild(tiny_bundle("psp101"), backends=[backend], precisions=["fp16", "int8"])
        with pytest.raises(OptionError, match=words):
            RebuildOptions(bundle=Path("a.plan"), backends=(backend,), precisions=("int8",))


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
