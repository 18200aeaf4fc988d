"""The page of a finished run: curves, classes, the frames it does worst on, and what to run next."""

from __future__ import annotations

import base64
import html
import shlex
from collections.abc import Iterable, Mapping, Sequence
from io import BytesIO
from typing import Any

from tdnet_eval.evaluation import JudgedFrame
from tdnet_eval.pictures import WorstFrames, frame_picture
from tdnet_runtime.file_names import as_utf8
from tdnet_runtime.media.png import encoded_png
from tdnet_train.running.folder import RunFolder
from tdnet_train.running.setup import Setup
from tdnet_train.running.validation import build_validation

__all__ = ["next_commands", "page_text", "write_page"]

_WORST = 4
_STYLE = (
    "body{font:15px sans-serif;max-width:60em;margin:2em auto;padding:0 1em}td,th{padding:.15em .8em;text-align:right}"
    "td:first-child,th:first-child{text-align:left}img,svg{max-width:100%;height:auto}pre{background:#f3f3f3;padding:1em}"
)


def write_page(setup: Setup, folder: RunFolder) -> None:
    """Write `report.html` into the run's folder. It needs nothing beside itself, and asks nothing of a network.

    Raises:
        TdnetError: a frame cannot be read, or the page not written.
    """
    worst = WorstFrames("", _WORST)
    validation = build_validation(setup)
    if validation is not None and folder.best.exists():
        validation(folder.load_network(folder.best), on_frame=worst.add)
    text = page_text(folder.entries(), setup, folder, worst.frames)
    folder.write_whole(folder.page, as_utf8(text).encode())


def page_text(
    entries: Sequence[Mapping[str, Any]], setup: Setup, folder: RunFolder, worst: Iterable[JudgedFrame]
) -> str:
    """The page, from the journal's lines."""
    spec = setup.network.network.spec
    steps = [entry for entry in entries if entry["kind"] == "steps"]
    validations = [entry for entry in entries if entry["kind"] == "validation"]
    parts = [
        "<!doctype html><meta charset=utf-8>",
        f"<title>{html.escape(folder.path.name)}</title><style>{_STYLE}</style>",
        f"<h1>{html.escape(folder.path.name)}</h1>",
        f"<p>{spec.name}, {spec.classes} classes, {spec.input_size[0]}×{spec.input_size[1]}; learnt from "
        f"{html.escape(setup.data.train.description)}; began with {html.escape(setup.taken.source)}.</p>",
        _curves(steps, validations),
    ]
    if validations:
        best = [entry for entry in validations if entry["best"]][-1]
        parts.append(_classes(best))
    pictures = [_figure(frame, setup.data.train.classes.colors) for frame in worst if frame.truth is not None]
    if pictures:
        parts += [
            "<h2>Worst frames</h2><p>Frame and label image above, labels and mistakes below.</p>",
            *pictures,
        ]
    commands = html.escape("\n".join(next_commands(setup, folder)))
    parts += ["<h2>What to run next</h2>", f"<pre>{commands}</pre>"]
    return "\n".join(parts) + "\n"


def next_commands(setup: Setup, folder: RunFolder) -> list[str]:
    """From the checkpoint to a bundle, as a shell takes it."""
    settings, best = setup.settings, shlex.quote(str(folder.best))
    if settings.network.propagation != "chain":
        return [
            f"# propagation = {settings.network.propagation!r} is for comparisons: no bundle can be made of it"
        ]
    height, width = settings.network.size
    export = f"tdnet-export --ckpt {best} --size {height}x{width}"
    if setup.network.network.spec.variant.temporal and settings.validation.memory_stride is not None:
        export += f" --memory-stride {settings.validation.memory_stride}"
    pixels = settings.preprocessing
    if pixels.mean is not None and pixels.std is not None:
        export += f" --mean {_joined(pixels.mean)} --std {_joined(pixels.std)} --scale {pixels.scale}"
    elif pixels.preset != "imagenet":
        export += f" --preprocessing {pixels.preset}"
    if pixels.bgr and (pixels.mean is not None or pixels.preset in ("imagenet", "unit", "none")):
        export += " --bgr"
    name = setup.network.network.spec.name
    return [
        export,
        f"tdnet-inspect {name}.plan",
        f"tdnet-run --engine {name}.plan --input drive.mp4 --overlay out.mp4",
    ]


def _joined(values: Iterable[float]) -> str:
    return ",".join(map(repr, values))


def _curves(steps: Sequence[Mapping[str, Any]], validations: Sequence[Mapping[str, Any]]) -> str:
    """Both curves as one SVG."""
    from matplotlib.figure import Figure  # slow to import

    figure = Figure(figsize=(10, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for name in {name: None for entry in steps for name in entry["terms"]}:
        points = [(entry["step"], entry["terms"][name]) for entry in steps if name in entry["terms"]]
        left.plot(*zip(*points, strict=True), label=name, linewidth=1)
    left.set_xlabel("step")
    left.set_title("loss, weighted terms")
    if steps:
        left.legend(fontsize="x-small")
    right.plot([entry["step"] for entry in validations], [entry["miou"] for entry in validations], marker=".")
    right.set_xlabel("step")
    right.set_title("validation mIoU")
    file = BytesIO()
    figure.savefig(file, format="svg", metadata={"Date": None})
    text = file.getvalue().decode()
    return text[text.index("<svg") :]


def _classes(best: Mapping[str, Any]) -> str:
    rows = "".join(
        f"<tr><td>{html.escape(name)}<td>{'–' if iou is None else f'{iou:.4f}'}"
        for name, iou in best["iou"].items()
    )
    paths = "".join(
        f"<tr><td>sub-network {path}<td>{'–' if miou is None else f'{miou:.4f}'}"
        for path, miou in best["by_path"].items()
    )
    return (
        f"<h2>Best validation: mIoU {best['miou']:.4f}, pixel accuracy {best['pixel_accuracy']:.4f}, at step "
        f"{best['step']}</h2><table><tr><th>class<th>IoU{rows}</table><table><tr><th>warm frames<th>mIoU{paths}</table>"
    )


def _figure(frame: JudgedFrame, colors: Sequence[tuple[int, int, int]]) -> str:
    assert frame.truth is not None
    picture = frame_picture(frame.image, frame.labels[""], frame.truth, colors=colors)
    data = base64.b64encode(encoded_png(picture[..., ::-1])).decode()
    miou = frame.judgements[""].confusion
    score = "" if miou is None or miou.miou is None else f", mIoU {miou.miou:.3f}"
    return f"<p>{html.escape(frame.name)}{score}</p><img alt='' src='data:image/png;base64,{data}'>"
