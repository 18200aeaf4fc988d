"""A bundle's engines as tables: what they were built for, their sizes, and the types of their layers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import msgspec
from rich.table import Table

from tdnet_runtime.bundle import Bundle
from tdnet_runtime.cli.tables import Section, readable_size, section_table
from tdnet_runtime.extras import one_line
from tdnet_runtime.manifest import EngineMember, EngineSpec

__all__ = ["engine_sections"]


class _Layer(msgspec.Struct):
    """What is shown of a layer: the types of its results, and whether those that multiply do it in half or in INT8."""

    outputs: list[tuple[str, list[int], str]]
    half: bool | None = None
    int8: bool | None = None


class _Layers(msgspec.Struct):
    layers: list[_Layer]


def engine_sections(bundle: Bundle) -> Iterator[Section]:
    """A section for each set of engines."""
    for spec in bundle.manifest.engines:
        yield f"Engines {one_line(spec.title)}: {_proven(spec)}", _engines(bundle, spec), _built_for(spec)


def _engines(bundle: Bundle, spec: EngineSpec) -> Table:
    table = section_table(
        "graph", "size>", "built in>", "half>", "layers that multiply", "results of all layers"
    )
    for name, engine in spec.graphs.items():
        table.add_row(
            one_line(name),
            readable_size(bundle.manifest.members[engine.engine].size),
            f"{engine.build_seconds:.1f} s",
            f"{engine.half_share:.0%}{f', int8 {engine.int8_share:.0%}' if engine.int8_share else ''}",
            *_layer_cells(bundle, engine),
        )
    return table


def _proven(spec: EngineSpec) -> str:
    proof = spec.proof
    if proof is None:
        return "built, never run"
    return one_line(
        f"proven on {proof.device} (compute capability {proof.compute_capability}), {proof.frames} frames, "
        f"{proof.label_agreement:.2%} of the labels as ONNX Runtime's"
    )


def _built_for(spec: EngineSpec) -> str:
    devices = ", ".join(spec.compute_capabilities)
    facts = {
        "precision": spec.precision,
        "built by": f"{spec.backend} {spec.product_version}",
        "for": f"compute capability {devices}" if devices else "the product's portable set of devices",
        "on": spec.platform,
        **spec.options,
    }
    listed = "; ".join(f"{key} {value}" for key, value in facts.items())
    return one_line(f"{listed}. Half: the share of half precision among the multiplications.")


def _layer_cells(bundle: Bundle, engine: EngineMember) -> tuple[str, str]:
    """Layers that multiply in half, in INT8 and others, and all layers by the type of their first result."""
    try:
        layers = msgspec.json.decode(bundle.read(engine.layers), type=_Layers).layers
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return "unreadable", "unreadable"
    half = sum(layer.half is True for layer in layers)
    int8 = sum(layer.int8 is True for layer in layers)
    other = sum(layer.half is False for layer in layers) - int8
    kinds = Counter(layer.outputs[0][2] for layer in layers if layer.outputs)
    return (
        f"{half} half, {f'{int8} int8, ' if int8 else ''}{other} other",
        ", ".join(f"{count} {one_line(kind)}" for kind, count in kinds.most_common()),
    )
