"""`config.pbtxt` of the models: the one that runs the bundle, and those that are one graph.

All have `max_batch_size: 0` and their dimensions in full: a graph's batch is 1, and a sequence has one frame at a time.
They use the strategy `oldest`, which hands over one frame at a time in the order in which they came; `direct` hands over
frames of several sequences together, or without batches needs an instance, with weights of its own, for each sequence.
"""

from __future__ import annotations

from tdnet_export.triton.config_text import Config, Word
from tdnet_export.triton.joined_graph import FRAME, FRAME_INDEX, state_names
from tdnet_runtime.bundle import Bundle
from tdnet_runtime.manifest import CONFIDENCE, IMAGE, LABELS, Manifest, TensorSpec
from tdnet_runtime.manifest_parts import LOGITS
from tdnet_runtime.member_names import MANIFEST_NAME
from tdnet_runtime.preflight import must_be_asked
from tdnet_runtime.serving.parameters import BACKEND, MANIFEST, PRECISION, THREADS
from tdnet_runtime.serving.python_model import READY

__all__ = ["graph_config", "python_config"]

_TYPES = {"uint8": "TYPE_UINT8", "int32": "TYPE_INT32", "float16": "TYPE_FP16", "float32": "TYPE_FP32"}
_FILES = {"onnxruntime": "model.onnx", "tensorrt": "model.plan"}


def python_config(name: str, bundle: Bundle, *, streams: int, idle_s: float) -> Config:
    """Of the Python backend's model: frames of any size, and an end of a sequence without one."""
    manifest = bundle.manifest
    ready = {"kind": Word("CONTROL_SEQUENCE_READY"), "int32_false_true": [0, 1]}
    return {
        "name": name,
        "backend": "python",
        "max_batch_size": 0,
        "input": [{"name": IMAGE, "data_type": Word("TYPE_UINT8"), "dims": [1, -1, -1, 3], "optional": True}],
        "output": _results(manifest, any_size=True),
        # The runtime chooses its engine itself; of GPUs the server would make an instance for each, all on the first.
        "instance_group": [{"count": 1, "kind": Word("KIND_CPU")}],
        "sequence_batching": {
            **_sequences(streams, idle_s),
            "control_input": [{"name": READY, "control": [ready]}],
        },
        "parameters": [
            *_parameters(bundle),
            _parameter(BACKEND, "auto"),
            _parameter(PRECISION, must_be_asked(manifest) or "auto"),
            _parameter(THREADS, "auto"),
        ],
    }


def graph_config(
    name: str, backend: str, bundle: Bundle, *, precision: str, streams: int, idle_s: float
) -> Config:
    """Of a joined graph: its memory is Triton's implicit state, zeros at each sequence's start.

    Args:
        name: of the model.
        backend: `onnxruntime` or `tensorrt`.
        bundle: that it is made of.
        precision: of the graph.
        streams: sequences at once.
        idle_s: see `TritonOptions`.
    """
    exact = bundle.manifest.at(precision)
    (image,) = exact.graph(exact.paths[0].subnet).inputs
    config: dict[str, object] = {
        "name": name,
        "backend": backend,
        "default_model_filename": _FILES[backend],
        "max_batch_size": 0,
        "input": [_tensor(image.name, image.dtype, image.shape)],
        "output": _results(exact),
        "instance_group": [{"count": 1}],
    }
    if exact.state.slots:
        states = [_state(FRAME, "int32", (1,))]
        states += [_state(spec.name, spec.dtype, spec.shape) for spec in slot_tensors(exact)]
        config["sequence_batching"] = {**_sequences(streams, idle_s), "state": states}
    return config | {"parameters": [*_parameters(bundle), _parameter(PRECISION, precision)]}


def slot_tensors(manifest: Manifest) -> list[TensorSpec]:
    """All tensors of all slots, as graphs read them."""
    return [
        TensorSpec(name=f"slot{slot}_{spec.name}", shape=spec.shape, dtype=spec.dtype)
        for slot in range(1, manifest.state.slots + 1)
        for spec in manifest.state.entry
    ]


def _results(manifest: Manifest, *, any_size: bool = False) -> list[Config]:
    """What a model answers; `any_size`: with maps of the frames' own size."""
    path = manifest.paths[0]
    results = [
        _tensor(spec.name, spec.dtype, (1, -1, -1) if any_size and spec.dtype == "uint8" else spec.shape)
        for spec in manifest.graph(path.apm or path.subnet).outputs
        if spec.name in (LABELS, CONFIDENCE, LOGITS)
    ]
    counted = any_size or manifest.state.slots
    return [*results, _tensor(FRAME_INDEX, "int32", (1,))] if counted else results


def _sequences(streams: int, idle_s: float) -> dict[str, object]:
    return {
        "max_sequence_idle_microseconds": round(idle_s * 1e6),
        "oldest": {"max_candidate_sequences": streams},
    }


def _state(name: str, dtype: str, shape: tuple[int, ...]) -> dict[str, object]:
    given, updated = state_names(name)
    what = {"data_type": Word(_TYPES[dtype]), "dims": list(shape)}
    # Without it a sequence begins with whatever the memory held, and 0·NaN is NaN in cold frames, too.
    zeros = {"name": f"{name} at the start", **what, "zero_data": True}
    return {"input_name": given, "output_name": updated, **what, "initial_state": [zeros]}


def _tensor(name: str, dtype: str, shape: tuple[int, ...]) -> Config:
    return {"name": name, "data_type": Word(_TYPES[dtype]), "dims": list(shape)}


def _parameters(bundle: Bundle) -> list[Config]:
    return [_parameter(MANIFEST, bundle.read(MANIFEST_NAME).decode())]


def _parameter(key: str, value: str) -> Config:
    return {"key": key, "value": {"string_value": value}}
