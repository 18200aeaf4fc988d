"""A bundle as tables for a person: 80 columns are enough, and nothing is said by colour alone."""

from __future__ import annotations

import math
from collections.abc import Iterable

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from tdnet_runtime.bundle import Bundle
from tdnet_runtime.extras import one_line
from tdnet_runtime.manifest import Manifest, TensorSpec

__all__ = ["show_bundle"]

_SHORT_DIGEST = 12
_Section = tuple[str, Table, str]  # title, table (without columns: none), note


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
    kind = "APPROXIMATE: resampled" if manifest.size_resampled else "the checkpoint's own"
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    rows = {
        "bundle": str(bundle.path),
        "digest": bundle.digest,
        "network": f"{manifest.network}, {len(manifest.classes)} classes, "
        + ("1 path" if len(manifest.paths) == 1 else f"{len(manifest.paths)} paths"),
        "channels": ", ".join(f"{name} {_widths(width)}" for name, width in manifest.widths.items()),
        "input size": f"{frame.height}x{frame.width} ({kind}); features "
        f"{manifest.feature_size[0]}x{manifest.feature_size[1]}",
        "input": f"uint8 {frame.color_order}, [1, {frame.height}, {frame.width}, 3] ({frame.layout})",
        "resize": frame.resize,
        "mean": ", ".join(f"{value:g}" for value in frame.mean) + " (inside the graphs)",
        "std": ", ".join(f"{value:g}" for value in frame.std) + " (inside the graphs)",
        "precisions": ", ".join(manifest.precisions),
        "checkpoint": manifest.checkpoint_sha256,
        "schema": str(manifest.schema_version),
    }
    for name, value in rows.items():
        table.add_row(name, one_line(value))
    return table


def _paths(manifest: Manifest) -> _Section:
    table = _table("path", "runs", "reads slots, the oldest frame first")
    for path in manifest.paths:
        runs = path.subnet if path.apm is None else f"{path.subnet}, {path.apm}"
        table.add_row(str(path.index), runs, ", ".join(map(str, path.reads)) or "none")
    return f"Paths: frame i runs path i mod {len(manifest.paths)} + 1", table, ""


def _state(manifest: Manifest) -> _Section:
    state = manifest.state
    if not state.slots:
        return "State of a stream: none, each frame stands alone", _table(), ""
    table = _table("in each slot", "shape", "type", "bytes>")
    for tensor in state.entry:
        table.add_row(*_tensor_cells(tensor))
    note = f"Rows and columns kept of the features: one in {state.stride}. Cold frames after a reset: "
    title = f"State of a stream: {_size(state.nbytes)} in {state.slots} slots, one for each path"
    return title, table, f"{note}{state.cold_frames}, without attention."


def _graphs(manifest: Manifest) -> _Section:
    table = _table("graph", "", "tensor", "shape", "type", "bytes>")
    for graph in manifest.graphs:
        sizes = [f"{p} {_size(manifest.members[member].size)}" for p, member in graph.members.items()]
        labels = iter([graph.name, *sizes])
        directed = [("in", t) for t in graph.inputs] + [("out", t) for t in graph.outputs]
        for direction, tensor in directed:
            table.add_row(next(labels, ""), direction, *_tensor_cells(tensor))
        for label in labels:  # more precisions than tensors
            table.add_row(label)
        table.add_section()
    return "Graphs", table, ""


def _parity(manifest: Manifest) -> _Section:
    if not manifest.parity:
        return "Parity with PyTorch: not proven", _table(), ""
    table = _table("precision", "frames>", "labels equal>", "worst frame>", "logits error>", "footage")
    for precision, summary in manifest.parity.items():
        table.add_row(
            one_line(precision),
            str(summary.frames),
            _share(summary.label_agreement),
            _share(summary.worst_frame_agreement),
            f"{summary.logits_error:.1e}",
            one_line(summary.footage),
        )
    note = "Logits error: the largest difference, in standard deviations of the frame's logits."
    return "Parity with PyTorch, from frame to frame", table, note


def _classes(manifest: Manifest, *, coloured: bool) -> _Section:
    table = _table("index>", "colour", "name", *([""] if coloured else []))
    for index, spec in enumerate(manifest.classes):
        red, green, blue = spec.color
        swatch = [Text("      ", style=f"on rgb({red},{green},{blue})")] if coloured else []
        table.add_row(str(index), f"#{red:02x}{green:02x}{blue:02x}", one_line(spec.name), *swatch)
    return "Classes", table, ""


def _members(manifest: Manifest) -> _Section:
    total = sum(spec.size for spec in manifest.members.values())
    table = _table("member", "bytes>", "SHA-256 starts")
    for name, spec in sorted(manifest.members.items()):
        table.add_row(name, str(spec.size), spec.sha256[:_SHORT_DIGEST])
    return f"Members: {_size(total)} in {len(manifest.members)}", table, ""


def _tools(manifest: Manifest) -> _Section:
    table = _table("tool", "version")
    for tool, version in manifest.tools.items():
        table.add_row(one_line(tool), one_line(version))
    return "Made with", table, ""


def _table(*columns: str) -> Table:
    """An empty table; a column whose name ends in '>' is aligned to the right."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for column in columns:
        name = column.rstrip(">")
        table.add_column(name, justify="right" if column != name else "left", overflow="fold")
    return table


def _tensor_cells(tensor: TensorSpec) -> Iterable[str]:
    return tensor.name, "x".join(map(str, tensor.shape)), tensor.dtype, str(tensor.nbytes)


def _widths(width: int | tuple[int, ...]) -> str:
    return str(width) if isinstance(width, int) else "-".join(map(str, width))


def _size(nbytes: int) -> str:
    """A number of bytes for reading."""
    if nbytes < 2**10:
        return f"{nbytes} bytes"
    return f"{nbytes / 2**10:.1f} KiB" if nbytes < 2**20 else f"{nbytes / 2**20:.1f} MiB"


def _share(share: float) -> str:
    """In per cent, rounded down: 100 % means all."""
    return f"{math.floor(share * 1e6) / 1e4:.4f} %"
