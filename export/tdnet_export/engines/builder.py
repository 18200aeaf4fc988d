"""One product, in this process: from an ONNX file to an engine, with Polygraphy's loaders.

Precision is in the graph and networks are strongly typed, so one path serves TensorRT 10.3 to 11 and
TensorRT-RTX. Features are found by `hasattr`, never by comparing versions. Polygraphy chooses its
product when it is imported: a process can hold one builder.
"""

from __future__ import annotations

import importlib
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tdnet_export.engines import device
from tdnet_export.engines.build_log import BuildLog
from tdnet_export.engines.layer_sources import layers_from_inspector, layers_from_log
from tdnet_export.engines.layers import EngineLayer
from tdnet_export.engines.options import BuildOptions
from tdnet_export.engines.products import Product, missing
from tdnet_export.engines.tensorrt_api import BuilderConfig, InspectableEngine, Runtime
from tdnet_export.engines.timing_cache import load_timing_cache, save_timing_cache, timing_cache_path
from tdnet_runtime.engine_header import HEADER_BYTES, parse_engine_header
from tdnet_runtime.errors import BackendError, ExportError, TdnetError
from tdnet_runtime.preflight import SIGNED_INT8, platform_name, too_old

__all__ = ["BuiltEngine", "EngineBuilder"]


@dataclass(frozen=True, slots=True)
class BuiltEngine:
    """A serialised engine, its layers, and the log as a bundle keeps it."""

    data: bytes
    layers: tuple[EngineLayer, ...]
    log: bytes


class EngineBuilder:
    """Builds engines with one product; made once in a process.

    Attributes:
        product: that builds.
        version: of the product, exactly.
        compute_capability: of the device that the engines are for; None for the product's portable set.
    """

    def __init__(self, product: Product, options: BuildOptions) -> None:
        """Import the product and Polygraphy.

        Raises:
            MissingExtraError: one of them is not installed, or does not load.
            ExportError: TensorRT without a GPU.
        """
        os.environ["POLYGRAPHY_USE_TENSORRT_RTX"] = "0" if product.backend == "tensorrt" else "1"
        os.environ["POLYGRAPHY_AUTOINSTALL_DEPS"] = "0"  # nothing is installed behind the user's back
        try:
            self._module: Any = importlib.import_module(product.module)
            self._loaders: Any = importlib.import_module("polygraphy.backend.trt")
            self._polygraphy = importlib.import_module("polygraphy").__version__
            logger: Any = importlib.import_module("polygraphy.logger").G_LOGGER
        except (ImportError, OSError) as error:  # OSError: a shared library that is not whole
            raise missing(product, f"it is not installed or does not load: {error}") from error
        if not hasattr(self._module, "Builder"):
            raise missing(product, f"the module {product.module!r} is an empty one, without a Builder")
        self.product = product
        self.version = str(self._module.__version__)
        if (reason := too_old(product.backend, self.version)) is not None:
            raise missing(product, reason)
        self.compute_capability = None if product.portable else device.compute_capability()
        self._options = options
        self._logger = logger
        self._log = _collecting_log(logger)

    def build(self, graph: str, path: Path) -> BuiltEngine:
        """The engine of the ONNX file at `path`.

        Raises:
            ExportError: the parser or the builder refused; all their errors are named. Or what was built
                cannot be vouched for.
        """
        self._log.clear()
        self._logger.once_logged.clear()  # or a warning would be missing from the next graph's log
        try:
            data = self._engine_bytes(path)
        except TdnetError:  # of the timing cache, say: no graph's fault
            raise
        except Exception as error:  # Polygraphy's own, and what its calls into another version's API raise
            reasons = "; ".join(self._log.errors) or f"{type(error).__name__}: {error}"
            raise ExportError(
                f"{self.product.title} {self.version} could not build graph {graph!r} (with Polygraphy "
                f"{self._polygraphy}): {reasons}"
            ) from error
        self._check_header(graph, data)
        self._check_steps(graph)
        layers = self._layers(graph, data)
        header = [f"{self.product.title} {self.version}, graph {graph}"]
        header += [f"{name}: {value}" for name, value in self._options.as_dict().items()]
        return BuiltEngine(data, layers, self._log.kept(header))

    def _engine_bytes(self, path: Path) -> bytes:
        cache = self._timing_cache(path.parent)
        used: list[BuilderConfig] = []

        def keep(builder: object, network: object, config: BuilderConfig) -> None:
            used.append(config)
            if hasattr(self._module.BuilderFlag, "REQUIRE_USER_ALLOCATION"):
                # TensorRT-RTX: nothing is allocated while it runs, so that CUDA graphs can be captured.
                config.set_flag(self._module.BuilderFlag.REQUIRE_USER_ALLOCATION)
            if cache is not None:
                load_timing_cache(config, cache)

        options = {
            "tf32": self._options.tf32,
            "builder_optimization_level": self._options.optimization_level,
            "max_aux_streams": self._options.max_aux_streams,
        }
        if hasattr(self._module, "ProfilingVerbosity"):
            options["profiling_verbosity"] = self._module.ProfilingVerbosity.DETAILED
        config = self._loaders.PostprocessConfig(self._loaders.CreateConfig(**options), keep)
        network = self._loaders.NetworkFromOnnxPath(str(path), strongly_typed=True)
        data = bytes(self._loaders.EngineBytesFromNetwork(network, config)())
        if cache is not None:
            save_timing_cache(used[0], cache)
        return data

    def _timing_cache(self, work: Path) -> Path | None:
        if self.compute_capability is None:
            return None
        return timing_cache_path(self.version, self.compute_capability, platform_name(), work=work)

    def _check_header(self, graph: str, data: bytes) -> None:
        """The runtime's preflight reads this header: it must say what the manifest will say."""
        try:
            header = parse_engine_header(data[:HEADER_BYTES])
        except BackendError as error:
            raise ExportError(f"the engine built for graph {graph!r} is not understood: {error}") from error
        if header.product != self.product.backend or not header.built_by(self.version):
            raise ExportError(
                f"the engine built for graph {graph!r} says that {header} built it, not {self.product.title} "
                f"{self.version}: two versions are mixed up in this environment"
            )

    def _check_steps(self, graph: str) -> None:
        """The parser takes UINT8 steps for INT8 ones, with a warning: values above 127 steps are cut off."""
        if (warning := self._log.unsigned_steps) is not None:
            raise ExportError(
                f"graph {graph!r} has quantisers with UINT8 zero points, which {self.product.title} {self.version} takes "
                f"for INT8, with half of the range cut off ({warning}); export the checkpoint again: its INT8 graphs for "
                f"engines are {SIGNED_INT8}"
            )

    def _layers(self, graph: str, data: bytes) -> tuple[EngineLayer, ...]:
        try:
            return layers_from_log(self._log.text)
        except ExportError as error:
            reason = str(error)
        # A product whose log is silent may still show the engine, where there is a GPU to load it.
        runtime: Runtime = self._module.Runtime(self._loaders.get_trt_logger())
        engine = runtime.deserialize_cuda_engine(data)
        if engine is None:
            raise ExportError(
                f"what precision the engine of graph {graph!r} has cannot be told: {reason}, and it cannot be "
                "loaded here"
            )
        return self._inspected(engine)

    def _inspected(self, engine: InspectableEngine) -> tuple[EngineLayer, ...]:
        information = engine.create_engine_inspector().get_engine_information(
            self._module.LayerInformationFormat.JSON
        )
        return layers_from_inspector(information)


def _collecting_log(logger: Any) -> BuildLog:
    """A log that gets all that Polygraphy and the product say; nothing goes to the terminal."""
    log = BuildLog()
    logger.colors = logger.letter = False
    logger.use_python_logging_system = True
    logger.module_severity = logger.EXTRA_VERBOSE
    python_logger = logging.getLogger("Polygraphy")
    python_logger.setLevel(1)
    python_logger.propagate = False
    python_logger.handlers = [log]
    return log
