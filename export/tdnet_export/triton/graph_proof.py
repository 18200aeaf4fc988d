"""A joined graph, driven as Triton drives it, beside the graphs that it was made of: every label must be the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from tdnet_export.triton.joined_graph import FRAME_INDEX, joined_graph
from tdnet_export.triton.plain_graphs import plain_stream
from tdnet_export.triton.state_loop import StateLoop
from tdnet_runtime.bundle import Bundle
from tdnet_runtime.errors import ParityError
from tdnet_runtime.manifest import CONFIDENCE, LABELS, Manifest
from tdnet_runtime.media.scene import render
from tdnet_runtime.serving.frame_count import counted
from tdnet_runtime.stream import Stream

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

    Both run node by node (`plain_graphs`), equal to the bit. FP16 graphs are represented on both sides by twins that
    round explicitly (`precision_rounding`): of what is between its nodes ONNX Runtime rounds on a CPU what it likes.

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
        BackendError: ONNX Runtime refuses the graph.
    """
    manifest = bundle.manifest
    if precision in manifest.dtypes:
        graphs = {name: _rounding(data) for name, data in graphs.items()}
    joined = joined_graph(manifest, graphs, precision=precision)
    loop = StateLoop(joined, config, optimised=False)
    del joined  # hundreds of MB
    with plain_stream(bundle, graphs, precision=precision) as stream:
        return _prove(loop, stream, manifest, on_frame)


def _prove(loop: StateLoop, stream: Stream, manifest: Manifest, on_frame: Callable[[int, int], None]) -> int:
    paths, size = len(manifest.paths), (manifest.input.height, manifest.input.width)
    starts = [3 * paths + 2, manifest.state.cold_frames + 1]
    total, done = sum(starts), 0
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
