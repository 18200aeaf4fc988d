"""The process that quantises: `python -m tdnet_export.int8.child FOLDER PARENT`, started by `process.py`.

It ends with the process PARENT. It reads FOLDER/jobs.json and `<graph>.onnx`, writes `<graph>.int8.onnx` and the samples'
results, and prints each graph's name on standard output when it is done; all else that NNCF has to say goes to standard
error.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import onnx

from tdnet_export.int8.process import Job
from tdnet_export.int8.samples import Sample, Tensors, load_tensors, save_tensors
from tdnet_export.termination import end_with
from tdnet_runtime.backends.cpu_count import usable_cpus
from tdnet_runtime.backends.no_telemetry import import_without_telemetry
from tdnet_runtime.backends.thread_supply import require_threads

__all__ = ["main"]


def main(folder: Path) -> None:
    """Do all jobs of the folder."""
    with os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8") as told:
        os.dup2(2, 1)
        nncf = import_without_telemetry("nncf")
        _limit_sessions()
        feed = _keep_results()
        for job in msgspec.json.decode((folder / "jobs.json").read_bytes(), type=list[Job]):
            model = onnx.load(folder / f"{job.graph}.onnx")
            samples = nncf.Dataset(job.samples, feed)
            found = nncf.quantize(
                model,
                samples,
                preset=nncf.QuantizationPreset.PERFORMANCE,  # symmetric, which TensorRT builds
                subset_size=len(job.samples),
                ignored_scope=nncf.IgnoredScope(names=list(job.single)),
            )
            if any(not Path(file).is_file() for sample in job.samples for file in sample.results.values()):
                raise SystemExit(f"it did not run {job.graph} as a whole, as NNCF 3.4.0 does")
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


def _keep_results() -> Callable[[Sample], Tensors]:
    """Loads the inputs of a sample, whose results are then written by the session that runs the whole graph on it.

    NNCF 3.4.0 runs each sample once, as soon as it is loaded, with inner values as outputs beside the graph's own.
    """
    ort = import_without_telemetry("onnxruntime")
    plain = ort.InferenceSession.run
    results: dict[str, str] = {}

    def run(session: Any, names: Any, feed: Any, options: Any = None) -> Any:
        found = plain(session, names, feed, options)
        made = dict(zip(names or [output.name for output in session.get_outputs()], found, strict=True))
        if results.keys() <= made.keys():
            save_tensors(results, made)
            results.clear()
        return found

    def load(sample: Sample) -> Tensors:
        results.clear()
        results.update(sample.results)
        return load_tensors(sample.inputs)

    ort.InferenceSession.run = run
    return load


if __name__ == "__main__":
    end_with(int(sys.argv[2]))
    main(Path(sys.argv[1]))
