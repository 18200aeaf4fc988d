from __future__ import annotations

import io

import msgspec
import pytest
from rich.console import Console
from tests.benchmarks.conftest import SIDE

from tdnet_bench.documents.compare import MUST_BE_EQUAL, compare_documents
from tdnet_bench.documents.document import Document
from tdnet_bench.documents.notes import notes_before
from tdnet_bench.records.frames import FrameRecord
from tdnet_bench.views.report import report_from_comparison
from tdnet_runtime.errors import OptionError
from tdnet_runtime.manifest import Manifest, TensorSpec

SUBJECT, PEER = "fake:fp32", "pytorch"


@pytest.fixture
def slower(document: Document) -> Document:
    """The same run with every call twice as long, on another machine."""
    records = tuple(
        msgspec.structs.replace(r, host_call_ns=2 * r.host_call_ns) if isinstance(r, FrameRecord) else r
        for r in document.records
    )
    environment = msgspec.structs.replace(document.environment, cpu="Another CPU")
    config = msgspec.structs.replace(document.config, threads=4)
    return msgspec.structs.replace(document, records=records, environment=environment, config=config)


def test_the_ratio_is_of_the_p50s_of_the_warm_frames(document: Document, slower: Document) -> None:
    compared = compare_documents(document, slower)
    assert (compared.side, compared.baseline) == (SUBJECT, SUBJECT)
    assert compared.overall is not None
    assert (compared.overall.samples, compared.overall.of_p50s) == (4, 0.5)
    assert compared.overall.low is not None
    assert compared.overall.high is not None
    assert compared.overall.low < 0.5 < compared.overall.high
    assert {path: ratio.of_p50s for path, ratio in compared.by_path.items()} == {1: 0.5, 2: 0.5}


def test_what_else_is_different_is_told(document: Document, slower: Document) -> None:
    differences = {
        name: (ours, theirs) for name, ours, theirs in compare_documents(document, slower).differences
    }
    assert differences == {"threads": ("2", "4"), "cpu": ("Some CPU", "Another CPU")}
    assert compare_documents(document, document).differences == ()


def test_another_side_can_be_chosen(document: Document) -> None:
    compared = compare_documents(document, document, side=PEER)
    assert (compared.side, compared.baseline) == (PEER, PEER)
    with pytest.raises(OptionError, match="--side 'warp' is not in the run; it has: fake:fp32, pytorch"):
        compare_documents(document, document, side="warp")


@pytest.mark.parametrize("field", MUST_BE_EQUAL)
def test_runs_that_did_different_work_are_refused(document: Document, field: str) -> None:
    value: dict[str, object] = {"height": 96, "footage_size_hw": (1, 1), "pause_ms": 0.0}
    config = msgspec.structs.replace(document.config, **{field: value.get(field, 7)})
    other = msgspec.structs.replace(document, config=config)
    with pytest.raises(OptionError, match=f"the two runs did different work.*: {field} is "):
        compare_documents(document, other)


def test_another_number_of_classes_is_other_work(document: Document) -> None:
    config = msgspec.structs.replace(document.config, classes=(*document.config.classes, "one more"))
    with pytest.raises(OptionError, match="number of classes is 5 and 6"):
        compare_documents(document, msgspec.structs.replace(document, config=config))
    names = tuple(name.upper() for name in document.config.classes)
    other = msgspec.structs.replace(document.config, classes=names)
    compare_documents(document, msgspec.structs.replace(document, config=other))  # names cost nothing


@pytest.mark.parametrize("output", ["logits", "confidence"])
def test_extra_outputs_are_other_work(document: Document, manifest: Manifest, output: str) -> None:
    """By the document's notes, so that documents of any age tell."""
    extra = {
        "logits": TensorSpec(name="logits", shape=(1, 5, SIDE, SIDE), dtype="float32"),
        "confidence": TensorSpec(name="confidence", shape=(1, SIDE, SIDE), dtype="uint8"),
    }[output]
    graphs = tuple(
        msgspec.structs.replace(graph, outputs=(*graph.outputs, extra))
        if graph.name.startswith("apm")
        else graph
        for graph in manifest.graphs
    )
    giving = msgspec.structs.replace(manifest, graphs=graphs)
    told = tuple(notes_before(giving, "no reference", {}))
    other = msgspec.structs.replace(document, notes=(*document.notes, *told))
    with pytest.raises(OptionError, match=rf"extra outputs is \(\) and \('{output}',\)"):
        compare_documents(document, other)
    assert compare_documents(other, other).differences == ()


def test_the_overall_ratio_is_of_the_paths_that_both_have(document: Document) -> None:
    """Frames of a path that one run alone has, ten times as long, are in no ratio."""
    longer = tuple(
        msgspec.structs.replace(r, host_call_ns=10 * r.host_call_ns)
        if isinstance(r, FrameRecord) and r.path == 2
        else r
        for r in document.records
    )
    short = tuple(r for r in document.records if not (isinstance(r, FrameRecord) and r.path == 2))
    compared = compare_documents(
        msgspec.structs.replace(document, records=longer), msgspec.structs.replace(document, records=short)
    )
    assert compared.overall is not None
    assert (compared.overall.samples, compared.overall.baseline_samples) == (2, 2)
    assert compared.overall.of_p50s == compared.by_path[1].of_p50s == 1.0
    assert compared.by_path.keys() == {1}


def test_all_differences_in_the_work_are_told_at_once(document: Document) -> None:
    config = msgspec.structs.replace(document.config, network="td4-psp18", height=769)
    with pytest.raises(OptionError, match="network is 'td2-fa18' and 'td4-psp18'; height is 48 and 769"):
        compare_documents(document, msgspec.structs.replace(document, config=config))


def test_without_a_warm_frame_there_is_nothing_to_compare(document: Document) -> None:
    cold = msgspec.structs.replace(document, records=document.records[:1])
    compared = compare_documents(cold, document)
    assert (compared.overall, compared.by_path) == (None, {})
    assert "nothing to compare" in _text(cold, document)


def _text(first: Document, second: Document) -> str:
    console = Console(file=io.StringIO(), width=80)
    console.print(report_from_comparison(compare_documents(first, second)))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_report_has_the_figures(document: Document, slower: Document) -> None:
    text = _text(document, slower)
    compared = compare_documents(document, slower)
    assert compared.overall is not None
    rows = [line.split() for line in text.splitlines()]
    interval = f"{compared.overall.low:.3f} to {compared.overall.high:.3f}".split()
    assert ["all", "4", "4", "0.500", *interval] in rows
    assert "A frame of the first run takes 0.500 of the second's time" in text
    assert "Some CPU  |  Another CPU" in text
    assert max(map(len, text.splitlines())) <= 80
