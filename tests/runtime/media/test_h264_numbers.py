"""Picture numbers of H.264, in streams of this test's own making and x264's."""

from fractions import Fraction

import av
import numpy as np
import pytest

from tdnet_runtime.media.h264_numbers import H264Numbers


class Writer:
    """Bits, most significant first."""

    def __init__(self):
        self.text = ""

    def put(self, value, count):
        self.text += f"{value:0{count}b}" if count else ""
        return self

    def golomb(self, *values):
        for value in values:
            text = f"{value + 1:b}"
            self.text += "0" * (len(text) - 1) + text
        return self

    def unit(self, kind, *, reference=True):
        text = self.text + "1"
        text += "0" * (-len(text) % 8)
        data = bytes(int(text[at : at + 8], 2) for at in range(0, len(text), 8))
        for low in range(4):
            data = data.replace(bytes((0, 0, low)), bytes((0, 0, 3, low)))
        return bytes([0x60 * reference | kind]) + data


def parameters(*, bits=4, profile=66, gaps=0):
    """A sequence and a picture parameter set with start codes."""
    sequence = Writer().put(profile, 8).put(0, 8).put(30, 8).golomb(0)
    if profile == 100:
        sequence.golomb(1, 0, 0).put(0, 1).put(0, 1)
    sequence.golomb(bits - 4, 2, 1).put(gaps, 1).golomb(3, 3)
    return b"\0\0\1" + sequence.unit(7) + b"\0\0\0\1" + Writer().golomb(0, 0).put(0, 8).unit(8)


def picture(number, *, bits=4, keyframe=False, reference=True):
    writer = Writer().golomb(0, 7, 0).put(number, bits).put(0x5A5A, 16)
    return b"\0\0\1" + writer.unit(5 if keyframe else 1, reference=reference)


def gaps(pictures, extradata):
    numbers = H264Numbers(extradata)
    return [numbers.follows_gap(data) for data in pictures]


@pytest.mark.parametrize("profile", [66, 100])
@pytest.mark.parametrize("bits", [4, 9, 16])
def test_each_gap_is_told_once(profile, bits):
    order = [0, 1, 2, 4, 5, 8, 9]
    pictures = [picture(number, bits=bits, keyframe=number == 0) for number in order]
    assert gaps(pictures, parameters(bits=bits, profile=profile)) == [0, 0, 0, 1, 0, 1, 0]


def test_parameters_inside_the_packets():
    pictures = [parameters() + picture(0, keyframe=True), picture(1), picture(3)]
    assert gaps(pictures, b"") == [0, 0, 1]


def test_pictures_that_no_other_needs_share_a_number_with_the_next():
    pictures = [
        picture(0, keyframe=True),
        picture(1, reference=False),
        picture(1, reference=False),
        picture(1),
    ]
    assert gaps([*pictures, picture(2)], parameters()) == [0] * 5
    assert gaps([*pictures, picture(3)], parameters()) == [0, 0, 0, 0, 1]


def test_numbers_turn_over_and_begin_anew():
    turned = [picture(number % 16, keyframe=number == 0) for number in range(40)]
    assert not any(gaps(turned, parameters()))
    del turned[14]
    assert gaps(turned, parameters())[14] == 1
    anew = [picture(7), picture(8), picture(0, keyframe=True), picture(1)]
    assert not any(gaps(anew, parameters()))
    lost_keyframe = [picture(7), picture(8), picture(1), picture(2)]
    assert gaps(lost_keyframe, parameters()) == [0, 0, 1, 0]


def test_two_fields_of_one_picture():
    assert not any(gaps([picture(3), picture(3), picture(4), picture(4)], parameters()))


def test_streams_in_which_gaps_are_meant():
    assert not any(gaps([picture(1), picture(5)], parameters(gaps=1)))


@pytest.mark.parametrize(
    "data",
    [b"", b"\0\0\1", b"\0\0\1\x61", b"\0\0\1\x61" + bytes(99), bytes(99), b"\xff" * 99, b"\0\0\1\x67\x42"],
)
def test_what_cannot_be_read_tells_nothing(data):
    assert gaps([data, picture(1), data, picture(2)], parameters()) == [0, 0, 0, 0]
    assert gaps([picture(1), picture(5)], data) == [0, 0]
    assert gaps([data], b"\1" + data[:9]) == [0]


@pytest.mark.parametrize(
    "options", [{}, {"bf": "0"}, {"x264-params": "b-pyramid=normal:bframes=5:slices=3:ref=6"}]
)
@pytest.mark.parametrize("suffix", ["mp4", "ts"])
def test_x264_counts_right(tmp_path, suffix, options):
    path = tmp_path / f"clip.{suffix}"
    rng = np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"g": "60", **options})
        stream.height, stream.width, stream.pix_fmt = 64, 64, "yuv420p"
        image = rng.integers(0, 255, (64, 64, 3), dtype=np.uint8)
        for index in range(130):
            frame = av.VideoFrame.from_ndarray(np.roll(image, 2 * index, axis=1), format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        numbers = H264Numbers(stream.codec_context.extradata or b"")
        found = [numbers.follows_gap(bytes(packet)) for packet in container.demux(stream) if packet.size]
    assert found == [0] * 130
