"""The state contract follows from a network's shapes alone (spec §1–§3)."""

import msgspec
import pytest
from tests.models.conftest import NETWORKS

from tdnet_export.contract import NetworkContract
from tdnet_models.variants import PUBLISHED


def contract_of(name, stride=None, **options):
    spec = PUBLISHED[name]
    return NetworkContract(spec=spec, memory_stride=stride or spec.variant.memory_stride, **options)


@pytest.mark.parametrize(
    ("name", "stride", "positions"),
    [
        ("td4-psp18", 4, 25 * 49),
        ("td2-psp50", 4, 25 * 49),
        ("td4-psp18", 3, 33 * 65),
        ("td2-fa18", 3, 32 * 64),
        ("td2-fa18", 1, 96 * 192),
        ("td2-fa18", 16, 6 * 12),
    ],
)
def test_memory_positions(name, stride, positions):
    contract = contract_of(name, stride)
    assert contract.positions == positions
    assert contract.state.stride == stride
    assert {spec.shape[1] for spec in contract.entry} == {positions}


@pytest.mark.parametrize(
    ("name", "slots", "entry"),
    [
        ("td2-psp50", 2, {"k": 64, "v": 512}),
        ("td4-psp18", 4, {"q": 64, "k": 64, "v": 512}),
        ("td2-fa18", 2, {"k": 64, "v": 256}),
        ("psp101", 0, {}),
    ],
)
def test_slots_hold_what_some_path_reads(name, slots, entry):
    state = contract_of(name).state
    assert (state.slots, state.cold_frames) == (slots, max(slots - 1, 0))
    assert {spec.name: spec.shape[0] for spec in state.entry} == entry


@pytest.mark.parametrize("name", NETWORKS)
def test_everything_read_is_written_and_the_other_way_round(name):
    """On each path: features by the path's own sub-network, slots by those of the paths it reads."""
    contract = contract_of(name)
    graphs = {graph.name: graph for graph in contract.graphs}
    read = set()
    for path in contract.paths:
        last = graphs[path.apm or path.subnet]
        assert [spec.name for spec in last.outputs] == ["labels"]
        if path.apm is None:
            continue
        subnet = {spec.name: spec for spec in graphs[path.subnet].outputs}
        for spec in graphs[path.apm].inputs:
            if spec.name.startswith("slot"):
                slot, leaf = spec.name.removeprefix("slot").split("_")
                assert int(slot) in path.reads
                assert subnet[f"memory_{leaf}"].shape == spec.shape
                read.add((int(slot), leaf))
            elif spec.name != "warm":
                assert subnet[spec.name] == spec
    written = {(path.index, spec.name) for path in contract.paths for spec in contract.entry}
    assert read == written


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("logits", [False, True])
def test_confidence_comes_with_the_labels(name, logits):
    contract = contract_of(name, confidence=True, logits=logits)
    last = {path.apm or path.subnet for path in contract.paths}
    expected = ["labels", "confidence", *(["logits"] if logits else [])]
    for graph in contract.graphs:
        given = [spec.name for spec in graph.outputs]
        assert given == expected if graph.name in last else "confidence" not in given
        if graph.name in last:
            assert graph.outputs[1] == msgspec.structs.replace(graph.outputs[0], name="confidence")


@pytest.mark.parametrize("name", NETWORKS)
def test_logits_and_probes(name):
    plain, with_logits = contract_of(name), contract_of(name, logits=True)
    for graph, other in zip(plain.graphs, with_logits.graphs, strict=True):
        extra = ["logits"] if graph.outputs[0].name == "labels" else []
        assert [spec.name for spec in other.outputs] == [spec.name for spec in graph.outputs] + extra
    temporal = name != "psp101"
    assert [spec.name for spec in plain.probes] == (["recomposed", "logits"] if temporal else ["logits"])
    assert plain.probes[-1].shape == (1, 19, *PUBLISHED[name].input_size)
