"""What a GPU can do, and how far from it a frame's device compute is: products and copies through PyTorch, by events."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from tdnet_bench.roofline.costs import GraphCost
from tdnet_bench.roofline.model import Ceilings, ComputeCeiling, CopyRate, ProbeRate
from tdnet_bench.sides.gpu import Gpu, Stopwatch
from tdnet_runtime.manifest import Manifest

__all__ = ["GPU_TYPES", "PRODUCTS", "gpu_ceilings", "path_costs"]

GPU_TYPES = {"float16": "fp16", "float32": "fp32"}
"""By a graph's type, the precision in which a GPU multiplies it."""
PRODUCTS = ((4096, 4096, 4096), (8192, 8192, 8192), (16384, 8192, 4096))
"""(M, N, K)."""
_COPY_BYTES = 2 << 30
_WARM_UP, _REPEATS = 3, 20


def gpu_ceilings(
    gpu: Gpu,
    torch: Any,
    *,
    device: str = "cuda",
    products: Sequence[tuple[int, int, int]] = PRODUCTS,
    copy_bytes: int = _COPY_BYTES,
) -> Ceilings:
    """The fastest of some matrix products in each of `GPU_TYPES`, without TF32, and a copy within the GPU's memory."""
    torch.backends.cuda.matmul.allow_tf32 = False
    compute = []
    with Stopwatch(gpu) as watch:
        for name, precision in GPU_TYPES.items():
            rates = []
            for m, n, k in products:
                a, b = (
                    torch.randn(shape, device=device).to(getattr(torch, name)) for shape in ((m, k), (k, n))
                )
                ns = _fastest_ns(watch, gpu, torch, lambda a=a, b=b: torch.matmul(a, b))  # type: ignore[misc]
                probe = f"torch.matmul {m}×{n}×{k}"
                rates.append(ProbeRate(probe=probe, gflop_per_s=2 * m * n * k / ns, repeats=_REPEATS))
            compute.append(ComputeCeiling.of("torch", precision, rates))
        source = torch.ones(copy_bytes // 2, device=device, dtype=torch.uint8)
        target = torch.empty_like(source)
        ns = _fastest_ns(watch, gpu, torch, lambda: target.copy_(source))
    copies = (CopyRate(footprint_bytes=copy_bytes, gb_per_s=copy_bytes / ns, method="torch, on the GPU"),)
    return Ceilings(threads=1, compute=tuple(compute), copies=copies)


def path_costs(manifest: Manifest, costs: Iterable[GraphCost]) -> tuple[GraphCost, ...]:
    """The graphs of each path together, named `path 1` and so on: what a device does for a frame."""
    by_graph: Mapping[str, GraphCost] = {cost.graph: cost for cost in costs}
    found = []
    for path in manifest.paths:
        parts = [by_graph[name] for name in (path.subnet, path.apm) if name]
        flops: Counter[str] = Counter()
        for part in parts:
            flops.update(part.matrix_flops)
        found.append(
            GraphCost(
                graph=f"path {path.index}",
                uncounted=tuple(sorted({name for part in parts for name in part.uncounted})),
                matrix_flops=dict(flops),
                compulsory_bytes=sum(part.compulsory_bytes for part in parts),
            )
        )
    return tuple(found)


def _fastest_ns(watch: Stopwatch, gpu: Gpu, torch: Any, work: Callable[[], object]) -> int:
    times = []
    for _ in range(_WARM_UP + _REPEATS):
        with watch.timing(gpu.stream_of_torch(torch)):
            work()
        times.append(watch.ns())
    return max(min(times[_WARM_UP:]), 1)
