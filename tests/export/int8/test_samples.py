"""Calibration is in closed loop: an attention graph sees what the other paths have left in the memory."""

import numpy as np
import onnxruntime as ort

from tdnet_export.int8.samples import load_sample, record_samples


def outputs(model, feeds):
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return dict(zip([o.name for o in session.get_outputs()], session.run(None, feeds), strict=True))


def test_samples_are_what_the_loop_makes(tiny_graphs, tiny_clips, tmp_path):
    """Each memory entry is recomputed from the frame that must have made it."""
    models, contract, manifest = tiny_graphs("td4-psp18")
    clips = tiny_clips(manifest, 2)
    seen = []
    found = record_samples(models, contract, manifest, clips, tmp_path, on_frame=seen.append)
    assert (found.clips, found.frames, seen) == (2, 14, list(range(1, 15)))
    assert {graph: len(files) for graph, files in found.samples.items()} == {
        f"{kind}{path}": 2 for kind in ("subnet", "apm") for path in (1, 2, 3, 4)
    }
    for number, clip in enumerate(clips):
        for frame in range(3, 7):  # warm ones
            path = contract.paths[frame % 4]
            image = load_sample(found.samples[path.subnet][number])["image"]
            assert np.array_equal(image[0], clip[frame])
            sample = load_sample(found.samples[path.apm][number])
            assert sample["warm"].tolist() == [1.0]
            own = outputs(models[path.subnet], {"image": clip[frame][None]})
            expected = {"query": own["query"], "value": own["value"]}
            for age, read in enumerate(path.reads):  # the oldest first
                made = outputs(models[f"subnet{read}"], {"image": clip[frame - 3 + age][None]})
                expected |= {f"slot{read}_{leaf}": made[f"memory_{leaf}"] for leaf in "qkv"}
            for name in set(sample) - {"warm"}:
                assert np.allclose(sample[name], expected[name], rtol=1e-4, atol=1e-5), name
            assert {spec.name for spec in manifest.graph(path.apm).inputs} == set(sample)


def test_the_memory_is_reset_before_each_clip(tiny_graphs, tiny_clips, tmp_path):
    """The same clip twice gives the same samples twice."""
    models, contract, manifest = tiny_graphs("td2-fa18")
    (clip,) = tiny_clips(manifest, 1)
    found = record_samples(models, contract, manifest, [clip, clip], tmp_path)
    for files in found.samples.values():
        first, second = map(load_sample, files)
        assert all(np.array_equal(first[name], second[name]) for name in first)


def test_a_network_without_memory(tiny_graphs, tiny_clips, tmp_path):
    models, contract, manifest = tiny_graphs("psp101")
    clips = tiny_clips(manifest, 2)
    found = record_samples(models, contract, manifest, clips, tmp_path)
    assert [
        np.array_equal(load_sample(file)["image"][0], clip[0])
        for file, clip in zip(found.samples["psp101"], clips, strict=True)
    ] == [True, True]
