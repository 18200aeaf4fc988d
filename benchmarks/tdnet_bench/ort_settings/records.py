"""What is written down while it is measured: four kinds of records, told apart by `kind`; no arithmetic."""

from __future__ import annotations

from typing import Literal, TypeAlias

from tdnet_bench.records.record import Record

__all__ = ["AnyRecord", "CallRecord", "FileRecord", "LoadRecord", "VariantRecord"]


class VariantRecord(Record, frozen=True, kw_only=True, tag_field="kind", tag="variant"):
    """Settings with which the graphs were run once before anything was timed.

    Attributes:
        variant: name of the settings.
        labels_equal: share (0 to 1) of the pixels whose label on the warm-up frame is base's.
    """

    variant: str
    labels_equal: float


class CallRecord(Record, frozen=True, kw_only=True, tag_field="kind", tag="call"):
    """One graph run once.

    Attributes:
        round: from 0; in each one every graph is run by every variant.
        graph: its name.
        variant: name of the settings.
        turn: 0 where this variant was the first one to run the graph.
        call_ns: that it took.
    """

    round: int
    graph: str
    variant: str
    turn: int
    call_ns: int


class FileRecord(Record, frozen=True, kw_only=True, tag_field="kind", tag="file"):
    """What one form of the graphs takes where it is kept.

    Attributes:
        form: name of the form.
        size_bytes: of all graphs together.
    """

    form: str
    size_bytes: int


class LoadRecord(Record, frozen=True, kw_only=True, tag_field="kind", tag="load"):
    """The graphs loaded once, with other settings or from another form; the sessions are discarded.

    Attributes:
        of: what is varied.
        name: of the settings or the form.
        repeat: from 0; in each one all settings, or all forms, have their turn.
        turn: 0 where this was the first one of its repeat.
        load_ns: from the graphs in memory to sessions of all of them.
    """

    of: Literal["variant", "form"]
    name: str
    repeat: int
    turn: int
    load_ns: int


AnyRecord: TypeAlias = VariantRecord | CallRecord | FileRecord | LoadRecord
