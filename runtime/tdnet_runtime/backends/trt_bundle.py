"""From a bundle to a backend on TensorRT or TensorRT-RTX: what both have in common."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import shlex
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, cast

from tdnet_runtime.bundle import Bundle
from tdnet_runtime.engine_header import PRODUCTS
from tdnet_runtime.errors import BackendError
from tdnet_runtime.gpu.backend import GpuBackend
from tdnet_runtime.gpu.trt_api import Api
from tdnet_runtime.gpu.trt_engine import TrtEngine, TrtRuntime
from tdnet_runtime.preflight import (
    DeviceFacts,
    check_engine,
    choose_engines,
    platform_name,
    portability_note,
    too_old,
)
from tdnet_runtime.signals import importing

if TYPE_CHECKING:
    from tdnet_runtime.gpu.device import Device
    from tdnet_runtime.manifest import EngineSpec

__all__ = ["TrtBackend", "facts_of", "load_bundle", "missing", "no_device", "open_device"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TrtBackend:
    """One product's backend, as its module offers it; see `BackendModule`.

    Attributes:
        name: of the backend.
        module: that the product's Python package is imported as.
        install: how to get it.
    """

    name: str
    module: str
    install: str

    def unavailable(self) -> str | None:
        """Why the product cannot be used here; None where it can."""
        return missing(self.module, self.name, self.install) or no_device()

    def facts(self) -> DeviceFacts:
        """Of this machine; only where it is not `unavailable`."""
        return facts_of(self.name, self._api(), open_device())

    def unsuited(self, bundle: Bundle, *, precision: str | None) -> str | None:
        """Why the bundle has no engines for this machine; None where it has."""
        try:
            choose_engines(bundle, self.facts(), precision=precision)
        except BackendError as error:
            return str(error)
        return None

    def open_bundle(self, bundle: Bundle, *, precision: str | None, threads: int | None) -> GpuBackend:
        """Load the bundle's engines, and log where nobody has run them; `threads` means nothing. See `load_bundle`."""
        backend = self.load(bundle, precision=precision)
        spec = choose_engines(bundle, self.facts(), precision=precision)
        if spec.proof is None:
            command = shlex.join(["tdnet-export", "--verify", str(bundle.path)])
            logger.warning(
                "the engines %s were built and never run: prove them here with: %s", spec.title, command
            )
        return backend

    def load(self, bundle: Bundle, *, precision: str | None) -> GpuBackend:
        """Load the bundle's engines. See `load_bundle`."""
        return load_bundle(
            bundle, backend=self.name, api=self._api(), device=open_device(), precision=precision
        )

    def _api(self) -> Api:
        return cast("Api", importlib.import_module(self.module))


def missing(module: str, backend: str, install: str) -> str | None:
    """Why the product's module cannot be used, and the fix; None where it can.

    A folder of stubs or leftovers imports as an empty package: only a module with a Builder counts.
    """
    product = PRODUCTS[backend]
    try:
        with importing():
            found: ModuleType = importlib.import_module(module)
    except ImportError as error:
        return f"{product} is not installed ({error}); {install}"
    except Exception as error:  # its libraries are loaded on import
        return f"{product} does not load ({error}); {install}"
    if not hasattr(found, "Builder"):
        return f"the Python module {module!r} is there but empty (stubs, or an incomplete installation); {install}"
    reason = too_old(backend, str(found.__version__))
    return None if reason is None else f"{reason}; {install}"


def no_device() -> str | None:
    """Why no GPU can be used, and the fix; None where one can."""
    if importlib.util.find_spec("cuda") is None or importlib.util.find_spec("cuda.core") is None:
        return "cuda-core is not installed; install it with: pip install 'tdnet-deploy[gpu]'"
    try:
        open_device()
    except ImportError as error:
        return f"cuda-core does not load ({error}); install it with: pip install 'tdnet-deploy[gpu]'"
    except BackendError as error:
        return f"no GPU can be used here ({error}); check the driver with nvidia-smi"
    return None


def open_device() -> Device:
    """The current GPU."""
    with importing():
        from tdnet_runtime.gpu.cuda_device import CudaDevice  # needs cuda-core, an extra

    return CudaDevice()


def facts_of(backend: str, api: Api, device: Device) -> DeviceFacts:
    """What the preflight compares engines with."""
    return DeviceFacts(
        backend=backend,
        product_version=cast(ModuleType, api).__version__,
        platform=platform_name(),
        device_name=device.name,
        compute_capability=device.compute_capability,
        driver_cuda=device.driver_cuda,
    )


def load_bundle(
    bundle: Bundle, *, backend: str, api: Api, device: Device, precision: str | None
) -> GpuBackend:
    """Load the engines that fit this machine.

    Raises:
        BackendError: none fits (the message says how to build some), or one does not load.
        BundleError: the file was changed since it was opened.
    """
    facts = facts_of(backend, api, device)
    spec = choose_engines(bundle, facts, precision=precision)
    product = f"{PRODUCTS[backend]} {facts.product_version}"
    engines: list[TrtEngine] = []
    with device.current():
        try:
            runtime = TrtRuntime(api, product)
            for graph in bundle.manifest.graphs:
                engines.append(_load(runtime, bundle, spec, graph.name, facts))
            return GpuBackend(
                device,
                engines,
                bundle.manifest.at(spec.precision),
                name=backend,
                precision=spec.precision,
                description=f"{product}, {device.name}, {spec.precision}",
            )
        except BaseException:
            for engine in engines:
                engine.close()
            raise


def _load(runtime: TrtRuntime, bundle: Bundle, spec: EngineSpec, graph: str, facts: DeviceFacts) -> TrtEngine:
    data = bundle.read(spec.graphs[graph].engine)
    check_engine(spec, graph, data, facts, plan=bundle.path)
    try:
        return runtime.load(graph, data)
    except BackendError as error:
        note = portability_note(spec, facts)
        if note is None:
            raise
        raise BackendError(f"{error} ({note})") from error
