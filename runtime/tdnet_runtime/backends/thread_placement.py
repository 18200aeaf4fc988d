"""Where an engine's own threads may run: beside their caller's core on a virtual machine, anywhere else on real ones.

On a virtual machine with Linux an engine's threads are woken on their caller's core after a gap of 30 ms: two threads
then take turns on one core, and a frame takes as long as with one thread (measured: docs/cpu.md, "Idle gaps"). The
likely reason is that to a guest of KVM a core that went to sleep does not look idle but taken away.
"""

from __future__ import annotations

import os

from tdnet_runtime.backends.cpu_flags import cpu_flags, own_cpuinfo

__all__ = ["cores_beside_the_caller"]

_GUEST = "hypervisor"


def cores_beside_the_caller(threads: int) -> tuple[int, ...]:
    """Cores for the threads that an engine has beside its caller's; () leaves them to the system.

    All that the calling thread may use but the first, which is left to whoever calls the engine; they are only named on
    a virtual machine (x86), and to an engine that has as many threads as there are cores: with fewer, two engines
    would be sent to the same ones while others are free.

    Args:
        threads: of the engine, the caller's among them.
    """
    if threads < 2 or not hasattr(os, "sched_getaffinity"):
        return ()
    cores = sorted(os.sched_getaffinity(0))
    return tuple(cores[1:]) if threads == len(cores) and _GUEST in cpu_flags(own_cpuinfo()) else ()
