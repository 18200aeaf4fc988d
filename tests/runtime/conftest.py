"""A bundle small enough to be damaged in every way: two paths, 4x8 input, bytes that are no graphs."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

import tdnet_runtime
from tdnet_runtime.bundle import write_bundle
from tdnet_runtime.manifest import (
    SCHEMA_VERSION,
    ClassSpec,
    GraphSpec,
    InputSpec,
    Manifest,
    ParitySummary,
    PathSpec,
    StateSpec,
    TensorSpec,
)

HEIGHT, WIDTH, KEYS, VALUES, POSITIONS = 4, 8, 2, 3, 2


def _floats(name: str, *shape: int) -> TensorSpec:
    return TensorSpec(name=name, shape=shape, dtype="float32")


def _graphs() -> tuple[GraphSpec, ...]:
    image = TensorSpec(name="image", shape=(1, HEIGHT, WIDTH, 3), dtype="uint8")
    labels = TensorSpec(name="labels", shape=(1, HEIGHT, WIDTH), dtype="uint8")
    features = (_floats("query", 1, KEYS, 1, 1), _floats("value", 1, VALUES, 1, 1))
    graphs = []
    for path in (1, 2):
        memory = (_floats("memory_k", KEYS, POSITIONS), _floats("memory_v", VALUES, POSITIONS))
        slots = (
            _floats(f"slot{3 - path}_k", KEYS, POSITIONS),
            _floats(f"slot{3 - path}_v", VALUES, POSITIONS),
        )
        for name, inputs, outputs in (
            (f"subnet{path}", (image,), (*features, *memory)),
            (f"apm{path}", (*features, *slots, _floats("warm", 1)), (labels,)),
        ):
            members = {"fp32": f"graphs/fp32/{name}.onnx"}
            graphs.append(GraphSpec(name=name, inputs=inputs, outputs=outputs, members=members))
    return tuple(graphs)


@pytest.fixture(scope="session")
def tiny_manifest() -> Manifest:
    """As an exporter makes it, before the members are known."""
    return Manifest(
        schema_version=SCHEMA_VERSION,
        network="td2-fa18",
        widths={"value": VALUES, "stages": (4, 8)},
        input=InputSpec(height=HEIGHT, width=WIDTH, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)),
        feature_size=(1, 1),
        size_resampled=False,
        classes=(ClassSpec(name="road", color=(128, 64, 128)), ClassSpec(name="sky", color=(70, 130, 180))),
        paths=(
            PathSpec(index=1, subnet="subnet1", apm="apm1", reads=(2,)),
            PathSpec(index=2, subnet="subnet2", apm="apm2", reads=(1,)),
        ),
        state=StateSpec(
            slots=2,
            entry=(_floats("k", KEYS, POSITIONS), _floats("v", VALUES, POSITIONS)),
            stride=1,
            cold_frames=1,
        ),
        graphs=_graphs(),
        checkpoint_sha256=hashlib.sha256(b"checkpoint").hexdigest(),
        tools={"tdnet-deploy": "0.1.0"},
        parity={
            "fp32": ParitySummary(
                frames=8,
                footage="a moving scene",
                label_agreement=0.99999,
                worst_frame_agreement=0.9999,
                logits_error=0.0004,
                report="reports/parity-fp32.json",
            )
        },
        members={},
    )


@pytest.fixture(scope="session")
def tiny_members() -> dict[str, bytes]:
    """The members of the tiny bundle; two of them have the same size."""
    return {
        "graphs/fp32/apm1.onnx": b"apm one" * 5,
        "graphs/fp32/apm2.onnx": b"apm two" * 5,
        "graphs/fp32/subnet1.onnx": b"first" * 11,
        "graphs/fp32/subnet2.onnx": b"second" * 7,
        "reports/parity-fp32.json": b"{}\n",
    }


@pytest.fixture(scope="session")
def write_tiny(tiny_manifest: Manifest, tiny_members: Mapping[str, bytes]) -> Callable[[Path], Manifest]:
    """Write the tiny bundle to a path; gives its manifest."""
    return lambda path: write_bundle(path, tiny_manifest, tiny_members)


@pytest.fixture(scope="session")
def child_env() -> dict[str, str]:
    """Environment of a Python process that imports the package under test, installed or not."""
    own = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    return {**own, "PYTHONPATH": str(Path(tdnet_runtime.__file__).parents[1]), "COLUMNS": "80"}


@pytest.fixture
def made_up_bundle(tmp_path: Path, write_tiny: Callable[[Path], Manifest]) -> Path:
    """A valid bundle in a folder of its own."""
    path = tmp_path / "tiny.plan"
    write_tiny(path)
    return path
