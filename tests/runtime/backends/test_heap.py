"""What was freed goes back to the system, where the C library can be told."""

import ctypes

import pytest

from tdnet_runtime.backends import graph_loader, onnxruntime
from tdnet_runtime.backends.heap import give_back
from tdnet_runtime.segmenter import Segmenter


@pytest.mark.parametrize(("freed", "told"), [((), [0]), ((64 << 20,), [0]), (((64 << 20) - 1,), [])])
def test_the_library_is_told_of_much(monkeypatch, freed, told):
    heard = []

    class Library:
        def malloc_trim(self, kept):
            heard.append(kept)

    monkeypatch.setattr(ctypes, "CDLL", lambda name: Library())
    give_back(*freed)
    assert heard == told


@pytest.mark.parametrize("failure", [AttributeError, OSError, TypeError])
def test_a_system_without_it(monkeypatch, failure):
    def refuse(name):
        raise failure

    monkeypatch.setattr(ctypes, "CDLL", refuse)
    give_back()


def test_graphs_are_given_back_when_they_were_loaded_and_when_they_are_closed(monkeypatch, law_bundle):
    pytest.importorskip("onnxruntime")
    given = []
    monkeypatch.setattr(graph_loader, "give_back", lambda freed: given.append(("loaded", freed)))
    monkeypatch.setattr(
        onnxruntime, "give_back", lambda freed: given.append((len(segmenter.backend._sessions), freed))
    )
    segmenter = Segmenter.open(law_bundle, backend="onnxruntime", threads=1)
    graphs, members = segmenter.manifest.graphs, segmenter.manifest.members
    size = sum(members[graph.members["fp32"]].size for graph in graphs)
    segmenter.close()
    segmenter.close()
    assert given == [("loaded", size), (0, size)]
