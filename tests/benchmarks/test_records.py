from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from tdnet_bench.records import FrameRecord


def test_a_record_survives_json(records: tuple[FrameRecord, ...]) -> None:
    encoded = msgspec.json.encode(records)
    assert msgspec.json.decode(encoded, type=tuple[FrameRecord, ...]) == records


def test_what_was_not_measured_is_null_in_json(record: Callable[..., FrameRecord]) -> None:
    assert msgspec.to_builtins(record(1, "reference", 5)) == {
        "frame": 1,
        "side": "reference",
        "path": 2,
        "cold": False,
        "turn": 0,
        "host_call_ns": 5_000_000,
        "agreement": None,
    }


def test_records_cannot_be_changed(record: Callable[..., FrameRecord]) -> None:
    with pytest.raises(AttributeError, match="immutable"):
        record(1, "bundle", 5).host_call_ns = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b'{"frame": 0}', "missing required field"),
        (b'{"frame": "0"}', "Expected `int`, got `str`"),
        (b'{"latency": 1}', "unknown field `latency`"),
    ],
)
def test_a_record_of_another_form_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=message):
        msgspec.json.decode(data, type=FrameRecord)
