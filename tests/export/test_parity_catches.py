"""The closed-loop proof fails on every fault that deployments of TDNet are known to have.

Each fault is planted in the exporter or the runtime, on a tiny td4-psp18 (m = 4, feature maps that the
pyramid's grids do not divide) and, where the network has the part, on others.
"""

import dataclasses
import re
import tempfile

import numpy as np
import pytest

from tdnet_export import apm_graph, features, graphs, identities, ops, parity_oracle, psp_graph, trunk_graph
from tdnet_export.options import ExportOptions
from tdnet_export.pipeline import bundle_from_checkpoint
from tdnet_export.weights import Weights
from tdnet_models.preprocessing import Preprocessing
from tdnet_models.reference import ReferenceStream
from tdnet_models.tdnet import read_order
from tdnet_runtime import memory, preprocess, stream_base
from tdnet_runtime.backends.label_tail import LabelTail
from tdnet_runtime.errors import ParityError

OLD = b"what was there before"


def chain_order_swapped(patch):
    """The graphs propagate from the oldest frame to the newest and from there to the one before it."""

    def swapped(paths, path):
        oldest, *rest = read_order(paths, path)
        return (oldest, *reversed(rest))

    patch.setattr(apm_graph, "read_order", swapped)


def slots_swapped(patch):
    """The runtime hands the second-oldest frame's slot over as the newest one's, and the other way round."""
    original = memory.StreamMemory._buffer_name

    def name(self, path, tensor):
        _, older, newer = path.reads
        for one, other in ((older, newer), (newer, older)):
            if tensor.startswith(f"slot{one}_"):
                return tensor.replace(f"slot{one}_", f"slot{other}_")
        return original(self, path, tensor)

    patch.setattr(memory.StreamMemory, "_buffer_name", name)


def own_slot_read(patch):
    """The runtime hands a path the entry that it has just written."""
    original = memory.StreamMemory._buffer_name

    def name(self, path, tensor):
        own = re.sub(r"^slot\d_", f"slot{path.index}_", tensor)
        return own if own != tensor else original(self, path, tensor)

    patch.setattr(memory.StreamMemory, "_buffer_name", name)


def path_off_by_one(patch):
    patch.setattr(stream_base, "path_index", lambda frame, paths: (frame + 1) % paths + 1)


def path_stays_on_the_first(patch):
    patch.setattr(stream_base, "path_index", lambda frame, paths: 1)


def zeros_attended_from(first):
    """No cold rule from frame `first` on: attention over a ring of which a part is still zeros.

    (From the very first frame it would be none: all of the ring is zeros, and so is what attention makes of it.)
    """

    def plant(patch):
        patch.setattr(stream_base, "is_cold", lambda frame, cold_frames: frame < first)

    plant.__name__ = f"zeros_attended_from_{first}"
    return plant


def cold_for_ever(patch):
    patch.setattr(stream_base, "is_cold", lambda frame, cold_frames: True)


def cold_one_frame_too_long(patch):
    patch.setattr(stream_base, "is_cold", lambda frame, cold_frames: frame < cold_frames + 1)


def memory_not_finite_at_the_start(patch):
    """Cold frames multiply it by 0, and 0·NaN is NaN."""

    def spoil(self):
        for name in self._slot_names():
            self._buffers[name].load(np.full(self._buffers[name].spec.shape, np.nan, dtype=np.float32))

    patch.setattr(memory.StreamMemory, "zero", spoil)


def slot_not_overwritten(patch):
    """Path 2's slot keeps the values of four frames ago."""
    original = memory.StreamMemory.run

    def run(self, path, **how):
        before = self.dump()
        original(self, path, **how)
        if path == 2 and before["slot2_v"].any():
            self.load(self.dump() | {"slot2_v": before["slot2_v"]})

    patch.setattr(memory.StreamMemory, "run", run)


def prepared_for_another_frame(patch):
    """What `Stream.prepare` left is the last frame's."""
    patch.setattr(memory.StreamMemory, "prepare", lambda self, path: setattr(self, "_prepared", path))


def arrays_changed(patch, matches, change):
    original = Weights.array

    def array(self, key):
        values = original(self, key)
        return change(values) if matches(key) else values

    patch.setattr(Weights, "array", array)


def layer_norm_map_transposed(patch):
    arrays_changed(patch, lambda key: key.startswith("layer_norm"), lambda map_: map_.T.reshape(map_.shape))


def phi_transposed(patch):
    turned = lambda weight: weight.swapaxes(0, 1)  # noqa: E731
    arrays_changed(patch, lambda key: key.startswith("atn") and key.endswith("weight"), turned)


def floor_kernel_pooling(patch):
    """What other exporters make of AdaptiveAvgPool: stride and kernel are ⌊length/bins⌋."""

    def matrix(length, bins):
        kernel = length // bins
        result = np.zeros((bins, length))
        for index in range(bins):
            result[index, index * kernel : (index + 1) * kernel] = 1 / kernel
        return result

    patch.setattr(psp_graph, "pooling_matrix", matrix)


def bgr_in_the_graphs(patch):
    original = graphs.write_normalised

    def swapped(writer, image, preprocessing):
        slices = {"starts": [-1], "ends": [-100], "axes": [3], "steps": [-1]}
        turned = writer.op("Slice", image, *(writer.integers(key, value) for key, value in slices.items()))
        return original(writer, turned, preprocessing)

    patch.setattr(graphs, "write_normalised", swapped)


def bgr_in_the_runtime(patch):
    original = preprocess.Resizer.put

    def put(self, frame, image):
        original(self, np.ascontiguousarray(frame[..., ::-1]), image)

    patch.setattr(preprocess.Resizer, "put", put)


def mean_not_subtracted(patch):
    original = graphs.write_normalised

    def off(writer, image, preprocessing):
        return original(writer, image, dataclasses.replace(preprocessing, mean=(0.0, 0.0, 0.0)))

    patch.setattr(graphs, "write_normalised", off)


def bgr_not_turned(patch):
    """The first convolution keeps its channels although the frames are RGB."""
    turn = trunk_graph.first_weights
    patch.setattr(trunk_graph, "first_weights", lambda weight, pre: turn(weight, pre.rgb))


def mean_of_bgr_not_turned(patch):
    original = graphs.write_normalised

    def off(writer, image, preprocessing):
        return original(writer, image, dataclasses.replace(preprocessing, color_order="RGB"))

    patch.setattr(graphs, "write_normalised", off)


def scale_left_out(patch):
    original = graphs.write_normalised

    def off(writer, image, preprocessing):
        return original(writer, image, dataclasses.replace(preprocessing, scale=1 / 255))

    patch.setattr(graphs, "write_normalised", off)


def sampled_differently(patch, start, faster=0):
    def shifted(writer, x, stride, *, name):
        slices = {"starts": [start] * 2, "ends": [10**6] * 2, "axes": [2, 3], "steps": [stride + faster] * 2}
        with writer.scope(name):
            return writer.op("Slice", x, *(writer.integers(key, value) for key, value in slices.items()))

    for module in (features, graphs):
        patch.setattr(module, "sampled", shifted)


def stride_started_at_one(patch):
    """With a stride of 5 the tiny maps give as many positions from 1 as from 0, so that no shape tells."""
    sampled_differently(patch, 1)


def stride_of_six_for_five(patch):
    """On the tiny td4-psp18's maps both give 2×3 positions."""
    sampled_differently(patch, 0, faster=1)


def oracle_of_another_stride(patch):
    def another(network, *, memory_stride, preprocessing):
        return ReferenceStream(network, memory_stride=memory_stride + 1, preprocessing=preprocessing)

    patch.setattr(parity_oracle, "ReferenceStream", another)


def query_scale_dropped(patch):
    patch.setattr(graphs, "attention_scaled", lambda weight, bias, *, key_width: (weight, bias))


def batch_norm_eps_of_another_framework(patch):
    patch.setattr(identities, "BATCH_NORM_EPS", 1e-3)


def upsampling_by_half_pixels(patch):
    def resize(writer, x, shape, *, name, as_output=None):
        sizes = writer.integers(f"{name}_sizes", shape)
        options = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
        return writer.op("Resize", x, "", "", sizes, name=name, as_output=as_output, **options)

    patch.setattr(apm_graph, "resize", resize)


def argmax_before_upsampling(patch):
    """The logits are right, the labels are not made of them."""

    def labels(writer, scores, *, spec, threshold, confidence):
        ops.resize(writer, scores, [1, spec.classes, *spec.input_size], name="upsample", as_output="logits")
        best = writer.op("Cast", writer.op("ArgMax", scores, axis=1, keepdims=1), to=writer.onnx_dtype)
        sizes = writer.integers("sizes", [1, 1, *spec.input_size])
        large = writer.op("Resize", best, "", "", sizes, mode="nearest")
        flat = ops.reshape(writer, large, [1, *spec.input_size], name="flat")
        return writer.op("Cast", flat, as_output="labels", to=2)

    patch.setattr(graphs, "write_labels", labels)


NUMBERS = r"max \|Δ\|/std is \d\.\d\de[+-]\d\d, the bound is 2e-03"
# fault, network, memory stride, frame, tensor, and how the message goes on
FAULTS = [
    (chain_order_swapped, "td4-psp18", None, "3 (path 4, warm)", "recomposed", NUMBERS),
    (slots_swapped, "td4-psp18", None, "3 (path 4, warm)", "recomposed", NUMBERS),
    (own_slot_read, "td2-fa18", None, "1 (path 2, warm)", "recomposed", NUMBERS),
    (own_slot_read, "td4-psp18", None, "3 (path 4, warm)", "recomposed", NUMBERS),
    (path_off_by_one, "td4-psp18", None, "0 (path 2, cold)", "query", NUMBERS),
    (path_off_by_one, "td2-fa18", None, "0 (path 2, cold)", "query", NUMBERS),
    (path_stays_on_the_first, "td4-psp18", None, "1 (path 1, cold)", "query", NUMBERS),
    (zeros_attended_from(1), "td4-psp18", None, "1 (path 2, warm)", "recomposed", NUMBERS),
    (zeros_attended_from(2), "td4-psp18", None, "2 (path 3, warm)", "recomposed", NUMBERS),
    (cold_for_ever, "td4-psp18", None, "3 (path 4, cold)", "recomposed", NUMBERS),
    (cold_one_frame_too_long, "td2-fa18", None, "1 (path 2, cold)", "recomposed", NUMBERS),
    (memory_not_finite_at_the_start, "td4-psp18", None, "0 (path 1, cold)", "recomposed", "max .* is inf"),
    (slot_not_overwritten, "td4-psp18", None, "5 (path 2, warm)", "slot2_v", NUMBERS),
    (prepared_for_another_frame, "td4-psp18", None, "4 (path 1, warm)", "recomposed", NUMBERS),
    (layer_norm_map_transposed, "td4-psp18", None, "0 (path 1, cold)", "logits", NUMBERS),
    (layer_norm_map_transposed, "td2-fa18", None, "0 (path 1, cold)", "logits", NUMBERS),
    (phi_transposed, "td4-psp18", None, "3 (path 4, warm)", "recomposed", NUMBERS),
    (phi_transposed, "td2-fa18", None, "1 (path 2, warm)", "recomposed", NUMBERS),
    (floor_kernel_pooling, "td4-psp18", None, "0 (path 1, cold)", "query", NUMBERS),
    (floor_kernel_pooling, "psp101", None, "0 (path 1, warm)", "logits", NUMBERS),
    (bgr_in_the_graphs, "td4-psp18", None, "0 (path 1, cold)", "query", NUMBERS),
    (bgr_in_the_runtime, "td2-fa18", None, "0 (path 1, cold)", "query", NUMBERS),
    (mean_not_subtracted, "td2-fa18", None, "0 (path 1, cold)", "query", NUMBERS),
    (stride_started_at_one, "td4-psp18", 5, "0 (path 1, cold)", "slot1_k", NUMBERS),
    (stride_started_at_one, "td2-fa18", 5, "0 (path 1, cold)", "slot1_k", NUMBERS),
    (stride_of_six_for_five, "td4-psp18", 5, "0 (path 1, cold)", "slot1_k", NUMBERS),
    (oracle_of_another_stride, "td4-psp18", 3, "0 (path 1, cold)", "slot1_k", r"with the shape \[64, 15\]"),
    (
        oracle_of_another_stride,
        "td2-fa18",
        None,
        "0 (path 1, cold)",
        "slot1_k",
        r"\[64, 12\].*\[1, 64, 2, 3\]",
    ),
    (query_scale_dropped, "td4-psp18", None, "0 (path 1, cold)", "query", NUMBERS),
    (batch_norm_eps_of_another_framework, "td2-fa18", None, "0 (path 1, cold)", "query", NUMBERS),
    (upsampling_by_half_pixels, "td4-psp18", None, "0 (path 1, cold)", "logits", NUMBERS),
]


def export(name, tiny_checkpoint, out, stride=None, **options):
    size = (49, 65) if name == "psp101" else None
    return bundle_from_checkpoint(
        ExportOptions(
            checkpoint=tiny_checkpoint(name), out=out, size_hw=size, memory_stride=stride, **options
        )
    )


def refusal(name, tiny_checkpoint, tmp_path, monkeypatch, stride=None, **options):
    """The message of the ParityError with which an export ends that leaves everything as it was."""
    temporary, folder = tmp_path / "temporary", tmp_path / "out"
    temporary.mkdir()
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    out = folder / "out.plan"
    out.write_bytes(OLD)
    with pytest.raises(ParityError) as caught:
        export(name, tiny_checkpoint, out, stride, **options)
    assert [path.name for path in folder.iterdir()] == ["out.plan"]
    assert out.read_bytes() == OLD
    assert list(temporary.iterdir()) == []
    text = str(caught.value)
    assert text.startswith("the exported graphs do not compute what PyTorch computes: frame ")
    assert "Nothing was written" in text
    return text


@pytest.mark.parametrize(
    ("fault", "name", "stride", "frame", "tensor", "more"),
    FAULTS,
    ids=[f"{fault.__name__}-{name}" for fault, name, *_ in FAULTS],
)
def test_the_proof_fails(fault, name, stride, frame, tensor, more, tiny_checkpoint, tmp_path, monkeypatch):
    fault(monkeypatch)
    text = refusal(name, tiny_checkpoint, tmp_path, monkeypatch, stride)
    assert re.search(rf": frame {re.escape(frame)} .*'{tensor}'.*{more}", text), text


@pytest.mark.parametrize("name", ["td2-psp50", "td2-fa18", "psp101"])
@pytest.mark.parametrize("fault", [bgr_not_turned, mean_of_bgr_not_turned, scale_left_out])
def test_the_proof_fails_on_another_preprocessing(fault, name, tiny_checkpoint, tmp_path, monkeypatch):
    fault(monkeypatch)
    bgr = Preprocessing(mean=(90.0, 110.0, 130.0), std=(40.0, 60.0, 80.0), scale=1.0, color_order="BGR")
    text = refusal(name, tiny_checkpoint, tmp_path, monkeypatch, preprocessing=bgr)
    tensor = "logits" if name == "psp101" else "query"
    assert re.search(rf": frame 0 .*'{tensor}'.*{NUMBERS}", text), text


def labels_of_the_nearest_scores(patch):
    """The runtime upsamples nothing."""
    patch.setattr(LabelTail, "_write_cells", lambda self, *given: None)


@pytest.mark.parametrize("name", ["td4-psp18", "psp101"])
@pytest.mark.parametrize("fault", [argmax_before_upsampling, labels_of_the_nearest_scores])
def test_the_proof_fails_on_labels_alone(fault, name, tiny_checkpoint, tmp_path, monkeypatch):
    fault(monkeypatch)
    text = refusal(name, tiny_checkpoint, tmp_path, monkeypatch)
    assert re.search(r": frame 0 \(path 1, \w+\) is the first whose labels differ: \d\d\.\d+% agree", text), (
        text
    )
    assert "the bound is 99.9%" in text


@pytest.mark.parametrize(
    ("name", "stride"),
    [("td4-psp18", None), ("td4-psp18", 5), ("td2-fa18", 5), ("td2-psp50", None), ("psp101", None)],
)
def test_the_same_exports_without_a_fault_pass(name, stride, tiny_checkpoint, tmp_path):
    out = tmp_path / "out.plan"
    out.write_bytes(OLD)
    report = export(name, tiny_checkpoint, out, stride).reports["fp32"]
    assert max(error for frame in report.frames for error in frame.errors.values()) < 2e-3
    assert report.worst_frame_agreement >= 0.999
    assert out.read_bytes() != OLD
