"""Our Protocols of TensorRT's API against TensorRT's published stubs, with pyright.

mypy cannot read those stubs, and installed beside the rest they would make `import tensorrt` an empty
package: they lie in a folder of their own, which `pip install --no-deps --target` fills once.

Other code that talks to TensorRT joins by a row in `ADAPTERS`.
"""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SOURCES = [str(ROOT / package) for package in ("models", "runtime", "export", "benchmarks")]
STUBS = "tensorrt-stubs==10.13.0.35.1"

BUILDER = """\
import tensorrt

from tdnet_export.engines.tensorrt_api import BuilderConfig, InspectableEngine, Runtime, TimingCache
from tdnet_export.engines.timing_cache import load_timing_cache


def hold(
    config: tensorrt.IBuilderConfig, cache: tensorrt.ITimingCache, engine: tensorrt.ICudaEngine, runtime: tensorrt.Runtime
) -> None:
    our_config: BuilderConfig = config
    our_cache: TimingCache = cache
    our_engine: InspectableEngine = engine
    our_runtime: Runtime = runtime


DETAILED = tensorrt.ProfilingVerbosity.DETAILED
JSON = tensorrt.LayerInformationFormat.JSON
"""
# name → (program that puts TensorRT's types into our Protocols, source with the Protocols,
#         a name in it, and a misspelling of that name which pyright must find)
RUNTIME = """\
import tensorrt

from tdnet_runtime.gpu.trt_api import Api, CudaEngine, ExecutionContext, Runtime

module: Api = tensorrt


def hold(
    engine: tensorrt.ICudaEngine, context: tensorrt.IExecutionContext, runtime: tensorrt.Runtime
) -> None:
    our_engine: CudaEngine = engine
    our_context: ExecutionContext = context
    our_runtime: Runtime = runtime
"""

ADAPTERS = {
    "builder": (
        BUILDER,
        ROOT / "export/tdnet_export/engines/tensorrt_api.py",
        ("def create_timing_cache", "def create_timings_cache"),
    ),
    "runtime": (
        RUNTIME,
        ROOT / "runtime/tdnet_runtime/gpu/trt_api.py",
        ("def execute_async_v3", "def execute_asynchronous_v3"),
    ),
}


@pytest.fixture(scope="session")
def stubs(request):
    """The folder with TensorRT's stubs."""
    if importlib.util.find_spec("pyright") is None:
        pytest.skip("pyright is not installed; it comes with: pip install 'tdnet-deploy[dev]'")
    folder = request.config.cache.mkdir("tensorrt-stubs")
    if not (folder / "tensorrt" / "__init__.pyi").is_file():
        install = [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--target",
            str(folder),
            STUBS,
        ]
        run = subprocess.run(install, capture_output=True, text=True, check=False, timeout=120)
        if run.returncode != 0:
            pytest.skip(f"{STUBS} cannot be had here: {run.stderr.strip().splitlines()[-1:]}")
    return folder


def complaints(folder, stubs, program):
    """What pyright says of `program`, with files in `folder` before the repository's."""
    (folder / "program.py").write_text(program)
    settings = {
        "include": ["program.py"],
        "extraPaths": [str(folder), *SOURCES, str(stubs)],
        "pythonVersion": "3.10",
        "typeCheckingMode": "standard",
    }
    (folder / "pyrightconfig.json").write_text(json.dumps(settings))
    run = subprocess.run(
        [sys.executable, "-m", "pyright", "--outputjson", "--project", str(folder)],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env=os.environ | {"PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"},
    )
    if not run.stdout.startswith("{"):
        pytest.skip(f"pyright does not run here: {(run.stderr or run.stdout).strip().splitlines()[-1:]}")
    report = json.loads(run.stdout)
    assert report["summary"]["filesAnalyzed"] >= 1
    return [
        diagnostic["message"]
        for diagnostic in report["generalDiagnostics"]
        if diagnostic["severity"] == "error" and Path(diagnostic["file"]).name == "program.py"
    ]


@pytest.mark.parametrize("name", ADAPTERS)
def test_tensorrt_has_what_our_protocols_ask_for(name, stubs, tmp_path):
    program, _, _ = ADAPTERS[name]
    assert complaints(tmp_path, stubs, program) == []


@pytest.mark.parametrize("name", ADAPTERS)
def test_a_planted_misspelling_is_caught(name, stubs, tmp_path):
    program, source, (right, wrong) = ADAPTERS[name]
    text = source.read_text()
    assert right in text
    (tmp_path / "misspelt.py").write_text(text.replace(right, wrong))
    module = ".".join(source.relative_to(ROOT).with_suffix("").parts[1:])
    assert module in program
    found = complaints(tmp_path, stubs, program.replace(module, "misspelt"))
    assert any(wrong.removeprefix("def ") in message for message in found), found


def test_a_misspelling_of_a_constant_is_caught(stubs, tmp_path):
    found = complaints(tmp_path, stubs, "import tensorrt\n\nx = tensorrt.ProfilingVerbosity.DETAILLED\n")
    assert any("DETAILLED" in message for message in found), found
