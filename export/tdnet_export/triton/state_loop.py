"""What Triton does with a model's implicit state, on ONNX Runtime: there is no server in here.

As its sequence batcher and its backends do it (triton-inference-server/core, `SequenceStates`): a sequence's first request
gets the initial state of each `state` in the configuration, and whatever the memory holds where it states none; each
further one gets what the last one gave as `output_name`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from tdnet_export.triton.plain_graphs import plain_session

__all__ = ["StateLoop"]

_DTYPES = {"TYPE_INT32": np.int32, "TYPE_FP16": np.float16, "TYPE_FP32": np.float32}
_GARBAGE = 0xFF  # of every byte: NaN as a float, -1 as a number


class StateLoop:
    """One sequence through one model.

    Args:
        model: in ONNX.
        config: of the model, as `config_text` takes it; of Triton's own schema the same names and values.
        optimised: as a server runs it; False: node by node (`plain_graphs`).

    Raises:
        BackendError: ONNX Runtime refuses the model.
    """

    def __init__(self, model: bytes, config: Mapping[str, Any], *, optimised: bool = True) -> None:
        self._session = plain_session(str(config["name"]), model, optimised=optimised)
        self._specs = list(config.get("sequence_batching", {}).get("state", []))
        self._outputs = [str(output["name"]) for output in config["output"]]
        self._state: dict[str, npt.NDArray[Any]] = {}

    def infer(self, image: npt.NDArray[np.uint8], *, start: bool) -> dict[str, npt.NDArray[Any]]:
        """The model's outputs for the sequence's next request, without its states.

        Args:
            image: uint8 [1, H, W, 3].
            start: it is the first one of a sequence.
        """
        if start:
            self._state = {str(spec["input_name"]): _initial(spec) for spec in self._specs}
        updated = [str(spec["output_name"]) for spec in self._specs]
        found = self._session.run([*self._outputs, *updated], {"image": image, **self._state})
        results = dict(zip([*self._outputs, *updated], found, strict=True))
        self._state = {str(spec["input_name"]): results[str(spec["output_name"])] for spec in self._specs}
        return {name: results[name] for name in self._outputs}


def _initial(spec: Mapping[str, Any]) -> npt.NDArray[Any]:
    shape = [int(side) for side in spec["dims"]]
    values = np.zeros(shape, dtype=_DTYPES[str(spec["data_type"])])
    if not any(initial.get("zero_data") for initial in spec.get("initial_state", [])):
        values.view(np.uint8).fill(_GARBAGE)
    return values
