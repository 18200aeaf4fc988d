"""A run from beginning to end: open, warm up, measure, summarise."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from typing import NamedTuple

import msgspec

from tdnet_bench.documents.document import SCHEMA_VERSION, Document
from tdnet_bench.documents.journal import (
    Journal,
    JournalHeader,
    document_from_header,
    journal_path,
    refuse_other_run,
)
from tdnet_bench.documents.notes import exit_code, notes_after, notes_before, unused_labels
from tdnet_bench.inputs.footage import FileFootage, FootageFrame, SceneFootage
from tdnet_bench.inputs.label_images import LabelImages
from tdnet_bench.loops.lineup import AnySide, Lineup, measure_streams
from tdnet_bench.loops.parts import DEFAULT_PACE, Measured, Pace, Parts
from tdnet_bench.loops.schedule import Schedule
from tdnet_bench.machine.environment import capture_environment, peak_rss_mib
from tdnet_bench.options import BenchOptions
from tdnet_bench.quality.features import feature_errors
from tdnet_bench.quality.reference import checked_digest, choose_reference, judged_sides
from tdnet_bench.records.config import RunConfig, widths_text
from tdnet_bench.roofline.limits import Limits, measure_limits
from tdnet_bench.sides.bundle_side import BundleSide
from tdnet_bench.sides.requests import COMPILED, Request, plan_requests
from tdnet_bench.sides.side import Array, Phase
from tdnet_eval.judge import Judge, Judgement, Picture
from tdnet_eval.private_caches import use_private_caches
from tdnet_runtime import Segmenter
from tdnet_runtime.extras import require
from tdnet_runtime.file_names import as_utf8

__all__ = ["Run", "run_benchmark"]


class Run(NamedTuple):
    """What a run gives: its document, one frame for a report that shows it, and (R, G, B) of each class in that."""

    document: Document
    picture: Picture | None
    class_colors: tuple[tuple[int, int, int], ...]


def run_benchmark(options: BenchOptions, *, phase: Phase, pace: Pace = DEFAULT_PACE) -> Run:
    """Measure a bundle, and its peers beside it.

    With `options.json` the records are in a journal beside it, which is left there: see
    `documents/journal.py`.

    Raises:
        TdnetError: the bundle, the checkpoint, the input or every backend asked for cannot be used, or
            `options.json` holds something else.
    """
    require("scipy", extra="bench")  # for the statistics: not to be missed when all is measured
    environment = capture_environment()
    asked = plan_requests(options.backends, options.peers, options.ckpt)
    if any(COMPILED in request.name for request in asked.peers):
        use_private_caches()
    label_images = LabelImages(options.labels) if options.labels is not None else None
    with ExitStack() as stack:
        lineup = Lineup(
            options.engine,
            sha256=options.sha256,
            ckpt=asked.ckpt,
            threads=options.threads,
            stack=stack,
            warm_up=pace.warm_up,
        )
        subject, rivals = lineup.open_subject(asked.rivals)
        segmenter = subject.segmenter
        manifest = segmenter.manifest
        digest = None if options.ckpt is None else checked_digest(options.ckpt, manifest)
        parts = _parts(options, segmenter, phase=phase, pace=pace)
        config = _config(options, subject, parts, checkpoint_sha256=digest)
        if options.json is not None:
            refuse_other_run(options.json, config)
        images = parts.images()
        _warm_up(lineup, (*rivals, *asked.peers), images, parts)

        specs = lineup.specs(camera=isinstance(parts.footage, FileFootage))
        reference = choose_reference(specs)
        judge = Judge(
            judged_sides(specs),
            classes=len(manifest.classes),
            reference=reference.side,
        )

        def judging(frame: FootageFrame, labels: Mapping[str, Array]) -> dict[str, Judgement]:
            truth = None if label_images is None else label_images.of(frame)
            return judge(frame.image, labels, truth=truth, begins=frame.place == 0)

        clocks = [clock for spec in specs for clock in spec.clocks.values()]
        on_device = any("H2D" in (*clock.inside, *clock.outside) for clock in clocks)
        no_gpu = lineup.no_gpu if on_device else None
        header = JournalHeader(
            schema_version=SCHEMA_VERSION,
            config=msgspec.structs.replace(config, reference=reference.side, reference_note=reference.note),
            sides={spec.name: spec for spec in specs},
            left_out=(*asked.left_out, *lineup.left_out),
            environment=environment,
            setup=lineup.setup,
            notes=tuple(notes_before(manifest, reference.note, lineup.repeated, no_gpu=no_gpu)),
        )
        path = None if options.json is None else journal_path(options.json)
        journal = stack.enter_context(Journal(path, header))
        measured = parts.measure(lineup.sides, images, judge=judging, write=journal.write)
        document = _completed(
            document_from_header(header, journal.records),
            lineup.sides,
            images,
            measured,
            options=options,
            parts=parts,
            labels_used=0 if label_images is None else label_images.used,
        )
        colors = tuple(spec.color for spec in manifest.classes)
        return Run(document=document, picture=judge.picture, class_colors=colors)


def _parts(options: BenchOptions, segmenter: Segmenter, *, phase: Phase, pace: Pace) -> Parts:
    manifest = segmenter.manifest
    height, width = manifest.input.height, manifest.input.width
    schedule = Schedule(paths=len(manifest.paths), cold_frames=manifest.state.cold_frames)
    count = schedule.lead_in_frames + options.frames
    return Parts(
        footage=SceneFootage(height=height, width=width, count=count)
        if options.input is None
        else FileFootage(options.input, height=height, width=width),
        schedule=schedule,
        warm_frames=options.frames,
        fps=tuple(sorted(set(options.fps))),
        pace=pace,
        phase=phase,
    )


def _warm_up(lineup: Lineup, others: tuple[Request, ...], images: list[Array], parts: Parts) -> None:
    """The subject first: its memory is measured before anything else is loaded."""
    schedule = parts.schedule
    with parts.phase("warming up", schedule.warm_up_frames) as tick:
        lineup.warm_up_subject(images, schedule, tick=tick)
    for request in others:
        with parts.phase(f"warming up {request}", schedule.warm_up_frames) as tick:
            lineup.add(request, images, schedule, tick=tick)


def _completed(
    document: Document,
    sides: list[AnySide],
    images: list[Array],
    measured: Measured,
    *,
    options: BenchOptions,
    parts: Parts,
    labels_used: int,
) -> Document:
    """With what is measured after the timed frames, and what is known only then."""
    peak_rss = peak_rss_mib()  # before what takes memory of its own
    features = feature_errors(sides, images)
    limits = Limits()
    if options.roofline:
        with parts.phase("what the machine can do", 1):
            limits = measure_limits(
                sides,
                images,
                threads=options.threads,
                budget_s=parts.pace.ceilings_s,
                figures=document.summary.sides,
            )
    streams = {}
    bundles = [side for side in sides if isinstance(side, BundleSide)]
    for side in bundles if options.streams else ():
        with parts.phase(f"streams of {side.name}", 1 + options.streams) as tick:
            streams[side.name] = measure_streams(side, images, options.streams, tick=tick)
    obstacles = {side.name: side.obstacle for side in bundles if side.obstacle is not None}
    after = notes_after(
        document.summary,
        measured=measured.frames,
        wanted=parts.count,
        busy_cores=measured.other_busy_cores,
        usable_cores=measured.usable_cores,
        obstacles=obstacles,
    )
    left_out = (*document.left_out, *unused_labels(options.labels, labels_used))
    return msgspec.structs.replace(
        document,
        left_out=left_out,
        environment=msgspec.structs.replace(document.environment, gpus=measured.gpus),
        run_peak_rss_mib=peak_rss,
        other_busy_cores=measured.other_busy_cores,
        notes=(*document.notes, *after, *limits.notes),
        exit_code=exit_code(document.summary, left_out),
        ceilings=limits.ceilings,
        rooflines=limits.rooflines,
        features=features,
        streams=streams,
    )


def _config(
    options: BenchOptions, subject: BundleSide, parts: Parts, *, checkpoint_sha256: str | None
) -> RunConfig:
    """Before the sides are known; the reference is filled in later."""
    segmenter = subject.segmenter
    manifest = segmenter.manifest
    return RunConfig(
        engine=as_utf8(options.engine.name),
        bundle_digest=segmenter.bundle.digest,
        network=manifest.network,
        widths=widths_text(manifest.widths),
        classes=tuple(spec.name for spec in manifest.classes),
        size_resampled=manifest.size_resampled,
        height=manifest.input.height,
        width=manifest.input.width,
        paths=len(manifest.paths),
        cold_frames=manifest.state.cold_frames,
        memory_stride=manifest.state.stride,
        threads=options.threads,
        warm_frames_requested=options.frames,
        footage=parts.footage.description,
        footage_size_hw=parts.footage.size_hw,
        labels=as_utf8(options.labels.name) if options.labels is not None else None,
        fps=parts.fps,
        requested=(*options.backends, *options.peers),
        subject=subject.name,
        reference=None,
        reference_note="",
        checkpoint_sha256=checkpoint_sha256,
        pause_ms=parts.pace.pause_ms,
    )
