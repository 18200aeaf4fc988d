"""What a worker is asked, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from tdnet_batch.inputs import BatchInput
from tdnet_batch.output_tree import OutputTree
from tdnet_batch.record import Record
from tdnet_batch.settings import Settings

__all__ = ["Job", "JobKind", "Order", "Outcome", "Plan"]


class JobKind(str, Enum):
    """What is to be done with an input."""

    WHOLE = "whole"
    PLAN = "plan"
    """Look how long it is, and say how it is to be cut; one that is short is done at once."""
    PIECE = "piece"
    JOIN = "join"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What all jobs of a run have in common.

    Attributes:
        engine: path of the bundle, absolute.
        sha256: of the bundle's file, where it was pinned.
        bundle: digest of its members: a worker that finds another bundle there does nothing.
        threads: of the CPU for each worker; None for all.
        settings: see `Settings`.
        tree: where outputs go.
    """

    engine: str
    sha256: str | None
    bundle: str
    threads: int | None
    settings: Settings
    tree: OutputTree


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How an input is cut.

    Attributes:
        pieces: into so many.
        sha256: of the input, by which pieces are known.
        key: what its file system said of it before it was read; see `Record.input_key`.
        stamp: of its files before they were read, see `digest.py`; None where they are fetched.
    """

    pieces: int
    sha256: str
    key: str | None = None
    stamp: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One task of one worker.

    Attributes:
        input: the video.
        kind: see `JobKind`.
        piece: its number, from 0.
        plan: of pieces and of what joins them.
        attempt: 1, and one more after each lost worker.
    """

    input: BatchInput
    kind: JobKind
    piece: int = 0
    plan: Plan | None = None
    attempt: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of it; one of these.

    Attributes:
        record: the input is done, or has failed.
        skipped: it was done before, and nothing changed.
        plan: there is more to do.
        piece: a piece is done.
        fatal: nothing can be done with any input, and why.
    """

    record: Record | None = None
    skipped: bool = False
    plan: Plan | None = None
    piece: bool = False
    fatal: str | None = None
