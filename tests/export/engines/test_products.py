"""Which product is asked for, whether it is there, and what is said where it is not."""

import importlib.util
import sys

import pytest

from tdnet_export.engines import ENGINE_BACKENDS, BuildEvent, BuildOptions, products
from tdnet_export.engines.products import require_product
from tdnet_runtime.errors import MissingExtraError, OptionError


def test_the_backends_that_have_engines():
    assert ENGINE_BACKENDS == ("tensorrt", "tensorrt-rtx")
    with pytest.raises(OptionError, match="tensorrt, tensorrt-rtx, came 'onnxruntime'"):
        require_product("onnxruntime")


A_SPEC = importlib.util.find_spec("json")


def found(*modules):
    return lambda name: A_SPEC if name in modules else None


@pytest.mark.parametrize(
    ("backend", "present", "message"),
    [
        (
            "tensorrt",
            (),
            "TensorRT engines: the package 'tensorrt' is not installed; install TensorRT 10.3 or later from NVIDIA",
        ),
        ("tensorrt", ("tensorrt",), "'polygraphy' is not installed.*pip install 'polygraphy>=0.50.3'"),
        (
            "tensorrt-rtx",
            ("polygraphy",),
            "'tensorrt_rtx' is not installed.*pip install tensorrt-rtx, and: pip install 'polygraphy",
        ),
    ],
)
def test_a_missing_package_is_said_before_anything_slow(monkeypatch, backend, present, message):
    monkeypatch.setattr(products.importlib.util, "find_spec", found(*present))
    with pytest.raises(MissingExtraError, match=message):
        require_product(backend)
    monkeypatch.setattr(products.importlib.util, "find_spec", found("tensorrt", "tensorrt_rtx", "polygraphy"))
    require_product(backend)


@pytest.mark.parametrize(
    ("found", "old"), [("0.49.24", True), ("0.50.2", True), ("0.50.3", False), ("0.53.6", False)]
)
def test_a_polygraphy_that_cannot_build_for_all_products_is_named(monkeypatch, found, old):
    monkeypatch.setattr(products, "version", lambda name: found)
    monkeypatch.setattr(products.importlib.util, "find_spec", lambda name: A_SPEC)
    if not old:
        require_product("tensorrt-rtx")
        return
    with pytest.raises(
        MissingExtraError, match=rf"Polygraphy {found} is too old .*pip install 'polygraphy>=0\.50\.3'"
    ):
        require_product("tensorrt-rtx")


def test_a_folder_of_stubs_is_no_product(monkeypatch, tmp_path):
    (tmp_path / "tensorrt").mkdir()
    (tmp_path / "tensorrt" / "__init__.pyi").touch()
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    with pytest.raises(MissingExtraError, match="'tensorrt' is not installed"):
        require_product("tensorrt")


@pytest.mark.parametrize(
    ("module", "names", "cuda"),
    [
        ("tensorrt_rtx", ["numpy", "tensorrt_rtx_cu13", "tensorrt_rtx_cu13_libs"], "13"),
        ("tensorrt_rtx", ["tensorrt-rtx-cu12-bindings"], "12"),
        ("tensorrt_rtx", ["tensorrt-cu13"], None),
        ("tensorrt", ["tensorrt_rtx_cu13", "tensorrt-cu12-libs"], "12"),
        ("tensorrt", ["tensorrt", "tensorrt-cu13x"], None),
    ],
)
def test_the_cuda_version_in_a_package_name(module, names, cuda):
    assert products.cuda_major(module, names) == cuda


def test_options_are_checked_and_recorded():
    assert BuildOptions().as_dict() == {
        "tf32": "off",
        "optimization_level": "default",
        "max_aux_streams": "default",
    }
    given = BuildOptions(tf32=True, optimization_level=5, max_aux_streams=0)
    assert list(given.as_dict().values()) == ["on", "5", "0"]
    with pytest.raises(OptionError, match="0 to 5"):
        BuildOptions(optimization_level=6)
    with pytest.raises(OptionError, match="0 or more"):
        BuildOptions(max_aux_streams=-1)


def test_events_in_words():
    def event(graph, **others):
        return BuildEvent(backend="tensorrt-rtx", precision="fp16", graph=graph, total=8, **others)

    assert event(None, done=0).stage == "build tensorrt-rtx fp16"
    assert event(None, done=0).text == "8 engines"
    assert event("subnet2", done=2).text == "subnet2 (3 of 8)"
    assert event("subnet2", done=2, estimate_s=61.7).text == "subnet2 (3 of 8), about 62 s"
    assert event("subnet2", done=3, seconds=60.25).text == "subnet2 (3 of 8): 60.2 s"
