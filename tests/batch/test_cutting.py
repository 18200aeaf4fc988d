"""Long videos in pieces: the labels are those of the whole, and the cost is told."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import fsspec
import numpy as np
import pytest
from tests.batch.conftest import Batch, labels_in, make_images, make_video, tree_of

from tdnet_batch.digest import input_sha256
from tdnet_batch.job import Job, JobKind
from tdnet_batch.pool import Answer
from tdnet_batch.segmentation import Counts
from tdnet_batch.settings import Form
from tdnet_batch.span import Span, SpanReader
from tdnet_batch.view import joints_words
from tdnet_runtime.errors import BackendError


def kinds(batch: Batch) -> list[str]:
    return [job.kind.value for job in batch.pool.done]


@pytest.mark.parametrize("form", [Form.PNG, Form.NPZ, Form.VIDEO])
@pytest.mark.parametrize("cut", [1, 3, 4, 5, 16, 17, 99])
def test_pieces_make_the_whole(batch: Batch, tmp_path: Path, cut: int, form: Form) -> None:
    source = make_video(tmp_path / "v.mkv", frames=17, seed=4)
    (whole,) = batch(source, form=form).records
    expected = tree_of(batch.output)
    (record,) = batch(source, form=form, cut_frames=cut, output=tmp_path / "cut").records
    assert record.error is None
    assert tree_of(tmp_path / "cut") == expected
    assert (record.frames, record.classes) == (17, whole.classes)
    pieces = -(-17 // cut)
    assert kinds(batch) == ["plan", *(["piece"] * pieces + ["join"] if pieces > 1 else [])]
    if pieces > 1:
        assert record.joints is not None
        assert (record.joints.pieces, record.joints.equal_pixels) == (pieces, 1.0)
        assert record.joints.compared_frames >= pieces - 1
    assert not (tmp_path / "cut" / ".tdnet-batch" / "pieces" / record.output).exists()


def test_the_cost_is_told(batch: Batch, tmp_path: Path) -> None:
    source = make_video(tmp_path / "v.mkv", frames=12, seed=4)
    assert joints_words(batch(source, cut_frames=4)) == (
        "1 inputs into 3 pieces; 4 of 16 frames segmented twice to warm up; agreement with the uncut stream after the "
        "joints 100 % (4 frames, the worst input 100 %)"
    )
    assert joints_words(batch(source, cut_frames=4)) is None  # nothing was cut now


def test_without_a_warm_up_it_would_show(
    batch: Batch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make_video(tmp_path / "v.mkv", frames=12, seed=4)
    monkeypatch.setattr(Span, "earliest", property(lambda span: span.start))
    (record,) = batch(source, cut_frames=4).records
    assert record.joints is not None
    assert record.joints.equal_pixels is not None
    assert record.joints.equal_pixels < 1
    assert "100 %" not in str(joints_words(batch(source, cut_frames=5)))


def test_a_second_run_keeps_the_pieces(batch: Batch, tmp_path: Path) -> None:
    source = make_images(tmp_path / "a", frames=10)

    def end(job: Job) -> Answer | None:
        if job.piece == 2:
            raise BackendError("the driver was killed")
        return None

    with pytest.raises(BackendError):
        batch(source, cut_frames=4, before=end)
    assert not (batch.output / "a.labels").exists()
    made: list[str] = []
    worker_segment = Counts.add

    def add(self: Counts, labels: np.ndarray) -> None:
        made.append("frame")
        worker_segment(self, labels)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Counts, "add", add)
        (record,) = batch(source, cut_frames=4).records
    assert len(made) == 2  # of the third piece
    assert record.frames == 10
    assert len(labels_in(batch.output / "a.labels")) == 10


def test_a_broken_piece_costs_the_input_one_row(batch: Batch, tmp_path: Path) -> None:
    folder = make_images(tmp_path / "a", frames=8)
    (folder / "007.png").write_bytes((folder / "007.png").read_bytes()[:30])
    make_images(tmp_path / "b", frames=3)
    summary = batch(folder, tmp_path / "b", cut_frames=2, on_damage="fail")
    (record,) = summary.failed
    assert record.output == "a.labels"
    assert [each.output for each in summary.made] == ["b.labels"]
    lines = (batch.output / "manifest.jsonl").read_text().splitlines()
    assert len(lines) == 2


def test_a_lost_worker_with_a_piece(batch: Batch, tmp_path: Path) -> None:
    folder = make_images(tmp_path / "a", frames=8, seed=3)
    batch(folder)
    expected = tree_of(batch.output)
    left = [1]

    def lose(job: Job) -> Answer | None:
        if job.kind is JobKind.PIECE and job.piece == 1 and left:
            left.pop()
            return Answer(job=job, lost="gone")
        return None

    summary = batch(folder, cut_frames=3, before=lose, output=tmp_path / "cut")
    assert summary.lost == 1
    assert tree_of(tmp_path / "cut") == expected


def frames(count: int, begins: tuple[int, ...] = ()) -> list[SimpleNamespace]:
    return [SimpleNamespace(index=index, begins=index in begins) for index in range(count)]


@pytest.mark.parametrize("paths", [1, 2, 3, 4])
@pytest.mark.parametrize("begins", [(), (5,), (1, 2, 13), (9, 10)])
@pytest.mark.parametrize("cut", [1, 4, 6, 7])
def test_each_frame_of_a_span_has_its_memory_and_its_path(
    paths: int, begins: tuple[int, ...], cut: int
) -> None:
    """By what a stream would remember: the sub-network, and the frames before it since the last reset."""

    def remembered(given: list[SimpleNamespace]) -> dict[int, tuple[int, tuple[int, ...]]]:
        found, since = {}, []
        for number, frame in enumerate(given):
            if frame.begins and number:
                since = []
            found[frame.index] = len(since) % paths, tuple(since[-(paths - 1) :] if paths > 1 else ())
            since.append(frame.index)
        return found

    video = frames(17, begins)
    whole = remembered(video)
    pieces = -(-17 // cut)
    covered = []
    for number in range(pieces):
        span = Span.piece(number, of=pieces, frames=cut, paths=paths)
        reader = SpanReader(span)
        given, inside = [], []
        for frame in reader(video):  # type: ignore[arg-type]
            given.append(frame)
            assert reader.index == frame.index
            if reader.inside:
                inside.append(frame.index)
        made = remembered(given)
        assert {index: made[index] for index in inside} == {index: whole[index] for index in inside}
        assert reader.warm_up <= 2 * paths - 2
        covered += inside
    assert covered == list(range(17))


@pytest.mark.parametrize("kind", [JobKind.PIECE, JobKind.JOIN])
def test_an_input_that_changes_while_it_is_cut_is_no_mixture(
    batch: Batch, tmp_path: Path, kind: JobKind
) -> None:
    """From a bucket, whose key the record must not have of the newer content."""
    fs = fsspec.filesystem("memory")
    fs.put(str(make_video(tmp_path / "v.mkv", frames=9, seed=1)), "/cut/v.mkv")
    other = make_video(tmp_path / "w.mkv", frames=9, seed=2).read_bytes()

    def change(job: Job) -> None:
        if job.kind is kind and job.piece == (kind is JobKind.PIECE):
            fs.pipe("/cut/v.mkv", other)

    try:
        (record,) = batch("memory://cut/v.mkv", before=change, form=Form.NPZ, cut_frames=3).records
        if kind is JobKind.PIECE:
            assert record.error == "cutting the input: it changed meanwhile; start it again"
        else:
            assert record.error is None
        (again,) = batch("memory://cut/v.mkv", form=Form.NPZ, cut_frames=3).made
        assert again.input_sha256 not in (None, record.input_sha256)
    finally:
        fs.rm("/cut", recursive=True)


def touch(path: Path) -> None:
    os.utime(path, ns=(0, 0))


def write_same(path: Path) -> None:
    path.write_bytes(path.read_bytes())
    touch(path)


def write_other(path: Path) -> None:
    """Of the same size, with the time set back."""
    status = path.stat()
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    while path.stat().st_ctime_ns == status.st_ctime_ns:
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.mark.parametrize(("change", "read"), [(None, 1), (touch, 4), (write_same, 4), (write_other, None)])
@pytest.mark.parametrize("folder", [False, True])
def test_pieces_read_an_input_again_only_where_it_may_have_changed(
    batch: Batch,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Path], None] | None,
    read: int | None,
    folder: bool,
) -> None:
    source = make_images(tmp_path / "a", frames=9) if folder else make_video(tmp_path / "v.mkv", frames=9)
    digested: list[Path] = []

    def digest(path: Path) -> str:
        digested.append(path)
        return input_sha256(path)

    def change_once(job: Job) -> None:
        if change is not None and job.kind is JobKind.PIECE and job.piece == 0:
            change(source / "004.png" if folder else source)

    monkeypatch.setattr("tdnet_batch.worker.input_sha256", digest)
    (record,) = batch(source, before=change_once, cut_frames=3).records
    if read is None:
        assert record.error == "cutting the input: it changed meanwhile; start it again"
    else:
        assert (record.error, len(digested)) == (None, read)
