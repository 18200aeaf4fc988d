from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tdnet_eval.class_names import check_classes
from tdnet_eval.document import SideInfo
from tdnet_eval.sides import Side
from tdnet_runtime.errors import OptionError

INFO = SideInfo(
    kind="bundle", file="a.plan", sha256="0", network="td2-fa18", precision="fp32", engine="", size_hw=(8, 8),
    size_is="exact", paths=2, memory_stride=3,
)  # fmt: skip


def _side(*names: str, classes: int | None = None) -> Side:
    return Side(name="a", info=INFO, classes=classes or len(names), names=names, open_stream=lambda: None)  # type: ignore[arg-type, return-value]


def _data(*names: str) -> Any:
    return SimpleNamespace(name="mine", split="val", classes=SimpleNamespace(names=names))


def test_classes_agree_whatever_their_case_and_hyphens() -> None:
    assert check_classes(_side("Traffic-light", "sky"), _data("traffic light", "Sky")) is None
    assert check_classes(_side("class0", "class1"), _data("wall", "floor")) is None
    assert check_classes(_side(classes=2), _data("wall", "floor")) is None


def test_another_number_of_classes_is_refused_with_the_way_to_map_them() -> None:
    with pytest.raises(
        OptionError, match=r"a has 2 classes, mine, split 'val', has 3; say what .* with `names` and `map`"
    ):
        check_classes(_side("a", "b"), _data("a", "b", "c"))


def test_the_same_names_in_another_order_are_refused() -> None:
    with pytest.raises(
        OptionError, match=r"a has 'sky' as class 0, mine, split 'val', as 1: their orders differ; .*--names"
    ):
        check_classes(_side("sky", "road"), _data("road", "sky"))


def test_other_names_are_told() -> None:
    remark = check_classes(_side("a", "b", "c", "d", "e"), _data("a", "v", "w", "x", "y"))
    assert remark == (
        "a and the data set call classes by different names: 1 'b' is 'v', 2 'c' is 'w', 3 'd' is 'x', and 1 more"
    )
