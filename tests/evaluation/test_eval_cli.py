"""`tdnet-eval` from its options to its tables, on a small data set of one's own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from tests.evaluation.conftest import CLASSES, DRIVES, SIZE_HW

pytest.importorskip("torch")

from tdnet_eval import main
from tdnet_eval.document import read_document
from tdnet_runtime import Segmenter
from tdnet_runtime.errors import OptionError

Done = tuple[int, str, str]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Done]:
    """call(*arguments): exit code, stdout and stderr."""

    def run(*arguments: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["tdnet-eval", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    return run


@pytest.fixture
def settings(drives: Path, tmp_path: Path) -> Callable[..., Path]:
    """settings(lines): a TOML file of them, with the drives' root."""
    pytest.importorskip("tomli")

    def make(lines: str = "") -> Path:
        path = tmp_path / "data.toml"
        path.write_text(f'root = {json.dumps(str(drives))}\nnames = "names.txt"\n{lines}')
        return path

    return make


def test_the_whole_way(
    call: Callable[..., Done],
    drives: Path,
    named_bundle: Path,
    tiny_checkpoint: Callable[[str], Path],
    tmp_path: Path,
) -> None:
    pytest.importorskip("matplotlib")
    arguments = [
        "--engine", named_bundle, "--backend", "onnxruntime", "--precision", "fp32", "--precision", "fp16",
        "--ckpt", tiny_checkpoint("td2-fa18"), "--data", drives, "--every-path", "--gap", "1,2", "--cut", "val",
        "--json", tmp_path / "e.json", "--markdown", tmp_path / "e.md", "--pictures", tmp_path / "p", "--worst", 2,
        "--threads", 1,
    ]  # fmt: skip
    code, out, err = call(*arguments)
    assert code == 0, err
    document = read_document(tmp_path / "e.json")
    sides = ["named onnxruntime:fp32", "named onnxruntime:fp16", "pytorch"]
    assert list(document.scores) == sides
    assert document.reference == "pytorch"
    assert document.data.classes == CLASSES
    assert document.data.sequences == tuple(DRIVES)
    fp32, _, pytorch = (document.scores[side] for side in sides)
    assert fp32.overall.agreement is not None
    assert fp32.overall.agreement > 0.999
    assert pytorch.overall.agreement is None
    assert fp32.overall.miou == pytest.approx(pytorch.overall.miou, abs=0.002)
    assert (fp32.cold.frames, fp32.by_path[1].frames, fp32.by_path[2].frames) == (2, 4, 5)  # type: ignore[union-attr]
    assert fp32.every_path is not None
    assert {score.frames for score in fp32.every_path.values()} == {
        5 + 2
    }  # from the third frame of each drive on
    assert [(gap.what, gap.dropped) for gap in document.gaps[sides[0]]] == [
        ("gap", 0), ("gap", 1), ("gap", 2), ("reset", None), ("cut", None),
    ]  # fmt: skip
    assert document.gaps[sides[0]][0].agreement == 1.0
    assert len(document.records) == sum(DRIVES.values())
    assert {path.name for path in (tmp_path / "p").iterdir()} >= {"confusion-pytorch.png"}
    assert len(list((tmp_path / "p").glob("worst-*.png"))) == 2
    for text in (out, (tmp_path / "e.md").read_text()):
        for words in (*sides, *CLASSES, "path 2", "cold", "2 lost", "cut, no reset", "reference"):
            assert words in text
    for written in ((tmp_path / "e.json").read_text(), (tmp_path / "e.md").read_text()):
        assert str(tmp_path) not in written
        assert str(named_bundle.parent) not in written
    line = _error(call(*arguments))
    assert "files of an earlier run are in it" in line


def test_pictures_of_an_earlier_run_are_replaced_where_that_is_asked_for(
    call: Callable[..., Done], drives: Path, named_bundle: Path, tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib")
    for worst, more in ((2, ()), (1, ("--overwrite",))):
        code, _, err = call(
            "--engine", named_bundle, "--backend", "onnxruntime", "--data", drives, "--quick", "--worst", worst,
            "--pictures", tmp_path, *more,
        )  # fmt: skip
        assert code == 0, err
        assert len(list(tmp_path.glob("worst-*.png"))) == worst


def test_names_that_are_no_utf_8(
    call: Callable[..., Done], drives: Path, named_bundle: Path, tmp_path: Path
) -> None:
    """They are escaped in the report, the tables and the document, which is read again before it is replaced."""
    odd = tmp_path / "d\udcff"
    (odd / "images" / "val").mkdir(parents=True)
    (odd / "labels" / "val").mkdir(parents=True)
    (odd / "names.txt").symlink_to(drives / "names.txt")
    for part in ("images", "labels"):
        (odd / part / "val" / "a\udcff").symlink_to(drives / part / "val" / "a")
    bundle = tmp_path / "b\udcff.plan"
    bundle.symlink_to(named_bundle)
    for _ in range(2):
        code, out, err = call(
            "--engine", bundle, "--backend", "onnxruntime", "--data", odd, "--quick", "--json", tmp_path / "e.json",
            "--markdown", tmp_path / "e.md",
        )  # fmt: skip
        assert code == 0, err
    document = read_document(tmp_path / "e.json")
    assert (document.data.name, document.data.sequences) == ("d\\udcff", ("a\\udcff",))
    assert "--data 'd\\udcff'" in document.command
    for text in (out, (tmp_path / "e.md").read_text()):
        assert "b\\udcff onnxruntime" in text


def test_mean_iou_is_what_a_plain_loop_counts(
    call: Callable[..., Done], drives: Path, named_bundle: Path, tmp_path: Path
) -> None:
    confusion = np.zeros((5, 5), np.int64)
    with Segmenter.open(named_bundle, backend="onnxruntime", threads=1) as segmenter:
        for drive, length in DRIVES.items():
            with segmenter.stream() as stream:
                for t in range(length):
                    image = cv2.imread(str(drives / "images" / "val" / drive / f"{t}.png"))
                    truth = cv2.imread(
                        str(drives / "labels" / "val" / drive / f"{t}.png"), cv2.IMREAD_UNCHANGED
                    )
                    assert image is not None
                    assert truth is not None
                    labels = stream.push(np.ascontiguousarray(image[..., ::-1])).labels
                    assert labels.shape == SIZE_HW
                    np.add.at(confusion, (truth[truth < 5], labels[truth < 5]), 1)
    code, _, err = call(
        "--engine", named_bundle, "--backend", "onnxruntime", "--data", drives, "--quick", "--json", tmp_path / "e.json"
    )  # fmt: skip
    assert code == 0, err
    (scores,) = read_document(tmp_path / "e.json").scores.values()
    assert np.array_equal(scores.confusion, confusion)
    assert (scores.overall.boundary_f, scores.overall.temporal_consistency) == (None, None)


def test_what_was_left_out_has_an_exit_code_of_its_own(
    call: Callable[..., Done], drives: Path, named_bundle: Path
) -> None:
    code, out, err = call(
        "--engine", named_bundle, "--backend", "onnxruntime", "--precision", "fp32", "--precision", "int8",
        "--data", drives, "--quick",
    )  # fmt: skip
    assert code == 3
    assert "named onnxruntime:fp32" in out
    assert "tdnet-eval: left out named.plan on onnxruntime:int8: " in err


def _error(done: Done) -> str:
    code, out, err = done
    assert (code, out) == (1, "")
    (line,) = err.splitlines()
    assert line.startswith("tdnet-eval: error: ")
    return line


def test_classes_that_differ_are_mapped_as_the_error_says(
    call: Callable[..., Done], settings: Callable[..., Path], named_bundle: Path, tmp_path: Path
) -> None:
    (tmp_path / "four.txt").write_text("road\nbuilding\nsky\ncar\n")
    four = settings('map = {"0" = "road", "1" = "building", "2" = "sky", "3" = "car", "4" = "ignore"}\n')
    text = four.read_text().replace("names.txt", str(tmp_path / "four.txt"))
    four.write_text(text)
    line = _error(call("--engine", named_bundle, "--backend", "onnxruntime", "--data", four))
    assert "named onnxruntime:fp32 has 5 classes, " in line
    assert "has 4; say what each label of the data set is with `names` and `map` in a TOML file" in line
    mapped = settings('map = {"0" = "road", "1" = "building", "2" = "sky", "3" = "car", "4" = "ignore"}\n')
    code, out, err = call("--engine", named_bundle, "--backend", "onnxruntime", "--data", mapped, "--quick")
    assert code == 0, err
    assert "tree" in out


def test_errors_are_one_line(
    call: Callable[..., Done], drives: Path, named_bundle: Path, tmp_path: Path
) -> None:
    engine = ("--engine", named_bundle, "--backend", "onnxruntime")
    assert "there is nothing: '/absent'" in _error(call(*engine, "--data", "/absent"))
    assert "its split 'test'" in _error(call(*engine, "--data", drives, "--split", "test"))
    assert "nothing was named to evaluate" in _error(call("--data", drives))
    assert "--gap is 'x'" in _error(call(*engine, "--data", drives, "--gap", "x"))
    assert "has 7 frames; a gap of 8 needs 10" in _error(
        call(*engine, "--data", drives, "--quick", "--gap", "8")
    )
    assert "its split 'train'" in _error(call(*engine, "--data", drives, "--cut", "train"))
    unlabelled = tmp_path / "unlabelled"
    (unlabelled / "images" / "val").mkdir(parents=True)
    (unlabelled / "labels" / "val").mkdir(parents=True)
    assert cv2.imwrite(str(unlabelled / "images" / "val" / "a.png"), np.zeros((60, 84, 3), np.uint8))
    (unlabelled / "names.txt").write_text("\n".join(CLASSES))
    assert "label" in _error(call(*engine, "--data", unlabelled))
    assert cv2.imwrite(str(unlabelled / "labels" / "val" / "a.png"), np.zeros((84, 60), np.uint8))
    assert "which is another shape" in _error(call(*engine, "--data", unlabelled))
    code, _, err = call("--engine", named_bundle)
    assert code == 2
    assert "--data" in err


def test_networks_without_a_memory_stand_beside_others(
    call: Callable[..., Done],
    drives: Path,
    named_bundle: Path,
    tiny_bundle: Callable[[str], Path],
    tmp_path: Path,
) -> None:
    """They have no rows in the gaps' table; alone they are refused, before anything runs."""
    per_frame = tiny_bundle("psp101")
    options = ("--backend", "onnxruntime", "--data", drives, "--quick", "--gap", "1")
    code, _, err = call(
        "--engine", per_frame, "--engine", named_bundle, *options, "--json", tmp_path / "e.json"
    )
    assert code == 0, err
    document = read_document(tmp_path / "e.json")
    assert list(document.gaps) == ["named onnxruntime:fp32"]
    assert document.scores["psp101 onnxruntime:fp32"].by_path.keys() == {1}
    assert "has none (m = 1)" in _error(call("--engine", per_frame, *options))


def test_pytorch_is_needed_for_a_checkpoint_alone(
    drives: Path, named_bundle: Path, tiny_checkpoint: Callable[[str], Path]
) -> None:
    code = "import sys; sys.modules['torch'] = None\nfrom tdnet_eval import main; main()"

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-W", "error", "-c", code, *map(str, arguments)]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)

    options = ("--data", drives, "--quick")
    done = run("--engine", named_bundle, "--backend", "onnxruntime", *options)
    assert (done.returncode, done.stderr) == (0, "")
    assert "named onnxruntime:fp32" in done.stdout
    done = run("--ckpt", tiny_checkpoint("td2-fa18"), *options)
    assert done.returncode == 1
    assert done.stderr.startswith("tdnet-eval: error: ")
    assert "pip install 'tdnet-deploy[export]'" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_document_of_something_else_is_refused(tmp_path: Path) -> None:
    for content in ("{}", "[]", "nonsense", '{"tool": "tdnet-bench"}'):
        (tmp_path / "a.json").write_text(content)
        with pytest.raises(OptionError, match="this is no document of tdnet-eval"):
            read_document(tmp_path / "a.json")
