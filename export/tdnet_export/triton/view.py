"""What `tdnet-export --triton` shows: the models, and how to serve and ask them."""

from __future__ import annotations

import shlex

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tdnet_export.triton.repository import TritonModel, TritonSummary
from tdnet_runtime.extras import one_line

__all__ = ["show_models"]

_NEEDS = {
    "python": "needs tdnet-deploy in the Python of the server's Python backend",
    "onnxruntime": "needs the server's ONNX Runtime backend alone",
    "tensorrt": "needs the server's TensorRT backend, of the TensorRT and the GPU that built it",
}


def show_models(summary: TritonSummary, console: Console) -> None:
    """A row for each model, and the next commands."""
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row("repository", escape(one_line(str(summary.repository))))
    for model in summary.models:
        table.add_row("model", escape(f"{model.name}: {_NEEDS[model.backend]}"))
        if model.proven_frames is not None:
            table.add_row("", escape(_proof(model)))
    table.add_row(
        "sequences", f"{summary.streams} at once, idle for {summary.idle_s:g} s at most (config.pbtxt)"
    )
    table.add_row("time", f"{summary.seconds:.1f} s")
    console.print(table)
    repository = shlex.quote(str(summary.repository.resolve()))
    name = shlex.quote(summary.models[0].name)
    for line in (
        f"Serve: tritonserver --model-repository {repository} --http-address 127.0.0.1",
        f"Ask:   tdnet-run --engine triton://127.0.0.1:8000/{name} --input VIDEO --overlay out.mp4",
    ):
        console.print(one_line(line), soft_wrap=True, markup=False)


def _proof(model: TritonModel) -> str:
    """What the proof covers, and what it does not."""
    rounded = "" if model.precision in ("fp32", "int8") else ", rounded to FP16 on both sides"
    engine = "; the engine itself was not compared" if model.backend == "tensorrt" else ""
    return (
        f"one graph in {str(model.precision).upper()}: every label as the bundle's over {model.proven_frames} frames and "
        f"two starts, its state kept as the server keeps it, node by node on ONNX Runtime here{rounded}{engine}"
    )
