"""PyTorch's sides, on the CPU: the streaming rules, and turns."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tests.benchmarks.gpu_check.doubles import SPAN_MS, FakeGpu, Steps, job_for

from tdnet_bench.gpu_check import pytorch_part
from tdnet_bench.gpu_check.network import TorchStream
from tdnet_bench.gpu_check.pytorch_part import COMPILED, EAGER_FP16, run_pytorch
from tdnet_bench.gpu_check.records import EAGER_FP32

torch = pytest.importorskip("torch")

from tdnet_models import ReferenceStream, load_checkpoint  # noqa: E402
from tdnet_models.preprocessing import PRESETS  # noqa: E402

Tiny = Callable[[str], Path]


@pytest.mark.parametrize("threshold", [None, 0.4])
@pytest.mark.parametrize("preset", ["imagenet", "ptsemseg"])
@pytest.mark.parametrize("name", ["td4-psp18", "td2-fa18", "psp101"])
def test_the_stream_is_the_oracle(
    tiny_checkpoint: Tiny, name: str, preset: str, threshold: float | None
) -> None:
    network = load_checkpoint(tiny_checkpoint(name), size=(49, 65) if name == "psp101" else None)
    height, width = network.spec.input_size
    preprocessing = PRESETS[preset]
    oracle = ReferenceStream(network, preprocessing=preprocessing)
    ours = TorchStream(
        network, memory_stride=oracle.memory_stride, preprocessing=preprocessing, threshold=threshold
    )
    values = np.random.default_rng(0)
    for index in range(2 * network.spec.variant.paths + 2):
        frame = values.integers(0, 256, (height, width, 3)).astype(np.uint8)
        labels, path = ours.push(torch.tensor(frame))
        assert path == index % network.spec.variant.paths + 1
        assert labels.dtype == torch.uint8
        logits = oracle.push(frame)
        expected = logits.argmax(0) if threshold is None else torch.sigmoid(logits[0]) > threshold
        assert torch.equal(labels, expected.to(torch.uint8))


@pytest.mark.usefixtures("nothing_is_compiled")
def test_all_questions(tiny_bundle: Tiny, tiny_checkpoint: Tiny, tmp_path: Path) -> None:
    ckpt = str(tiny_checkpoint("td2-fa18"))
    job = job_for(tiny_bundle("td2-fa18"), tmp_path, "pytorch", ckpt=ckpt)
    steps = Steps()
    run_pytorch(job, steps.log, gpu=FakeGpu(), device="cpu")
    assert steps.failed == {}
    eager = [m.side for m in steps["GPU compute, eager sides in turn"].measurements]
    assert eager == [EAGER_FP32, EAGER_FP16]
    compute = steps["GPU compute, all sides in turn"].measurements
    assert [(m.side, m.precision) for m in compute] == [
        (EAGER_FP32, "fp32"),
        (EAGER_FP16, "fp16"),
        (COMPILED, "fp16"),
    ]
    assert compute[0].timed.samples_us == {1: (1e3 * SPAN_MS,) * 4, 2: (1e3 * SPAN_MS,) * 4}
    assert {m.labels for m in steps["host call, all sides in turn"].measurements} == {"host"}
    full, half = (np.load(job.labels_folder / f"{side}.npy") for side in (EAGER_FP32, EAGER_FP16))
    assert full.shape == half.shape
    assert (full == half).mean() > 0.9
    assert not torch.backends.cudnn.allow_tf32


@pytest.mark.usefixtures("nothing_is_compiled")
def test_made_up_weights_have_no_labels(tiny_bundle: Tiny, tmp_path: Path) -> None:
    steps = Steps()
    run_pytorch(job_for(tiny_bundle("td2-fa18"), tmp_path, "pytorch"), steps.log, gpu=FakeGpu(), device="cpu")
    assert steps.failed == {}
    assert not (tmp_path / "labels").exists()
    assert "made-up" in steps[EAGER_FP32].value


def test_a_compiler_that_fails_costs_itself_alone(
    tiny_bundle: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(network: object) -> object:
        raise RuntimeError("no compiler")

    monkeypatch.setattr(pytorch_part, "compiled", broken)
    steps = Steps()
    run_pytorch(job_for(tiny_bundle("td2-fa18"), tmp_path, "pytorch"), steps.log, gpu=FakeGpu(), device="cpu")
    assert steps.failed == {COMPILED: "RuntimeError: no compiler"}
    assert len(steps["GPU compute, eager sides in turn"].measurements) == 2
