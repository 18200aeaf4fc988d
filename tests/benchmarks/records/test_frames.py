from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from tdnet_bench.records.frames import AnyRecord, FrameRecord


def test_records_survive_json(all_records: tuple[AnyRecord, ...]) -> None:
    encoded = msgspec.json.encode(all_records)
    assert msgspec.json.decode(encoded, type=tuple[AnyRecord, ...]) == all_records


def test_what_was_not_measured_is_null_in_json(record: Callable[..., FrameRecord]) -> None:
    assert msgspec.to_builtins(record(1, "pytorch", 5)) == {
        "kind": "frame",
        "frame": 1,
        "side": "pytorch",
        "path": 2,
        "cold": False,
        "turn": 0,
        "host_call_ns": 5_000_000,
        "device_compute_ns": None,
        "agreement": None,
        "temporal_consistency": None,
        "class_pixels": None,
        "first": False,
    }


def test_records_cannot_be_changed(record: Callable[..., FrameRecord]) -> None:
    with pytest.raises(AttributeError, match="immutable"):
        record(1, "bundle", 5).host_call_ns = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b'{"kind": "frame", "frame": 0}', "missing required field"),
        (b'{"kind": "frame", "frame": "0"}', "Expected `int`, got `str`"),
        (b'{"kind": "frame", "latency": 1}', "unknown field `latency`"),
        (b'{"kind": "shot", "frame": 0}', "Invalid value 'shot'"),
        (b'{"frame": 0}', "missing required field `kind`"),
    ],
)
def test_a_record_of_another_form_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=message):
        msgspec.json.decode(data, type=AnyRecord)
