"""Which frames make what an attention graph is calibrated with."""

import numpy as np
import pytest

from tdnet_export.int8.samples import load_tensors, place_samples

LEAVES = {"td4-psp18": "qkv", "td2-fa18": "kv"}


@pytest.mark.parametrize("name", LEAVES)
def test_each_path_sees_its_frame_and_the_others_in_the_memory(tiny_graphs, tiny_clips, tmp_path, name):
    _, contract, manifest = tiny_graphs(name)
    clips = tiny_clips(manifest, 2)
    samples = place_samples(contract, clips, tmp_path)
    paths = range(1, len(contract.paths) + 1)
    assert list(samples) == [f"{kind}{path}" for kind in ("subnet", "apm") for path in paths]
    for number, clip in enumerate(clips):
        made = {}
        for path in paths:
            sample = samples[f"subnet{path}"][number]
            assert np.array_equal(load_tensors(sample.inputs)["image"], clip[path - 1][None])
            assert set(sample.results) == {"query", "value", *(f"memory_{leaf}" for leaf in LEAVES[name])}
            made[path] = sample.results
        for path in contract.paths:
            sample = samples[path.apm][number]
            assert sample.results == {}
            assert list(sample.inputs) == [spec.name for spec in manifest.graph(path.apm).inputs]
            expected = {"query": made[path.index]["query"], "value": made[path.index]["value"]}
            for read in path.reads:
                expected |= {f"slot{read}_{leaf}": made[read][f"memory_{leaf}"] for leaf in LEAVES[name]}
            given = dict(sample.inputs)
            assert np.load(given.pop("warm")).tolist() == [1.0]
            assert given.items() <= expected.items()
    files = [file for seen in samples.values() for sample in seen for file in sample.results.values()]
    assert len(set(files)) == len(files)


def test_a_network_without_memory(tiny_graphs, tiny_clips, tmp_path):
    _, contract, manifest = tiny_graphs("psp101")
    clips = tiny_clips(manifest, 2)
    (seen,) = place_samples(contract, clips, tmp_path).values()
    assert [sample.results for sample in seen] == [{}, {}]
    for sample, clip in zip(seen, clips, strict=True):
        assert np.array_equal(load_tensors(sample.inputs)["image"], clip[0][None])
