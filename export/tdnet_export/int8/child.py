"""The process that quantises: `python -m tdnet_export.int8.child FOLDER PARENT`, started by `process.py`.

It ends with the process PARENT. It reads FOLDER/jobs.json and `<graph>.onnx`, writes `<graph>.int8.onnx`, and prints
each graph's name on standard output when it is done; all else that NNCF has to say goes to standard error.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import msgspec
import onnx

from tdnet_export.int8.process import Job
from tdnet_export.int8.samples import load_sample
from tdnet_export.termination import end_with
from tdnet_runtime.backends.no_telemetry import import_without_telemetry

__all__ = ["main"]


def main(folder: Path) -> None:
    """Do all jobs of the folder."""
    with os.fdopen(os.dup(1), "w", buffering=1) as told:
        os.dup2(2, 1)
        nncf = import_without_telemetry("nncf")
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


if __name__ == "__main__":
    end_with(int(sys.argv[2]))
    main(Path(sys.argv[1]))
