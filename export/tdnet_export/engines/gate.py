"""The numerical gate: engines that can run here are run, in closed loop beside ONNX Runtime, before a bundle holds them.

Types of layers say what an engine was asked to be; only running it says what it computes. Both sides see the same
frames, each with its own memory; labels, confidence and every tensor that leaves a graph are compared, those of the memory
included; frames without attention too, where the bundle has graphs for them. It needs neither torch nor onnx.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from tdnet_export.parity_checks import (
    Verdict,
    confidence_parity,
    confusion,
    required_frames,
    spread,
    tensor_error,
)
from tdnet_export.parity_report import (
    BOUNDS,
    SCENE,
    ConfidenceParity,
    FrameParity,
    ParityBounds,
    ParityReport,
    class_parity,
    path_parity,
)
from tdnet_export.work_folder import work_folder
from tdnet_runtime import Result, Segmenter, Stream
from tdnet_runtime.backends import onnxruntime, tensorrt, tensorrt_rtx
from tdnet_runtime.bundle import Bundle
from tdnet_runtime.bundle_writer import write_bundle
from tdnet_runtime.errors import ExportError
from tdnet_runtime.manifest import EngineProof, EngineSpec, Manifest
from tdnet_runtime.media.scene import render
from tdnet_runtime.preflight import SIGNED_INT8, DeviceFacts, misfits, portability_note

__all__ = ["OnProof", "facts_or_reason", "gated", "proven"]

Frame = npt.NDArray[np.uint8]

OnProof = Callable[[str, int, int], None]
"""Called with a stage, and how many of how many frames of it are done."""

_SCHEMA_VERSION = 3
# ArgMax is a TopK there, which promises nothing for equal scores; and other kernels than a CPU's round otherwise.
_BOUNDS = BOUNDS | {
    "fp32": msgspec.structs.replace(
        BOUNDS["fp32"],
        min_label_agreement=0.995,
        min_mean_agreement=0.995,
        max_error=1e-2,
        max_confidence_error=0.01,
    ),
    # Two ways to round the same INT8 graph were 0.16 to 0.32 apart: single values fall on the other side of a step.
    SIGNED_INT8: msgspec.structs.replace(BOUNDS[SIGNED_INT8], max_error=1.0),
}
_BACKENDS = {backend.name: backend for backend in (tensorrt.BACKEND, tensorrt_rtx.BACKEND)}
_SHOWN = ("image", "warm", "labels", "confidence", "logits")  # by the user, or compared by themselves


def facts_or_reason(spec: EngineSpec) -> DeviceFacts | str:
    """The machine that the engines must run on, since it is this one; or why they cannot be run here."""
    backend = _BACKENDS[spec.backend]
    if (reason := backend.unavailable() or onnxruntime.unavailable()) is not None:
        return reason
    facts = backend.facts()
    return "; ".join(misfits(spec, facts)) or portability_note(spec, facts) or facts


def gated(
    manifest: Manifest,
    members: Mapping[str, bytes],
    built: tuple[EngineSpec, Mapping[str, bytes]],
    *,
    on_progress: OnProof = lambda stage, done, total: None,
) -> tuple[EngineSpec, Mapping[str, bytes], str | None]:
    """Engines that were just built, proven where they can be run; the set, its members, and why it was not run.

    Raises:
        ParityError, BackendError: as `proven`.
    """
    spec, files = built
    facts = facts_or_reason(spec)
    if isinstance(facts, str):
        return spec, files, facts
    spec, report = proven(manifest, {**members, **files}, spec, facts, on_progress=on_progress)
    return spec, {**files, **report}, None


def proven(
    manifest: Manifest,
    members: Mapping[str, bytes],
    spec: EngineSpec,
    facts: DeviceFacts,
    *,
    frames: Sequence[Frame] | None = None,
    on_progress: OnProof = lambda stage, done, total: None,
) -> tuple[EngineSpec, dict[str, bytes]]:
    """Run the engines over 3m + 2 frames beside ONNX Runtime's FP32 graphs.

    Beside the engines' own graphs where there are no FP32 ones, and where they are INT8: what INT8 costs was measured
    at the export, on footage like the calibration's; here is the question what the engines make of the graphs.

    Args:
        manifest: of the bundle.
        members: of the bundle, and of the engines.
        spec: that fits this machine.
        facts: of this machine.
        frames: uint8 [H, W, 3] of the network's size; None for the rendered scene.
        on_progress: see `OnProof`.

    Returns:
        The set with its proof, and the proof's member.

    Raises:
        ParityError: the engines compute something else; the first frame and tensor are named.
        BackendError: they do not load, or fail.
    """
    own = spec.precision == SIGNED_INT8 or "fp32" not in manifest.precisions
    single = spec.precision if own else "fp32"
    count = required_frames(len(manifest.paths))
    height, width = manifest.input.height, manifest.input.width
    footage = SCENE if frames is None else "user's footage"
    shown = frames or [render(index, height=height, width=width) for index in range(count)]
    with work_folder("tdnet-gate-", "proving the engines") as folder:
        path = folder / "gate.plan"
        _write(path, manifest, members, spec)
        with (
            Segmenter.open(path, backend="onnxruntime", precision=single) as reference,
            _opened(path, spec) as engines,
            reference.stream() as expected,
            engines.stream() as found,
        ):
            compared = partial(
                _compared,
                spec,
                manifest,
                found,
                expected,
                shown,
                on_progress,
                engines.backend.description,
                footage,
            )
            report = compared()
            if manifest.own_graphs:
                found.reset()
                expected.reset()
                report = msgspec.structs.replace(report, own=compared(attention=False))
    member = f"engines/{spec.title}/proof.json"
    proof = EngineProof(
        device=facts.device_name,
        compute_capability=facts.compute_capability,
        frames=len(report.frames),
        label_agreement=report.label_agreement,
        worst_frame_agreement=report.worst_frame_agreement,
        report=member,
    )
    data = msgspec.json.format(msgspec.json.encode(report), indent=1)
    return msgspec.structs.replace(spec, proof=proof), {member: data}


def _write(path: Path, manifest: Manifest, members: Mapping[str, bytes], spec: EngineSpec) -> None:
    try:
        bare = msgspec.structs.replace(spec, proof=None)
        needed = {m for graph in manifest.graphs for m in graph.members.values()}
        needed |= {m for engine in spec.graphs.values() for m in (engine.engine, engine.layers, engine.log)}
        write_bundle(
            path,
            msgspec.structs.replace(manifest, engines=(bare,), parity={}, members={}),
            {name: data for name, data in members.items() if name in needed},
        )
    except OSError as error:
        raise ExportError(
            f"proving the engines {spec.title} failed: {error}; the temporary folder needs room for graphs and engines, "
            "set TMPDIR to one that has it"
        ) from error


def _opened(path: Path, spec: EngineSpec) -> Segmenter:
    bundle = Bundle.open(path)
    try:
        return Segmenter(bundle, _BACKENDS[spec.backend].load(bundle, precision=spec.precision))
    except BaseException:
        bundle.close()
        raise


def _bounds(manifest: Manifest, precision: str) -> ParityBounds:
    """What engines must hold.

    Where INT8 was allowed more loss at its export, classes are nearly tied and rounding decides between them: half of
    what the proof had must do there, and it is the tensors that tell.
    """
    bounds, proof = _BOUNDS[precision], manifest.parity.get(precision)
    if precision != SIGNED_INT8 or proof is None or proof.worst_frame_agreement >= bounds.min_label_agreement:
        return bounds
    least = proof.worst_frame_agreement / 2
    return msgspec.structs.replace(
        bounds,
        min_label_agreement=least,
        min_mean_agreement=least,
        max_class_loss=1.0,
        max_confidence_error=1.0,
    )


def _compared(
    spec: EngineSpec,
    manifest: Manifest,
    found: Stream,
    expected: Stream,
    frames: Sequence[Frame],
    on_progress: OnProof,
    engine: str,
    footage: str,
    *,
    attention: bool = True,
) -> ParityReport:
    bounds = _bounds(manifest, spec.precision)
    verdict = Verdict(
        bounds,
        f"{'' if attention else 'without attention '}the engines {spec.title} do not compute what their graphs do",
        "ONNX Runtime",
        "Nothing was written. Build them anew (--rebuild), with another version of the product if that does not help, "
        "and report it.",
    )
    classes = len(manifest.classes)
    counts = np.zeros((classes, classes), dtype=np.int64)
    done: list[FrameParity] = []
    stage = f"prove {spec.backend} {spec.precision}{'' if attention else ', no attention'}"
    on_progress(stage, 0, len(frames))
    for frame in frames:
        ours, theirs = (side.push(frame, attention=attention) for side in (found, expected))
        counts += confusion(theirs.labels, np.minimum(ours.labels, classes - 1), classes)
        errors = _errors(found, expected, ours, theirs)
        figures = FrameParity(
            frame=ours.frame_index,
            path=ours.path,
            cold=ours.cold,
            label_agreement=float((ours.labels == theirs.labels).mean()),
            errors=errors,
            confidence=_confidence(ours, theirs, errors.get("logits")),
        )
        verdict.require_frame(figures)
        done.append(figures)
        on_progress(stage, len(done), len(frames))
    report = ParityReport(
        schema_version=_SCHEMA_VERSION,
        precision=spec.precision,
        engine=engine,
        footage=footage,
        memory_stride=manifest.state.stride,
        bounds=bounds,
        frames=tuple(done),
        paths=path_parity(tuple(done)),
        classes=class_parity(counts),
    )
    verdict.require_all(report)
    return report


def _errors(found: Stream, expected: Stream, ours: Result, theirs: Result) -> dict[str, float]:
    """Of every tensor that both sides show after a frame: Q, V, the slots; and the logits where there are any."""
    names = [name for name in expected.tensor_names if name in found.tensor_names and name not in _SHOWN]
    errors = {
        name: tensor_error(found.tensor(name).astype(np.float32), expected.tensor(name).astype(np.float32))
        for name in names
    }
    if ours.logits is not None and theirs.logits is not None:
        errors["logits"] = tensor_error(ours.logits, theirs.logits)
    return errors


def _confidence(ours: Result, theirs: Result, error: float | None) -> ConfidenceParity | None:
    """Where the labels agree, since it is theirs; both sides are rounded."""
    if ours.confidence is None or theirs.confidence is None:
        return None
    same = ours.labels == theirs.labels
    off = None if error is None or theirs.logits is None else error * spread(theirs.logits)
    wanted = theirs.confidence[same].astype(np.float32) / 255
    return confidence_parity(ours.confidence[same], wanted, logits_off=off, rounding=1.25 / 255)
