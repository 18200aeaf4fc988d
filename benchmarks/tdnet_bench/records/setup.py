"""What it took to get the sides of a run going."""

from __future__ import annotations

from tdnet_bench.records.record import Record

__all__ = ["SideSetup", "StreamMemory"]


class SideSetup(Record, frozen=True, kw_only=True):
    """What it took to get one side going, in the order of `Document.setup`: the subject is the first.

    Attributes:
        load_ms: from nothing to a loaded network: the engine's import, reading, verifying, compiling.
            Later sides find imported what earlier ones imported.
        first_mask_ms: from the same instant to the labels of the first frame.
        warm_up_frames: frames of the scratch stream that was discarded.
        peak_rss_mib: largest resident memory of the process so far, all earlier sides, Python and the
            frames included; None where the system does not tell.
        device_memory_mib: what the process holds on the GPU after the warm-up, all earlier sides
            included; None without a GPU, or where the driver does not tell.
    """

    load_ms: float
    first_mask_ms: float
    warm_up_frames: int
    peak_rss_mib: float | None
    device_memory_mib: float | None


class StreamMemory(Record, frozen=True, kw_only=True):
    """What each further stream of a side took, after it ran every path once.

    Attributes:
        on: `device` by the driver's count of free memory, of all processes; `host` by this process's resident memory.
        further_mib: by stream, the first one left out, which a side cannot do without.
        own_bytes: what the last one says of itself, by kind; None where it says nothing.
    """

    on: str
    further_mib: tuple[float, ...]
    own_bytes: dict[str, int] | None = None
