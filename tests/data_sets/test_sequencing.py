"""Which frames follow one another, for any names."""

import doctest
from itertools import chain

import pytest

pytest.importorskip("hypothesis")

from hypothesis import example, given
from hypothesis import strategies as st

from tdnet_data import sequencing
from tdnet_data.sequencing import holes, numbered, sequences_by_name

STEMS = st.one_of(
    st.builds("{}_{}".format, st.sampled_from(["a", "b", "walk-2"]), st.integers(0, 200)),
    st.builds("{:06d}".format, st.integers(0, 200)),
    st.text("ab1_.", min_size=1, max_size=6),
)
NAMES = st.lists(
    st.builds("{}{}".format, st.sampled_from(["", "x/", "x/y/"]), STEMS), unique=True, max_size=30
)


@given(names=NAMES, single=st.booleans())
def test_every_frame_is_in_one_sequence_in_order(names, single):
    found = sequences_by_name(names, single_images=single)
    assert sorted(chain(*found.values())) == sorted(names)
    for frames in found.values():
        assert len({name.rpartition("/")[0] for name in frames}) == 1
        if len(frames) > 1:
            assert not single
            clips, numbers = zip(*(numbered(name.rpartition("/")[2]) for name in frames), strict=True)
            assert len(set(clips)) == 1
            assert list(numbers) == sorted(numbers)
    assert found == sequences_by_name(reversed(names), single_images=single)


@given(
    first=st.integers(0, 40),
    step=st.sampled_from([1 / 8, 0.25, 0.5, 0.1, 0.04, 0.3, 1 / 3, 1 / 30, 2.5]),
    count=st.integers(1, 40),
    form=st.sampled_from(["{}", "cam_{}", "x/cam0_{}", "t{:g}", "{:.2f}"]),
)
def test_even_times_are_decimals_as_python_writes_them(first, step, count, form):
    names = list(dict.fromkeys(form.format((first + place) * step) for place in range(count)))
    (found,) = sequences_by_name(sorted(names), single_images=False).values()
    assert found == names


@given(
    first=st.integers(0, 40),
    step=st.sampled_from([1 / 8, 0.25, 0.04, 0.05, 1 / 3]),
    before=st.integers(3, 40),
    gap=st.integers(3, 19),
    after=st.integers(2, 20),
)
def test_decimal_times_with_a_gap_are_in_order(first, step, before, gap, after):
    places = [*range(before), *range(before + gap, before + gap + after)]
    names = [f"cam_{round((first + place) * step, 6)}" for place in places]
    found = sequences_by_name(sorted(names), single_images=False)
    assert list(found.values()) == [names[:before], names[before:]]


@given(
    first=st.integers(0, 120),
    step=st.integers(1, 2),
    count=st.integers(3, 40),
    width=st.integers(1, 3),
    clip=st.sampled_from(["run1", "x/cam0", "12"]),
)
@example(first=1, step=2, count=6, width=1, clip="run1")
@example(first=3, step=2, count=5, width=1, clip="run1")
@example(first=5, step=2, count=4, width=1, clip="run1")
@example(first=9, step=2, count=40, width=1, clip="run1")
def test_a_counter_after_a_point_is_in_order(first, step, count, width, clip):
    """Of odd numbers, too, which pass over 10. Where it may be a decimal as well, its length is the same."""
    names = [f"{clip}.{number:0{width}}" for number in range(first, first + count * step, step)]
    (found,) = sequences_by_name(sorted(names), single_images=False).values()
    assert found == names


@pytest.mark.parametrize("shuffled", [False, True])
@pytest.mark.parametrize(
    ("clip", "numbers"),
    [
        ("run1", [str(number) for number in range(1, 13)]),
        ("x/cam0", [str(number) for number in range(8, 12)]),
        ("2024-01-01T10.00", [str(number) for number in range(98, 103)]),
        ("cam0", [f"{number:02}" for number in range(98, 103)]),
        ("12", [str(number) for number in range(8, 12)]),
        ("cam0", [f"{number:02}" for number in range(1, 103)]),
        ("cam0", ["7", "9", "11", "13"]),
    ],
)
def test_a_counter_after_a_point_is_no_decimal(clip, numbers, shuffled):
    names = [f"{clip}.{number}" for number in numbers]
    assert sequences_by_name(sorted(names) if shuffled else names, single_images=False) == {clip: names}
    assert not holes(names)


def test_clips_that_end_in_a_digit_stay_apart():
    clips = {f"run{clip}": [f"run{clip}.{number}" for number in range(1, 12)] for clip in (1, 2, 10)}
    assert sequences_by_name(sorted(chain(*clips.values())), single_images=False) == clips


@pytest.mark.parametrize(
    "names",
    [
        ["1403636579.7", "1403636579.763", "1403636579.81"],  # times, with idle zeros left out
        ["0.05", "0.1", "0.15", "0.2"],
        ["t0", "t0.5", "t1", "t1.5"],
        ["cam_9.100", "cam_9.900", "cam_10.700"],
        ["cam0.000009", "cam0.000010", "cam0.000011"],
        [f"{number / 4}" for number in range(8)],
        [f"cam_{number / 8}" for number in range(20)],
        ["12.5", "12.62", "12.7", "12.81"],
        [f"clip_{number * 0.1}" for number in range(1, 12)],  # 0.30000000000000004
        ["t9.75", "t10", "t10.25", "t10.5"],
    ],
)
def test_decimals_are_in_order(names):
    (found,) = sequences_by_name(sorted(names, reverse=True), single_images=False).values()
    assert found == names


def test_examples():
    assert doctest.testmod(sequencing).attempted > 0
    assert doctest.testmod(sequencing).failed == 0
