"""Where an engine's layers are read from: two sources, whose spellings differ between versions.

* The block below `Layers:` in a verbose build log. It needs no GPU.
* The JSON of an EngineInspector, where an engine can be deserialised.

TensorRT 10 writes layout and type of a tensor in one field (`Format/Datatype: Half`, or `Row major
linear FP32`), TensorRT 11 and TensorRT-RTX in two (`Format`, `Datatype`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from tdnet_export.engines.layers import EngineLayer, EngineTensor
from tdnet_runtime.errors import ExportError

__all__ = ["layers_from_inspector", "layers_from_log"]

_HEADING = re.compile(r"(?:\[\w\] )?(?:\[TRT\] )?Layers:\s*")
_KEYS = ("Inputs", "Constants", "Outputs")
_DTYPES = (
    ("bfloat16", r"bfloat16|bf16"),
    ("float16", r"half|float16|fp16"),
    ("float32", r"float|float32|fp32"),
    ("uint8", r"uint8"),
    ("int8", r"int8"),
    ("int32", r"int32"),
    ("int64", r"int64"),
    ("bool", r"bool"),
)


def layers_from_log(log: str) -> tuple[EngineLayer, ...]:
    """The layers in the last `Layers:` block of a verbose build log.

    Raises:
        ExportError: there is no such block, or it is not understood.
    """
    lines = log.split("\n")  # not splitlines: the builder joins metadata with control characters
    starts = [number for number, line in enumerate(lines) if _HEADING.fullmatch(line)]
    if not starts:
        raise ExportError("the build log does not list the engine's layers")
    layers = []
    for line in lines[starts[-1] + 1 :]:
        if not line.strip().startswith("Name: "):
            break
        fields = _fields(line.strip())
        lists = {key: [_fields(item) for item in _items(fields.get(key, ""))] for key in _KEYS}
        weights = fields.get("Weights", "")
        layers.append(_layer({**fields, **lists, "Weights": json.loads(weights) if weights else None}))
    return _checked(layers)


def layers_from_inspector(text: str) -> tuple[EngineLayer, ...]:
    """The layers in an EngineInspector's JSON, of TensorRT 10 or 11.

    Raises:
        ExportError: not understood, or only names, as from an engine built without detailed verbosity.
    """
    try:
        layers = json.loads(text)["Layers"]
    except (ValueError, KeyError, TypeError) as error:
        raise ExportError(f"the engine inspector's answer is not understood: {error}") from error
    if not all(isinstance(layer, dict) for layer in layers):
        raise ExportError("the engine inspector gives names only: the engine was built without detail")
    return _checked([_layer(layer) for layer in layers])


def _checked(layers: list[EngineLayer]) -> tuple[EngineLayer, ...]:
    if not any(layer.inputs or layer.outputs for layer in layers):
        raise ExportError(f"the list of the engine's {len(layers)} layers is not understood")
    return tuple(layers)


def _layer(fields: Mapping[str, Any]) -> EngineLayer:
    weights = fields.get("Weights")
    return EngineLayer(
        name=fields.get("Name", ""),
        kind=fields.get("LayerType", ""),
        inputs=tuple(map(_tensor, fields.get("Inputs") or ())),
        constants=tuple(map(_tensor, fields.get("Constants") or ())),
        outputs=tuple(map(_tensor, fields.get("Outputs") or ())),
        weights=(_dtype(str(weights["Type"])), int(weights["Count"])) if weights else None,
        nodes=tuple(re.findall(r"\[ONNX Layer: ([^\]]*)\]", fields.get("Metadata") or "")),
        tactic=fields.get("TacticName", ""),
    )


def _tensor(fields: Mapping[str, Any]) -> EngineTensor:
    shape = fields.get("Dimensions") or ()
    sides = re.findall(r"-?\d+", shape) if isinstance(shape, str) else shape
    dtype = next((fields[key] for key in ("Datatype", "DataType", "Format/Datatype") if key in fields), "")
    return EngineTensor(str(fields.get("Name", "")), tuple(int(side) for side in sides), _dtype(str(dtype)))


def _dtype(text: str) -> str:
    for name, words in _DTYPES:
        if re.search(rf"\b(?:{words})\b", text, re.I):
            return name
    return text.lower()


def _fields(text: str) -> dict[str, str]:
    """`Name: a, Dimensions: [1,2]` as a mapping; a comma inside brackets, or in a name, divides nothing."""
    fields: dict[str, str] = {}
    key = ""
    for part in _split(text):
        name, colon, value = part.partition(": ")
        if colon and re.fullmatch(r"[A-Za-z/]+", name):
            key = name
            fields[key] = value
        elif key:
            fields[key] += f", {part}"
    return fields


def _items(text: str) -> list[str]:
    """The insides of the `{ … }` of a list in brackets."""
    return [item.strip().removeprefix("{").removesuffix("}").strip() for item in _split(text.strip()[1:-1])]


def _split(text: str) -> list[str]:
    """The parts of `text` between commas that lie in no bracket."""
    parts, depth, start = [], 0, 0
    for match in re.finditer(r"[\[{]|[\]}]|, ?", text):
        if match[0] in "[{":
            depth += 1
        elif match[0] in "]}":
            depth -= 1
        elif depth == 0:
            parts.append(text[start : match.start()])
            start = match.end()
    return [part for part in [*parts, text[start:]] if part.strip()]
