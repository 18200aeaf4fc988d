"""The model of Triton's Python backend, called as the server calls it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tests.runtime.serving.conftest import Request, Tensor, config_of

from tdnet_runtime import BackendError, BundleError, OptionError, Segmenter
from tdnet_runtime.serving.parameters import BACKEND, MANIFEST, PRECISION, THREADS
from tdnet_runtime.serving.python_model import TritonPythonModel

START, END = 1, 2
Make = Callable[..., TritonPythonModel]


def image(value: int = 0, size_hw: tuple[int, int] = (4, 8)) -> np.ndarray:
    return np.full((1, *size_hw, 3), value, np.uint8)


def test_labels_are_the_runtimes_whether_requests_come_alone_or_together(
    make_model: Make, made_up_bundle: Path
) -> None:
    model = make_model()
    with Segmenter.open(made_up_bundle, backend="fake") as segmenter, segmenter.stream() as stream:
        for index in range(8):
            flags = START if index == 0 else 0
            answers = model.execute(
                [Request(5, flags, image=image(20 * index)), Request("x", flags, image=image(9))]
            )
            expected = stream.push(image(20 * index)[0])
            tensors = answers[0].tensors
            np.testing.assert_array_equal(tensors["labels"], expected.labels[None])
            assert tensors["labels"].dtype == np.uint8
            assert [int(answer.tensors["frame_index"][0]) for answer in answers] == [index, index]
            assert tensors["frame_index"].dtype == np.int32


def test_what_is_wrong_with_a_request_is_told_in_one_line(make_model: Make) -> None:
    model = make_model()
    model.execute([Request(1, START, image=image())])
    for request, words in (
        (Request(2, 0, image=image()), "sequence 2 has no memory here"),
        (Request(1, 0), "without an image must end its sequence"),
        (Request(1, 0, image=image()[0]), r"the shape [4, 8, 3]; expected [1, H, W, 3]"),
        (Request(1, 0, image=np.concatenate([image()] * 2)), r"the shape [2, 4, 8, 3]"),
        (Request(1, 0, image=image(size_hw=(4, 9))), "4x9"),
    ):
        (answer,) = model.execute([request])
        assert words in answer.error
        assert "\n" not in answer.error
        assert answer.tensors == {}
    (answer,) = model.execute([Request(1, 0, image=image())])
    assert (answer.error, int(answer.tensors["frame_index"][0])) == (None, 1)


def test_padding_of_the_strategy_direct_touches_nothing(make_model: Make) -> None:
    model = make_model(
        max_batch_size=2, sequence_batching={"direct": {}, "max_sequence_idle_microseconds": 10**7}
    )
    padding = Request(0, START | END, image=image(), READY=np.zeros((1, 1), np.int32))
    ready = np.ones((1, 1), np.int32)
    for index in range(3):
        first, second = model.execute([padding, Request(4, START * (index == 0), image=image(), READY=ready)])
        assert (first.tensors, first.error) == ({}, None)
        assert int(second.tensors["frame_index"][0]) == index


def test_an_end_without_a_frame_answers_nothing(make_model: Make) -> None:
    model = make_model()
    model.execute([Request(1, START, image=image())])
    (answer,) = model.execute([Request(1, END)])
    assert (answer.tensors, answer.error) == ({}, None)
    (answer,) = model.execute([Request(1, 0, image=image())])
    assert "has no memory here" in answer.error


def test_how_many_streams_there_are_follows_from_the_configuration(make_model: Make) -> None:
    model = make_model()  # 2
    for sequence in (1, 2, 3):
        model.execute([Request(sequence, START, image=image())])
    (answer,) = model.execute([Request(1, 0, image=image())])
    assert "sequence 1 has no memory here" in answer.error


def without(parameter: str) -> Callable[[dict[str, Any]], None]:
    return lambda config: config["parameters"].pop(parameter)


def with_value(parameter: str, value: str) -> Callable[[dict[str, Any]], None]:
    return lambda config: config["parameters"].update({parameter: {"string_value": value}})


def with_manifest(change: Callable[[dict[str, Any]], object]) -> Callable[[dict[str, Any]], None]:
    def spoil(config: dict[str, Any]) -> None:
        manifest = json.loads(config["parameters"][MANIFEST]["string_value"])
        change(manifest)
        with_value(MANIFEST, json.dumps(manifest))(config)

    return spoil


def with_confidence(manifest: dict[str, Any]) -> None:
    for graph in manifest["graphs"]:
        graph["outputs"] += [t | {"name": "confidence"} for t in graph["outputs"] if t["name"] == "labels"]


@pytest.mark.parametrize(
    ("spoil", "error", "words"),
    [
        (lambda config: config.pop("sequence_batching"), OptionError, "has no sequence_batching"),
        (
            lambda config: config["sequence_batching"].pop("max_sequence_idle_microseconds"),
            OptionError,
            "idle for 0 s",
        ),
        (without(MANIFEST), BackendError, "no parameter 'tdnet_manifest'"),
        (with_value(MANIFEST, "{}"), BundleError, "schema_version"),
        (
            with_manifest(lambda manifest: manifest["classes"][0].update(name="ocean")),
            OptionError,
            r"of another bundle \(classes differ\)",
        ),
        (
            with_manifest(lambda manifest: manifest.update(checkpoint_sha256="9" * 64)),
            OptionError,
            r"\(checkpoint_sha256 differ\)",
        ),
        (with_manifest(lambda manifest: manifest.update(weights="ema")), OptionError, r"\(weights differ\)"),
        (with_manifest(with_confidence), OptionError, r"\(graphs differ\)"),
        (with_value(BACKEND, "abacus"), OptionError, "no backend 'abacus'"),
        (with_value(PRECISION, "fp7"), OptionError, "no precision 'fp7'"),
        (with_value(THREADS, "many"), OptionError, "tdnet_threads is 'many'"),
        (with_value(THREADS, "9" * 5000), OptionError, "tdnet_threads is '999"),
        (with_value(THREADS, "0"), OptionError, "threads is 0"),
    ],
)
def test_what_is_wrong_with_the_configuration(
    make_model: Make,
    made_up_bundle: Path,
    spoil: Callable[[dict[str, Any]], object],
    error: type[Exception],
    words: str,
) -> None:
    config = config_of(made_up_bundle)
    spoil(config)
    with pytest.raises(error, match=words):
        make_model(**({"sequence_batching": None} | config))


def test_engines_may_have_been_added_in_place(make_model: Make, made_up_bundle: Path) -> None:
    """As `tdnet-export --rebuild` does: other members and tools, and the same network."""
    config = config_of(made_up_bundle)

    def before(manifest: dict[str, Any]) -> None:
        manifest["tools"] = {"tensorrt": "10.3"}
        manifest["members"] = {
            name: spec | {"sha256": "8" * 64} for name, spec in manifest["members"].items()
        }

    with_manifest(before)(config)
    (answer,) = make_model(**config).execute([Request(1, START, image=image())])
    assert answer.error is None


def test_a_bundle_that_is_not_there(
    backend_utils: SimpleNamespace, made_up_bundle: Path, tmp_path: Path
) -> None:
    with pytest.raises(BundleError, match=r"bundle\.plan"):
        TritonPythonModel().initialize(
            {
                "model_config": json.dumps(config_of(made_up_bundle)),
                "model_repository": str(tmp_path),
                "model_version": "9",
            }
        )


def test_a_server_that_hands_over_empty_arrays_is_refused(
    make_model: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Triton 2.51 does with NumPy 2, without a word."""
    model = make_model()
    model.execute([Request(1, START, image=image())])  # black frames look alike
    monkeypatch.setattr(Tensor, "as_numpy", lambda tensor: np.zeros_like(tensor._values))
    (answer,) = model.execute([Request(2, START, image=image(9))])
    assert "arrays come out empty" in answer.error
    assert "pip install 'numpy<2'" in answer.error
    assert answer.tensors == {}
