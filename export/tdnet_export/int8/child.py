"""The process that quantises: `python -m tdnet_export.int8.child FOLDER PARENT`, started by `process.py`.

It ends with the process PARENT. It reads FOLDER/jobs.json and `<graph>.onnx`, writes `<graph>.int8.onnx`, and prints
each graph's name on standard output when it is done; all else that NNCF has to say goes to standard error.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import msgspec
import onnx

from tdnet_export.int8.process import Job
from tdnet_export.int8.samples import load_sample
from tdnet_export.termination import end_with
from tdnet_runtime.backends.cpu_count import usable_cpus
from tdnet_runtime.backends.no_telemetry import import_without_telemetry
from tdnet_runtime.backends.thread_supply import require_threads

__all__ = ["main"]


def main(folder: Path) -> None:
    """Do all jobs of the folder."""
    with os.fdopen(os.dup(1), "w", buffering=1) as told:
        os.dup2(2, 1)
        nncf = import_without_telemetry("nncf")
        _limit_sessions()
        for job in msgspec.json.decode((folder / "jobs.json").read_bytes(), type=list[Job]):
            model = onnx.load(folder / f"{job.graph}.onnx")
            samples = nncf.Dataset([Path(sample) for sample in job.samples], load_sample)
            found = nncf.quantize(
                model,
                samples,
                preset=nncf.QuantizationPreset.PERFORMANCE,  # symmetric, which TensorRT builds
                subset_size=len(job.samples),
                ignored_scope=nncf.IgnoredScope(names=list(job.single)),
            )
            onnx.save(found, folder / f"{job.graph}.int8.onnx")
            told.write(f"{job.graph}\n")


def _limit_sessions() -> None:
    """NNCF 3.4.0 asks for no settings; ONNX Runtime then takes all threads that the machine has, and the double memory.

    Every inner value is an output here, and one block that is planned for all of them comes on top of them.
    """
    ort = import_without_telemetry("onnxruntime")
    threads = usable_cpus()
    require_threads(threads - 1, engine="NNCF", purpose=f"{threads - 1} beside the one that calls")
    made = ort.SessionOptions

    def limited() -> Any:
        options = made()
        options.intra_op_num_threads = threads
        options.enable_mem_pattern = False
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        return options

    ort.SessionOptions = limited


if __name__ == "__main__":
    end_with(int(sys.argv[2]))
    main(Path(sys.argv[1]))
