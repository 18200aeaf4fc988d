"""MCAP logs: whole, cut, without an index, of whatever order and compression, damaged."""

import itertools
import os
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mcap.stream_reader import StreamReader
from mcap.writer import CompressionType, IndexType
from tests.runtime.sources.logs import (
    COMPRESSED_TYPE,
    IMAGE_TYPE,
    STEP,
    S,
    camera,
    coded,
    images,
    picture,
    raw,
    write_mcap,
)

from tdnet_runtime.errors import MediaError, OptionError
from tdnet_runtime.media.damage import OnDamage
from tdnet_runtime.ros.messages import RawImage
from tdnet_runtime.sources import mcap_file
from tdnet_runtime.sources.registry import open_source


def read(spec, **options):
    """All frames, and the source, closed."""
    with open_source(spec, **options) as source:
        return list(source), source


def outcome(spec):
    """Frames, source and None, or the error's text behind nothing."""
    try:
        return *read(spec), None
    except MediaError as error:
        return [], None, str(error)


def stamps(frames):
    return [(frame.stamp_ns - S) / STEP for frame in frames]


FORMS = {
    "indexed": {},
    "zstd": {"compression": CompressionType.ZSTD},
    "lz4": {"compression": CompressionType.LZ4},
    "one chunk": {"chunk_size": 1 << 20},
    "a chunk each": {"chunk_size": 1},
    "no index": {"index": IndexType.NONE},
    "no message index": {"index": IndexType.CHUNK},
    "no summary": {
        "index": IndexType.NONE,
        "use_statistics": False,
        "use_summary_offsets": False,
        "repeat_channels": False,
        "repeat_schemas": False,
    },
    "channels not repeated": {"repeat_channels": False, "repeat_schemas": False},
    "schemas not repeated": {"repeat_schemas": False},
    "neither schemas nor message index": {"repeat_schemas": False, "index": IndexType.CHUNK},
    "neither channels nor message index": {"repeat_channels": False, "index": IndexType.CHUNK},
    "chunks alone": {"repeat_channels": False, "index": IndexType.CHUNK, "use_statistics": False},
    "no chunks": {"chunked": False},
    "no checksums": {"enable_crcs": False},
    "another profile": {"profile": ""},
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
def test_every_form_gives_the_same_frames(tmp_path, form):
    path = write_mcap(tmp_path / "a.mcap", camera(), **form)
    frames, source = read(path)
    assert [frame.name for frame in frames] == [f"{i:06d}" for i in range(6)]
    assert stamps(frames) == list(range(6))
    assert {(frame.frame_id, frame.lost_before, frame.begins) for frame in frames} == {("cam", 0, False)}
    for index, frame in enumerate(frames):
        np.testing.assert_array_equal(frame.image, picture(index))
    assert (source.size_hw, source.live, source.fps) == ((24, 32), False, None)
    assert source.facts["encoding"] == "rgb8"
    assert source.facts["stamps"] == "header"
    assert "warning" not in source.facts


@pytest.mark.parametrize("form", ["indexed", "zstd", "lz4", "one chunk", "a chunk each", "no message index"])
def test_an_index_is_used_where_there_is_one(tmp_path, monkeypatch, form):
    monkeypatch.setattr(mcap_file, "McapScan", lambda file: pytest.fail("it was looked through"))
    assert len(read(write_mcap(tmp_path / "a.mcap", camera(), **FORMS[form]))[0]) == 6


@pytest.mark.parametrize("name", ["talker.mcap", "cdr_test_0.mcap", "controlled_data_0.mcap"])
def test_so_are_those_of_other_writers(monkeypatch, name):
    path = Path(__file__).parents[3].parent / "shared" / "robot_files" / name
    if not path.is_file():
        pytest.skip("the robots' files lie beside the project only where they were put")
    monkeypatch.setattr(mcap_file, "McapScan", lambda file: pytest.fail("it was looked through"))
    with pytest.raises(MediaError, match="no topic of it has pictures"):
        open_source(path)


@pytest.mark.parametrize("chunk_size", [7000, 1 << 20])
@pytest.mark.parametrize("back", [1, 20, 40, 55])
def test_nothing_is_lost_where_the_cut_is_in_the_midst_of_an_index(tmp_path, back, chunk_size):
    topics = camera(3) | {"/rear": (IMAGE_TYPE, "cdr", images(3))}
    path = write_mcap(tmp_path / "a.mcap", topics, chunk_size=chunk_size, compression=CompressionType.ZSTD)
    data = path.read_bytes()
    end = data.rfind(bytes([15, 4, 0, 0, 0, 0, 0, 0, 0]))  # the record DataEnd
    path.write_bytes(data[: end - back])
    for topic in ("/cam", "/rear"):
        assert len(read(f"{path}?topic={topic}")[0]) == 3


def test_messages_out_of_order_come_by_their_time(tmp_path):
    content = images()
    order = [3, 0, 1, 5, 2, 4]
    shuffled = {"/cam": (IMAGE_TYPE, "cdr", [content[i] for i in order])}
    path = tmp_path / "a.mcap"
    write_unsorted(path, shuffled)
    for form in (path, write_unsorted(tmp_path / "b.mcap", shuffled, index=IndexType.NONE)):
        assert stamps(read(form)[0]) == list(range(6))


def write_unsorted(path, topics, **options):
    """As `write_mcap`, in the order given; chunks overlap."""
    ((name, (kind, encoding, content)),) = topics.items()
    from mcap.writer import Writer

    index = options.get("index", IndexType.ALL)
    with path.open("wb") as file:
        writer = Writer(file, chunk_size=4000, compression=CompressionType.NONE, index_types=index)
        writer.start(profile="ros2")
        channel = writer.register_channel(name, encoding, writer.register_schema(kind, "ros2msg", b""))
        for time, data in content:
            writer.add_message(channel, time, data, time)
        writer.finish()
    return path


# Cut short


@pytest.mark.parametrize("form", ["indexed", "zstd", "lz4", "a chunk each", "no chunks"])
def test_a_cut_log_gives_all_that_is_whole(tmp_path, form):
    whole = write_mcap(tmp_path / "a.mcap", camera(), **FORMS[form]).read_bytes()
    path = tmp_path / "cut.mcap"
    least = 0
    for size in [*range(len(whole) // 3, len(whole), 997), len(whole) - 40, len(whole) - 8, len(whole) - 1]:
        path.write_bytes(whole[:size])
        frames, source, error = outcome(path)
        if error is not None:
            assert "no topic of it has pictures" in error
            assert least == 0
            continue
        assert stamps(frames) == list(range(len(frames)))
        assert len(frames) >= max(least, whole_before(whole[:size]))
        least = len(frames)
        assert "cut short" in source.facts["warning"]
    assert least == 6


def whole_before(data):
    """Messages that mcap's own reader finds in whole chunks."""
    import io

    count = 0
    try:
        for record in StreamReader(io.BytesIO(data)).records:
            count += type(record).__name__ == "Message" and len(record.data) == len(raw(0))
    except Exception:
        pass
    return count


@pytest.mark.parametrize("numbers", [False, True])
@pytest.mark.parametrize("damaged", [1, 3])
def test_a_message_that_cannot_be_taken_apart_is_missing_once(tmp_path, damaged, numbers):
    """And not again by its stamp's absence."""
    content = images(20)
    for i in range(12, 12 + damaged):
        content[i] = content[i][0], content[i][1][:30]
    content = [(*message, i) if numbers else message for i, message in enumerate(content, start=1)]
    frames, source = read(write_mcap(tmp_path / "a.mcap", {"/cam": (IMAGE_TYPE, "cdr", content)}))
    assert stamps(frames) == [*range(12), *range(12 + damaged, 20)]
    assert [frame.lost_before for frame in frames] == [0] * 12 + [damaged] + [0] * (7 - damaged)
    assert source.damage.skipped == damaged
    assert "frames_thought_missing" not in source.facts


def test_nor_are_the_messages_of_a_damaged_chunk(tmp_path):
    """Eight, which are one damaged place."""
    topics = camera(40)
    path = write_mcap(tmp_path / "a.mcap", topics, chunk_size=8 * len(raw(0)))
    data = path.read_bytes()
    place = data.index(topics["/cam"][2][20][1])
    path.write_bytes(data[:place] + bytes([data[place] ^ 255]) + data[place + 1 :])
    frames, source = read(path)
    given = [round(stamp) for stamp in stamps(frames)]
    gone = 40 - len(given)
    assert gone >= 8
    assert [frame.lost_before for frame in frames if frame.lost_before] == [gone]
    assert (source.damage.skipped, source.facts["frames_thought_missing"]) == (1, gone - 1)


def test_of_a_chunk_that_is_cut_the_messages_in_front_are_given(tmp_path):
    path = write_mcap(tmp_path / "a.mcap", camera(), chunk_size=1 << 20)
    data = path.read_bytes()
    path.write_bytes(data[: data.find(picture(4).tobytes()) + 99])
    frames, source = read(path)
    assert stamps(frames) == [0, 1, 2, 3]
    assert "cut short" in source.facts["warning"]
    assert source.damage.skipped == 0


def test_a_log_that_was_never_ended(tmp_path):
    frames, source = read(write_mcap(tmp_path / "a.mcap", camera(), end=False))
    assert len(frames) == 6
    assert "it was never ended; its " in source.facts["warning"]


def test_zeros_at_the_end_as_a_power_cut_leaves_them(tmp_path):
    path = write_mcap(tmp_path / "a.mcap", camera(), end=False)
    path.write_bytes(path.read_bytes() + bytes(5000))
    frames, source = read(path)
    assert len(frames) == 6
    assert "cut short or damaged from byte" in source.facts["warning"]


def test_a_damaged_chunk_in_the_midst_is_counted_and_told_of(tmp_path):
    path = write_mcap(tmp_path / "a.mcap", camera(), chunk_size=1)
    data = bytearray(path.read_bytes())
    place = data.find(picture(3).tobytes())
    data[place + 100] ^= 255
    path.write_bytes(data)
    frames, source = read(path)
    assert stamps(frames) == [0, 1, 2, 4, 5]
    assert [frame.lost_before for frame in frames] == [0, 0, 0, 1, 0]
    assert source.damage.skipped == 1
    assert "a chunk's checksum is wrong" in source.damage.examples[0]
    with pytest.raises(MediaError, match="a chunk's checksum is wrong"):
        read(path, on_damage=OnDamage.FAIL)


def edited(path, place, change=0xFF):
    """The file with one byte changed."""
    data = bytearray(path.read_bytes())
    data[place] ^= change
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("compression", [CompressionType.NONE, CompressionType.LZ4])
def test_damage_in_the_chunk_that_names_the_topics(tmp_path, compression):
    """Never ended, so nothing else names them."""
    content = camera(make=lambda index: raw(index, image=noise(index)))
    path = write_mcap(tmp_path / "a.mcap", content, end=False, chunk_size=150_000, compression=compression)
    frames, source = read(edited(path, 150_000))
    assert stamps(frames) == [2, 3, 4, 5]
    assert "damaged at byte 44 of" in source.facts["warning"]
    assert "it was never ended" in source.facts["warning"]


def noise(index):
    return np.random.default_rng(index).integers(0, 255, (160, 160, 3), dtype=np.uint8)


ZSTD = b"\x28\xb5\x2f\xfd"


def test_damage_that_leaves_no_topic_is_told(tmp_path):
    path = write_mcap(tmp_path / "a.mcap", camera(), end=False, compression=CompressionType.ZSTD)
    with pytest.raises(
        MediaError, match=r"no topic '/cam' in it; topics: none; the log: damaged at byte 44 of \d+ \("
    ):
        read(f"{edited(path, path.read_bytes().index(ZSTD))}?topic=/cam")


@pytest.mark.parametrize(("byte", "change"), [(0, 6), (1, 1), (1, 2), (1, 4), (1, 32), (4, 1)])
def test_reading_goes_on_behind_a_record_whose_head_is_damaged(tmp_path, byte, change):
    path = write_mcap(tmp_path / "a.mcap", camera(), end=False, chunk_size=1)
    data = path.read_bytes()
    begin = data.rfind(b"\x06", 0, data.find(picture(2).tobytes()) - 80)
    frames, source = read(edited(path, begin + byte, change))
    assert [stamp for stamp in stamps(frames) if stamp != 2] == [0, 1, 3, 4, 5]
    assert re.search(
        rf"damaged between bytes \d+ and \d+ of {len(data)};.* it was never", source.facts["warning"]
    )


@pytest.mark.parametrize("back", [60, 140, 300, 500])
def test_an_index_that_is_damaged_is_not_believed(tmp_path, back):
    path = write_mcap(tmp_path / "a.mcap", camera(), chunk_size=1)
    assert stamps(read(edited(path, path.stat().st_size - back))[0]) == list(range(6))


# Which topic


def many():
    return {
        "/front": (IMAGE_TYPE, "cdr", images(3)),
        "/rear/compressed": (COMPRESSED_TYPE, "cdr", images(4, make=coded)),
        "/odd": ("strange_msgs/msg/Feedback", "cdr", [(S, b"abc")]),
        "/text": ("", "json", [(S, b"{}")]),
        "/bare": (None, "json", [(S, b"{}")]),
        "bare_image": (IMAGE_TYPE, "cdr", images(2)),
    }


def test_topics_are_listed_where_none_is_named(tmp_path):
    path = write_mcap(tmp_path / "a.mcap", many())
    with pytest.raises(MediaError) as caught:
        open_source(path)
    assert "3 topics have pictures: '/front' (sensor_msgs/msg/Image, 3 messages), " in str(caught.value)
    assert "name one: mcap:PATH?topic=/front" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("topic", "count"),
    [("/front", 3), ("front", 3), ("/rear/compressed", 4), ("bare_image", 2), ("/bare_image", 2)],
)
def test_a_topic_by_its_name(tmp_path, topic, count):
    path = write_mcap(tmp_path / "a.mcap", many())
    for spec in (f"mcap:{path}?topic={topic}", f"{path}?topic={topic}"):
        frames, source = read(spec)
        assert len(frames) == count
        assert source.frame_count == count
        np.testing.assert_array_equal(frames[1].image, picture(1))


WRONG = {
    "/rear": "there is no topic '/rear' in it; topics: '/front' (sensor_msgs/msg/Image, 3 messages)",
    "/odd": "messages of 'strange_msgs/msg/Feedback' ('cdr') hold no picture",
    "/text": "hold no picture that is read here",
}


@pytest.mark.parametrize(("topic", "words"), WRONG.items())
def test_a_wrong_topic(tmp_path, topic, words):
    path = write_mcap(tmp_path / "a.mcap", many())
    with pytest.raises(MediaError) as caught:
        open_source(f"mcap:{path}?topic={topic}")
    assert words in str(caught.value)
    assert "'/rear/compressed'" in str(caught.value)  # all topics are listed


def test_a_topic_without_messages_is_no_choice(tmp_path):
    topics = camera() | {"/empty": (IMAGE_TYPE, "cdr", [])}
    path = write_mcap(tmp_path / "a.mcap", topics)
    assert len(read(path)[0]) == 6
    with pytest.raises(MediaError, match="topic '/empty' holds no message"):
        open_source(f"{path}?topic=/empty")


def test_parameters_that_are_not_known(tmp_path):
    path = write_mcap(tmp_path / "a.mcap", camera())
    for query, words in {
        "topics=/cam": "the parameter 'topics' is not known here; expected: topic",
        "topic=": "the parameter 'topic' is empty",
        "topic=/cam&topic=/cam": "is given twice",
    }.items():
        with pytest.raises(OptionError, match=words):
            open_source(f"mcap:{path}?{query}")


# What messages hold


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_compressed_images(tmp_path, suffix):
    make = lambda index: coded(index, suffix=suffix, format="whatever")  # noqa: E731
    path = write_mcap(tmp_path / "a.mcap", {"/c": (COMPRESSED_TYPE, "cdr", images(make=make))})
    frames, source = read(path)
    assert source.facts["encoding"] == "whatever"
    assert np.abs(frames[2].image.astype(int) - picture(2)).mean() < 6


def test_rows_that_are_padded_and_samples_of_the_other_byte_order(tmp_path):
    def padded(index):
        rows = np.full((24, 32 * 3 + 10), 255, np.uint8)
        rows[:, :96] = picture(index)[..., ::-1].reshape(24, 96)
        head = {"height": 24, "width": 32, "encoding": "bgr8", "is_bigendian": False, "step": 106}
        stamp = S + index * STEP
        return RawImage(stamp_ns=stamp, frame_id="cam", data=rows.reshape(-1), **head).to_cdr()

    def deep(index):
        samples = (picture(index)[..., 0].astype(np.uint16) * 257).astype(">u2").view(np.uint8)
        head = {"height": 24, "width": 32, "encoding": "mono16", "is_bigendian": True, "step": 64}
        stamp = S + index * STEP
        return RawImage(stamp_ns=stamp, frame_id="cam", data=samples.reshape(-1), **head).to_cdr()

    topics = {
        name: (IMAGE_TYPE, "cdr", images(3, make=make)) for name, make in (("/p", padded), ("/d", deep))
    }
    path = write_mcap(tmp_path / "a.mcap", topics)
    np.testing.assert_array_equal(read(f"{path}?topic=/p")[0][2].image, picture(2))
    np.testing.assert_array_equal(read(f"{path}?topic=/d")[0][2].image[..., 1], picture(2)[..., 0])


def test_a_message_that_rosbag2_packed(tmp_path):
    import zstandard

    make = lambda index: zstandard.compress(raw(index))  # noqa: E731
    path = write_mcap(tmp_path / "a.mcap", {"/c": (IMAGE_TYPE, "cdr", images(make=make))})
    np.testing.assert_array_equal(read(path)[0][5].image, picture(5))


def test_encodings_that_are_not_read_are_named(tmp_path):
    depth = np.zeros((24, 32, 2), np.uint8)
    make = lambda index: raw(index, image=depth, encoding="16UC1")  # noqa: E731
    path = write_mcap(tmp_path / "a.mcap", {"/depth": (IMAGE_TYPE, "cdr", images(30, make=make))})
    with pytest.raises(MediaError, match=r"its first 10 pictures .*'16UC1': a depth image"):
        open_source(path)
    path = write_mcap(tmp_path / "b.mcap", {"/depth": (IMAGE_TYPE, "cdr", images(2, make=make))})
    with pytest.raises(MediaError, match=r"no picture in it that can be used .*'16UC1'"):
        open_source(path)


def test_damaged_messages_are_left_out_and_counted(tmp_path):
    content = images(7)
    content[2] = (content[2][0], content[2][1][:200])
    content[3] = (content[3][0], b"\0\1\0\0")
    path = write_mcap(tmp_path / "a.mcap", {"/cam": (IMAGE_TYPE, "cdr", content)})
    frames, source = read(path)
    assert stamps(frames) == [0, 1, 4, 5, 6]
    assert [frame.lost_before for frame in frames] == [0, 0, 2, 0, 0]
    assert source.damage.skipped == 2
    assert source.damage.examples[0].startswith("message 2 of '/cam': reading a message: it is cut short")


def test_the_size_may_not_change(tmp_path):
    content = images(4)
    content[2] = (content[2][0], raw(2, image=picture(2, width=40)))
    path = write_mcap(tmp_path / "a.mcap", {"/cam": (IMAGE_TYPE, "cdr", content)})
    with open_source(path) as source:
        frames = iter(source)
        assert len(list(itertools.islice(frames, 2))) == 2
        with pytest.raises(MediaError, match="after 2 frames: the next one is 24x40, the first was 24x32"):
            next(frames)


def test_reading_is_stopped(tmp_path):
    with open_source(write_mcap(tmp_path / "a.mcap", camera())) as source:
        frames = iter(source)
        next(frames)
        source.stop()
        assert list(frames) == []


# Time


def timed(header, *, log=None):
    """A topic whose headers have these stamps, in tenths of a second; None is a stamp of 0."""
    content = []
    for index, tenth in enumerate(header):
        stamp = 0 if tenth is None else S + round(tenth * STEP)
        when = index if log is None else log[index]
        content.append((S + round(when * STEP) + 7, raw(index, stamp=stamp)))
    return {"/cam": (IMAGE_TYPE, "cdr", content)}


TIMES = {
    "by the header": ([0, 1, 2, 3], [0, 1, 2, 3], None),
    "no stamps": ([None] * 4, None, "the header's stamp of message 0 is 0"),
    "back by a bit": ([0, 1, 0.5, 3], None, "the header's stamp of message 2 does not come after"),
    "the same again": ([0, 1, 1, 3], None, "the header's stamp of message 2 does not come after"),
    "a 0 in the midst": ([0, 1, None, 3], None, "the header's stamp of message 2 is 0"),
    "another clock": ([1e6, 1e6 + 1, 5, 6], None, "the header's stamp of message 2 does not come after"),
}


@pytest.mark.parametrize(("header", "expected", "warning"), TIMES.values(), ids=TIMES.keys())
def test_stamps(tmp_path, header, expected, warning):
    frames, source = read(write_mcap(tmp_path / "a.mcap", timed(header)))
    got = [frame.stamp_ns for frame in frames]
    assert all(a < b for a, b in itertools.pairwise(got))
    if expected is not None:
        assert stamps(frames) == expected
        assert source.facts["stamps"] == "header"
    else:
        assert warning in source.facts["warning"]
        assert source.facts["stamps"] == "time of recording"
        assert got[3] - got[2] == STEP  # of recording


def test_messages_of_one_time_that_differ_are_all_given(tmp_path):
    """As of a clock that stands still, or of a camera's simulation that began again."""
    content = [(S, raw(index, stamp=S)) for index in (0, 1, 1, 2)]
    frames, source = read(write_mcap(tmp_path / "a.mcap", {"/cam": (IMAGE_TYPE, "cdr", content)}))
    assert len(frames) == 3
    for index, frame in enumerate(frames):
        np.testing.assert_array_equal(frame.image, picture(index))
    assert source.facts["messages_held_twice"] == 1


def test_messages_held_twice_are_given_once(tmp_path):
    content = images(5)
    twice = [*content, *content[2:4]]
    frames, source = read(write_mcap(tmp_path / "a.mcap", {"/cam": (IMAGE_TYPE, "cdr", twice)}))
    assert stamps(frames) == list(range(5))
    assert source.facts["messages_held_twice"] == 2
    assert source.damage.skipped == 0


def test_missing_frames_are_told_by_stamps_and_by_numbers(tmp_path):
    content = [message for i, message in enumerate(images(20)) if i not in (12, 13)]
    frames, source = read(write_mcap(tmp_path / "a.mcap", {"/cam": (IMAGE_TYPE, "cdr", content)}))
    assert [frame.lost_before for frame in frames] == [0] * 12 + [2] + [0] * 5
    assert source.facts["frames_thought_missing"] == 2
    numbered = [(*message, i) for i, message in enumerate(images(20)) if i != 15]
    numbered = [
        (S + i * 3 * STEP + i % 3 * 1000, raw(i, stamp=S + i * 3 * STEP), n)
        for i, (_, _, n) in enumerate(numbered)
    ]
    frames, _ = read(write_mcap(tmp_path / "b.mcap", {"/cam": (IMAGE_TYPE, "cdr", numbered)}))
    assert [frame.lost_before for frame in frames] == [0] * 15 + [1] + [0] * 3


# Whatever is in it


SAMPLE: dict[str, bytes] = {}


@pytest.fixture(scope="module", autouse=True)
def _samples(tmp_path_factory):
    folder = tmp_path_factory.mktemp("samples")
    for name in ("indexed", "zstd", "no chunks"):
        SAMPLE[name] = write_mcap(folder / "a.mcap", camera(3), **FORMS[name]).read_bytes()


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(["indexed", "zstd", "no chunks"]),
    edits=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=6),
    keep=st.floats(0.05, 1),
)
def test_changed_bytes_give_frames_or_one_line(tmp_path, name, edits, keep):
    data = bytearray(SAMPLE[name])
    for place, value in edits:
        data[8 + int(place * (len(data) - 9))] = value
    path = tmp_path / "a.mcap"
    path.write_bytes(data[: max(9, int(keep * len(data)))])
    frames, _, error = outcome(path)
    assert error is None or "\n" not in error
    assert all(frame.image.dtype == np.uint8 for frame in frames)


def test_a_forked_child_leaves_it_alone(tmp_path):
    """Also the position in the file, which is the parent's as well."""
    with open_source(write_mcap(tmp_path / "a.mcap", camera(), chunk_size=1)) as source:
        frames = iter(source)
        found = [next(frames)]
        child = os.fork()
        if child == 0:
            code = 1
            for use in (lambda: next(frames), lambda: list(source)):
                try:
                    use()
                except MediaError as error:
                    code += 2 * ("opened this LogSource and forked" in str(error))
            source.close()
            os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 5
        found += frames
    assert stamps(found) == list(range(6))
