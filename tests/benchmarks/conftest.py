"""A bundle for the fake backend, whose graphs are empty, and a filled-in document."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from tdnet_bench.document import SCHEMA_VERSION, Document, Memory
from tdnet_bench.environment import Environment
from tdnet_bench.records import FrameRecord, RunConfig
from tdnet_bench.stats import summarise
from tdnet_runtime.bundle import write_bundle
from tdnet_runtime.manifest import (
    SCHEMA_VERSION as BUNDLE_SCHEMA_VERSION,
)
from tdnet_runtime.manifest import (
    ClassSpec,
    GraphSpec,
    InputSpec,
    Manifest,
    PathSpec,
    StateSpec,
    TensorSpec,
)

SIDE = 48  # td2-fa18's smallest input: features of 6×6
WIDTHS: dict[str, int | tuple[int, ...]] = {
    "stem": 4,
    "planes": (4, 8, 16, 32),
    "value": 8,
    "head": 8,
    "neck": 8,
    "classifier": 0,
    "auxiliary": 0,
}
CHECKPOINT = b"the weights"


def _graphs(path: int) -> tuple[GraphSpec, GraphSpec]:
    def tensor(name: str, *shape: int, dtype: str = "float32") -> TensorSpec:
        return TensorSpec(name=name, shape=shape, dtype=dtype)

    query, value = tensor("query", 1, 64, 6, 6), tensor("value", 1, 8, 6, 6)
    subnet = GraphSpec(
        name=f"subnet{path}",
        inputs=(tensor("image", 1, SIDE, SIDE, 3, dtype="uint8"),),
        outputs=(query, value, tensor("memory_k", 1, 64, 2, 2), tensor("memory_v", 1, 8, 2, 2)),
        members={"fp32": f"graphs/fp32/subnet{path}.onnx"},
    )
    other = 3 - path
    slot = (tensor(f"slot{other}_k", 1, 64, 2, 2), tensor(f"slot{other}_v", 1, 8, 2, 2))
    apm = GraphSpec(
        name=f"apm{path}",
        inputs=(query, value, *slot, tensor("warm", 1)),
        outputs=(tensor("labels", 1, SIDE, SIDE, dtype="uint8"),),
        members={"fp32": f"graphs/fp32/apm{path}.onnx"},
    )
    return subnet, apm


@pytest.fixture(scope="session")
def manifest() -> Manifest:
    """Of a narrow td2-fa18 at 48×48 with 5 classes, without members."""
    entry = (
        TensorSpec(name="k", shape=(1, 64, 2, 2), dtype="float32"),
        TensorSpec(name="v", shape=(1, 8, 2, 2), dtype="float32"),
    )
    return Manifest(
        schema_version=BUNDLE_SCHEMA_VERSION,
        network="td2-fa18",
        widths=WIDTHS,
        input=InputSpec(height=SIDE, width=SIDE, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)),
        feature_size=(6, 6),
        size_resampled=False,
        classes=tuple(ClassSpec(name=f"class {i}", color=(i, i, i)) for i in range(5)),
        paths=tuple(PathSpec(index=p, subnet=f"subnet{p}", apm=f"apm{p}", reads=(3 - p,)) for p in (1, 2)),
        state=StateSpec(slots=2, entry=entry, stride=3, cold_frames=1),
        graphs=(*_graphs(1), *_graphs(2)),
        checkpoint_sha256=hashlib.sha256(CHECKPOINT).hexdigest(),
        tools={},
        parity={},
        members={},
    )


@pytest.fixture
def engine(tmp_path: Path, manifest: Manifest) -> Path:
    """The bundle as a file; its graphs are a few bytes that only the fake backend accepts."""
    path = tmp_path / "tiny.plan"
    members = {member: b"no graph" for graph in manifest.graphs for member in graph.members.values()}
    write_bundle(path, manifest, members)
    return path


MakeRecord = Callable[..., FrameRecord]


@pytest.fixture(scope="session")
def record() -> MakeRecord:
    """Makes a record of a two-path network with one cold frame, from milliseconds."""

    def make(frame: int, side: str, ms: float, agreement: float | None = None) -> FrameRecord:
        return FrameRecord(
            frame=frame,
            side=side,
            path=frame % 2 + 1,
            cold=frame < 1,
            turn=0,
            host_call_ns=round(ms * 1e6),
            agreement=agreement,
        )

    return make


@pytest.fixture(scope="session")
def records(record: MakeRecord) -> tuple[FrameRecord, ...]:
    """Five frames of bundle and reference; frame 0 is cold. The figures are worked out in test_stats.py."""
    bundle = [(90.0, 1.0), (10.0, 0.75), (20.0, 1.0), (30.0, 0.5), (60.0, 1.0)]
    reference = [200.0, 20.0, 25.0, 40.0, 50.0]
    return (
        *(record(i, "bundle", ms, share) for i, (ms, share) in enumerate(bundle)),
        *(record(i, "reference", ms) for i, ms in enumerate(reference)),
    )


@pytest.fixture(scope="session")
def document(records: tuple[FrameRecord, ...]) -> Document:
    """A whole document around `records`."""
    return Document(
        schema_version=SCHEMA_VERSION,
        config=RunConfig(
            engine="tiny[1].plan",
            bundle_digest="ab" * 32,
            network="td2-fa18",
            size_resampled=True,
            precision="fp32",
            backend="fake",
            backend_description="no engine",
            height=48,
            width=64,
            paths=2,
            cold_frames=1,
            memory_stride=3,
            threads=2,
            warm_frames_requested=4,
            footage="rendered moving scene",
            reference="checkpoint",
            reference_note="the reference has the weights that the bundle was exported from",
            checkpoint_sha256="cd" * 32,
            pause_ms=20.0,
            includes={
                "bundle": "host call: copy in, sub-network, APM, argmax, copy out; not: decode",
                "reference": "push and argmax",
            },
        ),
        environment=Environment(
            started_at="2026-01-01T00:00:00+00:00",
            cpu="Some CPU",
            cpu_flags=("avx2",),
            physical_cores=2,
            logical_cores=4,
            usable_cores=2,
            governor=None,
            load_1min=0.25,
            memory_mib=8192,
            os="Linux",
            python="CPython 3.11",
            packages={"numpy": "2.0"},
            thread_variables={},
            commit=None,
        ),
        warm_up_frames={"bundle": 4, "reference": 4},
        memory=Memory(bundle_peak_mib=123.4, run_peak_mib=567.8),
        other_busy_cores=0.01,
        notes=("the reference has the weights that the bundle was exported from", "a second note"),
        summary=summarise(records, baseline="reference"),
        records=records,
    )
