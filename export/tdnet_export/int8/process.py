"""NNCF in a process of its own.

Importing it takes seconds, changes the logging of the process and fills standard output; its memory is given
back when the process ends. The package that tells an analytics host about its use is hidden from it.
"""

from __future__ import annotations

import importlib.metadata
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec
import onnx

from tdnet_export.child_end import how_it_ended, last_words
from tdnet_export.int8.parts import completed, part_until
from tdnet_export.int8.samples import Sample
from tdnet_export.work_folder import temporary_space
from tdnet_runtime.errors import ExportError

__all__ = ["Job", "quantise", "tool", "unavailable"]

_PACKAGE = "nncf"
_DOING = "quantising the graphs"


class Job(msgspec.Struct, frozen=True):
    """One graph: its name, its samples, and names of the nodes that stay FP32."""

    graph: str
    samples: list[Sample]
    single: list[str]


def unavailable() -> str | None:
    """Why INT8 graphs cannot be made here, and the fix; None where they can."""
    try:
        importlib.metadata.version(_PACKAGE)
    except importlib.metadata.PackageNotFoundError:
        return "INT8 graphs are made by NNCF, which is not installed; install it with: pip install 'tdnet-deploy[int8]'"
    return None


def tool() -> str:
    """NNCF and its version."""
    return f"{_PACKAGE} {importlib.metadata.version(_PACKAGE)}"


def quantise(
    models: Mapping[str, onnx.ModelProto],
    samples: Mapping[str, Sequence[Sample]],
    folder: Path,
    *,
    stays_single: Callable[[str], bool],
) -> Generator[tuple[str, onnx.ModelProto], None, None]:
    """Each graph in INT8, as NNCF makes it, with its name; the next one is being made meanwhile.

    Args:
        models: in FP32, by name.
        samples: for each, in the order in which they are made; their results are written before a graph is given.
        folder: to work in.
        stays_single: of a node's name.

    Raises:
        ExportError: NNCF failed, and the message has its last line; or `folder` is full.
    """
    jobs = []
    for name, seen in samples.items():
        model = models[name]
        if not seen[0].results:  # what comes after all INT8, labels above all, would run for nothing
            model = part_until(model, lambda node: not stays_single(node.name))
        with temporary_space(_DOING):
            onnx.save(model, folder / f"{name}.onnx")
        single = [node.name for node in model.graph.node if stays_single(node.name)]
        jobs.append(Job(name, list(seen), single))
    with temporary_space(_DOING):
        (folder / "jobs.json").write_bytes(msgspec.json.encode(jobs))
    for name in _run(folder):
        yield name, _read(folder, name, models[name])


def _run(folder: Path) -> Iterator[str]:
    """The names of the graphs as they are done; closing it ends the process."""
    log = folder / "log.txt"
    path = os.pathsep.join(entry for entry in sys.path if entry)
    environment = {
        **os.environ,
        "PYTHONPATH": path,
        "NNCF_CI": "1",  # its own word for "no telemetry"
        # glibc's word for pages of 2 MiB: each sample's inner values are gigabytes of new memory.
        "GLIBC_TUNABLES": f"{os.environ.get('GLIBC_TUNABLES', '')}:glibc.malloc.hugetlb=1".lstrip(":"),
    }
    command = [sys.executable, "-W", "ignore", "-m", "tdnet_export.int8.child", str(folder), str(os.getpid())]
    with (
        log.open("wb") as said,
        subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=said,
            start_new_session=True,  # Ctrl-C reaches the parent alone, which ends the child
        ) as child,
    ):
        assert child.stdout is not None  # a pipe
        try:
            for line in child.stdout:
                yield line.decode().strip()
        except BaseException:
            child.kill()
            raise
    if child.returncode != 0:
        last = last_words(log)
        fix = "Export with --precision fp32"
        if last.startswith("OSError"):
            fix = "The temporary folder needs room for graphs and their values: set TMPDIR to one that has it"
        elif -child.returncode == signal.SIGKILL:
            fix += ", or where there is more memory"
        raise ExportError(f"{_DOING}: {tool()} {how_it_ended(child.returncode)}: {last.rstrip('.')}. {fix}.")


def _read(folder: Path, name: str, original: onnx.ModelProto) -> onnx.ModelProto:
    """The result, with the producer's marks and notes of the original."""
    model = onnx.load(folder / f"{name}.int8.onnx")
    completed(model, original)
    model.ir_version = original.ir_version
    model.producer_name, model.producer_version = original.producer_name, original.producer_version
    model.ClearField("doc_string")
    del model.metadata_props[:]
    del model.graph.value_info[:]
    model.graph.name = original.graph.name
    model.graph.ClearField("doc_string")
    for node in model.graph.node:
        node.ClearField("doc_string")
    return model
