"""Logs of results, read back by the libraries of others; full disks, kills, and two at once."""

import contextlib
import dataclasses
import errno
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from mcap.exceptions import EndOfFile
from mcap.reader import make_reader
from mcap.stream_reader import StreamReader
from tests.runtime.sinks.conftest import make_result
from tests.runtime.sources.logs import STEP, S, camera, write_mcap

from tdnet_runtime.errors import MediaError, OptionError
from tdnet_runtime.sinks import mcap_log
from tdnet_runtime.sinks.registry import open_sink
from tdnet_runtime.sources.registry import open_source


def write(path, network, count=6, **options):
    with open_sink(f"mcap:{path}", network) as sink:
        for index in range(count):
            sink.write(make_result(index, **options))
    return path


def write_all(sink, results):
    for result in results:
        sink.write(result)


def decoded(path):
    """(topic, log time, message) of all, by the libraries mcap and mcap-ros2-support alone."""
    ros2 = pytest.importorskip("mcap_ros2.decoder", reason="mcap-ros2-support is not installed")
    with path.open("rb") as file:
        reader = make_reader(file, decoder_factories=[ros2.DecoderFactory()], validate_crcs=True)
        found = [
            (channel.topic, message.log_time, content)
            for _, channel, message, content in reader.iter_decoded_messages()
        ]
        return found, reader.get_header(), list(reader.iter_metadata()), reader.get_summary()


def test_what_others_read(tmp_path, network):
    found, header, metadata, summary = decoded(write(tmp_path / "a.mcap", network, confidence=True))
    assert header.profile == "ros2"
    assert header.library.startswith("tdnet-deploy ")
    assert metadata[0].metadata == {"network": "td4-psp18", "bundle_sha256": "d" * 64}
    assert summary.statistics.message_count == 6 * 3 + 1
    topics = [topic for topic, *_ in found]
    assert topics.count("/segmentation/label_info") == 1
    info = found[topics.index("/segmentation/label_info")][2]
    assert [(entry.class_id, entry.class_name) for entry in info.class_map] == [
        (0, "road"),
        (1, "sky"),
        (2, "car"),
    ]
    masks = [(time, message) for topic, time, message in found if topic == "/segmentation/mask"]
    for index, (log_time, mask) in enumerate(masks):
        expected = make_result(index)
        assert log_time == expected.stamp_ns == mask.header.stamp.sec * S + mask.header.stamp.nanosec
        assert (mask.header.frame_id, mask.encoding, mask.height, mask.width, mask.step) == (
            "cam",
            "mono8",
            24,
            32,
            32,
        )
        np.testing.assert_array_equal(np.frombuffer(mask.data, np.uint8).reshape(24, 32), expected.labels)
    confidences = [message for topic, _, message in found if topic == "/segmentation/confidence"]
    assert [message.data[-1] for message in confidences] == [200 + index for index in range(6)]
    timing = [message for topic, _, message in found if topic == "/segmentation/timing"][5]
    assert (timing.frame_index, timing.path, timing.cold, timing.late) == (5, 2, False, True)
    assert (timing.mode, timing.dropped, timing.name, timing.source) == ("full", 1, "000005", "")
    assert list(timing.memory_age_ms) == [300.0, 200.0, 100.0]
    assert dict(zip(timing.stages, timing.stage_ms, strict=True)) == {"wait": 1.5, "infer": 25.0}


def test_rosbags_reads_them_too(tmp_path, network):
    typesys = pytest.importorskip("rosbags.typesys", reason="rosbags is not installed")
    from rosbags.highlevel import AnyReader

    path = write(tmp_path / "a.mcap", network)
    (tmp_path / "metadata.yaml").write_text("")
    del typesys
    with AnyReader([path]) as reader:
        masks = [c for c in reader.connections if c.topic == "/segmentation/mask"]
        stamps = [stamp for _, stamp, _ in reader.messages(connections=masks)]
    assert stamps == [S + i * STEP for i in range(6)]


def test_we_read_what_we_write(tmp_path, network):
    path = write(tmp_path / "a.mcap", network, confidence=True)
    with open_source(f"{path}?topic=/segmentation/mask") as source:
        frames = list(source)
    assert [frame.stamp_ns for frame in frames] == [S + i * STEP for i in range(6)]
    np.testing.assert_array_equal(frames[4].image[..., 0], make_result(4).labels)


def test_sources_and_topics_of_ones_own(tmp_path, network):
    with open_sink(f"mcap:{tmp_path}/a.mcap?topic=/robot/seg", network) as sink:
        for index in range(2):
            for source in ("front", "rear camera"):
                sink.write(make_result(index, source=source))
    found, *_ = decoded(tmp_path / "a.mcap")
    topics = [topic for topic, *_ in found]
    assert set(topics) == {
        f"/robot/seg/{source}/{leaf}"
        for source in ("front", "rear_camera")
        for leaf in ("mask", "timing", "label_info")
    }
    assert topics.count("/robot/seg/rear_camera/label_info") == 1


def test_no_result_no_file(tmp_path, network):
    with open_sink(f"{tmp_path}/a.mcap", network):
        pass
    assert list(tmp_path.iterdir()) == []


def test_chunks_are_on_disk_as_they_end(tmp_path, network, monkeypatch):
    monkeypatch.setattr(mcap_log, "_CHUNK_BYTES", 256 << 10)
    path = tmp_path / "a.mcap"
    with open_sink(path, network) as sink:
        for index in range(12):
            sink.write(make_result(index, size_hw=(300, 400)))  # 120 kB
        assert chunks(path) >= 3  # while it is open
    assert chunks(path) >= 4


def test_a_chunk_holds_a_second_at_most(tmp_path, network, monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(mcap_log.time, "monotonic", lambda: clock[0])
    path = tmp_path / "a.mcap"
    with open_sink(path, network) as sink:
        for index in range(30):
            sink.write(make_result(index))
            clock[0] += 0.1
        assert chunks(path) == 2


def test_what_is_kept_of_a_result_is_next_to_nothing(tmp_path, network, monkeypatch):
    """Nine masks of 720x1280 share a chunk, and of a chunk its index is kept as bytes, which the file then has whole."""
    clock = [100.0]
    monkeypatch.setattr(mcap_log.time, "monotonic", lambda: clock[0])
    path, results = tmp_path / "a.mcap", 40
    big = make_result(0, size_hw=(720, 1280))
    with open_sink(path, network) as sink:
        for index in range(results):
            sink.write(dataclasses.replace(big, frame_index=index))
            clock[0] += 1 / 30
    assert 4 <= chunks(path) <= 6
    path = tmp_path / "b.mcap"
    with open_sink(path, network) as sink:
        sink.write(make_result(0))
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            for index in range(1, 201):
                clock[0] += 1.0  # a chunk for each
                sink.write(make_result(index))
            kept = (tracemalloc.get_traced_memory()[0] - before) / 200
        finally:
            tracemalloc.stop()
    assert kept < 200  # 480 with an object for each
    with path.open("rb") as file:
        summary = make_reader(file).get_summary()
        assert len(summary.chunk_indexes) == summary.statistics.chunk_count == chunks(path)
        assert [index.message_start_time for index in summary.chunk_indexes] == sorted(
            index.message_start_time for index in summary.chunk_indexes
        )
    with path.open("rb") as file:
        reader = make_reader(file, validate_crcs=True)
        found = list(reader.iter_messages(topics="/segmentation/mask", starting_at=S + 50 * STEP))
    assert len(found) == 151


def chunks(path):
    count = 0
    with path.open("rb") as file, contextlib.suppress(EndOfFile):
        for record in StreamReader(file, emit_chunks=True).records:
            count += type(record).__name__ == "Chunk"
    return count


KILLED = """
import os, sys, types
sys.path.insert(0, sys.argv[2])
from tests.runtime.sinks.conftest import CLASSES, make_result
from tdnet_runtime.sinks import mcap_log
from tdnet_runtime.sinks.registry import open_sink
from tdnet_runtime.sinks.sink import SinkNetwork
network = SinkNetwork(name="n", digest="d", classes=CLASSES)
sink = open_sink(sys.argv[1], network)
clock = iter(range(100))
mcap_log.time = types.SimpleNamespace(monotonic=lambda: 0.4 * next(clock))
for index in range(9):
    sink.write(make_result(index, size_hw=(300, 400)))
print("written", flush=True)
if sys.argv[3:] == ["wait"]:
    sys.stdin.read()
os.kill(os.getpid(), 9)
"""


def child(path, *arguments, env, **options):
    root = str(Path(__file__).parents[3])
    command = [sys.executable, "-c", KILLED, str(path), root, *arguments]
    return subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, **options)


def test_a_kill_costs_the_last_chunk_at_most(tmp_path, network, child_env):
    path = tmp_path / "a.mcap"
    with child(path, env=child_env) as process:
        process.communicate(timeout=60)
    assert process.returncode == -9
    with open_source(f"{path}?topic=/segmentation/mask") as source:
        assert len(list(source)) >= 6  # of nine, 0.4 s apart
        assert "it was never ended" in source.facts["warning"]
    write(path, network)  # the next run replaces it
    assert len(decoded(path)[0]) == 13


def test_two_processes_do_not_write_one_file(tmp_path, network, child_env):
    path = tmp_path / "a.mcap"
    with child(path, "wait", env=child_env) as process:
        assert process.stdout.readline() == b"written\n"
        before = path.read_bytes()
        sink = open_sink(path, network)
        with pytest.raises(MediaError, match="another run is writing it; name another file"):
            sink.write(make_result(0))
        sink.close()
        assert path.read_bytes() == before
        process.communicate(timeout=60)


class FullDisk:
    """An unbuffered file with room for so many bytes."""

    def __init__(self, file, room):
        self.file, self.room = file, room

    def write(self, data):
        if len(data) > self.room:
            if not self.room:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            data = bytes(data)[: self.room]
        self.room -= len(data)
        return self.file.write(data)

    def fileno(self):
        return self.file.fileno()

    @property
    def closed(self):
        return self.file.closed

    def close(self):
        self.file.close()


class Late(FullDisk):
    """It tells when it is closed, as network file systems do."""

    def close(self):
        super().close()
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))


def test_a_disk_that_tells_when_the_file_is_closed(tmp_path, network, monkeypatch):
    path = tmp_path / "a.mcap"
    real = mcap_log.open_alone
    monkeypatch.setattr(mcap_log, "open_alone", lambda path: Late(real(path), 1 << 20))
    monkeypatch.setattr(mcap_log, "_CHUNK_BYTES", 2000)  # one for each result or two
    sink = open_sink(path, network)
    noise = np.random.default_rng(0)
    for index in range(9):
        labels = noise.integers(0, 3, (24, 32)).astype(np.uint8)
        sink.write(make_result(index, labels=labels))
    before = path.stat().st_size
    with pytest.raises(
        MediaError, match=r"writing the log '.*' stopped after 9 results: Disk quota exceeded; the first \d "
    ) as caught:
        sink.close()
    readable = int(str(caught.value).split("the first ")[1].split()[0])
    sink.close()
    assert path.stat().st_size == before  # without index and end, which were the last to be written
    with open_source(f"{path}?topic=/segmentation/mask") as source:
        assert len(list(source)) == readable >= 5


@pytest.mark.parametrize("room", [0, 100, 3000, 5200, 6000, 9000])
def test_a_full_disk_leaves_what_is_whole(tmp_path, network, monkeypatch, room):
    path = tmp_path / "a.mcap"
    real = mcap_log.open_alone
    monkeypatch.setattr(mcap_log, "open_alone", lambda path: FullDisk(real(path), room))
    monkeypatch.setattr(mcap_log, "_CHUNK_BYTES", 100)  # one for each message
    sink = open_sink(path, network)
    noise = np.random.default_rng(0)
    results = [
        make_result(index, labels=noise.integers(0, 3, (24, 32)).astype(np.uint8)) for index in range(50)
    ]
    with pytest.raises(
        MediaError, match=r"writing the log '.*' stopped after \d+ results: No space left"
    ) as caught:
        write_all(sink, results)
    readable = int(str(caught.value).split("the first ")[1].split()[0])
    with pytest.raises(MediaError, match="it was finished before and takes no more"):
        sink.write(make_result(0))
    sink.close()
    assert path.stat().st_size <= room
    if readable:
        with open_source(f"{path}?topic=/segmentation/mask") as source:
            assert len(list(source)) >= readable


@pytest.mark.skipif(not os.access("/dev", os.W_OK), reason="only root may write in the folder of devices")
def test_a_device_that_is_full(network):
    sink = open_sink("mcap:/dev/full", network)
    with pytest.raises(MediaError, match="No space left on device"):
        write_all(sink, [make_result(index, size_hw=(300, 400)) for index in range(9)])
    sink.close()


def test_files_of_others_are_not_replaced(tmp_path, network):
    path = write_mcap(tmp_path / "drive.mcap", camera())
    before = path.read_bytes()
    with pytest.raises(MediaError, match="the file exists and was not written by tdnet; name another"):
        open_sink(path, network)
    assert path.read_bytes() == before
    late = tmp_path / "late.mcap"
    sink = open_sink(late, network)
    late.write_text("notes")
    with pytest.raises(MediaError, match="was not written by tdnet"):
        sink.write(make_result(0))
    assert late.read_text() == "notes"


BAD = {
    "no folder": ("mcap:none/a.mcap", MediaError, "there is no folder 'none'; make it first"),
    "a folder": ("mcap:.", MediaError, "a folder has that name"),
    "nothing": ("mcap:", OptionError, "it names no file; write mcap:PATH"),
    "a parameter": (
        "mcap:a.mcap?chunk=9",
        OptionError,
        "the parameter 'chunk' is not known here; expected: topic",
    ),
}


@pytest.mark.parametrize(("spec", "kind", "words"), BAD.values(), ids=BAD.keys())
def test_where_it_cannot_be_written(tmp_path, monkeypatch, network, spec, kind, words):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(kind, match=words):
        open_sink(spec, network)


def test_a_stamp_that_no_message_holds(tmp_path, network):
    with open_sink(tmp_path / "a.mcap", network) as sink:
        sink.write(make_result(0))
        with pytest.raises(MediaError, match="does not fit its field"):
            sink.write(make_result(1, stamp_ns=2**62))
        sink.write(make_result(2))
    found, *_ = decoded(tmp_path / "a.mcap")
    assert [time for topic, time, _ in found if topic.endswith("mask")] == [S, S + 2 * STEP]


def test_a_child_that_was_forked_leaves_it_alone(tmp_path, network):
    path = tmp_path / "a.mcap"
    with open_sink(path, network) as sink:
        sink.write(make_result(0))
        before = path.read_bytes()
        pid = os.fork()
        if pid == 0:
            try:
                sink.write(make_result(1))
            except MediaError:
                sink.close()
                os._exit(7)
            os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
        assert path.read_bytes() == before
        sink.write(make_result(1))
    assert len([1 for topic, *_ in decoded(path)[0] if topic.endswith("mask")]) == 2


def test_a_log_that_could_not_be_begun_takes_no_more_results(tmp_path, network, monkeypatch):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    sink = open_sink(f"{tmp_path}/a.mcap", network)
    with monkeypatch.context() as patch:
        patch.setattr("mcap.writer.Writer.start", interrupted)
        with pytest.raises(KeyboardInterrupt):
            sink.write(make_result(0))
    with pytest.raises(MediaError, match="it was finished before and takes no more"):
        sink.write(make_result(1))
    sink.close()
    with open_sink(f"{tmp_path}/a.mcap", network) as other:  # which may have the file now
        other.write(make_result(2))
