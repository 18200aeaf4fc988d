"""A bundle's engines on a GPU, shared by all streams."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Sequence

from tdnet_runtime.errors import BackendError
from tdnet_runtime.forks import ForkBound
from tdnet_runtime.gpu.device import Device
from tdnet_runtime.gpu.engine import Engine, EngineTensor
from tdnet_runtime.gpu.session import GpuSession
from tdnet_runtime.manifest import GraphSpec, Manifest

__all__ = ["GpuBackend"]

logger = logging.getLogger(__name__)


class GpuBackend(ForkBound):
    """See `DeviceBackend`.

    Args:
        device: that the engines are on.
        engines: one for each graph; closed by `close`, and not where the constructor raises.
        manifest: with the tensors of `precision`.
        name: of the backend.
        precision: of the graphs.
        description: engine, version and device in one line.

    Attributes:
        use_graphs: streams that are opened from now on use CUDA graphs where those work; True at first.

    Raises:
        BackendError: an engine's tensors are not those that the manifest states.
    """

    fork_error = BackendError

    def __init__(
        self,
        device: Device,
        engines: Sequence[Engine],
        manifest: Manifest,
        *,
        name: str,
        precision: str,
        description: str,
    ) -> None:
        self.name = name
        self.precision = precision
        self.description = description
        self.use_graphs = True
        self._device = device
        self._engines = {engine.graph: engine for engine in engines}
        for graph in manifest.graphs:
            _check_tensors(graph, self._engines[graph.name])

    def session(self) -> GpuSession:
        """See `Backend.session`."""
        return self.device_session()

    def device_session(self, *, labels_to_host: bool = True, cuda_stream: object | None = None) -> GpuSession:
        """See `DeviceBackend.device_session`."""
        self.require_own_process("session()")
        return GpuSession(
            self._device,
            self._engines,
            labels_to_host=labels_to_host,
            cuda_stream=cuda_stream,
            use_graphs=self.use_graphs,
        )

    def close(self) -> None:
        """See `Backend.close`."""
        if self.stranded:
            return
        engines, self._engines = self._engines, {}
        with contextlib.ExitStack() as inside:
            if engines:
                try:
                    inside.enter_context(self._device.current())
                except BackendError as error:  # a GPU that is gone
                    logger.warning("releasing engines: %s", error)
            for engine in engines.values():
                engine.close()


def _check_tensors(graph: GraphSpec, engine: Engine) -> None:
    """The engine's own inputs and outputs must be the manifest's: names, shapes and dtypes."""
    stated = {
        spec.name: EngineTensor(spec.name, spec.shape, spec.dtype, is_input)
        for specs, is_input in ((graph.inputs, True), (graph.outputs, False))
        for spec in specs
    }
    found = {tensor.name: tensor for tensor in engine.tensors}
    if stated != found:
        names = sorted(name for name in stated.keys() | found.keys() if stated.get(name) != found.get(name))
        detail = "; ".join(f"{name}: engine {found.get(name)}, manifest {stated.get(name)}" for name in names)
        raise BackendError(
            f"the engine of graph {graph.name!r} does not have the tensors that the manifest states: {detail}. "
            "Build the engines anew from the bundle's graphs (tdnet-export --rebuild)."
        )
