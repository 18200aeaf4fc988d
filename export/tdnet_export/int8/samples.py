"""What each graph is calibrated with: frames for the sub-networks, and for the attention graphs what these make of them.

A clip has one frame for each path. The sub-network of a path sees its frame; its APM reads what that makes of it, and in
the memory what the other sub-networks make of the clip's other frames. So the memory holds neighbours of the frame, as in
the closed loop, if not always earlier ones; and each sub-network runs once for each clip, where it is calibrated.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from tdnet_export.contract import GraphTensors, NetworkContract
from tdnet_runtime.errors import OptionError
from tdnet_runtime.manifest import IMAGE, WARM

__all__ = ["Sample", "Tensors", "load_tensors", "place_samples", "save_tensors"]

Frame = npt.NDArray[np.uint8]
Tensors = dict[str, npt.NDArray[np.generic]]

_MEMORY = "memory_"  # of an output that is kept as the path's slot


class Sample(msgspec.Struct, frozen=True):
    """One run of a graph.

    Attributes:
        inputs: files by the input's name. Those of an APM are there once the sub-networks ran.
        results: files by the output's name, in FP32, written when the graph is calibrated; empty where nothing needs them.
    """

    inputs: dict[str, str]
    results: dict[str, str]


def load_tensors(files: Mapping[str, str]) -> Tensors:
    """Arrays by name."""
    return {name: np.load(file) for name, file in files.items()}


def save_tensors(files: Mapping[str, str], tensors: Mapping[str, npt.NDArray[np.generic]]) -> None:
    """Those of the arrays that are named in `files`."""
    for name, file in files.items():
        np.save(file, tensors[name])


def place_samples(
    contract: NetworkContract, clips: Iterable[Sequence[Frame]], folder: Path
) -> dict[str, list[Sample]]:
    """A sample of each clip by graph, in an order in which graphs can run; images are written to `folder`.

    Args:
        contract: of the graphs.
        clips: m consecutive frames each, uint8 [H, W, 3] of the network's size.
        folder: where the files go.

    Raises:
        OptionError: a clip has another number of frames, or there is none.
    """
    graphs = {graph.name: graph for graph in contract.graphs}
    subnets = [graphs[path.subnet] for path in contract.paths]
    apms = [graphs[path.apm] for path in contract.paths if path.apm is not None]
    samples: dict[str, list[Sample]] = {graph.name: [] for graph in (*subnets, *apms)}
    warm = str(folder / f"{WARM}.npy")
    np.save(warm, np.ones(1, np.float32))
    for number, clip in enumerate(clips):
        if len(clip) != len(subnets):
            raise OptionError(
                f"clip {number} of the calibration footage has {len(clip)} frames; expected {len(subnets)}, one for each "
                "path"
            )
        slots = {WARM: warm}
        made = []
        for index, (subnet, frame) in enumerate(zip(subnets, clip, strict=True), start=1):
            image = str(folder / f"{subnet.name}-{IMAGE}-{number}.npy")
            np.save(image, frame[None])
            results = _results(subnet, number, folder) if apms else {}
            samples[subnet.name].append(Sample({IMAGE: image}, results))
            made.append(results)
            slots |= {
                f"slot{index}_{name.removeprefix(_MEMORY)}": file
                for name, file in results.items()
                if name.startswith(_MEMORY)
            }
        for apm, own in zip(apms, made, strict=bool(apms)):
            known = own | slots
            samples[apm.name].append(Sample({spec.name: known[spec.name] for spec in apm.inputs}, {}))
    if not samples[subnets[0].name]:
        raise OptionError("the calibration footage has no clip; expected one at least")
    return samples


def _results(graph: GraphTensors, number: int, folder: Path) -> dict[str, str]:
    return {spec.name: str(folder / f"{graph.name}-{spec.name}-{number}.npy") for spec in graph.outputs}
