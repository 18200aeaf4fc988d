"""What a user gets wrong at the command line: exit code 1, one line that says what to do, nothing left behind.

Wrong usage (an option that is missing or unknown) exits with 2. Each case has its own message.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
cv2 = pytest.importorskip("cv2")

import numpy as np  # noqa: E402
from tests.conftest import PROGRAMS  # noqa: E402


def process(program, *arguments, cwd):
    """`command`, as a process of its own."""
    module, _, main = PROGRAMS[program].partition(":")
    lines = f"from {module} import {main}; {main}()"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return subprocess.run(
        [sys.executable, "-c", lines, *arguments],
        capture_output=True, text=True, cwd=cwd, env=environment, timeout=120,
    )  # fmt: skip


def listing(folder):
    return {path.name: path.stat().st_mtime_ns for path in Path(folder).rglob("*")}


@pytest.fixture
def assert_refused(command, inputs):
    """assert_refused(program, arguments, message, code=1), in the folder of `inputs`."""

    def check(program, arguments, message, *, code=1, run=command):
        before = listing(inputs)
        done = run(program, *arguments, cwd=inputs)
        assert done.returncode == code, done.stderr
        assert message in done.stderr
        assert "Traceback" not in done.stderr + done.stdout
        if code == 1:
            assert done.stderr.startswith(f"{program}: error: ")
            assert done.stderr.count("\n") == 1
        assert listing(inputs) == before

    return check


@pytest.fixture(scope="module")
def inputs(tmp_path_factory, tiny_checkpoint, tiny_bundle):
    """A folder with good inputs and all kinds of bad ones."""
    folder = tmp_path_factory.mktemp("inputs")
    good = tiny_checkpoint("td2-fa18").read_bytes()
    state = torch.load(tiny_checkpoint("td2-fa18"), weights_only=True)
    (folder / "good.pth").write_bytes(good)
    (folder / "empty.pth").write_bytes(b"")
    (folder / "text.pth").write_text("not a checkpoint")
    (folder / "cut.pth").write_bytes(good[: len(good) // 2])
    torch.save(torch.nn.Linear(2, 2), folder / "module.pth")
    torch.save([1, 2], folder / "list.pth")
    torch.save({"epoch": 3}, folder / "numbers.pth")
    torch.save({"conv.weight": torch.zeros(3)}, folder / "other.pth")
    torch.save({**state, "enc1.w_vs.0.conv.bias": torch.full((16,), float("nan"))}, folder / "nan.pth")
    torch.save({**state, "enc2.w_vs.0.conv.bias": torch.zeros(7)}, folder / "shape.pth")
    (folder / "folder").mkdir()
    (folder / "taken.plan").mkdir()
    (folder / "names.txt").write_text("a\nb\n")
    (folder / "twice.txt").write_text("a\na\nb\nc\nd\n")
    (folder / "latin.txt").write_bytes(b"stra\xdfe\n")
    plan = tiny_bundle("td2-fa18").read_bytes()
    (folder / "good.plan").write_bytes(plan)
    (folder / "empty.plan").write_bytes(b"")
    (folder / "text.plan").write_text("not a bundle")
    (folder / "cut.plan").write_bytes(plan[:-1000])
    flipped = bytearray(plan)
    flipped[len(plan) // 2] ^= 1
    (folder / "flipped.plan").write_bytes(flipped)
    (folder / "engine.plan").write_bytes(b"ftrt" + bytes(100))
    (folder / "version.plan").write_bytes(plan)
    edit_manifest(folder / "version.plan", b'"schema_version": 5', b'"schema_version": 9')
    (folder / "kinds.plan").write_bytes(plan)
    edit_manifest(folder / "kinds.plan", b'"stride": 3', b'"stride": {}')
    (folder / "text.mp4").write_text("not a video")
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "images").mkdir()
    cv2.imwrite(str(folder / "images" / "0.png"), np.zeros((40, 60, 3), np.uint8))
    cv2.imwrite(str(folder / "images" / "1.png"), np.zeros((40, 61, 3), np.uint8))
    (folder / "broken").mkdir()
    (folder / "broken" / "0.png").write_bytes(b"\x89PNG not really")
    (folder / "still").mkdir()
    cv2.imwrite(str(folder / "still" / "0.png"), np.zeros((40, 60, 3), np.uint8))
    return folder


def edit_manifest(path, old, new):
    """Rewrite a bundle with an edited manifest, so that only the edit is wrong."""
    import zipfile

    with zipfile.ZipFile(path) as archive:
        members = [(entry, archive.read(entry)) for entry in archive.infolist()]
    with zipfile.ZipFile(path, "w") as archive:
        for entry, data in members:
            assert entry.filename != "manifest.json" or old in data
            archive.writestr(entry, data.replace(old, new) if entry.filename == "manifest.json" else data)


CHECKPOINTS = [
    ("absent.pth", "No such file or directory"),
    ("folder", "Is a directory"),
    ("empty.pth", "it is empty (0 bytes)"),
    ("text.pth", "it is text"),
    ("cut.pth", "damaged"),
    ("module.pth", "code"),
    ("list.pth", "holds a list"),
    ("numbers.pth", "'epoch' (int)"),
    ("other.pth", "conv.weight"),
    ("nan.pth", "NaN or infinite values in 1 of 616 tensors (enc1.w_vs.0.conv.bias)"),
    ("shape.pth", "enc2.w_vs.0.conv.bias [7] instead of [16]"),
]


@pytest.mark.parametrize(("name", "message"), CHECKPOINTS)
def test_checkpoints(name, message, assert_refused):
    assert_refused("tdnet-export", ["--ckpt", name, "--out", "new.plan"], message)


OPTIONS = [
    (["--ckpt", "good.pth", "--size", "big"], "expected HEIGHTxWIDTH", 1),
    (["--ckpt", "good.pth", "--size", "30x97"], "nearest: 57x96", 1),
    (["--ckpt", "good.pth", "--memory-stride", "0"], "--memory-stride is 0", 1),
    (["--ckpt", "good.pth", "--out", "new.onnx"], "must end in .plan", 1),
    (["--ckpt", "good.pth", "--out", "nowhere/new.plan"], "does not exist", 1),
    (["--ckpt", "good.pth", "--out", "taken.plan"], "--out is a folder", 1),
    (["--ckpt", "good.pth", "--names", "names.txt"], "has 2 names, the checkpoint has 5 classes", 1),
    (["--ckpt", "good.pth", "--names", "twice.txt"], "the name 'a' is there more than once", 1),
    (["--ckpt", "good.pth", "--names", "latin.txt"], "not UTF-8", 1),
    (["--ckpt", "good.pth", "--names", "absent.txt"], "No such file", 1),
    (["--ckpt", "good.pth", "--frames", "still"], "the proof needs 8", 1),
    (["--ckpt", "good.pth", "--frames", "text.mp4"], "text.mp4", 1),
    (["--ckpt", "good.pth", "--precision", "fp8"], "--precision is 'fp8'; expected fp32 or fp16 or int8", 1),
    (
        ["--ckpt", "good.pth", "--backend", "openvino"],
        "--backend is 'openvino'; expected tensorrt or tensorrt-rtx",
        1,
    ),
    (["--ckpt", "good.pth", "--precision", "int8"], "--precision int8 needs --calibration", 1),
    (["--ckpt", "good.pth", "--max-loss", "0.1"], "--max-loss goes with --precision int8", 1),
    (["--ckpt", "good.pth", "--drop-stale"], "--drop-stale goes with --rebuild", 1),
    (["--rebuild", "good.plan"], "--rebuild needs --backend tensorrt or --backend tensorrt-rtx", 1),
    (
        [
            "--rebuild",
            "good.plan",
            "--backend",
            "tensorrt-rtx",
            "--size",
            "8x8",
            *("--logits", "--confidence", "--own-labels"),
        ],
        "leave out --size, --logits, --confidence, --own-labels",
        1,
    ),
    (["--rebuild", "absent.plan", "--backend", "tensorrt-rtx"], "absent.plan", 1),
    (["--rebuild", "cut.plan", "--backend", "tensorrt-rtx"], "truncated", 1),
    (["--rebuild", "good.plan", "--backend", "tensorrt-rtx", "--precision", "fp16"], "fp16", 1),
    ([], "missing: name a checkpoint, or a bundle with --rebuild", 2),
    (["--ckpt", "good.pth", "--speed", "9"], "No such option", 2),
]


@pytest.mark.parametrize(("arguments", "message", "code"), OPTIONS)
def test_options(arguments, message, code, assert_refused):
    assert_refused("tdnet-export", arguments, message, code=code)


BUNDLES = [
    ("absent.plan", "absent.plan"),
    ("folder", "folder"),
    ("empty.plan", "empty"),
    ("text.plan", "not a"),
    ("cut.plan", "truncated"),
    ("flipped.plan", "it was damaged or changed"),
    ("engine.plan", "TensorRT"),
    ("good.pth", "checkpoint"),
    ("version.plan", "schema version 9; this version of tdnet-deploy reads 1 to 5"),
    ("kinds.plan", "stride"),
]


@pytest.mark.parametrize("program", ["tdnet-inspect", "tdnet-run"])
@pytest.mark.parametrize(("name", "message"), BUNDLES)
def test_bundles(program, name, message, assert_refused):
    arguments = [name] if program == "tdnet-inspect" else ["--engine", name, "--input", "still"]
    assert_refused(program, arguments, message)


VIDEOS = [
    (["--input", "absent.mp4"], "absent.mp4"),
    (["--input", "text.mp4"], "text.mp4"),
    (["--input", "empty.mp4"], "empty"),
    (["--input", "folder"], "folder"),
    (["--input", "broken"], "0.png"),
    (["--input", "/dev/video97"], "video97"),
    (["--input", "still", "--overlay", "out.avi"], ".mp4"),
    (["--input", "still", "--overlay", "nowhere/out.mp4"], "nowhere"),
    (["--input", "still", "--labels", "names.txt"], "names.txt"),
    (["--input", "still", "--backend", "magic"], "there is no backend 'magic'"),
    (
        ["--input", "still", "--precision", "fp16"],
        "it runs fp16 graphs, 'good.plan' has only fp32: export it again",
    ),
]
USAGE = [
    (["--input", "still", "--max-frames", "0"], "'--max-frames': Input should be greater than or equal to 1"),
    (["--input", "still", "--threads", "0"], "'--threads': Input should be greater than or equal to 1"),
    ([], "Missing option '--input'"),
]


@pytest.mark.parametrize(("arguments", "message"), VIDEOS)
def test_videos_and_outputs(arguments, message, assert_refused):
    assert_refused("tdnet-run", ["--engine", "good.plan", *arguments], message)


@pytest.mark.parametrize(("arguments", "message"), USAGE)
def test_wrong_usage(arguments, message, assert_refused):
    assert_refused("tdnet-run", ["--engine", "good.plan", *arguments], message, code=2)


def test_frames_before_a_bad_one_stay(command, inputs):
    """The second image has another size: one line, and the first one's labels stay."""
    done = command("tdnet-run", "--engine", "good.plan", "--input", "images", "--labels", "kept", cwd=inputs)
    assert done.returncode == 1
    assert "1.png" in done.stderr
    assert "Traceback" not in done.stderr
    assert [path.name for path in (inputs / "kept").iterdir()] == ["0.png"]
    assert cv2.imread(str(inputs / "kept" / "0.png"), cv2.IMREAD_UNCHANGED).shape == (40, 60)


EMPTY = {
    "tdnet-run": ["--engine", "--input", "--labels", "--colors", "--overlay", "--json"],
    "tdnet-bench": ["--engine", "--ckpt", "--input", "--labels", "--json", "--html"],
    "tdnet-export": ["--ckpt", "--out", "--names", "--frames", "--calibration", "--rebuild"],
    "tdnet-inspect": ["--extract", "--sha256"],
    "tdnet-doctor": ["--engine", "--ros", "--sha256"],
}


@pytest.mark.parametrize(
    ("program", "option"), [(p, option) for p, options in EMPTY.items() for option in options]
)
def test_an_unset_variable_is_not_the_current_folder(program, option, assert_refused):
    message = f"{option} was given an empty value; is a variable unset?"
    assert_refused(program, [option, ""], message)


@pytest.mark.parametrize(("program", "arguments"), [("tdnet-inspect", [""]), ("tdnet-bench", ["show", ""])])
def test_an_unset_variable_as_an_argument(program, arguments, assert_refused):
    assert_refused(program, arguments, "an argument is empty; is a variable unset?")


@pytest.mark.parametrize(
    ("program", "arguments"),
    [
        ("tdnet-run", ["--engine", "good.plan", "--input"]),
        ("tdnet-bench", ["--engine", "good.plan", "--input"]),
        ("tdnet-export", ["--ckpt", "good.pth", "--frames"]),
    ],
)
def test_an_address_comes_as_it_was_but_for_its_password(program, arguments, assert_refused):
    address = "rtsp://user:word@127.0.0.1:1//live/../1"  # nobody listens there
    assert_refused(program, [*arguments, address], address.replace("word", "***"))


@pytest.mark.parametrize(
    ("program", "arguments", "message"),
    [
        ("tdnet-export", ["--ckpt", "module.pth", "--out", "new.plan"], "code"),
        ("tdnet-run", ["--engine", "good.plan", "--input", "broken"], "0.png"),
        ("tdnet-inspect", ["flipped.plan"], "it was damaged or changed"),
        ("tdnet-bench", ["--engine", "good.plan", "--input", "absent.mp4", "--peer", "none"], "absent.mp4"),
    ],
)
def test_as_processes(program, arguments, message, assert_refused):
    """Whose libraries have words of their own at the end."""
    assert_refused(program, arguments, message, run=process)
