"""A batch from its inputs to its manifest, by a worker in this process."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from tests.batch.conftest import Batch, labels_in, make_images, make_video, tree_of

from tdnet_batch.job import Job, JobKind, Outcome
from tdnet_batch.pool import Answer
from tdnet_batch.record import read_record
from tdnet_batch.settings import Form
from tdnet_batch.view import tell_failures
from tdnet_runtime import Segmenter
from tdnet_runtime.errors import BackendError, MediaError
from tdnet_runtime.sources.registry import open_source


def plain_loop(engine: Path, source: Path) -> list[np.ndarray]:
    with (
        open_source(source) as frames,
        Segmenter.open(engine, backend="fake") as segmenter,
        segmenter.stream() as stream,
    ):
        return [stream.push(frame.image).labels for frame in frames]


def rows(batch: Batch) -> list[dict]:
    return [json.loads(line) for line in (batch.output / "manifest.jsonl").read_text().splitlines()]


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """Two folders of images and a video, one below the other."""
    root = tmp_path / "logs"
    make_images(root / "a", frames=6, seed=1)
    make_images(root / "b" / "front", frames=9, seed=2)
    make_video(root / "b" / "rear.mkv", frames=7, seed=3)
    (root / "notes.txt").write_text("x")
    return root


def test_labels_are_those_of_the_plain_loop_and_of_tdnet_run(
    batch: Batch, logs: Path, tmp_path: Path, command: Callable
) -> None:
    summary = batch(logs)
    assert [record.output for record in summary.records] == [
        "a.labels", "b/front.labels", "b/rear.mkv.labels",
    ]  # fmt: skip
    assert [record.error for record in summary.records] == [None] * 3
    assert summary.passed_over == 1
    for record, source in zip(summary.records, ("a", "b/front", "b/rear.mkv"), strict=True):
        expected = plain_loop(batch.engine, logs / source)
        found = [
            cv2.imdecode(np.frombuffer(png, np.uint8), -1)
            for png in labels_in(batch.output / record.output).values()
        ]
        np.testing.assert_array_equal(found, expected)
        assert len({int(each[0, 0]) for each in found}) > 2
        arguments = ("--engine", batch.engine, "--backend", "fake", "--input", logs / source)
        done = command("tdnet-run", *arguments, "--labels", tmp_path / "run" / source)
        assert done.returncode == 0, done.stderr
        assert labels_in(tmp_path / "run" / source) == labels_in(batch.output / record.output)


def test_labels_of_logs_are_those_of_tdnet_run(batch: Batch, tmp_path: Path, command: Callable) -> None:
    """An MCAP of two topics, and the two parts of a recording of rosbag2."""
    pytest.importorskip("mcap")
    from tests.runtime.sources.logs import camera, raw, write_db3, write_mcap

    root = tmp_path / "in"
    (root / "bag").mkdir(parents=True)
    write_mcap(root / "a.mcap", camera(5) | {"/rear": camera(4, first=9)["/cam"]})
    write_db3(root / "bag" / "bag_0.db3", camera(3, make=raw))
    write_db3(root / "bag" / "bag_1.db3", camera(3, first=3, make=raw))
    summary = batch(f"{root}/*.mcap?topic=/rear", f"{root}/*.mcap?topic=/cam", root / "bag")
    assert [(record.output, record.error, record.frames) for record in summary.records] == [
        ("a.mcap@cam.labels", None, 5), ("a.mcap@rear.labels", None, 4), ("bag.labels", None, 6),
    ]  # fmt: skip
    for record, source in zip(
        summary.records, ("a.mcap?topic=/cam", "a.mcap?topic=/rear", "bag"), strict=True
    ):
        arguments = ("--engine", batch.engine, "--backend", "fake", "--input", root / source)
        done = command("tdnet-run", *arguments, "--labels", tmp_path / "run" / record.output)
        assert done.returncode == 0, done.stderr
        assert labels_in(tmp_path / "run" / record.output) == labels_in(batch.output / record.output)


def test_naive_forms_differ(batch: Batch, tmp_path: Path) -> None:
    """Rows of frames, and frames that are grouped but not sorted: what this package is there to prevent."""
    folder = make_images(tmp_path / "a", frames=12, seed=5)
    right = plain_loop(batch.engine, folder)
    with open_source(folder) as source:
        images = [frame.image for frame in source]
    with Segmenter.open(batch.engine, backend="fake") as segmenter:
        with segmenter.stream() as stream:
            rows_of_frames = []
            for image in images:
                stream.reset()
                rows_of_frames.append(stream.push(image).labels)
        order = random.Random(0).sample(range(12), 12)
        with segmenter.stream() as stream:
            unsorted = {index: stream.push(images[index]).labels for index in order}
    assert not np.array_equal(rows_of_frames, right)
    assert not np.array_equal([unsorted[index] for index in range(12)], right)
    batch(folder)
    found = [cv2.imread(str(path), -1) for path in sorted((batch.output / "a.labels").glob("*.png"))]
    np.testing.assert_array_equal(found, right)


def test_the_manifest(batch: Batch, logs: Path) -> None:
    batch(logs)
    first, *_ = found = rows(batch)
    assert len(found) == 3
    assert first["input"].endswith("logs/a")
    assert (first["state"], first["frames"], first["attempts"], first["error"]) == ("done", 6, 1, None)
    assert len(first["input_sha256"]) == len(first["bundle"]) == 64
    assert first["worker"].count(":") == 1
    assert sum(each["pixels"] for each in first["classes"].values()) == 6 * 32
    assert max(each["frames"] for each in first["classes"].values()) <= 6
    assert first["files"]["count"] == 6
    record = read_record(batch.output / "a.labels")
    assert record is not None
    assert (record.frames, record.backend, record.precision) == (6, "fake", "fp32")


def done_jobs(batch: Batch) -> list[str]:
    return [job.input.output for job in batch.pool.done]


def test_a_second_run_does_nothing(batch: Batch, logs: Path) -> None:
    batch(logs)
    before, manifest = tree_of(batch.output), (batch.output / "manifest.jsonl").read_bytes()
    stamps = [path.stat().st_mtime_ns for path in batch.output.rglob("*.png")]
    summary = batch(logs)
    assert len(summary.skipped) == 3
    assert not summary.made
    assert tree_of(batch.output) == before
    assert [path.stat().st_mtime_ns for path in batch.output.rglob("*.png")] == stamps
    assert (batch.output / "manifest.jsonl").read_bytes() == manifest
    assert batch.pool.worker._segmenter is None  # which nobody needed


def change_image(batch: Batch, logs: Path) -> None:
    make_images(logs / "a", frames=6, seed=77)


def add_image(batch: Batch, logs: Path) -> None:
    make_images(logs / "a", frames=7, seed=1)


def remove_labels(batch: Batch, logs: Path) -> None:
    (batch.output / "a.labels" / "003.png").unlink()


def cut_labels(batch: Batch, logs: Path) -> None:
    path = batch.output / "a.labels" / "003.png"
    path.write_bytes(path.read_bytes()[:20])


def remove_record(batch: Batch, logs: Path) -> None:
    (batch.output / "a.labels" / "record.json").unlink()


def break_record(batch: Batch, logs: Path) -> None:
    (batch.output / "a.labels" / "record.json").write_text("{")


@pytest.mark.parametrize(
    "change", [change_image, add_image, remove_labels, cut_labels, remove_record, break_record]
)
def test_a_second_run_does_what_is_missing_or_changed(
    batch: Batch, logs: Path, change: Callable[[Batch, Path], None]
) -> None:
    batch(logs)
    change(batch, logs)
    summary = batch(logs)
    assert [record.output for record in summary.made] == ["a.labels"]
    assert len(summary.skipped) == 2
    assert len(rows(batch)) == 3
    np.testing.assert_array_equal(
        [cv2.imread(str(path), -1) for path in sorted((batch.output / "a.labels").glob("*.png"))],
        plain_loop(batch.engine, logs / "a"),
    )


def test_an_input_of_the_same_size_and_time_but_other_content_is_done_again(
    batch: Batch, tmp_path: Path
) -> None:
    import os

    folder = make_images(tmp_path / "a", frames=3, seed=1)
    path = folder / "003.bmp"
    cv2.imwrite(str(path), np.full((4, 8, 3), 1, np.uint8))
    batch(folder)
    status = path.stat()
    cv2.imwrite(str(path), np.full((4, 8, 3), 200, np.uint8))
    assert path.stat().st_size == status.st_size
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert len(batch(folder).made) == 1


def add_note(folder: Path) -> Path:
    path = folder / "notes.txt"
    path.write_text("mine")
    return path


def add_picture(folder: Path) -> Path:
    path = folder / "mine.png"
    cv2.imwrite(str(path), np.zeros((4, 4), np.uint8))
    return path


def add_folder(folder: Path) -> Path:
    (folder / "mine").mkdir()
    return add_note(folder / "mine")


def add_hidden(folder: Path) -> Path:
    path = folder / ".DS_Store"
    path.write_bytes(b"x")
    return path


@pytest.mark.parametrize("form", [Form.PNG, Form.NPZ])
@pytest.mark.parametrize("add", [add_note, add_picture, add_folder, add_hidden])
def test_what_a_user_puts_beside_labels_stays(
    batch: Batch, tmp_path: Path, add: Callable[[Path], Path], form: Form
) -> None:
    source = make_images(tmp_path / "a")
    batch(source, form=form)
    own = add(batch.output / "a.labels")
    content = own.read_bytes()
    assert len(batch(source, form=form).skipped) == 1
    make_images(source, seed=5)
    (record,) = batch(source, form=form).failed
    assert "they are to be made again, and 1 files that no run wrote would be lost" in str(record.error)
    assert own.read_bytes() == content
    shutil.move(own if own.parent.name == "a.labels" else own.parent, tmp_path)
    assert len(batch(source, form=form).made) == 1


def test_another_bundle_or_other_settings_are_done_again(
    batch: Batch, logs: Path, tiny_manifest, tiny_members
) -> None:
    from tdnet_runtime.bundle import write_bundle

    batch(logs / "a")
    assert len(batch(logs / "a", form=Form.NPZ).made) == 1
    assert [path.name for path in sorted((batch.output / "a.labels").iterdir())] == [
        "labels.npz",
        "record.json",
    ]
    assert len(batch(logs / "a", form=Form.NPZ).skipped) == 1
    write_bundle(batch.engine, tiny_manifest, tiny_members)
    assert len(batch(logs / "a", form=Form.NPZ).made) == 1


def test_a_mixture_of_bundles_is_told(batch: Batch, logs: Path, tiny_manifest, tiny_members) -> None:
    from tdnet_runtime.bundle import write_bundle

    batch(logs)
    assert batch(logs / "a", output=batch.output).others == 0
    write_bundle(batch.engine, tiny_manifest, tiny_members)
    summary = batch(logs / "a")
    assert summary.others == 2
    assert tell_failures(summary) == [
        "warning: 2 outputs there are of another bundle or other settings, and their inputs were not named: the folder is "
        "mixed; manifest.jsonl tells which"
    ]
    shutil.rmtree(batch.output / "b")
    assert batch(logs / "a").others == 0
    manifest = batch.output / "manifest.jsonl"  # of a file system that takes longer names
    manifest.write_text(manifest.read_text().replace('"b.labels"', f'"{300 * "b"}.labels"'))
    assert batch(logs / "a").others == 0
    assert not tell_failures(batch(logs))


def test_the_record_lets_a_lost_manifest_be_made_anew(batch: Batch, logs: Path) -> None:
    batch(logs)
    (batch.output / "manifest.jsonl").unlink()
    assert len(batch(logs).skipped) == 3
    assert [row["frames"] for row in rows(batch)] == [6, 9, 7]


def test_a_broken_input_costs_its_own_row(batch: Batch, logs: Path) -> None:
    (logs / "b" / "broken.mp4").write_bytes(b"no video at all")
    (logs / "b" / "empty.mcap").write_bytes(b"")
    summary = batch(logs)
    assert [record.output for record in summary.failed] == ["b/broken.mp4.labels", "b/empty.mcap.labels"]
    assert len(summary.made) == 3
    assert "not a video that FFmpeg can read" in str(summary.failed[0].error)
    assert "\n" not in str(summary.failed[0].error)
    assert not (batch.output / "b/broken.mp4.labels").exists()
    assert {row["state"] for row in rows(batch)} == {"done", "failed"}
    make_video(logs / "b" / "broken.mp4.mkv").rename(logs / "b" / "broken.mp4")
    again = batch(logs)
    assert [record.output for record in again.made] == ["b/broken.mp4.labels"]


def test_a_video_that_ends_early_leaves_nothing(batch: Batch, tmp_path: Path) -> None:
    folder = make_images(tmp_path / "a", frames=5)
    cv2.imwrite(str(folder / "004.png"), np.zeros((9, 9, 3), np.uint8))
    (record,) = batch(folder).failed
    assert "one stream has one size" in str(record.error)
    assert not (batch.output / "a.labels").exists()
    assert not (batch.output / ".tdnet-batch" / "partial").exists()


def lose(times: int, output: str = "a.labels") -> Callable[[Job], Answer | None]:
    left = [times]

    def before(job: Job) -> Answer | None:
        if job.input.output != output or not left[0]:
            return None
        left[0] -= 1
        return Answer(job=job, lost="The worker was killed")

    return before


def test_a_lost_worker_costs_nothing(batch: Batch, logs: Path) -> None:
    summary = batch(logs, before=lose(2))
    assert summary.lost == 2
    assert not summary.failed
    assert next(record for record in summary.records if record.output == "a.labels").attempts == 3
    assert len(rows(batch)) == 3


def test_an_input_that_loses_all_its_workers_is_given_up(batch: Batch, logs: Path) -> None:
    summary = batch(logs, before=lose(99), retries=1)
    (record,) = summary.failed
    assert record.error == "2 workers were lost with it, the last one: The worker was killed"
    assert len(summary.made) == 2
    assert len(batch(logs).made) == 1


def test_what_is_hopeless_ends_the_run_and_keeps_what_is_done(batch: Batch, logs: Path) -> None:
    def full(job: Job) -> Answer | None:
        if job.input.output != "a.labels":
            return None
        return Answer(job=job, outcome=Outcome(fatal="no space left"))

    with pytest.raises(BackendError, match="no space left"):
        batch(logs, before=full)
    done = {row["output"] for row in rows(batch)}
    assert "a.labels" not in done
    assert done == {
        record.output for record in batch(logs).records if record.output in batch(logs).skipped
    } - {"a.labels"}


def test_a_full_disk(batch: Batch, logs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno

    from tdnet_runtime.media.output_folder import OutputFolder

    put, room = OutputFolder.put, [4]

    def limited(self, name: str, data: bytes) -> None:
        room[0] -= 1
        if room[0] < 0:
            error = OSError(errno.ENOSPC, "No space left on device")
            raise MediaError("writing label images stopped") from error
        put(self, name, data)

    with monkeypatch.context() as patch:
        patch.setattr(OutputFolder, "put", limited)
        with pytest.raises(BackendError, match="make room, and start it again: what is done stays done"):
            batch(logs)
    assert not list(batch.output.glob("**/*.png"))
    assert len(batch(logs).made) == 3


def test_another_bundle_at_the_workers_ends_the_run(
    batch: Batch, logs: Path, tiny_manifest, tiny_members
) -> None:
    from tdnet_runtime.bundle import write_bundle

    def swap(job: Job) -> None:
        write_bundle(batch.engine, tiny_manifest, tiny_members)

    with pytest.raises(BackendError, match="another one than the driver's"):
        batch(logs, before=swap)


def test_two_runs_into_one_output(batch: Batch, logs: Path) -> None:
    refused = []

    def second(job: Job) -> None:
        if not refused:
            with pytest.raises(MediaError, match="another run is writing there") as caught:
                Batch(batch.engine, batch.output)(logs)
            refused.append(caught.value)

    assert len(batch(logs, before=second).made) == 3
    assert refused


def test_a_worker_that_outlives_its_driver_puts_nothing_there(batch: Batch, logs: Path) -> None:
    """As after a SIGKILL of the driver: the next run's outputs are its own."""
    batch(logs / "a")
    old = batch.pool.worker
    old._segmenter = None  # closed with its pool
    batch(logs / "b" / "front")
    (job,) = batch.pool.done
    outcome = old.do(job)
    assert outcome.skipped  # the second run's
    (batch.output / "front.labels" / "record.json").unlink()
    outcome = old.do(job)
    assert outcome.record is not None
    assert "another run has the folder now" in str(outcome.record.error)
    assert not (batch.output / "front.labels" / "record.json").exists()
    old.close()


def test_what_a_kill_left_is_swept_away(batch: Batch, logs: Path) -> None:
    batch(logs / "a")
    left = batch.output / ".tdnet-batch" / "partial" / "old"
    left.mkdir(parents=True)
    (left / "000.png").write_bytes(b"half")
    with (batch.output / "manifest.jsonl").open("ab") as file:
        file.write(b'{"input":"half a li')
    batch(logs)
    assert not left.exists()
    assert len(rows(batch)) == 3


def test_what_a_stopped_worker_has_begun_goes_with_the_run(batch: Batch, logs: Path) -> None:
    left = batch.output / ".tdnet-batch" / "partial" / "begun"
    batch(logs, before=lambda job: left.mkdir(parents=True, exist_ok=True))
    assert not left.exists()


def test_a_foreign_manifest_is_refused(batch: Batch, logs: Path) -> None:
    batch.output.mkdir()
    for text in ("my own\nnotes\n", "one line", '{"a": 1}\n{"b": 2}\n'):
        (batch.output / "manifest.jsonl").write_text(text)
        with pytest.raises(MediaError, match="no tdnet-batch's; name another --output"):
            batch(logs)
        assert (batch.output / "manifest.jsonl").read_text() == text
    (batch.output / "manifest.jsonl").write_text('{"input": "half a')
    assert len(batch(logs).made) == 3


@pytest.mark.parametrize("form", list(Form))
def test_forms_hold_the_same_labels(batch: Batch, tmp_path: Path, form: Form) -> None:
    if form is Form.MCAP:
        pytest.importorskip("mcap")
    source = make_video(tmp_path / "v.mkv", frames=7, seed=3)
    expected = plain_loop(batch.engine, source)
    (record,) = batch(source, form=form).records
    assert record.error is None
    folder = batch.output / record.output
    if form is Form.NPZ:
        with np.load(folder / "labels.npz") as archive:
            found = [archive[f"{index:06d}"] for index in range(7)]
    elif form is Form.PNG:
        found = [cv2.imread(str(path), -1) for path in sorted(folder.glob("*.png"))]
    else:
        spec = folder / ("labels.mkv" if form is Form.VIDEO else "labels.mcap?topic=/segmentation/mask")
        with open_source(spec) as frames:
            found = [frame.image[..., 0] for frame in frames]
    np.testing.assert_array_equal(found, expected)
    first = {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "record.json"}
    (record,) = batch(source, form=form, output=tmp_path / "again").records
    again = tmp_path / "again" / record.output
    if form is not Form.MCAP:  # whose chunks end by the clock
        assert {name: (again / name).read_bytes() for name in first} == first


def test_a_label_video_keeps_time(batch: Batch, tmp_path: Path) -> None:
    source = make_video(tmp_path / "v.mkv", frames=5)
    (record,) = batch(source, form=Form.VIDEO).records
    with open_source(batch.output / record.output / "labels.mkv") as frames:
        assert [round(frame.stamp_ns / 1e6) for frame in frames] == [0, 100, 200, 300, 400]


def test_what_lies_beside_images_is_not_theirs(batch: Batch, tmp_path: Path) -> None:
    folder = make_images(tmp_path / "a")
    batch(folder)
    make_video(folder / "v.mkv")
    summary = batch(folder)
    assert [record.output for record in summary.made] == ["v.mkv.labels"]


def test_kinds_of_jobs(batch: Batch, logs: Path) -> None:
    batch(logs)
    assert {job.kind for job in batch.pool.done} == {JobKind.WHOLE}
    sizes = [job.input.size_bytes for job in batch.pool.done]
    assert sizes == sorted(sizes, reverse=True)
