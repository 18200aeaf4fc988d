#!/usr/bin/env bash
# A thread that asks PyTorch for one core gets another thread's number, where that asks at the wrong moment.
# Seen with torch 2.13.0 (CPU build) on 2026-11-29.
# Expected: torch.set_num_threads(1) in a thread that loads data holds for that thread, as OpenMP's own number does.
# Comes: a thread's first use of the pool (even get_num_threads) sets its number again to what any thread set last. So a loader that
# asks for one core before its first operation runs on all of them once the main thread has set its own number.
# Here: loaders look at the number once as soon as they have set it (tdnet_train.clips.ahead).
. "$(dirname "$0")/common.bash"
with torch==2.13.0 numpy==2.4.6
"$PYTHON" - >out 2>/dev/null <<'PY'
import threading

import torch


def number_of_a_thread(warm: bool) -> int:
    mine, theirs, found = threading.Event(), threading.Event(), []

    def load() -> None:
        if warm:
            torch.get_num_threads()
        torch.set_num_threads(1)
        mine.set()
        theirs.wait()
        found.append(torch.get_num_threads())

    torch.set_num_threads(3)
    thread = threading.Thread(target=load)
    thread.start()
    mine.wait()
    torch.set_num_threads(2)
    theirs.set()
    thread.join()
    return found[0]


print("a thread that set 1 before its first use has", number_of_a_thread(warm=False))
print("one that set 1 after it has", number_of_a_thread(warm=True))
PY
seen <<'TEXT'
a thread that set 1 before its first use has 2
one that set 1 after it has 1
TEXT
