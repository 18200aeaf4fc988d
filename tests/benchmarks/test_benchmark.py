from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest

from tdnet_bench.benchmark import Run, run_benchmark
from tdnet_bench.documents.journal import complete, journal_path, read_run
from tdnet_bench.loops.back_to_back import warm_up
from tdnet_bench.loops.parts import Pace
from tdnet_bench.options import BenchOptions
from tdnet_bench.quality import reference
from tdnet_bench.records.frames import CameraRecord, FrameRecord, PacedRecord
from tdnet_bench.sides import requests
from tdnet_bench.sides.side import Tick
from tdnet_bench.statistics.summary import summarise
from tdnet_eval import networks
from tdnet_eval.result_file import records_as_json, write_document
from tdnet_runtime.backends.fake import FakeProgram
from tdnet_runtime.errors import BackendError, CheckpointError, MediaError, OptionError
from tdnet_runtime.media.scene import render

QUICK = Pace(pause_ms=0, warm_up=partial(warm_up, floor_ns=0))
SUBJECT = "fake:fp32"


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


def _run(engine: Path, *, phases: Phases | None = None, **options: object) -> Run:
    settings = {"engine": engine, "threads": 1, "frames": 4, "backends": ("fake",), "peers": ("none",)}
    made = BenchOptions(**(settings | options))  # type: ignore[arg-type]
    return run_benchmark(made, phase=phases or Phases(), pace=QUICK)


def _folder(path: Path, count: int, size_hw: tuple[int, int] = (60, 80)) -> Path:
    path.mkdir()
    for index in range(count):
        image = render(index, height=size_hw[0], width=size_hw[1])
        assert cv2.imwrite(str(path / f"shot{index:03}.png"), image)
    return path


@pytest.fixture
def _no_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (reference, requests):
        monkeypatch.setattr(module, "torch_is_installed", lambda: False)


def test_bundle_beside_pytorch_with_made_up_weights(engine: Path) -> None:
    pytest.importorskip("torch")
    phases = Phases()
    run = _run(engine, phases=phases, frames=6, peers=())
    document = run.document
    assert phases.announced == {
        "rendering the scene": 7,
        "warming up": 4,
        "warming up pytorch": 4,
        "back to back": 7,
    }
    assert phases.ticks == phases.announced
    assert (document.config.subject, document.config.reference) == (SUBJECT, None)
    assert document.config.engine == "tiny.plan"
    frames = [r for r in document.records if isinstance(r, FrameRecord)]
    assert [r.frame for r in frames] == [i for i in range(7) for _ in range(2)]
    assert {r.agreement for r in frames} == {None}
    assert {r.temporal_consistency is None for r in frames if r.side == "pytorch"} == {True}
    assert any("label agreement was NOT measured" in note for note in document.notes)
    assert document.summary == summarise(document.records, sides=document.sides, paths=2)
    assert document.setup.keys() == document.sides.keys() == {SUBJECT, "pytorch"}
    assert document.sides["pytorch"].weights == "synthetic"
    for side in document.summary.sides.values():
        assert side.overall is not None
        assert side.overall.samples == 6
        assert [frame.frame for frame in side.lead_in] == [0]
    (comparison,) = document.summary.comparisons
    assert comparison.overall is not None
    assert comparison.overall.pairs == 6
    assert document.exit_code == 0
    assert str(engine.parent) not in records_as_json(document).decode()


@pytest.mark.usefixtures("_no_torch")
def test_without_torch_the_bundle_is_measured_alone(engine: Path) -> None:
    document = _run(engine, peers=()).document
    assert document.summary.sides.keys() == {SUBJECT}
    assert document.summary.comparisons == ()
    assert any("PyTorch is not installed" in note for note in document.notes)
    assert (document.left_out, document.exit_code) == ((), 0)  # nobody asked for it


@pytest.mark.usefixtures("_no_torch")
def test_without_torch_what_was_asked_for_is_left_out_and_the_rest_measured(
    engine: Path, tmp_path: Path
) -> None:
    ckpt = tmp_path / "best.pth"
    ckpt.write_bytes(b"the weights")
    document = _run(engine, peers=("torch-compile",), ckpt=ckpt).document
    assert [left.what for left in document.left_out] == ["pytorch", "torch-compile"]
    assert "pip install" in document.left_out[0].reason
    assert document.exit_code == 3
    assert document.summary.sides.keys() == {SUBJECT}


def test_a_bundle_that_lacks_a_backend_says_which(engine: Path) -> None:
    document = _run(engine, peers=("fake:fp16", "auto:int8")).document
    assert [left.what for left in document.left_out] == ["fake:fp16", "auto:int8"]
    assert "fp16" in document.left_out[0].reason
    assert document.exit_code == 3
    text = records_as_json(document).decode()
    assert str(engine.parent) not in text


def test_a_subject_that_cannot_run_gives_way_to_the_next(engine: Path) -> None:
    document = _run(engine, backends=("fake:bf16", "fake")).document
    assert document.config.subject == SUBJECT
    assert document.config.requested == ("fake:bf16", "fake", "none")
    assert [left.what for left in document.left_out] == ["fake:bf16"]
    with pytest.raises(BackendError, match="bf16"):
        _run(engine, backends=("fake:bf16",))


def test_another_checkpoint_ends_it_before_anything_is_measured(engine: Path, tmp_path: Path) -> None:
    ckpt = tmp_path / "other.pth"
    ckpt.write_bytes(b"something else")
    phases = Phases()
    with pytest.raises(CheckpointError, match="not the checkpoint that the bundle was exported from"):
        _run(engine, phases=phases, ckpt=ckpt, peers=())
    assert phases.announced == {}


def test_a_real_bundle_agrees_with_its_checkpoint(
    tiny_bundle: Callable[[str], Path], tiny_checkpoint: Callable[[str], Path]
) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("torch")
    run = _run(
        tiny_bundle("td2-fa18"),
        ckpt=tiny_checkpoint("td2-fa18"),
        backends=("onnxruntime",),
        peers=("pytorch-channels-last", "onnxruntime:fp32"),
    )
    document = run.document
    assert list(document.sides) == ["onnxruntime:fp32", "pytorch", "pytorch-channels-last"]
    assert document.config.reference == "pytorch"
    assert "onnxruntime:fp32 is onnxruntime:fp32, which was measured once" in document.notes
    for side in ("onnxruntime:fp32", "pytorch-channels-last"):
        agreement = document.summary.sides[side].quality.agreement
        assert agreement is not None
        assert agreement.mean > 0.999
    assert document.summary.sides["pytorch"].quality.agreement is None
    assert document.summary.sides["pytorch"].quality.temporal_consistency is not None
    assert (document.left_out, document.exit_code) == ((), 0)
    assert run.picture is not None
    assert run.picture.labels.keys() == document.sides.keys()
    assert run.picture.image.shape[:2] == (document.config.height, document.config.width)


def test_a_reference_that_disagrees_is_loud_and_the_exit_code_tells(
    tiny_bundle: Callable[[str], Path],
    tiny_checkpoint: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("torch")
    monkeypatch.setattr(
        "tdnet_bench.loops.lineup.network_for", lambda manifest, ckpt: _other_network(manifest)
    )
    document = _run(
        tiny_bundle("td2-fa18"), ckpt=tiny_checkpoint("td2-fa18"), backends=("onnxruntime",), peers=()
    ).document
    assert document.exit_code == 4
    assert any(note.startswith("THE REFERENCE DISAGREES") for note in document.notes)


def _other_network(manifest: object) -> object:
    return networks.network_for(manifest, None)  # type: ignore[arg-type]


def test_files_are_measured_from_camera_to_mask_at_their_own_size(engine: Path, tmp_path: Path) -> None:
    phases = Phases()
    folder = _folder(tmp_path / "clip", 9)
    document = _run(engine, phases=phases, input=folder, peers=("pytorch",)).document
    camera = [r for r in document.records if isinstance(r, CameraRecord)]
    assert [(r.frame, r.side) for r in camera] == [(i, SUBJECT) for i in range(5)]  # PyTorch takes one size
    assert all(r.decode_ns > 0 and r.camera_to_mask_ns == r.decode_ns + r.push_ns for r in camera)
    assert phases.ticks["camera to mask"] == phases.announced["camera to mask"] == 5
    assert document.config.footage_size_hw == (60, 80)
    assert document.sides[SUBJECT].clocks.keys() == {"host call", "camera to mask"}
    overall = document.summary.camera[SUBJECT].overall
    assert overall is not None
    assert overall.samples == 4


def test_rates_are_paced_one_after_the_other(engine: Path) -> None:
    phases = Phases()
    document = _run(engine, phases=phases, fps=(200.0, 100.0, 200.0)).document
    assert document.config.fps == (100.0, 200.0)
    assert [rate.fps for rate in document.summary.paced] == [100.0, 200.0]
    assert phases.ticks["paced, 100 frames/s"] == phases.announced["paced, 200 frames/s"] == 5
    records = [r for r in document.records if isinstance(r, PacedRecord)]
    assert [r.push for r in records] == [*range(5), *range(5)]


def test_label_images_give_miou(engine: Path, tmp_path: Path) -> None:
    folder = _folder(tmp_path / "clip", 9)
    labels = tmp_path / "annot"
    labels.mkdir()
    alone = _run(engine, input=folder).document
    assert alone.summary.sides[SUBJECT].quality.accuracy is None
    for index in (1, 2, 8):  # the last one is not measured: 5 frames are
        truth = np.full((60, 80), index % 5, dtype=np.uint8)
        truth[:30] = 255
        assert cv2.imwrite(str(labels / f"shot{index:03}.png"), truth)
    document = _run(engine, input=folder, labels=labels).document
    accuracy = document.summary.sides[SUBJECT].quality.accuracy
    assert accuracy is not None
    assert accuracy.frames == 2
    pixels = [r.class_pixels for r in document.records if isinstance(r, FrameRecord) and r.class_pixels]
    assert [sum(counts.truth) for counts in pixels] == [30 * 80] * 2
    assert (document.config.labels, document.exit_code) == ("annot", 0)


def test_label_images_of_other_frames_are_left_out(engine: Path, tmp_path: Path) -> None:
    labels = _folder(tmp_path / "annot", 1)
    (labels / "shot000.png").rename(labels / "other.png")
    document = _run(engine, input=_folder(tmp_path / "clip", 9), labels=labels).document
    assert [left.what for left in document.left_out] == ["--labels"]
    assert document.exit_code == 3


def test_a_short_input_is_measured_as_far_as_it_goes(engine: Path, tmp_path: Path) -> None:
    document = _run(engine, input=_folder(tmp_path / "clip", 4), frames=50).document
    assert [r.frame for r in document.records if isinstance(r, FrameRecord)] == [0, 1, 2, 3]
    assert "the input ended after 4 of the 51 frames that --frames asks for" in document.notes
    assert document.config.footage == "clip, 60x80, resized to 48x48 beforehand"


def test_an_input_without_a_warm_frame_is_refused(engine: Path, tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="--input has 1 frames in a row; at least 2 are needed"):
        _run(engine, input=_folder(tmp_path / "clip", 1))


def test_a_file_of_another_run_is_refused_before_anything_slow(engine: Path, tmp_path: Path) -> None:
    target = tmp_path / "run.json"
    first = _run(engine, json=target).document
    complete(first, target)
    before = target.read_bytes()
    phases = Phases()
    with pytest.raises(OptionError, match=r"another configuration .*warm_frames_requested 4, now 5"):
        _run(engine, phases=phases, json=target, frames=5)
    assert phases.announced == {}
    assert target.read_bytes() == before
    second = _run(engine, json=target).document  # the same again
    complete(second, target)
    assert read_run(target) == second
    other = msgspec.structs.replace(first, config=msgspec.structs.replace(first.config, threads=3))
    write_document(other, target)
    with pytest.raises(OptionError, match="threads 3, now 1"):
        _run(engine, json=target)


def test_a_run_that_breaks_off_leaves_what_it_had(
    engine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "run.json"
    runs = 0
    real = FakeProgram.run

    def fails_in_the_end(self: FakeProgram) -> None:
        nonlocal runs
        runs += 1
        if runs > 4 + 3:  # the warm-up and three frames
            raise BackendError("the engine died")
        real(self)

    monkeypatch.setattr(FakeProgram, "run", fails_in_the_end)
    with pytest.raises(BackendError, match="the engine died"):
        _run(engine, json=target)
    assert not target.exists()
    left = read_run(journal_path(target))
    assert [r.frame for r in left.records if isinstance(r, FrameRecord)] == [0, 1, 2]
    assert left.config.subject == SUBJECT
    overall = left.summary.sides[SUBJECT].overall
    assert overall is not None
    assert overall.samples == 2


def test_names_that_are_not_utf8_are_escaped(engine: Path, tmp_path: Path) -> None:
    """Of the bundle, the clip and the label images; the same run may come again."""
    cafe = os.fsdecode(b"caf\xe9")
    clip = _folder(tmp_path / "clip", 7).rename(tmp_path / cafe)
    options = {
        "input": clip,
        "labels": _labels(tmp_path / "labels").rename(tmp_path / f"{cafe}-labels"),
        "json": tmp_path / "run.json",
    }
    for _ in range(2):
        document = _run(engine.rename(tmp_path / f"{cafe}.plan"), **options).document
        (tmp_path / f"{cafe}.plan").rename(engine)
        assert read_run(journal_path(tmp_path / "run.json")).config == document.config
        complete(document, tmp_path / "run.json")
        assert read_run(tmp_path / "run.json") == document
    assert document.config.engine == r"caf\udce9.plan"
    assert document.config.footage.startswith(r"caf\udce9, ")
    assert document.config.labels == r"caf\udce9-labels"


def _labels(folder: Path) -> Path:
    folder.mkdir()
    assert cv2.imwrite(str(folder / "shot000.png"), np.zeros((60, 80), np.uint8))
    return folder
