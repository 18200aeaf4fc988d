"""A bundle as tables for a person: 80 columns are enough, and nothing is said by colour alone."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from tdnet_runtime.bundle import Bundle
from tdnet_runtime.cli.engine_view import engine_sections
from tdnet_runtime.cli.labelling_view import (
    assumption,
    channel_values,
    confidence,
    labelling,
    own_labels,
    scaled,
)
from tdnet_runtime.cli.size_remark import size_remark
from tdnet_runtime.cli.tables import Section, readable_size, section_table
from tdnet_runtime.extras import one_line
from tdnet_runtime.manifest import Manifest, TensorSpec

__all__ = ["show_bundle"]

_SHORT_DIGEST = 12


def show_bundle(bundle: Bundle, console: Console) -> None:
    """Print all that `bundle` says about itself."""
    manifest = bundle.manifest
    if manifest.size_resampled:
        height, width = manifest.input.height, manifest.input.width
        console.print(
            f"APPROXIMATE: the LayerNorm maps of this network were resampled from another size to fit "
            f"{height}x{width}; its results are not those of the checkpoint at its own size.\n",
            style="bold yellow",
        )
    console.print(_network(bundle))
    coloured = console.color_system is not None and not console.no_color
    for title, table, note in (
        _paths(manifest),
        _state(manifest),
        _graphs(manifest),
        *engine_sections(bundle),
        _parity(manifest),
        _classes(manifest, coloured=coloured),
        _members(manifest),
        _tools(manifest),
    ):
        console.print()
        console.print(title, style="bold")
        if table.columns:
            console.print(Padding(table, (0, 0, 0, 2), expand=False))
        if note:
            console.print(Padding(note, (0, 0, 0, 2), expand=False))


def _network(bundle: Bundle) -> Table:
    manifest = bundle.manifest
    frame = manifest.input
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    rows = {
        "bundle": str(bundle.path),
        "digest": bundle.digest,
        "file SHA-256": bundle.file_sha256(),
        "network": f"{manifest.network}, {len(manifest.classes)} class{'es' * (len(manifest.classes) != 1)}, "
        + ("1 path" if len(manifest.paths) == 1 else f"{len(manifest.paths)} paths"),
        "channels": ", ".join(f"{name} {_widths(width)}" for name, width in manifest.widths.items()),
        "input size": f"{frame.height}x{frame.width} ({size_remark(manifest)}); features "
        f"{manifest.feature_size[0]}x{manifest.feature_size[1]}",
        "input": f"uint8 RGB, [1, {frame.height}, {frame.width}, 3] ({frame.layout})",
        "resize": frame.resize,
        "engines": ", ".join(dict.fromkeys(spec.backend for spec in manifest.engines)) or "not built",
        "preprocessing": f"{frame.color_order}, ({scaled(frame.scale)} - mean)/std inside the graphs; {assumption(frame)}",
        "mean": channel_values(frame, frame.mean),
        "std": channel_values(frame, frame.std),
        "labels": labelling(manifest),
        "confidence": confidence(manifest),
        "own labels": own_labels(manifest),
        "precisions": ", ".join(manifest.precisions),
        "checkpoint": manifest.checkpoint_sha256
        + (f", weights {manifest.weights!r}" if manifest.weights.strip(".") else ""),
        "schema": str(manifest.schema_version),
    }
    for name, value in rows.items():
        table.add_row(name, one_line(value))
    return table


def _paths(manifest: Manifest) -> Section:
    table = section_table("path", "runs", "reads slots, the oldest frame first")
    for path in manifest.paths:
        runs = path.subnet if path.apm is None else f"{path.subnet}, {path.apm}"
        runs += "" if path.own is None else f", or {path.subnet}, {path.own}"
        table.add_row(str(path.index), runs, ", ".join(map(str, path.reads)) or "none")
    return f"Paths: frame i runs path i mod {len(manifest.paths)} + 1", table, ""


def _state(manifest: Manifest) -> Section:
    state = manifest.state
    if not state.slots:
        return "State of a stream: none, each frame stands alone", section_table(), ""
    table = section_table("in each slot", "shape", "type", "bytes>")
    states = [manifest.at(precision).state for precision in manifest.precisions]
    for tensors in zip(*(each.entry for each in states), strict=True):
        table.add_row(*_tensor_cells(tensors))
    note = f"Rows and columns kept of the features: one in {state.stride}. Cold frames after a reset: "
    sizes = _either(readable_size(each.nbytes) for each in states)
    title = f"State of a stream: {sizes} in {state.slots} slots, one for each path"
    return title, table, f"{note}{state.cold_frames}, without attention."


def _graphs(manifest: Manifest) -> Section:
    table = section_table("graph", "", "tensor", "shape", "type", "bytes>")
    typed = [manifest.at(precision) for precision in manifest.precisions]
    for graph in manifest.graphs:
        same = [each.graph(graph.name) for each in typed]
        sizes = [f"{p} {readable_size(manifest.members[member].size)}" for p, member in graph.members.items()]
        labels = iter([graph.name, *sizes])
        directed = [("in", tensors) for tensors in zip(*(each.inputs for each in same), strict=True)]
        directed += [("out", tensors) for tensors in zip(*(each.outputs for each in same), strict=True)]
        for direction, tensors in directed:
            table.add_row(next(labels, ""), direction, *_tensor_cells(tensors))
        for label in labels:  # more precisions than tensors
            table.add_row(label)
        table.add_section()
    note = f"Types by precision: {' / '.join(manifest.precisions)}." if len(manifest.precisions) > 1 else ""
    return "Graphs", table, note


def _parity(manifest: Manifest) -> Section:
    if not manifest.parity:
        return "Parity with PyTorch: not proven", section_table(), ""
    table = section_table(
        "precision", "frames>", "labels equal>", "worst frame>", "class loss>", "logits error>", "footage"
    )
    proofs = dict(manifest.parity)
    proofs |= {
        f"{precision}, own labels": summary.own for precision, summary in proofs.items() if summary.own
    }
    for precision, summary in proofs.items():
        table.add_row(
            one_line(precision),
            str(summary.frames),
            _share(summary.label_agreement),
            _share(summary.worst_frame_agreement),
            "" if summary.class_loss is None else f"{summary.class_loss:.4f}",
            f"{summary.logits_error:.1e}",
            one_line(summary.footage),
        )
    note = (
        "Class loss: 1 - IoU with PyTorch's labels, of the worst class with 1 % of the pixels or more. Logits "
        "error: the largest difference, in standard deviations of the frame's logits."
    )
    off = [
        f"{one_line(precision)} {summary.confidence_error:.4f}"
        for precision, summary in proofs.items()
        if summary.confidence_error is not None
    ]
    if off:
        note += f" Confidence off by, in the mean of the worst frame, of its range: {', '.join(off)}."
    return "Parity with PyTorch, from frame to frame", table, note


def _classes(manifest: Manifest, *, coloured: bool) -> Section:
    table = section_table("index>", "colour", "name", *([""] if coloured else []))
    for index, spec in enumerate(manifest.classes):
        red, green, blue = spec.color
        swatch = [Text("      ", style=f"on rgb({red},{green},{blue})")] if coloured else []
        table.add_row(str(index), f"#{red:02x}{green:02x}{blue:02x}", one_line(spec.name), *swatch)
    return "Classes", table, ""


def _members(manifest: Manifest) -> Section:
    total = sum(spec.size for spec in manifest.members.values())
    table = section_table("member", "bytes>", "SHA-256 starts")
    for name, spec in sorted(manifest.members.items()):
        table.add_row(name, str(spec.size), spec.sha256[:_SHORT_DIGEST])
    return f"Members: {readable_size(total)} in {len(manifest.members)}", table, ""


def _tools(manifest: Manifest) -> Section:
    table = section_table("tool", "version")
    for tool, version in manifest.tools.items():
        table.add_row(one_line(tool), one_line(version))
    return "Made with", table, ""


def _tensor_cells(tensors: Sequence[TensorSpec]) -> Iterable[str]:
    """Cells of one tensor, given as it is in each precision."""
    first = tensors[0]
    return (
        first.name,
        "x".join(map(str, first.shape)),
        _either(tensor.dtype for tensor in tensors),
        _either(str(tensor.nbytes) for tensor in tensors),
    )


def _either(values: Iterable[str]) -> str:
    """The values in which the precisions differ, in the precisions' order; one where they are alike."""
    return " / ".join(dict.fromkeys(values))


def _widths(width: int | tuple[int, ...]) -> str:
    return str(width) if isinstance(width, int) else "-".join(map(str, width))


def _share(share: float) -> str:
    """In per cent, rounded down: 100 % means all."""
    return f"{math.floor(share * 1e6) / 1e4:.4f} %"
