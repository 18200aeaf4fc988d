"""Models written into a Triton model repository: all of them, whole, or none."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from tdnet_export.engines import BuildEvent, build_engines
from tdnet_export.termination import sigterm_as_exit
from tdnet_export.triton.config_text import Config, config_text
from tdnet_export.triton.configs import graph_config, python_config
from tdnet_export.triton.graph_proof import prove_graph
from tdnet_export.triton.joined_graph import joined_graph
from tdnet_export.triton.options import TritonOptions, partial_folder
from tdnet_runtime.bundle import Bundle
from tdnet_runtime.errors import BundleError, ExportError, OptionError
from tdnet_runtime.manifest import Manifest
from tdnet_runtime.preflight import PREFERRED
from tdnet_runtime.serving.parameters import BUNDLE

__all__ = ["TritonModel", "TritonSummary", "write_models"]

Progress = Callable[[str, int, int], None]
_VERSION = "1"
_MODEL_PY = '''"""Run by Triton's Python backend. All that it needs is in tdnet-deploy, of the server's own Python."""

try:
    from tdnet_runtime.serving.python_model import TritonPythonModel
except ModuleNotFoundError as error:
    raise ImportError(
        f"{error}: install 'tdnet-deploy[cpu]' in the Python of this server's Python backend, which is the first python3 "
        "in PATH; PYTHONPATH is not asked"
    ) from None

__all__ = ["TritonPythonModel"]
'''
_PREFERRED = {"onnxruntime": ("fp32", *PREFERRED), "tensorrt": PREFERRED}


@dataclass(frozen=True, slots=True, kw_only=True)
class TritonModel:
    """A model that was written.

    Attributes:
        name: by which clients ask for it.
        backend: of the server, which loads it.
        folder: that was made for it.
        precision: of its graph; None where the runtime chooses.
        proven_frames: compared with the bundle, label by label; None where the bundle itself is served.
    """

    name: str
    backend: str
    folder: Path
    precision: str | None = None
    proven_frames: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TritonSummary:
    """What was written.

    Attributes:
        repository: the folder for the server's `--model-repository`.
        models: in the order of the backends that were asked for.
        streams: sequences at once.
        idle_s: after which one ends.
        seconds: that it took.
    """

    repository: Path
    models: tuple[TritonModel, ...]
    streams: int
    idle_s: float
    seconds: float


@sigterm_as_exit()
def write_models(
    bundle: Path,
    options: TritonOptions,
    *,
    sha256: str | None = None,
    on_progress: Progress = lambda stage, done, total: None,
) -> TritonSummary:
    """Write a model of `bundle` for each of the server's backends that `options` name.

    Needs no torch; `onnx` for models that are one graph, and TensorRT with its GPU for `tensorrt`. What is in the folder
    already stays as it is.

    Args:
        bundle: the `*.plan` file; what is written is of the file that was opened, whatever lies there meanwhile.
        options: the folder, and what goes into it.
        sha256: of the bundle's file; another one is refused before anything in it is parsed.
        on_progress: told a stage, how much of it is done, and of how much.

    Raises:
        OptionError: there is a model of that name, or the precision is not in the bundle.
        BundleError: the bundle cannot be read, is not the one with `sha256`, or was replaced meanwhile.
        MissingExtraError: onnx or TensorRT is not installed.
        ExportError: a graph cannot be joined or built, or the folder cannot be written to.
        ParityError: a joined graph computes something else than the bundle.
    """
    started = perf_counter()
    names = options.names(bundle)
    options.require_tools()
    made = []
    with Bundle.open(bundle, sha256=sha256) as opened, _all_or_none(options.folder) as begin:
        for backend, name in names.items():
            folder = begin(name)
            version = folder / _VERSION
            version.mkdir()
            if backend == "python":
                on_progress("write model python", 0, 1)
                config = python_config(name, opened, streams=options.streams, idle_s=options.idle_s)
                (version / "model.py").write_text(_MODEL_PY, encoding="utf-8")
                _copy(opened, version / BUNDLE, sha256)
                model = TritonModel(name=name, backend=backend, folder=options.folder / name)
                on_progress("write model python", 1, 1)
            else:
                config, model = _write_graph(version, opened, name, backend, options, on_progress)
            (folder / "config.pbtxt").write_text(config_text(config), encoding="utf-8")
            made.append(model)
    return TritonSummary(
        repository=options.folder,
        models=tuple(made),
        streams=options.streams,
        idle_s=options.idle_s,
        seconds=perf_counter() - started,
    )


def _copy(bundle: Bundle, path: Path, sha256: str | None) -> None:
    """Write the file that was opened to `path`, and verify what was written."""
    with path.open("xb") as file:
        for chunk in bundle.chunks():
            file.write(chunk)
    with Bundle.open(path, sha256=sha256) as copy:
        if copy.digest != bundle.digest:
            raise BundleError(
                f"the bundle was replaced while it was in use (manifest {bundle.digest[:16]}…, now {copy.digest[:16]}…); "
                f"begin again when it stays as it is: {str(bundle.path)!r}"
            )


def _write_graph(
    version: Path, bundle: Bundle, name: str, backend: str, options: TritonOptions, on_progress: Progress
) -> tuple[Config, TritonModel]:
    """Join the graphs, prove them, and build the engine where that is asked for."""
    manifest = bundle.manifest
    precision = _precision(manifest, backend, options.precision)
    graphs = {graph.name: bundle.read(graph.members[precision]) for graph in manifest.graphs}
    config = graph_config(
        name, backend, bundle, precision=precision, streams=options.streams, idle_s=options.idle_s
    )
    frames = prove_graph(
        bundle,
        graphs,
        config,
        precision=precision,
        on_frame=lambda done, total: on_progress(f"prove {name}", done, total),
    )
    model = joined_graph(manifest, graphs, precision=precision)
    del graphs  # hundreds of MB
    data = model if backend == "onnxruntime" else _engine(model, precision, on_progress)
    (version / str(config["default_model_filename"])).write_bytes(data)
    return config, TritonModel(
        name=name,
        backend=backend,
        folder=options.folder / name,
        precision=precision,
        proven_frames=frames,
    )


def _engine(model: bytes, precision: str, on_progress: Progress) -> bytes:
    """A TensorRT engine of the joined graph, for this machine's GPU and this version of TensorRT."""

    def show(event: BuildEvent) -> None:
        on_progress(event.stage, event.done, event.total)

    spec, files = build_engines({"joined": model}, backend="tensorrt", precision=precision, on_progress=show)
    return files[spec.graphs["joined"].engine]


def _precision(manifest: Manifest, backend: str, asked: str | None) -> str:
    has = manifest.precisions
    if asked is not None and asked not in has:
        raise OptionError(
            f"--precision {asked} was asked, and the bundle has graphs in {', '.join(has)}; name one of them, or export "
            "the checkpoint again"
        )
    return asked or next((each for each in _PREFERRED[backend] if each in has), has[0])


@contextmanager
def _all_or_none(repository: Path) -> Iterator[Callable[[str], Path]]:
    """Gives a function that makes a model's folder, by another name until the block ends well.

    Raises:
        ExportError: something cannot be written.
    """
    begun: dict[Path, Path] = {}
    is_new = False

    def begin(name: str) -> Path:
        partial = partial_folder(repository / name)
        partial.mkdir()
        begun[partial] = repository / name
        return partial

    try:
        try:
            with suppress(FileExistsError):
                repository.mkdir()
                is_new = True
            yield begin
            for partial, folder in begun.items():
                partial.rename(folder)  # fails where there is one meanwhile that is not empty
        except OSError as error:
            raise ExportError(
                f"writing the model repository failed: {error.strerror or error}; nothing was kept: {str(repository)!r}"
            ) from error
    except BaseException:
        for partial, folder in begun.items():
            made = partial if partial.exists() else folder  # it was renamed before another one failed
            shutil.rmtree(made, ignore_errors=True)
        if is_new:
            with suppress(OSError):  # it has what others have put there meanwhile
                repository.rmdir()
        raise
