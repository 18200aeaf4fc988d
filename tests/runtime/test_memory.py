"""Slot = path: fixed buffers, each path's programs bound to them once."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
import pytest

from tdnet_runtime.backends.base import Binding
from tdnet_runtime.backends.host import HostBuffer
from tdnet_runtime.manifest import Manifest, TensorSpec
from tdnet_runtime.memory import StreamMemory, is_cold, path_index


class RecordingProgram:
    """Keeps its bindings; dirties every slot when it is prepared, as a warm-up run would."""

    def __init__(self, bindings: Sequence[Binding]) -> None:
        self.bindings = dict(bindings)
        self.runs = 0
        for _, buffers in bindings:
            for buffer in buffers.values():
                assert buffer.host is not None
                buffer.host.fill(7)

    def run(self) -> None:
        self.runs += 1


class RecordingSession:
    """Keeps what was asked for."""

    def __init__(self) -> None:
        self.allocated: list[tuple[TensorSpec, bool]] = []
        self.programs: list[RecordingProgram] = []

    def allocate(self, spec: TensorSpec, *, host_visible: bool = False) -> HostBuffer:
        self.allocated.append((spec, host_visible))
        return HostBuffer(spec)

    def prepare(self, bindings: Sequence[Binding]) -> RecordingProgram:
        self.programs.append(RecordingProgram(bindings))
        return self.programs[-1]

    def close(self) -> None:
        raise AssertionError("the stream closes its session, not the memory")


@pytest.fixture
def session() -> RecordingSession:
    return RecordingSession()


@pytest.fixture
def memory(tiny_manifest: Manifest, session: RecordingSession) -> StreamMemory:
    return StreamMemory(tiny_manifest, session)


@pytest.mark.parametrize(
    ("paths", "expected"), [(1, [1] * 6), (2, [1, 2, 1, 2, 1, 2]), (4, [1, 2, 3, 4, 1, 2])]
)
def test_the_path_follows_the_frame_index(paths: int, expected: list[int]) -> None:
    assert [path_index(index, paths) for index in range(6)] == expected


@pytest.mark.parametrize(("cold_frames", "expected"), [(0, 0), (1, 1), (3, 3)])
def test_the_first_frames_are_cold(cold_frames: int, expected: int) -> None:
    assert [is_cold(index, cold_frames) for index in range(6)] == [index < expected for index in range(6)]


def test_one_buffer_for_each_tensor_of_the_contract(session: RecordingSession, memory: StreamMemory) -> None:
    names = {"image", "query", "value", "warm", "labels", "slot1_k", "slot1_v", "slot2_k", "slot2_v"}
    assert set(memory.names) == names
    assert len(session.allocated) == len(names)
    assert {spec.name for spec, visible in session.allocated if visible} == {"image", "labels", "warm"}


def test_each_path_writes_its_own_slot_and_reads_the_others(
    session: RecordingSession, memory: StreamMemory
) -> None:
    first, second = (program.bindings for program in session.programs)
    assert list(first) == ["subnet1", "apm1"]  # in this order
    assert list(second) == ["subnet2", "apm2"]
    for leaf in "kv":
        assert first["subnet1"][f"memory_{leaf}"] is second["apm2"][f"slot1_{leaf}"]
        assert second["subnet2"][f"memory_{leaf}"] is first["apm1"][f"slot2_{leaf}"]
    for shared in ("query", "value"):
        buffers = [graph[shared] for bound in (first, second) for graph in bound.values()]
        assert all(buffer is buffers[0] for buffer in buffers)
    assert first["subnet1"]["image"] is second["subnet2"]["image"] is memory.image
    assert first["apm1"]["labels"] is second["apm2"]["labels"] is memory.labels
    assert first["apm1"]["warm"] is second["apm2"]["warm"]


def test_what_preparing_left_in_the_slots_is_cleared(memory: StreamMemory) -> None:
    assert all(not values.any() for values in memory.dump().values())


def test_a_frame_moves_nothing(session: RecordingSession, memory: StreamMemory) -> None:
    def addresses() -> list[int]:
        return [
            buffer.host.ctypes.data
            for program in session.programs
            for buffers in program.bindings.values()
            for buffer in buffers.values()
            if buffer.host is not None
        ]

    before = addresses()
    for index in range(5):
        memory.run(path_index(index, 2), cold=index < 1)
    assert addresses() == before
    assert [program.runs for program in session.programs] == [3, 2]
    assert len(session.programs) == 2


def test_warm_is_written_only_when_it_changes(
    session: RecordingSession, memory: StreamMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = []
    load = HostBuffer.load
    monkeypatch.setattr(
        HostBuffer, "load", lambda self, values: (written.append(values.tolist()), load(self, values))
    )
    warm = session.programs[0].bindings["apm1"]["warm"]
    for cold, expected in ((True, 0), (False, 1), (False, 1), (True, 0), (False, 1)):
        memory.run(1, cold=cold)
        assert warm.dump().tolist() == [expected]
    assert written == [[0], [1], [0], [1]]


def test_slots_are_dumped_as_copies_and_loaded_back(memory: StreamMemory) -> None:
    filled = {name: np.full_like(values, 1 + i) for i, (name, values) in enumerate(memory.dump().items())}
    assert list(filled) == ["slot1_k", "slot1_v", "slot2_k", "slot2_v"]
    memory.load(filled)
    dumped = memory.dump()
    memory.zero()
    assert all(np.array_equal(dumped[name], filled[name]) for name in filled)
    assert all(not values.any() for values in memory.dump().values())


def test_any_tensor_can_be_looked_at(memory: StreamMemory) -> None:
    query = memory.tensor("query")
    assert query.shape == (1, 2, 1, 1)
    query.fill(9)
    assert (memory.tensor("query") == 7).all()  # a copy
    with pytest.raises(KeyError, match="absent"):
        memory.tensor("absent")


def test_a_per_frame_network_has_no_slots(tiny_manifest: Manifest, session: RecordingSession) -> None:
    subnet = tiny_manifest.graph("subnet1")
    manifest = msgspec.structs.replace(
        tiny_manifest,
        paths=(msgspec.structs.replace(tiny_manifest.paths[0], apm=None, reads=()),),
        state=msgspec.structs.replace(tiny_manifest.state, slots=0, entry=(), cold_frames=0),
        graphs=(msgspec.structs.replace(subnet, outputs=tiny_manifest.graph("apm1").outputs),),
    )
    memory = StreamMemory(manifest, session)
    memory.run(1, cold=False)
    assert memory.dump() == {}
    assert set(memory.names) == {"image", "labels"}
    assert list(session.programs[0].bindings) == ["subnet1"]
