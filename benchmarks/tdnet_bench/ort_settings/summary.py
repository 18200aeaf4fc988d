"""From records to figures: pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from tdnet_bench.ort_settings.records import AnyRecord, CallRecord, FileRecord, LoadRecord, VariantRecord
from tdnet_bench.ort_settings.variants import BASE
from tdnet_bench.records.record import Record
from tdnet_bench.statistics.latency import NS_PER_MS
from tdnet_bench.statistics.ratios import Ratio, paired_ratio

__all__ = ["FormSummary", "GraphSummary", "Summary", "VariantSummary", "summarise"]


class GraphSummary(Record, frozen=True, kw_only=True):
    """One graph with one variant's settings.

    Attributes:
        median_ms: of its calls.
        ratio: to base's calls of the same rounds; None for base itself.
    """

    median_ms: float
    ratio: Ratio | None


class VariantSummary(Record, frozen=True, kw_only=True):
    """One variant.

    Attributes:
        load_ms: median of its loads.
        labels_equal: see `VariantRecord`.
        graphs: by name, in the order of a frame.
    """

    load_ms: float
    labels_equal: float
    graphs: dict[str, GraphSummary]


class FormSummary(Record, frozen=True, kw_only=True):
    """One form of the graphs.

    Attributes:
        size_bytes: see `FileRecord`.
        load_ms: median of its loads.
    """

    size_bytes: int
    load_ms: float


class Summary(Record, frozen=True, kw_only=True):
    """The figures.

    Attributes:
        variants: by name, base first.
        forms: by name.
    """

    variants: dict[str, VariantSummary]
    forms: dict[str, FormSummary]


def summarise(records: Sequence[AnyRecord]) -> Summary:
    """The figures of a whole run, from its records alone."""
    calls_ns: dict[str, dict[str, dict[int, int]]] = {}
    loads_ns: dict[tuple[str, str], list[int]] = {}
    for record in records:
        if isinstance(record, CallRecord):
            by_graph = calls_ns.setdefault(record.variant, {})
            by_graph.setdefault(record.graph, {})[record.round] = record.call_ns
        elif isinstance(record, LoadRecord):
            loads_ns.setdefault((record.of, record.name), []).append(record.load_ns)
    variants = {
        record.variant: VariantSummary(
            load_ms=_median_ms(loads_ns["variant", record.variant]),
            labels_equal=record.labels_equal,
            graphs={
                graph: GraphSummary(
                    median_ms=_median_ms(by_round.values()),
                    ratio=None if record.variant == BASE else paired_ratio(by_round, calls_ns[BASE][graph]),
                )
                for graph, by_round in calls_ns[record.variant].items()
            },
        )
        for record in records
        if isinstance(record, VariantRecord)
    }
    forms = {
        record.form: FormSummary(
            size_bytes=record.size_bytes, load_ms=_median_ms(loads_ns["form", record.form])
        )
        for record in records
        if isinstance(record, FileRecord)
    }
    return Summary(variants=variants, forms=forms)


def _median_ms(times_ns: Iterable[int]) -> float:
    return float(np.median(list(times_ns))) / NS_PER_MS
