"""What INT8 may lose."""

import pytest

from tdnet_export.int8 import int8_bounds
from tdnet_export.parity_report import BOUNDS


def test_the_stated_bounds_unless_the_user_has_his_own():
    assert int8_bounds(None) is BOUNDS["int8"]
    own = int8_bounds(0.2)
    assert own.min_mean_agreement == pytest.approx(0.8)
    assert (own.min_label_agreement, own.max_class_loss) == (0, 1)


def test_the_stated_bounds_are_wider_than_fp16s():
    assert BOUNDS["int8"].max_error > BOUNDS["fp16"].max_error
    assert BOUNDS["int8"].min_mean_agreement <= BOUNDS["fp16"].min_mean_agreement
