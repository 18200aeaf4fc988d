"""The closed-loop proof fails on every fault that deployments of TDNet are known to have.

Each fault is planted in the exporter or the runtime, on a tiny td4-psp18 (m = 4, feature maps that the
pyramid's grids do not divide) and, where the network has the part, on a tiny td2-fa18.
"""

import re

import numpy as np
import pytest

pytest.importorskip("torch")

import tdnet_export.graphs as graphs
import tdnet_export.parity as parity
import tdnet_export.psp_graph as psp_graph
import tdnet_export.trunk_graph as trunk_graph
import tdnet_runtime.memory as memory
import tdnet_runtime.stream as stream
from tdnet_export.options import ExportOptions
from tdnet_export.pipeline import bundle_from_checkpoint
from tdnet_export.weights import Weights
from tdnet_runtime.errors import ParityError


def memory_order_swapped(patch):
    """The two newest slots in each other's place."""
    original = memory.StreamMemory._bindings

    def bindings(self, path):
        subnet, (graph, tensors) = original(self, path)
        older, newer = (f"slot{read}" for read in path.reads[-2:])
        swapped = dict(tensors)
        for leaf in ("q", "k", "v"):
            swapped[f"{older}_{leaf}"] = tensors[f"{newer}_{leaf}"]
            swapped[f"{newer}_{leaf}"] = tensors[f"{older}_{leaf}"]
        return [subnet, (graph, swapped)]

    patch.setattr(memory.StreamMemory, "_bindings", bindings)


def path_off_by_one(patch):
    patch.setattr(stream, "path_index", lambda frame, paths: (frame + 1) % paths + 1)


def zero_filled_partial_ring(patch):
    patch.setattr(stream, "is_cold", lambda frame, cold_frames: frame == 0)


def attention_from_the_first_frame(patch):
    patch.setattr(stream, "is_cold", lambda frame, cold_frames: False)


def never_warm(patch):
    patch.setattr(stream, "is_cold", lambda frame, cold_frames: True)


def patched_array(patch, matches, change):
    original = Weights.array

    def array(self, key):
        values = original(self, key)
        return change(values) if matches(key) else values

    patch.setattr(Weights, "array", array)


def layer_norm_map_transposed(patch):
    patched_array(
        patch,
        lambda key: key.startswith("layer_norm") and key.endswith("weight"),
        lambda values: values.T.reshape(values.shape),
    )


def phi_bias_dropped(patch):
    patched_array(patch, lambda key: key.startswith("atn") and key.endswith("bias"), np.zeros_like)


def floor_kernel_pooling(patch):
    def matrix(length, bins):
        kernel = length // bins
        result = np.zeros((bins, length))
        for index in range(bins):
            result[index, index * kernel : (index + 1) * kernel] = 1 / kernel
        return result

    patch.setattr(psp_graph, "pooling_matrix", matrix)


def bgr(patch):
    original = stream.Stream.push

    def push(self, frame, **options):
        return original(self, np.ascontiguousarray(frame[..., ::-1]), **options)

    patch.setattr(stream.Stream, "push", push)


def mean_not_subtracted(patch):
    patch.setattr(trunk_graph, "MEAN", (0.0, 0.0, 0.0))


def stride_of_training(patch):
    """The graphs sample every third position, the oracle every fourth."""
    original = parity.ReferenceStream

    def reference(network, *, memory_stride):
        return original(network, memory_stride=memory_stride + 1)

    patch.setattr(parity, "ReferenceStream", reference)


def wrong_stride(patch):
    original = graphs.sampled

    def shifted(writer, x, stride, *, name):
        """Every n-th row from 1 instead of from 0."""
        return original(writer, rolled(writer, x), stride, name=name)

    def rolled(writer, x):
        starts = {"starts": [1], "ends": [10**6], "axes": [2], "steps": [1]}
        tail = writer.op("Slice", x, *(writer.integers(key, value) for key, value in starts.items()))
        head = {"starts": [0], "ends": [1], "axes": [2], "steps": [1]}
        first = writer.op("Slice", x, *(writer.integers(key, value) for key, value in head.items()))
        return writer.op("Concat", tail, first, axis=2)

    patch.setattr(graphs, "sampled", shifted)


def query_scale_dropped(patch):
    patch.setattr(graphs, "attention_scaled", lambda weight, bias, *, key_width: (weight, bias))


def slot_not_overwritten(patch):
    original = memory.StreamMemory.run

    def run(self, path, *, cold):
        before = self.dump()
        original(self, path, cold=cold)
        if not cold and path == 2:
            self.load({**self.dump(), "slot2_v": before["slot2_v"]})

    patch.setattr(memory.StreamMemory, "run", run)


# fault, networks, and the first tensor and frame that the message must name
FAULTS = [
    (memory_order_swapped, "td4-psp18", r"frame 3 .*'recomposed'"),
    (path_off_by_one, "td4-psp18", r"frame 0 .*'query'"),
    (path_off_by_one, "td2-fa18", r"frame 0 .*'query'"),
    (zero_filled_partial_ring, "td4-psp18", r"frame 1 .*'recomposed'"),
    (attention_from_the_first_frame, "td2-fa18", r"frame 0 .*'recomposed'"),
    (never_warm, "td4-psp18", r"frame 3 .*'recomposed'"),
    (never_warm, "td2-fa18", r"frame 1 .*'recomposed'"),
    (layer_norm_map_transposed, "td4-psp18", r"frame 0 .*'logits'"),
    (layer_norm_map_transposed, "td2-fa18", r"frame 0 .*'logits'"),
    (floor_kernel_pooling, "td4-psp18", r"frame 0 .*'query'"),
    (floor_kernel_pooling, "td2-psp50", r"frame 0 .*'query'"),
    (bgr, "td4-psp18", r"frame 0 .*'query'"),
    (bgr, "psp101", r"frame 0 .*'logits'"),
    (mean_not_subtracted, "td2-fa18", r"frame 0 .*'query'"),
    (stride_of_training, "td4-psp18", r"frame 0 .*'slot1_k'"),
    (wrong_stride, "td4-psp18", r"frame 0 .*'slot1_q'"),
    (wrong_stride, "td2-fa18", r"frame 0 .*'slot1_v'"),
    (phi_bias_dropped, "td4-psp18", r"frame 3 .*'recomposed'"),
    (phi_bias_dropped, "td2-fa18", r"frame 1 .*'recomposed'"),
    (query_scale_dropped, "td4-psp18", r"frame 0 .*'query'"),
    (slot_not_overwritten, "td4-psp18", r"frame 5 .*'slot2_v'"),
]


def export(name, tiny_checkpoint, out):
    size = (49, 65) if name == "psp101" else None
    return bundle_from_checkpoint(ExportOptions(checkpoint=tiny_checkpoint(name), out=out, size_hw=size))


@pytest.mark.parametrize(
    ("fault", "name", "where"), FAULTS, ids=lambda value: getattr(value, "__name__", value)
)
def test_the_proof_fails(fault, name, where, tiny_checkpoint, tmp_path, monkeypatch):
    out = tmp_path / "out.plan"
    out.write_bytes(b"what was there before")
    fault(monkeypatch)
    with pytest.raises(ParityError, match=where) as caught:
        export(name, tiny_checkpoint, out)
    assert "Nothing was written" in str(caught.value)
    assert re.search(r"max \|Δ\|/std is (inf|\d\.\d\de[+-]\d\d), the bound is 2e-03", str(caught.value))
    assert [path.name for path in tmp_path.iterdir()] == ["out.plan"]
    assert out.read_bytes() == b"what was there before"


@pytest.mark.parametrize("name", ["td4-psp18", "td2-fa18", "td2-psp50", "psp101"])
def test_the_same_export_without_a_fault_passes(name, tiny_checkpoint, tmp_path):
    summary = export(name, tiny_checkpoint, tmp_path / "out.plan")
    assert max(error for frame in summary.report.frames for error in frame.errors.values()) < 2e-3


def test_a_lost_phi_bias_is_invisible_in_the_logits(tiny_checkpoint, tmp_path, monkeypatch):
    """Why the proof looks at the recomposed V': the LayerNorm removes what φ's bias adds."""
    phi_bias_dropped(monkeypatch)
    seen = []
    monkeypatch.setattr(parity, "_require", lambda figures, bounds: seen.append(figures.errors))
    export("td4-psp18", tiny_checkpoint, tmp_path / "out.plan")
    warm = seen[3:]
    assert min(errors["recomposed"] for errors in warm) > 2e-3
    assert max(errors["logits"] for errors in warm) < 2e-3
