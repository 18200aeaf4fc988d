from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import msgspec
import pytest

from tdnet_bench import baselines, benchmark
from tdnet_bench.benchmark import busy_notes, run_benchmark
from tdnet_bench.document import encode_document
from tdnet_bench.options import BenchOptions
from tdnet_bench.runner import Tick, measure, warm_up
from tdnet_bench.stats import summarise
from tdnet_runtime import Segmenter
from tdnet_runtime.errors import CheckpointError, MediaError


class Phases:
    """Counts the ticks of each phase."""

    def __init__(self) -> None:
        self.announced: dict[str, int] = {}
        self.ticks: dict[str, int] = {}

    @contextmanager
    def __call__(self, description: str, frames: int) -> Iterator[Tick]:
        self.announced[description] = frames
        self.ticks[description] = 0

        def tick() -> None:
            self.ticks[description] += 1

        yield tick


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No time floor and no pauses: the fake backend needs neither."""
    monkeypatch.setattr(benchmark, "warm_up", partial(warm_up, floor_ns=0))
    monkeypatch.setattr(benchmark, "measure", partial(measure, pause_ms=0))


@pytest.fixture
def _no_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baselines, "_torch_is_installed", lambda: False)


def test_bundle_against_a_reference_with_made_up_weights(engine: Path) -> None:
    pytest.importorskip("torch")
    phases = Phases()
    options = BenchOptions(engine=engine, threads=1, frames=6, backend="fake")
    document = run_benchmark(options, phase=phases)
    assert phases.announced == {
        "rendering the scene": 7,
        "warming up the bundle": 4,
        "warming up the reference": 4,
        "measuring": 7,
    }
    assert phases.ticks == phases.announced
    assert document.config.reference == "synthetic"
    assert document.config.engine == "tiny.plan"
    assert [r.frame for r in document.records] == [i for i in range(7) for _ in range(2)]
    assert {r.agreement for r in document.records} == {None}
    assert any("label agreement was NOT measured" in note for note in document.notes)
    assert document.summary == summarise(document.records, baseline="reference")
    assert document.warm_up_frames == {"bundle": 4, "reference": 4}
    for side in document.summary.sides.values():
        assert side.overall is not None
        assert side.overall.samples == 6
        assert [frame.frame for frame in side.lead_in] == [0]
    assert str(engine.parent) not in encode_document(document).decode()


@pytest.mark.usefixtures("_no_torch")
def test_without_torch_the_bundle_is_measured_alone(engine: Path) -> None:
    document = run_benchmark(BenchOptions(engine=engine, threads=1, frames=3, backend="fake"), phase=Phases())
    assert document.config.reference == "absent"
    assert document.summary.sides.keys() == {"bundle"}
    assert document.summary.comparisons == ()
    assert any("PyTorch is not installed" in note for note in document.notes)


def test_another_checkpoint_ends_it_before_anything_is_measured(engine: Path, tmp_path: Path) -> None:
    ckpt = tmp_path / "other.pth"
    ckpt.write_bytes(b"something else")
    phases = Phases()
    with pytest.raises(CheckpointError, match="not the checkpoint that the bundle was exported from"):
        run_benchmark(BenchOptions(engine=engine, ckpt=ckpt, threads=1, backend="fake"), phase=phases)
    assert phases.announced == {}


@pytest.mark.usefixtures("_no_torch")
def test_a_short_input_is_measured_as_far_as_it_goes(engine: Path, tmp_path: Path) -> None:
    folder = _folder(tmp_path / "clip", 4)
    options = BenchOptions(engine=engine, input=folder, threads=1, frames=50, backend="fake")
    document = run_benchmark(options, phase=Phases())
    assert [r.frame for r in document.records] == [0, 1, 2, 3]
    assert "the input ended after 4 of the 51 frames that --frames 50 asks for" in document.notes
    assert document.config.footage.startswith("clip, resized")


@pytest.mark.usefixtures("_no_torch")
def test_an_input_without_a_warm_frame_is_refused(engine: Path, tmp_path: Path) -> None:
    folder = _folder(tmp_path / "clip", 1)
    options = BenchOptions(engine=engine, input=folder, threads=1, backend="fake")
    with pytest.raises(MediaError, match="--input has 1 frames; at least 2 are needed"):
        run_benchmark(options, phase=Phases())


@pytest.mark.usefixtures("_no_torch")
def test_a_resampled_bundle_is_called_an_approximation(engine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Segmenter.open

    def resampled(path: Path, *, backend: str, threads: int) -> Segmenter:
        segmenter = real(path, backend=backend, threads=threads)
        segmenter.bundle.manifest = msgspec.structs.replace(segmenter.manifest, size_resampled=True)
        return segmenter

    monkeypatch.setattr(Segmenter, "open", resampled)
    document = run_benchmark(BenchOptions(engine=engine, threads=1, frames=2, backend="fake"), phase=Phases())
    assert any("approximation" in note for note in document.notes)
    assert document.config.size_resampled


def test_a_busy_machine_is_called_one() -> None:
    assert busy_notes(0.09, 2) == ()
    (note,) = busy_notes(0.26, 2)
    assert "other programs kept 0.3 of 2 cores busy" in note


def _folder(path: Path, count: int) -> Path:
    import cv2

    from tdnet_runtime.media.scene import render

    path.mkdir()
    for index in range(count):
        assert cv2.imwrite(str(path / f"{index:03}.png"), render(index, height=40, width=60))
    return path
