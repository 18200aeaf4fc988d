from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from tdnet_bench.loops.back_to_back import warm_up
from tdnet_bench.loops.lineup import Lineup
from tdnet_bench.loops.schedule import Schedule
from tdnet_bench.sides.requests import Request
from tdnet_runtime import Segmenter
from tdnet_runtime.errors import BackendError, BundleError

TD2 = Schedule(paths=2, cold_frames=1)
IMAGES = [np.zeros((48, 48, 3), dtype=np.uint8)]
FAKE, ABSENT = Request("fake"), Request("fake", "fp16")


def _tick() -> None:
    pass


def _lineup(engine: Path, stack: ExitStack) -> Lineup:
    return Lineup(engine, ckpt=None, threads=1, stack=stack, warm_up=partial(warm_up, floor_ns=0))


def test_the_first_backend_that_can_run_it_is_the_subject(engine: Path) -> None:
    with ExitStack() as stack:
        lineup = _lineup(engine, stack)
        subject, rest = lineup.open_subject([ABSENT, FAKE, Request("onnxruntime")])
        assert subject.segmenter.backend.name == "fake"
        assert rest == (Request("onnxruntime"),)
        (left,) = lineup.left_out
        assert left.what == "fake:fp16"
        assert "fp16" in left.reason
        assert str(engine.parent) not in left.reason  # documents name no folders
        assert "'tiny.plan'" in left.reason


def test_none_is_an_error_and_the_first_ones(engine: Path) -> None:
    with ExitStack() as stack, pytest.raises(BackendError, match="fp16"):
        _lineup(engine, stack).open_subject([ABSENT, Request("fake", "int8")])


def test_a_bundle_that_cannot_be_trusted_is_no_matter_of_backends(tmp_path: Path) -> None:
    path = tmp_path / "x.plan"
    path.write_bytes(b"no bundle")
    with ExitStack() as stack, pytest.raises(BundleError):
        _lineup(path, stack).open_subject([FAKE, FAKE])


def test_each_side_has_its_times_and_its_memory(engine: Path) -> None:
    with ExitStack() as stack:
        lineup = _lineup(engine, stack)
        lineup.open_subject([FAKE])
        lineup.warm_up_subject(IMAGES, TD2, tick=_tick)
        setup = lineup.setup["fake:fp32"]
        assert 0 < setup.load_ms < setup.first_mask_ms
        assert setup.warm_up_frames == 4
        assert setup.device_memory_mib is None
        assert [spec.name for spec in lineup.specs(camera=False)] == ["fake:fp32"]


def test_what_is_there_already_is_not_opened_twice(engine: Path) -> None:
    with ExitStack() as stack:
        lineup = _lineup(engine, stack)
        lineup.open_subject([FAKE])
        lineup.warm_up_subject(IMAGES, TD2, tick=_tick)
        lineup.add(Request("fake", "fp32"), IMAGES, TD2, tick=_tick)
        assert [side.name for side in lineup.sides] == ["fake:fp32"]
        assert lineup.repeated == {"fake:fp32": "fake:fp32"}
        assert lineup.left_out == []


def test_a_peer_that_fails_on_its_warm_up_is_left_out_and_closed(
    engine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[Segmenter] = []
    real = Segmenter.close
    monkeypatch.setattr(Segmenter, "close", lambda self: (closed.append(self), real(self))[1])
    calls = 0

    def fails_second(*arguments: object, **named: object) -> object:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise BackendError("out of memory")
        return warm_up(*arguments, floor_ns=0, **named)  # type: ignore[arg-type]

    with ExitStack() as stack:
        lineup = Lineup(engine, ckpt=None, threads=1, stack=stack, warm_up=fails_second)  # type: ignore[arg-type]
        lineup.open_subject([FAKE])
        lineup.warm_up_subject(IMAGES, TD2, tick=_tick)
        lineup.setup.clear()  # so that the same side counts as another
        lineup.add(FAKE, IMAGES, TD2, tick=_tick)
        assert [(left.what, left.reason) for left in lineup.left_out] == [("fake", "out of memory")]
        assert len(lineup.sides) == 1
        assert len(closed) == 1
    assert len(closed) == 2


def test_a_subject_that_fails_is_an_error(engine: Path) -> None:
    def fails(*arguments: object, **named: object) -> object:
        raise BackendError("out of memory")

    with ExitStack() as stack:
        lineup = Lineup(engine, ckpt=None, threads=1, stack=stack, warm_up=fails)  # type: ignore[arg-type]
        lineup.open_subject([FAKE])
        with pytest.raises(BackendError, match="out of memory"):
            lineup.warm_up_subject(IMAGES, TD2, tick=_tick)
