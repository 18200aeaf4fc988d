"""Which frames follow one another, for any names."""

import doctest
from itertools import chain

import pytest

pytest.importorskip("hypothesis")

from hypothesis import given
from hypothesis import strategies as st

from tdnet_data import sequencing
from tdnet_data.sequencing import numbered, sequences_by_name

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


def test_examples():
    assert doctest.testmod(sequencing).attempted > 0
    assert doctest.testmod(sequencing).failed == 0
