from __future__ import annotations

import pytest
from tests.benchmarks.views.html.reading import resolve

from tdnet_bench.views.html.values import Value, span

CONTENT = {"a/b~": {"x y": [1.5, None]}, "ratio": {"low": 0.25, "high": 0.5}, "text": "<&", "zero": 0}


def test_members_know_their_pointers() -> None:
    value = Value(CONTENT)["a/b~"]["x y"]
    assert value.pointer == "/a~1b~0/x y"
    assert [element.pointer for element in value] == ["/a~1b~0/x y/0", "/a~1b~0/x y/1"]
    assert resolve(CONTENT, value[0].pointer) == 1.5
    assert resolve(CONTENT, "") is CONTENT


def test_paths_are_keys_of_objects() -> None:
    assert Value({"2": "two"})[2].raw == "two"


def test_what_is_missing_is_an_error_and_not_a_gap() -> None:
    with pytest.raises(KeyError):
        Value(CONTENT)["nothing"]
    with pytest.raises(KeyError, match="/text has no member"):
        Value(CONTENT)["text"]["more"]
    assert Value(CONTENT).get("nothing") is None


def test_null_is_nothing_and_zero_is_a_figure() -> None:
    value = Value(CONTENT)
    assert value["zero"]
    assert not value["a/b~"]["x y"][1]
    assert not Value({})


def test_a_span_names_place_and_format() -> None:
    value = Value(CONTENT)
    assert span(value["a/b~"]["x y"][0], "ms") == (
        '<span data-json="/a~1b~0/x y/0" data-format="ms">1.50</span>'
    )
    assert ">–<" in span(value["a/b~"]["x y"][1], "ms")
    assert ">0.250 to 0.500<" in span(value["ratio"], "interval")
    assert ">&lt;&amp;<" in span(value["text"], "text")
    assert ">a/b~<" in span(value["a/b~"], "key")
