"""Questions about ONNX Runtime, on the CPU's provider: it has no CUDA graphs, and all else."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tests.benchmarks.gpu_check.doubles import CPU, SPAN_MS, FakeGpu, Steps, job_for

from tdnet_bench.gpu_check.cuda_part import on_stream, run_cuda
from tdnet_runtime import Segmenter
from tdnet_runtime.backends.cuda import CUDA

TinyBundle = Callable[[str], Path]


@pytest.fixture
def steps() -> Steps:
    return Steps()


def test_all_questions(steps: Steps, tiny_bundle: TinyBundle, tmp_path: Path) -> None:
    job = job_for(tiny_bundle("td2-fa18"), tmp_path, "cuda")
    run_cuda(job, steps.log, gpu=FakeGpu(), provider=CPU)
    assert steps.failed == {}
    (call,) = steps["host call, CUDA graphs"].measurements
    assert (call.side, call.clock, call.captured, call.timed.overall.samples) == (
        "cuda",
        "host call",
        False,
        8,
    )
    for mode in ("CUDA graphs", "no CUDA graphs"):
        compute, around = steps[f"GPU compute, {mode}"].measurements
        # two graphs to a frame, SPAN_MS between the events around each
        assert compute.timed.samples_us == {1: (2e3 * SPAN_MS,) * 4, 2: (2e3 * SPAN_MS,) * 4}
        assert (compute.clock, around.clock) == ("gpu compute", "host call")
    memory = steps["memory of further streams"].value
    assert (memory["first_stream_bytes"], memory["further_stream_bytes"]) == (1000, [1000] * 3)
    with Segmenter.open(job.bundle_path, backend="onnxruntime") as segmenter, segmenter.stream() as stream:
        expected = [stream.push(frame).labels for frame in job.frames()]
    assert np.array_equal(np.load(job.labels_folder / "cuda.npy"), expected)


def test_a_bundle_that_does_not_open(steps: Steps, tiny_bundle: TinyBundle, tmp_path: Path) -> None:
    absent = dataclasses.replace(CPU, name="NoSuchExecutionProvider")
    run_cuda(job_for(tiny_bundle("td2-fa18"), tmp_path, "cuda"), steps.log, gpu=FakeGpu(), provider=absent)
    assert list(steps.failed) == ["open as shipped"]
    assert len(steps.all) == 1


def test_one_failure_costs_one_answer(
    steps: Steps, tiny_bundle: TinyBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu = FakeGpu()
    monkeypatch.setattr(gpu, "free_bytes", lambda: 1 // 0)
    run_cuda(job_for(tiny_bundle("td2-fa18"), tmp_path, "cuda"), steps.log, gpu=gpu, provider=CPU)
    assert list(steps.failed) == ["memory of further streams"]
    assert len(steps.all) == 6


def test_the_stream_and_graphs_are_options_of_the_provider() -> None:
    captured, plain = (on_stream(CUDA, 77, graphs=graphs) for graphs in (True, False))
    assert captured.options == {**CUDA.options, "user_compute_stream": "77"} == plain.options
    assert captured.graphs == CUDA.graphs
    assert plain.graphs == {}
    assert "user_compute_stream" not in CUDA.options
