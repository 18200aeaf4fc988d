"""The GPU's measured FP16 matrix rate, and what share of it each side reaches."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from tdnet_bench.gpu_check.gpu import Gpu
from tdnet_bench.gpu_check.records import BundleFacts, Measurement, PartRun, Share
from tdnet_bench.gpu_check.steps import StepLog
from tdnet_runtime.errors import BackendError

__all__ = ["COST_STEP", "PUBLIC_GFLOP", "RATE_STEP", "rate_of", "run_roofline", "shares"]

RATE_STEP = "FP16 matrix products"
COST_STEP = "FLOPs of a frame"

PUBLIC_GFLOP = {"td4-psp18": 515.0, "td2-psp50": 1103.0}
"""Matrix FLOPs of a frame at the size below, as the public code computes it; graphs need a little less."""

_SIZE_HW = (769, 1537)
_SHAPES = ((4096, 4096, 4096), (8192, 8192, 8192), (16384, 8192, 4096))
_WARM_UP, _REPEATS = 5, 20
_COPY_BYTES = 2 << 30


def run_roofline(
    log: StepLog,
    *,
    torch: Any,
    gpu: Gpu,
    device: Any,
    shapes: Iterable[tuple[int, int, int]] = _SHAPES,
    copy_bytes: int = _COPY_BYTES,
) -> None:
    """Measure products and copies in the GPU's memory.

    Args:
        log: for the answers.
        torch: the module.
        gpu: the GPU.
        device: for torch.
        shapes: (M, N, K) of the products.
        copy_bytes: read and written by one copy.
    """
    log.ask(RATE_STEP, lambda: _products(torch, gpu, device, list(shapes)))
    log.ask("copies", lambda: _copies(torch, gpu, device, copy_bytes))


def _products(torch: Any, gpu: Gpu, device: Any, shapes: list[tuple[int, int, int]]) -> dict[str, Any]:
    rates: list[dict[str, Any]] = []
    for m, n, k in shapes:
        a, b = (torch.randn(shape, device=device, dtype=torch.float16) for shape in ((m, k), (k, n)))
        out = torch.empty((m, n), device=device, dtype=torch.float16)
        milliseconds = _times_ms(gpu, lambda a=a, b=b, out=out: torch.matmul(a, b, out=out))
        flop = 2 * m * n * k
        rates.append(
            {
                "shape": [m, n, k],
                "tflop_per_s": rate_of(flop, min(milliseconds)),
                "median_tflop_per_s": rate_of(flop, sorted(milliseconds)[len(milliseconds) // 2]),
            }
        )
    return {
        "method": f"torch.matmul on random values; CUDA events around each of {_REPEATS}, the fastest",
        "products": rates,
        "peak_tflop_per_s": max(rate["tflop_per_s"] for rate in rates),
    }


def _copies(torch: Any, gpu: Gpu, device: Any, nbytes: int) -> dict[str, Any]:
    source = torch.ones(nbytes // 2, device=device, dtype=torch.uint8)
    target = torch.empty_like(source)
    fastest_ms = min(_times_ms(gpu, lambda: target.copy_(source)))
    return {
        "method": "bytes read plus bytes written within the GPU's memory; CUDA events, the fastest",
        "bytes": nbytes,
        "gb_per_s": nbytes / fastest_ms / 1e6,
    }


def _times_ms(gpu: Gpu, work: Any) -> list[float]:
    stream, marks = gpu.stream(), []
    gpu.synchronize()  # what is to be worked on was made on another stream
    with gpu.on(stream):
        for index in range(_WARM_UP + _REPEATS):
            start, end = gpu.event(), gpu.event()
            start.record(stream)
            work()
            end.record(stream)
            if index >= _WARM_UP:
                marks.append((start, end))
    gpu.synchronize()
    return [start.elapsed_time(end) for start, end in marks]


def rate_of(flop: float, milliseconds: float) -> float:
    """In 10¹² FLOPs a second."""
    if milliseconds <= 0:
        raise BackendError(f"{flop:.0f} FLOPs took {milliseconds} ms: events do not tell the time here")
    return flop / milliseconds / 1e9


def shares(parts: Iterable[PartRun], bundles: dict[str, BundleFacts]) -> tuple[Share, ...]:
    """Shares of the peak of every side that computes in FP16, where its time, the peak and the FLOPs are known."""
    steps = [(part.bundle, step) for part in parts for step in part.steps if step.ok]
    peaks = [step.value["peak_tflop_per_s"] for _, step in steps if step.name == RATE_STEP]
    counts = {bundle: step.value["gflop"] for bundle, step in steps if step.name == COST_STEP}
    if not peaks:
        return ()
    found: list[Share] = []
    for bundle, step in steps:
        for measurement in step.measurements if bundle is not None else ():
            if measurement.clock == "gpu compute" and measurement.precision == "fp16":
                assert bundle is not None  # see the line above
                found += _shares_of(
                    bundle, bundles[bundle], measurement, peak=peaks[0], graphs_gflop=counts.get(bundle)
                )
    return tuple(found)


def _shares_of(
    bundle: str, facts: BundleFacts, found: Measurement, *, peak: float, graphs_gflop: float | None
) -> list[Share]:
    public = PUBLIC_GFLOP.get(facts.network) if (facts.height, facts.width) == _SIZE_HW else None
    counts: dict[Literal["graphs", "public network"], float | None] = {
        "graphs": graphs_gflop,
        "public network": public,
    }
    return [
        Share(
            bundle=bundle,
            side=found.side,
            captured=found.captured,
            counted=counted,
            gflop=gflop,
            peak_tflop_per_s=peak,
            share=gflop / found.timed.overall.p50_ms / peak,
        )
        for counted, gflop in counts.items()
        if gflop is not None
    ]
