"""A joined graph, driven as Triton drives it, beside the bundle that it was made of: every label must be the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from tdnet_export.triton.joined_graph import FRAME_INDEX, joined_graph
from tdnet_export.triton.state_loop import StateLoop
from tdnet_runtime.bundle import Bundle, write_bundle
from tdnet_runtime.errors import BundleError, ParityError
from tdnet_runtime.manifest import CONFIDENCE, LABELS, Manifest
from tdnet_runtime.media.scene import render
from tdnet_runtime.segmenter import Segmenter
from tdnet_runtime.serving.frame_count import counted
from tdnet_runtime.temporary_folder import temporary_folder

__all__ = ["prove_graph"]


def prove_graph(
    bundle: Bundle,
    graphs: Mapping[str, bytes],
    config: Mapping[str, Any],
    *,
    precision: str,
    on_frame: Callable[[int, int], None] = lambda done, total: None,
) -> int:
    """Compare both on ONNX Runtime over 3m + 2 frames, and as many as are cold and one more after a new start.

    FP16 graphs are represented on both sides by twins that round explicitly (`precision_rounding`): of what is between
    its nodes ONNX Runtime rounds on a CPU what it likes.

    Args:
        bundle: whose graphs are joined.
        graphs: of `precision`, by name.
        config: as it will be served.
        precision: of the graphs.
        on_frame: told how many frames are done, and of how many.

    Returns:
        How many frames were compared.

    Raises:
        ParityError: a label, its confidence, a logit or a frame's number differs.
        BundleError: the bundle's file was replaced after it was opened.
        BackendError: ONNX Runtime refuses the graph.
    """
    manifest = bundle.manifest
    with temporary_folder("tdnet-export-") as folder:
        path = bundle.path
        if precision in manifest.dtypes:
            graphs = {name: _rounding(data) for name, data in graphs.items()}
            path = folder / "twins.plan"
            _write_twins(path, manifest, graphs, precision)
        loop = StateLoop(joined_graph(manifest, graphs, precision=precision), config)
        with Segmenter.open(path, backend="onnxruntime", precision=precision) as segmenter:
            if path == bundle.path:
                require_same(bundle, segmenter.bundle)
            return _prove(loop, segmenter, on_frame)


def require_same(bundle: Bundle, again: Bundle) -> None:
    """Raise BundleError unless a bundle that was read again is the one that was opened first."""
    if again.digest != bundle.digest:
        raise BundleError(
            f"the bundle was replaced while it was in use (manifest {bundle.digest[:16]}…, now {again.digest[:16]}…); "
            f"begin again when it stays as it is: {str(bundle.path)!r}"
        )


def _prove(loop: StateLoop, segmenter: Segmenter, on_frame: Callable[[int, int], None]) -> int:
    manifest = segmenter.manifest
    paths, size = len(manifest.paths), (manifest.input.height, manifest.input.width)
    starts = [3 * paths + 2, manifest.state.cold_frames + 1]
    total, done = sum(starts), 0
    with segmenter.stream() as stream:
        for run, count in enumerate(starts):
            stream.reset()
            for index, frame in enumerate(_frames(run, count, size)):
                on_frame(done, total)
                result = stream.push(frame)
                found = loop.infer(frame[None], start=index == 0)
                expected: dict[str, npt.NDArray[Any]] = {LABELS: result.labels[None]}
                if result.confidence is not None:
                    expected[CONFIDENCE] = result.confidence[None]
                if result.logits is not None:
                    expected["logits"] = result.logits[None]
                if FRAME_INDEX in found:
                    expected[FRAME_INDEX] = np.array([counted(index, paths=paths)], dtype=np.int32)
                _compare(found, expected, index)
                done += 1
    on_frame(total, total)
    return total


def _rounding(graph: bytes) -> bytes:
    import onnx  # only for FP16; the exporter's base has it not

    from tdnet_export.precision_rounding import rounding_model

    return bytes(rounding_model(onnx.load_model_from_string(graph)).SerializeToString())


def _write_twins(path: Path, manifest: Manifest, graphs: Mapping[str, bytes], precision: str) -> None:
    member = {name: f"graphs/{name}.onnx" for name in graphs}
    specs = tuple(
        msgspec.structs.replace(spec, members={precision: member[spec.name]}) for spec in manifest.graphs
    )
    twins = msgspec.structs.replace(
        manifest,
        graphs=specs,
        dtypes={precision: manifest.dtypes[precision]},
        engines=(),
        parity={},
        members={},
    )
    write_bundle(path, twins, {member[name]: data for name, data in graphs.items()})


def _frames(run: int, count: int, size: tuple[int, int]) -> Iterator[npt.NDArray[np.uint8]]:
    height, width = size
    return (render(run * 100 + t, height=height, width=width) for t in range(count))


def _compare(
    found: Mapping[str, npt.NDArray[Any]], expected: Mapping[str, npt.NDArray[Any]], index: int
) -> None:
    for name, values in expected.items():
        if not np.array_equal(found[name], values):
            share = float(np.mean(found[name] != values))
            raise ParityError(
                f"the joined graph gives another {name} than the bundle at {share:.4%} of frame {index} since its start; "
                "nothing was written; serve the bundle with Triton's Python backend"
            )
