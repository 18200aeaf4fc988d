"""The summary of a run for people."""

from __future__ import annotations

from collections import Counter

from rich.console import Console
from rich.table import Table

from tdnet_batch.options import BatchOptions
from tdnet_batch.progress import duration
from tdnet_batch.run import MANIFEST, BatchSummary
from tdnet_runtime.extras import one_line

__all__ = ["joints_words", "show_batch", "tell_failures"]

_MOST_FAILURES = 20
_MOST_CLASSES = 8


def show_batch(console: Console, options: BatchOptions, summary: BatchSummary) -> None:
    """Print it."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in _rows(options, summary).items():
        table.add_row(name, one_line(value))
    console.print(table)


def tell_failures(summary: BatchSummary) -> list[str]:
    """One line for each input that failed, and for each warning; the manifest has all of them."""
    failed = summary.failed
    lines = [f"{record.input}: {record.error}" for record in failed[:_MOST_FAILURES]]
    if len(failed) > _MOST_FAILURES:
        lines.append(f"and {len(failed) - _MOST_FAILURES} more inputs failed; see {MANIFEST}")
    warned = [record for record in summary.made if record.warning]
    lines += [f"warning: {record.input}: {record.warning}" for record in warned[:_MOST_FAILURES]]
    if summary.others:
        lines.append(
            f"warning: {summary.others} outputs there are of another bundle or other settings, and their inputs were not "
            f"named: the folder is mixed; {MANIFEST} tells which"
        )
    return [one_line(line) for line in lines]


def joints_words(summary: BatchSummary) -> str | None:
    """What cutting has cost; None where nothing was cut."""
    joints = [record.joints for record in summary.made if record.joints is not None]
    if not joints:
        return None
    pieces = sum(each.pieces for each in joints)
    frames = sum(record.frames for record in summary.made if record.joints is not None)
    warm_up = sum(each.warm_up_frames for each in joints)
    told = f"{len(joints)} inputs into {pieces} pieces; {warm_up} of {frames + warm_up} frames segmented twice to warm up"
    compared = sum(each.compared_frames for each in joints)
    shares = [(each.equal_pixels, each.compared_frames) for each in joints if each.equal_pixels is not None]
    if shares:
        equal = sum(share * count for share, count in shares) / compared
        told += (
            f"; agreement with the uncut stream after the joints {_percent(equal)} ({compared} frames, the worst input "
            f"{_percent(min(share for share, _ in shares))})"
        )
    return told


def _rows(options: BatchOptions, summary: BatchSummary) -> dict[str, str]:
    made, placement = summary.made, summary.placement
    frames = sum(record.frames for record in made)
    states = [
        f"{len(made)} segmented",
        f"{len(summary.skipped)} done before",
        f"{len(summary.failed)} failed",
    ]
    rows = {"inputs": f"{len(summary.records)}: {', '.join(states)}"}
    if summary.passed_over:
        rows["passed over"] = f"{summary.passed_over} files that are no videos, logs or images"
    if made:
        rows["frames"] = (
            f"{frames} in {duration(summary.wall_s)}, {frames / max(summary.wall_s, 1e-9):.1f} frames/s over all workers"
        )
        damaged = sum(record.damaged for record in made)
        if damaged:
            rows["damage"] = f"{damaged} damaged frames (--on-damage {options.settings.on_damage})"
        ran = Counter(f"{record.backend}, {record.precision}" for record in made)
        rows["network"] = "; ".join(
            f"{what} ({count})" if len(ran) > 1 else what for what, count in ran.items()
        )
    rows["workers"] = f"{placement.workers}, each with {placement.threads} CPU threads" + (
        f" and {placement.gpus:g} GPU" if placement.gpus else ""
    )
    if summary.lost:
        rows["workers"] += f"; {summary.lost} were lost and replaced"
    if words := joints_words(summary):
        rows["cut"] = words
    if classes := _classes(summary):
        rows["labels"] = classes
    rows["outputs"] = (
        f"{options.output}, {options.settings.form.value}; {options.output / MANIFEST} has a row for each input"
    )
    return rows


def _classes(summary: BatchSummary) -> str:
    pixels: Counter[str] = Counter()
    for record in summary.records:
        pixels.update({name: count.pixels for name, count in record.classes.items()})
    total = pixels.total()
    if not total:
        return ""
    shares = [f"{name} {count / total:.1%}" for name, count in pixels.most_common(_MOST_CLASSES) if count]
    return ", ".join(shares) + (", …" if len(pixels) > _MOST_CLASSES else "")


def _percent(share: float) -> str:
    """`1.0` alone is 100 %."""
    return "100 %" if share == 1 else f"{min(share, 0.9999):.2%}"
