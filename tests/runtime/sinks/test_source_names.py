"""Sources whose names become the same in topics: refused, instead of mixed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.runtime.sinks.conftest import make_result

from tdnet_runtime.errors import MediaError, OptionError
from tdnet_runtime.sinks.registry import open_sink
from tdnet_runtime.sinks.source_names import SourceNames, file_part, topic_part

PAIRS = [("\u5de6", "\u53f3"), ("cam-1", "cam_1"), ("a/b", "a b"), ("front.left", "front-left")]


@pytest.mark.parametrize(("one", "other"), PAIRS)
@pytest.mark.parametrize(
    ("spec", "package"),
    [("mcap:{}/a.mcap", "mcap"), ("rerun:{}/a.rrd", "rerun"), ("foxglove://127.0.0.1:0", "foxglove")],
)
def test_a_second_source_of_one_topic(
    tmp_path: Path, network: object, spec: str, package: str, one: str, other: str
) -> None:
    pytest.importorskip(package, reason=f"{package} is not installed")
    words = re.escape(f"the sources {one!r} and {other!r} would both be called ")
    with open_sink(spec.format(tmp_path), network) as sink:
        with pytest.raises(OptionError, match=words):
            sink.source_names.check([one, "third", other])
        sink.source_names.check([one, "third"])
        sink.write(make_result(0, source=one))
        for _ in range(2):
            with pytest.raises(MediaError, match=words):
                sink.write(make_result(1, source=other))
        sink.write(make_result(1, source=one))
        sink.write(make_result(0, source="third"))


def test_names_that_stay_as_they_are() -> None:
    names = ["front", "rear_left", "Cam2", "", "_"]
    assert [topic_part(name) for name in names] == names == [file_part(name) for name in names]
    SourceNames("x").check(names)
    assert [file_part(name) for name in (".", "..", "...", "a/../b")] == ["_", "_", "...", "a_.._b"]
