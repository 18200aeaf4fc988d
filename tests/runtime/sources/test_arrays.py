from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

from tdnet_runtime.errors import MediaError
from tdnet_runtime.sources.arrays import ArraySource


def image(value, shape=(4, 6, 3), dtype=np.uint8):
    return np.full(shape, value, dtype)


def test_arrays():
    given = [image(i) for i in range(3)]
    with ArraySource(given, fps=Fraction(10)) as source:
        assert (source.frame_count, source.size_hw, source.live, source.fps) == (3, (4, 6), False, None)
        frames = list(source)
    assert [frame.name for frame in frames] == ["000000", "000001", "000002"]
    assert [frame.stamp_ns for frame in frames] == [0, 100_000_000, 200_000_000]
    given[1][:] = 99
    assert frames[1].image.max() == 1  # a copy


def test_one_buffer_that_is_filled_again():
    def camera():
        buffer = image(0)
        for value in range(4):
            buffer[:] = value
            yield 10 * value, buffer

    with ArraySource(camera(), live=True) as source:
        assert (source.frame_count, source.live) == (None, True)
        assert [(frame.stamp_ns, frame.image[0, 0, 0]) for frame in source] == [
            (0, 0),
            (10, 1),
            (20, 2),
            (30, 3),
        ]


def test_rows_that_lie_apart_and_other_libraries():
    wide = image(0, (4, 12, 3))
    wide[:, ::2] = 7

    class Foreign:
        def __init__(self, array):
            self.array = array

        def __dlpack__(self, **options):
            return self.array.__dlpack__(**options)

        def __dlpack_device__(self):
            return self.array.__dlpack_device__()

    class Array:
        def __array__(self, dtype=None, copy=None):
            return image(9)

    with ArraySource([wide[:, ::2], Foreign(image(8)), Array()]) as source:
        frames = list(source)
    assert [frame.image.max() for frame in frames] == [7, 8, 9]
    assert all(frame.image.flags.c_contiguous for frame in frames)


BAD = {
    "none": ([], "there is not a single frame"),
    "floats": (
        [image(0, dtype=np.float32)],
        r"frame 0 is float32 \[4, 6, 3\]; expected uint8 \[H, W, 3\], RGB",
    ),
    "grey": ([image(0, (4, 6))], r"frame 0 is uint8 \[4, 6\]"),
    "alpha": ([image(0, (4, 6, 4))], r"\[4, 6, 4\]"),
    "empty": ([image(0, (0, 6, 3))], r"\[0, 6, 3\]"),
    "another size": ([image(0), image(0, (4, 8, 3))], "frame 1 is 4x8, the first was 4x6"),
    "the same stamp": (
        [(5, image(0)), (5, image(0))],
        "frame 1 has the stamp 5; expected a whole number of ns after 5",
    ),
    "seconds": ([(0.5, image(0))], r"frame 0 has the stamp 0\.5"),
    "ragged": ([[[1, 2], [3]]], "frame 0 cannot be read as an array"),
    "three in a tuple": (
        [(image(0), image(1), image(2))],
        "frame 0 is a tuple of 3; expected an array, or a stamp in ns and an array",
    ),
    "an empty tuple": ([image(0), ()], "frame 1 is a tuple of 0"),
    "two images in a tuple": ([(image(0), image(1))], "frame 0 has the stamp array"),
    "no sequence": (5, "'int' object is not iterable; expected several arrays"),
    "no array": ([object()], r"frame 0 is object \[\]"),
}


@pytest.mark.parametrize(("arrays", "words"), BAD.values(), ids=BAD.keys())
def test_what_is_no_frame(arrays, words):
    with pytest.raises(MediaError, match=words):
        list(ArraySource(arrays))


def test_memory_that_is_not_the_cpus():
    class Gpu:
        def __dlpack__(self, **options):
            raise BufferError("cannot export it")

        def __dlpack_device__(self):
            return (2, 0)

    with pytest.raises(MediaError, match="frame 0 cannot be read as an array in the CPU's memory"):
        ArraySource([Gpu()])


def test_stopping():
    with ArraySource(image(i) for i in range(9)) as source:
        frames = iter(source)
        next(frames)
        source.stop()
        assert list(frames) == []


@pytest.mark.parametrize(
    "fps", [0, -1.0, float("inf"), float("nan"), "25", None, 1j, 10**400, [25], np.array([25, 30])]
)
def test_a_rate_that_is_none(fps):
    with pytest.raises(MediaError, match=r"reading arrays: fps is .*; expected a number, more than 0"):
        ArraySource([image(0)], fps=fps)


@pytest.mark.parametrize("fps", [10, 10.0, Fraction(10), np.float32(10), np.int64(10), Decimal(10)], ids=repr)
def test_a_rate_of_any_kind(fps):
    with ArraySource([image(0), image(1)], fps=fps) as source:
        assert [frame.stamp_ns for frame in source] == [0, 100_000_000]
