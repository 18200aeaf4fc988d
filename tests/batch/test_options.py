"""What is refused before anything begins, each in one line."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.batch.conftest import Batch, make_images

from tdnet_batch.options import BatchOptions, Cluster
from tdnet_batch.placement import place_workers
from tdnet_batch.settings import Settings
from tdnet_runtime.errors import OptionError, TdnetError


@pytest.fixture
def given(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """A command line that is right but for Ray, which must not be reached."""

    def unreached(*arguments: object, **options: object) -> None:
        raise AssertionError("Ray was to be started")

    monkeypatch.setattr("tdnet_batch.cli.ray_session", unreached)
    monkeypatch.setitem(sys.modules, "s3fs", None)  # where it is installed, too
    make_images(tmp_path / "in" / "a")
    (tmp_path / "file").write_text("x")
    (tmp_path / "torn.plan").write_bytes(bundle.read_bytes()[:200])
    (tmp_path / "locked").mkdir(mode=0o500)
    return {"--engine": bundle, "--input": tmp_path / "in", "--output": tmp_path / "out"}


@pytest.mark.parametrize(
    ("changed", "code", "told"),
    [
        ({"--input": "gs-less://bucket/x"}, 1, "addresses of the kind gs-less:// are not known to fsspec"),
        ({"--input": "s3://bucket/x"}, 1, "fsspec needs another package for s3://: Install s3fs"),
        ({"--input": "file:///nothing"}, 1, "there is nothing of that name"),
        ({"--input": "memory://bucket/x"}, 1, "'memory://bucket/x': there is nothing of that name"),
        ({"--input": "in/*.mp4"}, 1, "no video, log or folder of images is there"),
        ({"--input": "nothing"}, 1, "'nothing': there is nothing of that name"),
        ({"--input": "@list"}, 1, "reading the list: No such file"),
        ({"--input": "camera:0"}, 1, "'camera:0': there is nothing of that name"),
        ({"--input": ""}, 1, "--input was given an empty value"),
        ({"--engine": "none.plan"}, 1, "none.plan"),
        ({"--engine": "torn.plan"}, 1, "torn.plan"),
        ({"--engine": "in"}, 1, "in"),
        ({"--sha256": "0" * 64}, 1, "SHA-256"),
        ({"--output": "file"}, 1, "not a folder: "),
        ({"--output": "file/out"}, 1, "not a folder: "),
        ({"--output": "in", "--input": "in"}, 1, "--output is the folder of --input"),
        ({"--output": "in", "--input": "file://{}/in"}, 1, "--output is the folder of --input"),
        ({"--output": "in", "--input": "local://{}/in"}, 1, "--output is the folder of --input"),
        ({"--output": "--workers"}, 1, "--output is '--workers'; is a variable unset"),
        ({"--workers": "0"}, 2, "--workers"),
        ({"--threads": "0"}, 2, "--threads"),
        ({"--gpus": "1.5"}, 1, "--gpus is 1.5; above 1 Ray takes whole numbers"),
        ({"--gpus": "nan"}, 2, "--gpus"),
        ({"--cut-frames": "0"}, 2, "--cut-frames"),
        ({"--backend": "cudnn"}, 1, "--backend is 'cudnn'; expected auto, "),
        ({"--precision": "fp8"}, 1, "--precision is 'fp8'; expected "),
        ({"--form": "tiff"}, 2, "--form"),
        ({"--address": "x:1", "--dashboard": None}, 1, "--dashboard is of the Ray that this run starts"),
    ],
)  # fmt: skip
def test_bad_input(
    given: dict[str, object],
    tmp_path: Path,
    command: Callable,
    changed: dict[str, object],
    code: int,
    told: str,
) -> None:
    words = [word for name, value in (given | changed).items() for word in (name, value) if word is not None]
    done = command("tdnet-batch", *(str(word).replace("{}", str(tmp_path)) for word in words), cwd=tmp_path)
    assert (done.returncode, done.stdout) == (code, "")
    assert "Traceback" not in done.stderr
    if code == 1:
        assert done.stderr.startswith("tdnet-batch: error: ")
        assert done.stderr.count("\n") == 1
    assert told in done.stderr


def test_two_bundles(given: dict[str, object], tmp_path: Path, command: Callable) -> None:
    words = [word for pair in given.items() for word in pair]
    done = command("tdnet-batch", *words, "--engine", tmp_path / "other.plan", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(
        "tdnet-batch: error: --engine is given 2 times, and one run is of one bundle"
    )
    assert done.stderr.count("\n") == 1


def test_no_option_at_all(command: Callable) -> None:
    done = command("tdnet-batch")
    assert done.returncode == 2
    assert "--engine" in done.stderr


@pytest.mark.parametrize("name", [(), ("eval",)])
def test_help(command: Callable, name: tuple[str, ...]) -> None:
    done = command("tdnet-batch", *name, "--help")
    assert done.returncode == 0
    assert "Usage: tdnet-batch" in done.stdout


def test_eval_names_what_is_missing(command: Callable, tmp_path: Path, bundle: Path) -> None:
    done = command("tdnet-batch", "eval", "--engine", bundle, "--data", tmp_path / "none")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("tdnet-batch: error: --data needs a folder")
    done = command("tdnet-batch", "eval", "--engine", tmp_path / "none.plan", "--data", tmp_path)
    assert done.stderr.startswith("tdnet-batch: error: --engine needs a file")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"inputs": ()}, "nothing was named"),
        ({"retries": -1}, "--retries is -1"),
        ({"settings": Settings(bit_depth=7)}, "--bit-depth is 7"),
        ({"settings": Settings(cut_frames=0)}, "--cut-frames is 0"),
    ],
)
def test_values_that_no_flag_lets_through(tmp_path: Path, options: dict[str, object], told: str) -> None:
    with pytest.raises(OptionError, match=told):
        BatchOptions(**{"engine": tmp_path / "x", "inputs": ("a",), "output": tmp_path / "out", **options})


def test_an_output_that_is_a_link_to_the_input(batch: Batch, tmp_path: Path) -> None:
    folder = make_images(tmp_path / "in")
    (tmp_path / "link").symlink_to(folder)
    with pytest.raises(TdnetError, match="--output is the folder of --input"):
        batch(folder, output=tmp_path / "link")


def test_the_cluster() -> None:
    with pytest.raises(OptionError, match="--workers is 0"):
        Cluster(workers=0)


@pytest.mark.parametrize(
    ("devices", "gpus", "workers"),
    [
        (1, 1, 1), (2, 2, 1), (1, 0.5, 2), (1, 0.3, 3), (1, 0.2, 5), (1, 0.1, 10), (1, 0.05, 20), (4, 0.2, 20),
        (2, 0.4, 4), (2, 0.7, 2), (8, 3, 2),
    ],
)  # fmt: skip
def test_shares_of_a_gpu(devices: int, gpus: float, workers: int) -> None:
    """A share of one lies on one."""
    placed = place_workers([{"CPU": 64, "GPU": devices}], inputs=99, backend="tensorrt", gpus=gpus)
    assert placed.workers == workers
