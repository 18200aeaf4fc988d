"""What Triton's Python backend runs: `model.py` in a model repository is one import of this module's class.

The configuration (`config.pbtxt`) decides how many sequences there are at once and when idle ones end; both are read from
it, so that it can be edited. Only the server's own process has `triton_python_backend_utils`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tdnet_runtime.errors import BackendError, FrameError, OptionError, TdnetError
from tdnet_runtime.extras import one_line
from tdnet_runtime.manifest import CONFIDENCE, IMAGE, LABELS, Manifest
from tdnet_runtime.segmenter import Segmenter
from tdnet_runtime.serving.frame_count import counted
from tdnet_runtime.serving.parameters import BACKEND, BUNDLE, PRECISION, THREADS, manifest_in, parameter
from tdnet_runtime.serving.sequences import Sequences
from tdnet_runtime.stream import Result

__all__ = ["READY", "TritonPythonModel"]

READY = "READY"
"""The control input that tells requests from the padding that the strategy `direct` adds."""
_START, _END = 1, 2  # TRITONSERVER_REQUEST_FLAG_SEQUENCE_START and _END
_SAME = ("network", "input", "classes", "paths", "state", "threshold", "checkpoint_sha256", "weights")


class TritonPythonModel:
    """One bundle, one stream for each correlation id; called by Triton's Python backend from one thread."""

    def initialize(self, args: Mapping[str, str]) -> None:
        """Open the bundle beside `model.py`.

        Args:
            args: `model_config` (JSON), `model_repository` (the model's folder), `model_version`.

        Raises:
            TdnetError: the bundle cannot be opened or is another than the configuration's, or the configuration cannot be
                meant. The server shows the message.
        """
        import triton_python_backend_utils  # there is no such package: only the server's process has it

        self._backend_utils = triton_python_backend_utils
        self._understood = False
        config = json.loads(args["model_config"])
        most, idle_s = _limits(config)
        bundle = Path(args["model_repository"]) / args["model_version"] / BUNDLE
        precision, threads = (parameter(config, name).strip() for name in (PRECISION, THREADS))
        self._segmenter = Segmenter.open(
            bundle,
            backend=parameter(config, BACKEND).strip(),
            precision=None if precision == "auto" else precision,
            threads=None if threads == "auto" else _number(threads),
        )
        manifest = self._segmenter.manifest
        try:
            _require_same(manifest, manifest_in(config), bundle)
            self._sequences = Sequences(self._segmenter, most=most, idle_s=idle_s)
        except BaseException:
            self._segmenter.close()
            raise
        self._paths = len(manifest.paths)

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Answer requests in order: `labels` and `frame_index`, and what else the bundle gives; or an error of one line."""
        return [self._answer(request) for request in requests]

    def finalize(self) -> None:
        """Close everything."""
        self._sequences.close()
        self._segmenter.close()

    def _answer(self, request: Any) -> Any:
        utils = self._backend_utils
        ready = utils.get_input_tensor_by_name(request, READY)
        if ready is not None and not ready.as_numpy().any():
            return utils.InferenceResponse(output_tensors=[])
        flags, tensor = request.flags(), utils.get_input_tensor_by_name(request, IMAGE)
        try:
            result = self._sequences.push(
                request.correlation_id(),
                None if tensor is None else self._frame_in(tensor),
                start=bool(flags & _START),
                end=bool(flags & _END),
            )
        except TdnetError as error:
            return utils.InferenceResponse(output_tensors=[], error=utils.TritonError(one_line(str(error))))
        tensors = {} if result is None else self._tensors(result)
        return utils.InferenceResponse(
            output_tensors=[utils.Tensor(name, values) for name, values in tensors.items()]
        )

    def _frame_in(self, tensor: Any) -> npt.NDArray[Any]:
        """The frame of a request's `image`, [1, H, W, 3] → [H, W, 3]; its stream looks at the rest.

        Raises:
            FrameError: another shape.
            BackendError: the server hands over nothing in it.
        """
        values: npt.NDArray[Any] = tensor.as_numpy()
        if values.ndim != 4 or values.shape[0] != 1:
            raise FrameError(
                f"a request's image has the shape {list(values.shape)}; expected [1, H, W, 3], uint8, RGB"
            )
        if not self._understood:
            # Seen with 2.51 and NumPy 2: the right shape, all zero, without a word. DLPack has the bytes in either case.
            if not np.array_equal(np.from_dlpack(tensor), values):
                raise BackendError(
                    f"this server's Python backend does not understand NumPy {np.__version__}: arrays come out empty; "
                    "install another NumPy in its environment, such as: pip install 'numpy<2'"
                )
            self._understood = bool(values.any())
        frame: npt.NDArray[Any] = values[0]
        return frame

    def _tensors(self, result: Result) -> dict[str, npt.NDArray[Any]]:
        tensors: dict[str, npt.NDArray[Any]] = {
            LABELS: result.labels[None],
            "frame_index": np.array([counted(result.frame_index, paths=self._paths)], dtype=np.int32),
        }
        if result.confidence is not None:
            tensors[CONFIDENCE] = result.confidence[None]
        if result.logits is not None:
            tensors["logits"] = result.logits[None]
        return tensors


def _limits(config: Mapping[str, Any]) -> tuple[int, float]:
    """Sequences at once, and the seconds after which an idle one ends."""
    batching = config.get("sequence_batching")
    if not batching:
        raise OptionError(
            "config.pbtxt has no sequence_batching: frames of several videos would be mixed in one memory; put it back "
            "(tdnet-export --triton writes it)"
        )
    most = int(batching.get("oldest", {}).get("max_candidate_sequences", 0)) or int(
        config.get("max_batch_size", 0)
    )
    return max(most, 1), int(batching.get("max_sequence_idle_microseconds", 0)) / 1e6


def _number(text: str) -> int:
    if not (text.isdecimal() and len(text) < 10):
        raise OptionError(f"config.pbtxt: parameter {THREADS} is {text!r}; expected a number, or auto")
    return int(text)


def _require_same(opened: Manifest, stated: Manifest, bundle: Path) -> None:
    """Raise OptionError where clients would be told of another network, or of this one with other weights or results."""
    found, told = _identity(opened), _identity(stated)
    if other := [name for name in found if found[name] != told[name]]:
        raise OptionError(
            f"config.pbtxt is of another bundle ({', '.join(other)} differ); write the model anew with tdnet-export "
            f"--triton: {str(bundle)!r}"
        )


def _identity(manifest: Manifest) -> dict[str, object]:
    """What makes it this bundle, by name; engines that are added in place (`tdnet-export --rebuild`) change none of it."""
    graphs = [(graph.name, graph.inputs, graph.outputs) for graph in manifest.graphs]
    return {**{name: getattr(manifest, name) for name in _SAME}, "graphs": graphs}
