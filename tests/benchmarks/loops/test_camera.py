from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType

import numpy as np
import pytest
from tests.benchmarks.fakes import FakeClock, FakeSide

from tdnet_bench.loops.camera import measure_camera
from tdnet_bench.loops.schedule import Schedule
from tdnet_bench.records.frames import AnyRecord, CameraRecord
from tdnet_runtime.media.frames import FrameSource, SourceFrame

TD2 = Schedule(paths=2, cold_frames=1)


@dataclass
class SlowFile:
    """`count` frames, each of which takes `decode_ns` to decode."""

    clock: FakeClock
    count: int
    decode_ns: int = 100
    description: str = "file"
    fps: None = None
    frame_count: None = None
    size_hw: tuple[int, int] = (2, 3)
    closed: int = 0

    def __enter__(self) -> SlowFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.closed += 1

    def __iter__(self) -> Iterator[SourceFrame]:
        for index in range(self.count):
            self.clock.now_ns += self.decode_ns
            image = np.full((2, 3, 3), index, dtype=np.uint8)
            yield SourceFrame(image=image, name=str(index), stamp_ns=index)


def _measure(
    sides: list[FakeSide], clock: FakeClock, *, frames: int, count: int
) -> tuple[int, list[CameraRecord]]:
    files: list[SlowFile] = []

    def open_source() -> FrameSource:
        files.append(SlowFile(clock, frames))
        return files[-1]

    records: list[AnyRecord] = []
    done = measure_camera(
        sides, open_source, count, TD2, write=records.append, clock=clock, sleep=clock.sleep
    )
    assert [file.closed for file in files] == [1] * len(sides)
    return done, [record for record in records if isinstance(record, CameraRecord)]


def test_decoding_is_inside_and_the_pause_is_not() -> None:
    clock = FakeClock()
    done, records = _measure([FakeSide("bundle", clock, [7, 5])], clock, frames=9, count=3)
    assert done == 3
    assert [(r.frame, r.path, r.cold, r.decode_ns, r.push_ns, r.camera_to_mask_ns) for r in records] == [
        (0, 1, True, 100, 7, 107),
        (1, 2, False, 100, 5, 105),
        (2, 1, False, 100, 5, 105),
    ]


def test_each_side_decodes_the_file_itself_and_they_take_turns() -> None:
    clock = FakeClock()
    log: list[tuple[str, int]] = []
    sides = [FakeSide("one", clock, [1], log), FakeSide("two", clock, [2], log)]
    _, records = _measure(sides, clock, frames=9, count=2)
    assert log == [("one", 0), ("two", 0), ("two", 1), ("one", 1)]
    assert [(r.side, r.turn, r.push_ns) for r in records] == [
        ("one", 0, 1), ("two", 1, 2), ("two", 0, 2), ("one", 1, 1)
    ]  # fmt: skip


@pytest.mark.parametrize("sides", [1, 2])
def test_it_ends_with_the_file(sides: int) -> None:
    clock = FakeClock()
    done, records = _measure(
        [FakeSide(str(index), clock, [1]) for index in range(sides)], clock, frames=2, count=5
    )
    assert done == 2
    assert len(records) == 2 * sides
