"""A bundle for the fake backend, whose graphs are empty, and a filled-in document."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tdnet_bench.documents.document import SCHEMA_VERSION, Document
from tdnet_bench.documents.journal import JournalHeader
from tdnet_bench.documents.notes import DEFINITIONS
from tdnet_bench.machine.environment import Environment
from tdnet_bench.records.config import LeftOut, RunConfig, SideSetup, SideSpec
from tdnet_bench.records.frames import AnyRecord, CameraRecord, ClassPixels, FrameRecord, PacedRecord
from tdnet_bench.sides.side import clocks_of_bundle, clocks_of_pytorch
from tdnet_bench.statistics.summary import summarise
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

MS = 1_000_000  # nanoseconds
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


SUBJECT = "fake:fp32"
PEER = "pytorch"
MakeRecord = Callable[..., FrameRecord]


@pytest.fixture(scope="session")
def record() -> MakeRecord:
    """Makes a record of a two-path network with one cold frame, from milliseconds."""

    def make(frame: int, side: str, ms: float, agreement: float | None = None, **others: Any) -> FrameRecord:
        return FrameRecord(
            frame=frame,
            side=side,
            path=frame % 2 + 1,
            cold=frame < 1,
            turn=0,
            host_call_ns=round(ms * 1e6),
            agreement=agreement,
            **others,
        )

    return make


@pytest.fixture(scope="session")
def records(record: MakeRecord) -> tuple[FrameRecord, ...]:
    """Five frames of the subject and its peer; frame 0 is cold. The figures are worked out in test_summary.py."""
    subject = [(90.0, 1.0), (10.0, 0.75), (20.0, 1.0), (30.0, 0.5), (60.0, 1.0)]
    peer = [200.0, 20.0, 25.0, 40.0, 50.0]
    return (
        *(record(i, SUBJECT, ms, share) for i, (ms, share) in enumerate(subject)),
        *(record(i, PEER, ms) for i, ms in enumerate(peer)),
    )


@pytest.fixture(scope="session")
def all_records(records: tuple[FrameRecord, ...]) -> tuple[AnyRecord, ...]:
    """`records` with every kind of quality, and the other kinds of records beside them."""
    pixels = ClassPixels(hits=(3, 0, 1, 0, 0), truth=(4, 0, 2, 0, 0), labelled=(3, 2, 1, 0, 0))
    judged = [
        msgspec.structs.replace(
            record,
            temporal_consistency=0.9 - record.frame / 100 if record.frame else None,
            class_pixels=pixels if record.frame == 2 else None,
        )
        for record in records
    ]
    camera = [
        CameraRecord(
            frame=i,
            side=SUBJECT,
            path=i % 2 + 1,
            cold=i < 1,
            turn=0,
            decode_ns=(i + 1) * MS,
            push_ns=10 * (i + 1) * MS,
            camera_to_mask_ns=11 * (i + 1) * MS,
        )
        for i in range(3)
    ]
    paced = [
        PacedRecord(
            fps=10.0,
            frame=i,
            push=i,
            path=i % 2 + 1,
            cold=i < 1,
            arrival_ns=100 * i * MS,
            started_ns=(100 * i + 1) * MS,
            done_ns=(100 * i + 31 + 10 * i) * MS,
        )
        for i in range(4)
    ]
    return (*judged, *camera, *paced)


@pytest.fixture(scope="session")
def environment() -> Environment:
    """Of a machine that does not exist."""
    return Environment(
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
    )


@pytest.fixture(scope="session")
def sides() -> dict[str, SideSpec]:
    """The subject on a fake backend, and eager PyTorch."""
    call = clocks_of_pytorch()
    return {
        SUBJECT: SideSpec(
            name=SUBJECT,
            kind="bundle",
            precision="fp32",
            description="no engine",
            weights="bundle",
            clocks=clocks_of_bundle(on_device=False, cuda_graph=False, camera=True),
        ),
        PEER: SideSpec(
            name=PEER,
            kind="pytorch",
            precision="fp32",
            description="eager",
            weights="checkpoint",
            clocks=call,
        ),
    }


@pytest.fixture(scope="session")
def config() -> RunConfig:
    """Of the run that `document` is."""
    return RunConfig(
        engine="tiny[1].plan",
        bundle_digest="ab" * 32,
        network="td2-fa18",
        widths="stem 4",
        classes=tuple(f"class [{i}]" for i in range(5)),
        size_resampled=True,
        height=48,
        width=64,
        paths=2,
        cold_frames=1,
        memory_stride=3,
        threads=2,
        warm_frames_requested=4,
        footage="street.mp4, 60x80, resized to 48x64 beforehand",
        footage_size_hw=(60, 80),
        labels="annot",
        fps=(10.0,),
        requested=("fake", "pytorch"),
        subject=SUBJECT,
        reference=PEER,
        reference_note="the reference is pytorch, with the weights that the bundle was exported from",
        checkpoint_sha256="cd" * 32,
        pause_ms=20.0,
    )


@pytest.fixture(scope="session")
def header(config: RunConfig, sides: dict[str, SideSpec], environment: Environment) -> JournalHeader:
    """First line of the journal of the run that `document` is."""
    setup = SideSetup(
        load_ms=12.5, first_mask_ms=34.25, warm_up_frames=4, peak_rss_mib=123.4, device_memory_mib=None
    )
    return JournalHeader(
        schema_version=SCHEMA_VERSION,
        config=config,
        sides=sides,
        left_out=(LeftOut(what="torch-compile", reason="no C++ compiler"),),
        environment=environment,
        setup={SUBJECT: setup, PEER: setup},
        notes=(config.reference_note, "a second note"),
    )


@pytest.fixture(scope="session")
def document(header: JournalHeader, all_records: tuple[AnyRecord, ...]) -> Document:
    """A whole document with every kind of figure."""
    return Document(
        schema_version=SCHEMA_VERSION,
        config=header.config,
        sides=header.sides,
        left_out=header.left_out,
        environment=header.environment,
        setup=header.setup,
        run_peak_rss_mib=567.8,
        other_busy_cores=0.01,
        notes=header.notes,
        exit_code=3,
        definitions=DEFINITIONS,
        summary=summarise(all_records, sides=header.sides, paths=2),
        records=all_records,
    )
