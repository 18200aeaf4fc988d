"""What a check writes down. All figures follow from the steps; nothing in here is computed."""

from __future__ import annotations

from typing import Any, Final, Literal, TypeAlias

from tdnet_bench.machine.environment import Environment
from tdnet_bench.machine.gpus import Gpu
from tdnet_bench.records.record import Record
from tdnet_bench.statistics.latency import LatencyStats

__all__ = [
    "EAGER_FP32",
    "KIND",
    "OUR_STREAM",
    "SCHEMA_VERSION",
    "Agreement",
    "BundleFacts",
    "Clock",
    "GpuCheck",
    "Measurement",
    "PartRun",
    "Share",
    "Step",
    "Target",
    "Timed",
    "Verdict",
]

KIND: Final = "gpu-check"
"""What tells such a document from others."""
SCHEMA_VERSION: Final = 1
EAGER_FP32 = "pytorch eager"
"""Side that the others are compared with."""
OUR_STREAM = "on a stream of ours"
"""In the method of host calls that are not as an application makes them: with marks around each graph."""

Clock: TypeAlias = Literal["gpu compute", "host call"]
Verdict: TypeAlias = Literal["met", "not met", "not measured"]


class Timed(Record, frozen=True, kw_only=True):
    """Times of warm frames.

    Attributes:
        method: what was timed, and how.
        overall: of all paths.
        by_path: by path, from 1.
        samples_us: every time by path, in the order of the frames, in microseconds.
    """

    method: str
    overall: LatencyStats
    by_path: dict[int, LatencyStats]
    samples_us: dict[int, tuple[float, ...]]


class Measurement(Record, frozen=True, kw_only=True):
    """Times of one side in one mode.

    Attributes:
        side: a backend's name, or how PyTorch was run.
        precision: of its products.
        captured: True where frames were replays of CUDA graphs; None where there is no such thing.
        labels: where they are when a frame is done.
        clock: what the times are of.
        timed: the times.
    """

    side: str
    precision: str
    captured: bool | None
    labels: Literal["host", "device"]
    clock: Clock
    timed: Timed


class Step(Record, frozen=True, kw_only=True):
    """One question and its answer.

    Attributes:
        name: of the question.
        ok: False where it failed; `error` says why.
        seconds: that it took.
        error: kind and text, with what the engine logged.
        log: warnings meanwhile, the last ones.
        value: the answer, as JSON.
        measurements: times, where the answer has some.
    """

    name: str
    ok: bool
    seconds: float
    error: str | None = None
    log: tuple[str, ...] = ()
    value: Any = None
    measurements: tuple[Measurement, ...] = ()


class PartRun(Record, frozen=True, kw_only=True):
    """A part that was run, or was not.

    Attributes:
        part: its name.
        bundle: that it was about; None for parts that need none.
        ended: `done`, or what ended it: the time limit, a signal, an exit code, no time.
        seconds: that it took.
        limit_s: that it was given.
        steps: in their order; those before the end, where something ended it.
        said: the last of what it wrote to stderr, where it did not end well.
    """

    part: str
    bundle: str | None
    ended: str
    seconds: float
    limit_s: float
    steps: tuple[Step, ...]
    said: str | None = None


class BundleFacts(Record, frozen=True, kw_only=True):
    """What a bundle says about itself.

    Attributes:
        file: its name, without folders.
        digest: SHA-256 of its manifest, which has all others.
        network: as in the manifest.
        height: of frames.
        width: of frames.
        paths: m.
        classes: K.
        precisions: of its graphs.
        engines: titles of its sets of engines.
        checkpoint_sha256: of the weights that it was exported from.
        weights: of the PyTorch sides beside it: `checkpoint` or `synthetic`.
    """

    file: str
    digest: str
    network: str
    height: int
    width: int
    paths: int
    classes: int
    precisions: tuple[str, ...]
    engines: tuple[str, ...]
    checkpoint_sha256: str
    weights: str


class Agreement(Record, frozen=True, kw_only=True):
    """A side's labels against ONNX Runtime's on the CPU, on the same frames from the first on.

    Attributes:
        bundle: name of the bundle.
        side: whose labels.
        reference: precision of the graphs that the CPU ran.
        frames: share (0 to 1) of equal labels, by frame.
        correct: each frame's share reaches `labels.LEAST`, and no label names a class that is not there.
    """

    bundle: str
    side: str
    reference: str
    frames: tuple[float, ...]
    correct: bool


class Share(Record, frozen=True, kw_only=True):
    """A side's share of the measured FP16 matrix rate.

    Attributes:
        bundle: name of the bundle.
        side: whose time.
        captured: as in `Measurement`.
        counted: in the bundle's graphs, the mean of all paths, or of the public network as it is written.
        gflop: matrix FLOPs of a frame.
        peak_tflop_per_s: the best product that was measured.
        share: `gflop` over p50 of the GPU compute, over the peak.
    """

    bundle: str
    side: str
    captured: bool | None
    counted: Literal["graphs", "public network"]
    gflop: float
    peak_tflop_per_s: float
    share: float


class Target(Record, frozen=True, kw_only=True):
    """One of the project's targets for one side.

    Attributes:
        bundle: name of the bundle.
        side: whose time.
        what: the target in words.
        limit: the number to reach.
        value: the number that was measured; None where it was not.
        verdict: met, not met, or not measured.
    """

    bundle: str
    side: str
    what: str
    limit: float
    value: float | None
    verdict: Verdict


class GpuCheck(Record, frozen=True, kw_only=True):
    """The document.

    Attributes:
        kind: tells it from documents of `tdnet-bench`.
        schema_version: of this document.
        complete: False where the run was cut short.
        gpu: what PyTorch and the driver say about the GPU.
        gpus: what nvidia-smi says, at the end.
        environment: the machine and its software.
        packages: versions of what reaches the GPU.
        commit: of the source tree; None where it was neither a checkout nor named.
        options: numbers that the run was given.
        bundles: by name.
        targets: see `targets.py`.
        agreements: see `labels.py`.
        shares: see `roofline.py`.
        parts: everything else, in the order of the run.
    """

    kind: Literal["gpu-check"] = KIND
    schema_version: Literal[1] = SCHEMA_VERSION
    complete: bool
    gpu: dict[str, Any]
    gpus: tuple[Gpu, ...]
    environment: Environment
    packages: dict[str, str]
    commit: str | None
    options: dict[str, Any]
    bundles: dict[str, BundleFacts]
    targets: tuple[Target, ...]
    agreements: tuple[Agreement, ...]
    shares: tuple[Share, ...]
    parts: tuple[PartRun, ...]
