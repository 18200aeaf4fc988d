"""A run from beginning to end: open, warm up, measure, summarise."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, TypeAlias

from tdnet_bench.baselines import BundleSide, ReferencePlan, ReferenceSide, plan_reference, reference_for
from tdnet_bench.document import SCHEMA_VERSION, Document, Memory
from tdnet_bench.environment import capture_environment, peak_rss_mib
from tdnet_bench.footage import SCENE_FRAMES, FileFootage, Footage, SceneFootage
from tdnet_bench.load import BUSY_SHARE, OtherLoad
from tdnet_bench.options import BenchOptions
from tdnet_bench.records import REFERENCE, RunConfig
from tdnet_bench.runner import PAUSE_MS, Schedule, Side, Tick, measure, warm_up
from tdnet_bench.stats import summarise
from tdnet_runtime import Segmenter
from tdnet_runtime.errors import MediaError

if TYPE_CHECKING:
    from tdnet_runtime.manifest import Manifest

__all__ = ["Phase", "run_benchmark"]

Phase: TypeAlias = Callable[[str, int], AbstractContextManager[Tick]]
"""Opens a phase of the run for display: what is done, and of how many frames (at least)."""


def run_benchmark(options: BenchOptions, *, phase: Phase) -> Document:
    """Measure a bundle, and the PyTorch reference beside it where there is one.

    Args:
        options: checked already.
        phase: for a progress display.

    Raises:
        TdnetError: bundle, checkpoint, backend or input cannot be used.
    """
    environment = capture_environment()
    with Segmenter.open(options.engine, backend=options.backend, threads=options.threads) as segmenter:
        manifest = segmenter.manifest
        plan = plan_reference(manifest, options.ckpt)
        schedule = Schedule(paths=len(manifest.paths), cold_frames=manifest.state.cold_frames)
        count = schedule.lead_in_frames + options.frames
        footage = _open_footage(options, manifest, count, phase)
        warm_frames = list(footage.frames(schedule.warm_up_frames))
        _check_length(len(warm_frames), schedule, options)

        bundle = BundleSide(segmenter)
        sides: list[Side] = [bundle]
        includes = {bundle.name: bundle.includes}
        warmed = {}
        with phase("warming up the bundle", schedule.warm_up_frames) as tick:
            warmed[bundle.name] = warm_up(bundle, warm_frames, schedule, tick=tick)
        bundle_peak_mib = peak_rss_mib()
        reference = _reference_side(plan, manifest, options.threads)
        if reference is not None:
            sides.append(reference)
            includes[reference.name] = reference.includes
            with phase("warming up the reference", schedule.warm_up_frames) as tick:
                warmed[reference.name] = warm_up(reference, warm_frames, schedule, tick=tick)
        load = OtherLoad()
        with phase("measuring", count) as tick:
            baseline = REFERENCE if plan.kind == "checkpoint" else None
            records = measure(sides, footage.frames(count), schedule, baseline=baseline, tick=tick)
        other_busy_cores = load.busy_cores()
        return Document(
            schema_version=SCHEMA_VERSION,
            config=_config(options, segmenter, plan, footage.description, includes),
            environment=environment,
            warm_up_frames=warmed,
            memory=Memory(bundle_peak_mib=bundle_peak_mib, run_peak_mib=peak_rss_mib()),
            other_busy_cores=other_busy_cores,
            notes=_notes(options, manifest, plan, measured=records[-1].frame + 1, wanted=count)
            + busy_notes(other_busy_cores, load.usable_cores),
            summary=summarise(records, baseline=REFERENCE),
            records=tuple(records),
        )


def _open_footage(options: BenchOptions, manifest: Manifest, count: int, phase: Phase) -> Footage:
    height, width = manifest.input.height, manifest.input.width
    if options.input is not None:
        return FileFootage(options.input, height=height, width=width)
    with phase("rendering the scene", min(count, SCENE_FRAMES)) as tick:
        return SceneFootage(height=height, width=width, count=count, tick=tick)


def _check_length(available: int, schedule: Schedule, options: BenchOptions) -> None:
    """Raise MediaError where the input cannot give one warm frame. `warm_up_frames` is enough to tell."""
    needed = schedule.lead_in_frames + 1
    if available < needed:
        raise MediaError(
            f"--input has {available} frames; at least {needed} are needed, since the first "
            f"{schedule.lead_in_frames} are kept apart: {str(options.input)!r}"
        )


def _reference_side(plan: ReferencePlan, manifest: Manifest, threads: int) -> ReferenceSide | None:
    if plan.kind == "absent":
        return None
    stride = manifest.state.stride if manifest.state.slots else None
    return ReferenceSide(reference_for(manifest, plan.ckpt), memory_stride=stride, threads=threads)


def _notes(
    options: BenchOptions, manifest: Manifest, plan: ReferencePlan, *, measured: int, wanted: int
) -> tuple[str, ...]:
    notes = [plan.note]
    if measured < wanted:
        notes.append(
            f"the input ended after {measured} of the {wanted} frames that --frames {options.frames} asks for"
        )
    if manifest.size_resampled:
        notes.append("the bundle is an approximation: its LayerNorm maps were resampled from another size")
    return tuple(notes)


def busy_notes(busy_cores: float, usable_cores: int) -> tuple[str, ...]:
    """A warning where other programs were busy enough to distort the figures, else nothing."""
    if busy_cores < BUSY_SHARE * usable_cores:
        return ()
    return (
        f"BUSY MACHINE: other programs kept {busy_cores:.1f} of {usable_cores} cores busy during the run, "
        "which slows both sides, and not equally, so repeat it on an idle machine",
    )


def _config(
    options: BenchOptions, segmenter: Segmenter, plan: ReferencePlan, footage: str, includes: dict[str, str]
) -> RunConfig:
    manifest, backend = segmenter.manifest, segmenter.backend
    return RunConfig(
        engine=options.engine.name,
        bundle_digest=segmenter.bundle.digest,
        network=manifest.network,
        size_resampled=manifest.size_resampled,
        precision=backend.precision,
        backend=backend.name,
        backend_description=backend.description,
        height=manifest.input.height,
        width=manifest.input.width,
        paths=len(manifest.paths),
        cold_frames=manifest.state.cold_frames,
        memory_stride=manifest.state.stride,
        threads=options.threads,
        warm_frames_requested=options.frames,
        footage=footage,
        reference=plan.kind,
        reference_note=plan.note,
        checkpoint_sha256=plan.checkpoint_sha256,
        pause_ms=PAUSE_MS,
        includes=includes,
    )
