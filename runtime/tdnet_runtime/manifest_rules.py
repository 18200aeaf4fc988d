"""What the parts of a manifest must say about each other; the parts themselves check only themselves."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from tdnet_runtime.manifest_content import ManifestContent
from tdnet_runtime.manifest_engines import EngineMember, EngineSpec
from tdnet_runtime.manifest_parts import (
    CONFIDENCE,
    IMAGE,
    LABELS,
    LOGITS,
    SIZE_FROM_SINCE,
    WARM,
    GraphSpec,
    PathSpec,
    TensorSpec,
)
from tdnet_runtime.member_names import MANIFEST_NAME, check_member_names

__all__ = ["check_manifest"]

_SLOT = re.compile(r"slot[0-9]+_")
_MAX_CHANNELS = 1 << 16


def check_manifest(manifest: ManifestContent) -> None:
    """Raise ValueError at the first statement of `manifest` that contradicts another one.

    Members are compared where any are listed: the exporter fills them in last.
    """
    if not 1 <= len(manifest.classes) <= 256:
        raise ValueError(f"{len(manifest.classes)} classes; labels are uint8, so 1 to 256 are possible")
    if manifest.threshold is not None and not (0 < manifest.threshold < 1 and len(manifest.classes) == 2):
        raise ValueError(
            f"a threshold of {manifest.threshold} for {len(manifest.classes)} classes; expected one between 0 and 1, for 2"
        )
    height, width = manifest.input.height, manifest.input.width
    if not (1 <= manifest.feature_size[0] <= height and 1 <= manifest.feature_size[1] <= width):
        raise ValueError(
            f"feature size {manifest.feature_size} does not fit the input size {(height, width)}"
        )
    expected = -(-height // 8), -(-width // 8)
    if manifest.schema_version >= SIZE_FROM_SINCE and manifest.feature_size != expected:
        raise ValueError(
            f"feature size {manifest.feature_size} is not that of the input size {(height, width)}: {expected}"
        )
    for name, channels in manifest.widths.items():
        each = (channels,) if isinstance(channels, int) else channels
        if not all(0 <= count <= _MAX_CHANNELS for count in each):
            raise ValueError(f"width {name!r} is {channels}, expected 0 to {_MAX_CHANNELS} channels")
    _check_graphs(manifest)
    _check_tensors(manifest)
    _check_schedule(manifest)
    _check_results(manifest)
    _check_dtypes(manifest)
    for typed in map(manifest.at, ("fp32", *manifest.dtypes)):
        for path in typed.paths:
            _check_wiring(typed, path)
    _check_engines(manifest)
    if manifest.members:
        _check_members(manifest)


def _check_graphs(manifest: ManifestContent) -> None:
    if not manifest.graphs or not manifest.precisions:
        raise ValueError("there is no precision in which every graph is present")
    names = [graph.name for graph in manifest.graphs]
    if len(set(names)) != len(names):
        raise ValueError(f"graph names {names} repeat")
    seen: dict[str, str] = {}
    for graph in manifest.graphs:
        for precision, member in graph.members.items():
            user = f"{graph.name!r} in {precision}"
            if member in seen:
                raise ValueError(
                    f"the member {member!r} is named as graph {seen[member]} and as graph {user}"
                )
            seen[member] = user


def _check_tensors(manifest: ManifestContent) -> None:
    """Tensors of one name share one buffer, so they must be alike; and who writes which is fixed."""
    alike: dict[str, TensorSpec] = {}
    memory = {f"memory_{tensor.name}" for tensor in manifest.state.entry}
    for graph in manifest.graphs:
        for tensor in (*graph.inputs, *graph.outputs):
            other = alike.setdefault(tensor.name, tensor)
            if other != tensor:
                raise ValueError(
                    f"graph {graph.name!r} has {_listed([tensor])}, another graph {_listed([other])}"
                )
        for tensor in graph.outputs:
            name = tensor.name
            if (
                name in (IMAGE, WARM)
                or _SLOT.match(name)
                or (name.startswith("memory_") and name not in memory)
            ):
                raise ValueError(f"graph {graph.name!r} gives {name!r}, which is not a graph's to give")


def _check_results(manifest: ManifestContent) -> None:
    """What may come with the labels comes with all of them: one path's would be shown with another's."""
    last = {path.apm or path.subnet for path in manifest.paths} | set(manifest.own_graphs)
    for name in (CONFIDENCE, LOGITS):
        givers = {
            graph.name for graph in manifest.graphs if name in {tensor.name for tensor in graph.outputs}
        }
        if givers and givers != last:
            raise ValueError(f"{name!r} is given by {sorted(givers)}, expected {sorted(last)}, or none")


def _check_dtypes(manifest: ManifestContent) -> None:
    """The dtypes of other precisions name tensors that there are, and precisions that there are."""
    names = {tensor.name for graph in manifest.graphs for tensor in (*graph.inputs, *graph.outputs)}
    for precision, dtypes in manifest.dtypes.items():
        if precision not in manifest.precisions:
            raise ValueError(
                f"dtypes are stated for {precision!r}, but the graphs are in {manifest.precisions}"
            )
        if strangers := sorted(dtypes.keys() - names):
            raise ValueError(f"dtypes in {precision!r} are stated for {strangers}, which no graph has")


def _check_engines(manifest: ManifestContent) -> None:
    """Each set of engines has a key of its own, and one engine for each graph in a precision that there is."""
    names = {graph.name for graph in manifest.graphs}
    titles = [spec.title for spec in manifest.engines]
    if len(set(titles)) != len(titles):
        raise ValueError(f"the sets of engines {titles} repeat")
    for spec in manifest.engines:
        if spec.precision not in manifest.precisions:
            raise ValueError(
                f"engines {spec.title!r} are of the precision {spec.precision!r}, which no graph has"
            )
        if spec.graphs.keys() != names:
            raise ValueError(
                f"engines {spec.title!r} are of {sorted(spec.graphs)}, the graphs are {sorted(names)}"
            )


def _check_schedule(manifest: ManifestContent) -> None:
    names = [graph.name for graph in manifest.graphs]
    count = len(manifest.paths)
    if count < 1 or [path.index for path in manifest.paths] != list(range(1, count + 1)):
        raise ValueError(
            f"path indices are {[p.index for p in manifest.paths]}, expected 1 to {max(count, 1)}"
        )
    state = manifest.state
    if state.slots not in (0, count) or state.cold_frames != max(state.slots - 1, 0):
        raise ValueError(f"{state.slots} slots and {state.cold_frames} cold frames for {count} paths")
    if (state.slots > 0) != bool(state.entry):
        raise ValueError(f"{state.slots} slots, and {len(state.entry)} tensors in each")
    for path in manifest.paths:
        for name in (path.subnet, path.apm, path.own):
            if name is not None and name not in names:
                raise ValueError(f"path {path.index} runs graph {name!r}, but the graphs are {names}")
        if (path.apm is None) != (state.slots == 0):
            raise ValueError(
                f"path {path.index} has the APM {path.apm!r}, but the state has {state.slots} slots"
            )
        if (path.own is None) != (not manifest.own_graphs) or (path.own and path.apm is None):
            raise ValueError(
                f"path {path.index} has the own graph {path.own!r} beside the APM {path.apm!r}; expected own graphs on all "
                "paths or on none, and beside APMs alone"
            )
        # The frames before this one ran the paths before it, taken cyclically.
        others = tuple((path.index - 1 + step) % count + 1 for step in range(1, count))
        expected = others if state.slots else ()
        if path.reads != expected:
            raise ValueError(
                f"path {path.index} reads the slots {path.reads}, expected {expected}, the oldest first"
            )


def _check_wiring(manifest: ManifestContent, path: PathSpec) -> None:
    """Each input of the path's graphs comes from the frame, the state or the graph before, and fits it."""
    height, width = manifest.input.height, manifest.input.width
    subnet = manifest.graph(path.subnet)
    if [(t.name, t.shape, t.dtype) for t in subnet.inputs] != [(IMAGE, (1, height, width, 3), "uint8")]:
        raise ValueError(
            f"graph {subnet.name!r} takes {_listed(subnet.inputs)}, "
            f"expected {IMAGE} uint8 [1, {height}, {width}, 3] alone"
        )
    if path.apm is None:
        _check_labels(manifest, subnet)
        return
    for tensor in manifest.state.entry:
        _check_source(subnet, f"memory_{tensor.name}", tensor, subnet.outputs)
    _check_apm(manifest, path, subnet, manifest.graph(path.apm))
    if path.own is not None:
        own, sources = manifest.graph(path.own), {tensor.name: tensor for tensor in subnet.outputs}
        _check_inputs(path, own, own.inputs, sources)
    for last in (manifest.graph(name) for name in (path.apm, path.own) if name is not None):
        if given := [tensor.name for tensor in last.outputs if tensor.name.startswith("memory_")]:
            raise ValueError(f"graph {last.name!r} gives {given}, which is for the sub-network to give")
        _check_labels(manifest, last)


def _check_labels(manifest: ManifestContent, last: GraphSpec) -> None:
    """The last graph of a path gives labels, and what comes with them, of the right shapes."""
    height, width = manifest.input.height, manifest.input.width
    outputs = {tensor.name: tensor for tensor in last.outputs}
    for name in (LABELS, CONFIDENCE):
        found = outputs.get(name)
        missing = found is None and name == LABELS
        if missing or (found and (found.shape, found.dtype) != ((1, height, width), "uint8")):
            raise ValueError(
                f"graph {last.name!r} gives {_listed(last.outputs)}, expected {name} uint8 [1, {height}, {width}]"
            )
    logits = outputs.get(LOGITS)
    if logits is not None and logits.shape != (1, manifest.channels, height, width):
        raise ValueError(
            f"graph {last.name!r} gives {_listed([logits])}, expected [1, {manifest.channels}, {height}, {width}] for "
            f"{len(manifest.classes)} classes{'' if manifest.threshold is None else ' by a threshold'}"
        )


def _check_apm(manifest: ManifestContent, path: PathSpec, subnet: GraphSpec, apm: GraphSpec) -> None:
    sources = {tensor.name: tensor for tensor in subnet.outputs}
    for slot in path.reads:
        sources |= {f"slot{slot}_{tensor.name}": tensor for tensor in manifest.state.entry}
    for tensor in apm.inputs:
        if tensor.name == WARM and (tensor.shape, tensor.dtype) != ((1,), "float32"):
            raise ValueError(f"graph {apm.name!r} takes {_listed([tensor])}, expected {WARM} float32 [1]")
    _check_inputs(path, apm, (tensor for tensor in apm.inputs if tensor.name != WARM), sources)
    taken = {tensor.name for tensor in apm.inputs}
    for slot in path.reads:
        if not any(f"slot{slot}_{tensor.name}" in taken for tensor in manifest.state.entry):
            raise ValueError(
                f"path {path.index} reads slot {slot}, but graph {apm.name!r} takes nothing of it"
            )
    if path.reads and WARM not in taken:
        raise ValueError(
            f"graph {apm.name!r} reads slots but does not take {WARM!r}, so it has no cold start"
        )


def _check_inputs(
    path: PathSpec, graph: GraphSpec, inputs: Iterable[TensorSpec], sources: Mapping[str, TensorSpec]
) -> None:
    for tensor in inputs:
        if tensor.name not in sources:
            raise ValueError(
                f"graph {graph.name!r} takes {tensor.name!r}, which nothing gives on path {path.index}"
            )
        _check_source(graph, tensor.name, sources[tensor.name], graph.inputs)


def _check_source(graph: GraphSpec, name: str, expected: TensorSpec, tensors: Iterable[TensorSpec]) -> None:
    """Raise ValueError unless `tensors` of `graph` hold one called `name` like `expected`."""
    found = {tensor.name: tensor for tensor in tensors}.get(name)
    if found is None or (found.shape, found.dtype) != (expected.shape, expected.dtype):
        came = "nothing of that name" if found is None else _listed([found])
        raise ValueError(
            f"graph {graph.name!r} has {came}, expected {name} {expected.dtype} {list(expected.shape)}"
        )


def _check_members(manifest: ManifestContent) -> None:
    if MANIFEST_NAME in manifest.members:
        raise ValueError(f"{MANIFEST_NAME!r} lists itself among the members")
    check_member_names(manifest.members)
    for graph in manifest.graphs:
        for member in graph.members.values():
            if member not in manifest.members:
                raise ValueError(f"graph {graph.name!r} names the member {member!r}, which is not listed")
    for spec in manifest.engines:
        for name, engine in spec.graphs.items():
            _check_engine(manifest, spec, name, engine)
        if spec.proof is not None and spec.proof.report not in manifest.members:
            raise ValueError(f"the proof of {spec.title!r} names {spec.proof.report!r}, which is not listed")
    for precision, summary in manifest.parity.items():
        if summary.report not in manifest.members:
            raise ValueError(f"the {precision} report {summary.report!r} is not listed among the members")


def _check_engine(manifest: ManifestContent, spec: EngineSpec, graph: str, engine: EngineMember) -> None:
    """The engine's members are there, in the set's folder, and it was built from the bundle's own graph."""
    folder = f"engines/{spec.title}/"
    for member in (engine.engine, engine.layers, engine.log):
        if member not in manifest.members or not member.startswith(folder):
            raise ValueError(
                f"engines {spec.title!r} name the member {member!r}, not a listed one in {folder}"
            )
    source = manifest.graph(graph).members[spec.precision]
    if manifest.members[source].sha256 != engine.graph_sha256:
        raise ValueError(f"the engine {engine.engine!r} was built from another graph than {source!r}")


def _listed(tensors: Iterable[TensorSpec]) -> str:
    return ", ".join(f"{t.name} {t.dtype} {list(t.shape)}" for t in tensors) or "nothing"
