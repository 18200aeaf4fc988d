"""Fixtures that several packages' tests share.

Two kinds of networks: the published ones at the small reference size, whose outputs by the public
code lie in `data/reference`, and tiny ones of the same design, which export in a second.
"""

import importlib
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.guard import forget_what_was_inherited, pytest_runtest_call

from tdnet_eval.private_caches import use_private_caches

__all__ = ["pytest_runtest_call"]

forget_what_was_inherited()
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # tests import onnxruntime by themselves, too
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault(
        "OMP_NUM_THREADS", "1"
    )  # of PyTorch: the workers share the cores, and so do their children
use_private_caches()

DATA = Path(__file__).parent / "data"
SMALL_SIZE = {
    "td2-psp50": (193, 385),
    "td4-psp18": (193, 385),
    "td2-fa18": (192, 384),
    "psp101": (193, 385),
}
"""Input (H, W) of the small reference outputs."""
TINY_FEATURES = {"td2-psp50": (7, 9), "td4-psp18": (9, 13), "td2-fa18": (8, 12), "psp101": (7, 9)}
TINY_FEATURES |= dict.fromkeys(("td2-psp34", "td4-psp50", "psp50", "td2-fa34", "td2-fa50"), (7, 9))
"""(h, w) of the tiny networks' features: two of them divide into none of the pyramid's grids."""


@pytest.fixture(scope="session", autouse=True)
def _auto_is_onnxruntime_on_a_cpu():
    """OpenVINO compiles half a second where ONNX Runtime loads in milliseconds: its own tests ask for it by name."""
    from tdnet_runtime import backends

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backends, "AUTO_ORDER", tuple(b for b in backends.AUTO_ORDER if b != "openvino"))
        yield


PROGRAMS = {
    "tdnet-batch": "tdnet_batch:main",
    "tdnet-export": "tdnet_export:main",
    "tdnet-run": "tdnet_runtime.cli:run_main",
    "tdnet-inspect": "tdnet_runtime.cli:inspect_main",
    "tdnet-doctor": "tdnet_runtime.cli:doctor_main",
    "tdnet-bench": "tdnet_bench:main",
    "tdnet-eval": "tdnet_eval:main",
    "tdnet-train": "tdnet_train:main",
}


@pytest.fixture
def command(monkeypatch, capfd):
    """command(program, *arguments, cwd="."): its exit code and words, in this process: another one imports for seconds."""

    def run(program, *arguments, cwd="."):
        module, _, main = PROGRAMS[program].partition(":")
        capfd.readouterr()
        call = getattr(importlib.import_module(module), main)
        with monkeypatch.context() as patch:
            patch.setattr(sys, "argv", [program, *map(str, arguments)])
            patch.setattr(
                sys.modules["__main__"], "__package__", ""
            )  # as an installed command has it: click looks
            patch.setenv("COLUMNS", "80")
            patch.chdir(cwd)
            with pytest.raises(SystemExit) as caught:
                call()
        return subprocess.CompletedProcess([program], caught.value.code or 0, *capfd.readouterr())

    return run


LONGEST = (
    *("test_build.py", "test_pipeline.py", "test_quiet.py", "test_reference.py", "test_reference_bundle.py"),
    *("test_signals.py", "test_forks.py", "test_footprint.py", "test_bench_cli.py", "test_interrupt.py"),
    *("test_rebuild.py", "test_bad_input.py", "test_quantise.py"),
)
"""Files that take longer than ten seconds."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    """Where files are handed out to processes, the longest go first: nobody waits for one that began last."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        items.sort(key=lambda item: item.path.name not in LONGEST)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    """With CI=true, a comparison with the public code that is skipped counts as failed."""
    report = yield
    if report.skipped and item.get_closest_marker("reference") and os.environ.get("CI") == "true":
        report.outcome = "failed"
        report.longrepr = f"must not be skipped in CI: {report.longrepr}"
    return report


def _recipe():
    spec = importlib.util.spec_from_file_location("reference_weights", DATA / "weights.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def small_reference(name):
    """The public code's outputs for a network at the small size: labels, logits_stride8, frames."""
    height, width = SMALL_SIZE[name]
    with np.load(DATA / "reference" / f"{name}_{height}x{width}_seed0.npz") as archive:
        return {key: archive[key] for key in archive.files}


def published_shapes(name):
    """The public checkpoint's parameter names and shapes."""
    return json.loads((DATA / "reference" / f"{name}.keys.json").read_text())


def small_state(name, size_hw=None):
    """The deterministic weights behind the outputs at `size_hw`; those of `small_reference(name)` if not given."""
    from tdnet_models.sizes import feature_size_from_input

    features = list(feature_size_from_input(size_hw or SMALL_SIZE[name]))
    shapes = {k: features if k.startswith("layer_norm") else s for k, s in published_shapes(name).items()}
    return _recipe().make_state_dict(shapes)


def tiny_state(name):
    """Deterministic weights of a network of the design of `name`, 5 classes, a few channels wide."""
    import torch

    from tdnet_models.sizes import suggested_size
    from tdnet_models.tdnet import build_network
    from tdnet_models.variants import PUBLISHED, VARIANTS, spec_from_widths

    widths = PUBLISHED[name].widths | {"stem": 8, "planes": (8, 16, 32, 64), "head": 8}
    widths |= {key: small for key, small in (("value", 16), ("neck", 8), ("auxiliary", 4)) if widths[key]}
    widths["classifier"] = min(widths["classifier"], 10)
    size_hw = suggested_size(VARIANTS[name], TINY_FEATURES[name])
    spec = spec_from_widths(name, classes=5, input_size=size_hw, widths=widths)
    with torch.device("meta"):
        shapes = {key: list(value.shape) for key, value in build_network(spec).state_dict().items()}
    return _recipe().make_state_dict(shapes)


def sigmoid_state(name):
    """The tiny network with one logit: that of a class over another's, which both win somewhere in the scene."""
    heads = (
        "conv_out.weight",
        ".conv5.4.weight",
        ".conv5.4.bias",
        "head.conv5.5.weight",
        "head.conv5.5.bias",
    )
    best = 3 if name == "psp101" else 1
    return {
        key: value[best : best + 1] - value[:1] if key.startswith("head") and key.endswith(heads) else value
        for key, value in tiny_state(name).items()
    }


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory):
    """tiny_checkpoint(name): the file of a tiny network, made once."""
    import torch

    folder = tmp_path_factory.mktemp("checkpoints")

    def make(name):
        path = folder / f"{name}.pth"
        if not path.exists():
            torch.save(tiny_state(name), path)
        return path

    return make


@pytest.fixture(scope="session")
def tiny_bundle(tiny_checkpoint, tmp_path_factory):
    """tiny_bundle(name): a real bundle of a tiny network, exported and proven once. Read it only."""
    from tdnet_export.options import ExportOptions
    from tdnet_export.pipeline import bundle_from_checkpoint

    folder = tmp_path_factory.mktemp("bundles")

    def make(name):
        path = folder / f"{name}.plan"
        if not path.exists():
            # per-frame networks fix no size themselves
            size = (49, 65) if name.startswith("psp") else None
            bundle_from_checkpoint(ExportOptions(checkpoint=tiny_checkpoint(name), out=path, size_hw=size))
        return path

    return make
