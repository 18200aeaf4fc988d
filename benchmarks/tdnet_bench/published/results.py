"""The committed documents, in the order in which tables show them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec

from tdnet_bench.documents.document import Document, read_document
from tdnet_bench.machine.environment import BUSY_SHARE
from tdnet_bench.records.config import PYTORCH
from tdnet_bench.statistics.ratios import Ratio

__all__ = ["SPLITS", "Machine", "Result", "Results", "read_machines", "read_results"]

SPLITS = ("val", "test")
"""Of CamVid; a machine's folder has `camvid-val` and `camvid-test`."""

_GPU, _GPU_CHECK, _EVALUATION = "gpu", "gpu-check", "evaluation"
_SETTINGS = "onnxruntime settings"
_PUBLISHED_PLANES = "planes 64-128-256-512"
"""Of all four networks."""


@dataclass(frozen=True, slots=True)
class Result:
    """One document, and the file that it came from."""

    path: Path
    document: Document

    @property
    def network(self) -> str:
        """As in the manifest; with its stem's width where it is not of the published widths."""
        config = self.document.config
        if _PUBLISHED_PLANES in config.widths:
            return config.network
        return f"{config.network}, {config.widths.partition(',')[0]}"

    @property
    def is_busy(self) -> bool:
        """True where other programs kept enough of the cores busy to distort the figures."""
        busy_cores = self.document.other_busy_cores or 0.0
        return busy_cores >= BUSY_SHARE * self.document.environment.usable_cores

    @property
    def is_approximate(self) -> bool:
        """True where the size is not the one of the published or trained weights."""
        return self.document.config.size_resampled

    @property
    def bundle_sides(self) -> tuple[str, ...]:
        """Sides that ran the bundle, in the document's order."""
        sides = self.document.sides
        return tuple(name for name in self.document.summary.sides if sides[name].kind == "bundle")

    @property
    def ratios_to_pytorch(self) -> dict[str, Ratio]:
        """By side of the bundle, in their order: its time over eager PyTorch's; sides without one are missing."""
        found = {c.side: c.overall for c in self.document.summary.comparisons if c.baseline == PYTORCH}
        return {side: ratio for side in self.bundle_sides if (ratio := found.get(side)) is not None}

    @property
    def compared_sides(self) -> tuple[str, ...]:
        """Eager PyTorch, where it was measured, and `bundle_sides`."""
        return (PYTORCH, *self.bundle_sides) if PYTORCH in self.document.summary.sides else self.bundle_sides


@dataclass(frozen=True, slots=True)
class Machine:
    """A folder of results: its documents, those of CamVid by split, files about ONNX Runtime's settings."""

    name: str
    speed: tuple[Result, ...]
    camvid: dict[str, tuple[Result, ...]]
    settings: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class Results:
    """All that is published: machines by name, files of `gpu_check`'s version 1, of runs in `gpu/*/`, of `tdnet-eval`."""

    machines: tuple[Machine, ...]
    gpu_checks: tuple[Path, ...] = ()
    gpu_runs: tuple[Path, ...] = ()
    evaluations: tuple[Path, ...] = ()


class _Head(msgspec.Struct):
    """What tells documents of `tdnet-bench` from others, which have a kind."""

    kind: str | None = None


def read_results(folder: Path) -> Results:
    """All results of `folder`. Files of other kinds are passed over.

    Raises:
        OptionError: a file is no document of this version.
    """
    runs, others = sorted((folder / _GPU).glob("*/*.json")), sorted(folder.glob("*.json"))
    return Results(
        machines=read_machines(folder),
        gpu_checks=tuple(path for path in others if _kind(path) == _GPU_CHECK),
        gpu_runs=tuple(path for path in runs if _kind(path) is None),
        evaluations=tuple(path for path in others if _kind(path) == _EVALUATION),
    )


def read_machines(folder: Path) -> tuple[Machine, ...]:
    """All machines of `folder`, by name. Files that lie in it directly are passed over.

    Raises:
        OptionError: a file is no document of this version.
    """
    folders = sorted(path for path in folder.glob("*") if path.is_dir() and path.name != _GPU)
    return tuple(_machine(path) for path in folders)


def _machine(folder: Path) -> Machine:
    camvid = {split: _results(folder / f"camvid-{split}") for split in SPLITS}
    return Machine(
        name=folder.name,
        speed=_results(folder),
        camvid={split: results for split, results in camvid.items() if results},
        settings=tuple(path for path in sorted(folder.glob("*.json")) if _kind(path) == _SETTINGS),
    )


def _results(folder: Path) -> tuple[Result, ...]:
    """Documents of `tdnet-bench` in `folder`: by network, the largest size first."""
    paths = [path for path in folder.glob("*.json") if _kind(path) is None]
    return tuple(sorted((Result(path, read_document(path)) for path in paths), key=_order))


def _kind(path: Path) -> str | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Head).kind
    except msgspec.MsgspecError:
        return None  # read_document says what is wrong with it


def _order(result: Result) -> tuple[str, str, int, str]:
    config = result.document.config
    return config.network, config.widths, -config.height * config.width, result.path.name
