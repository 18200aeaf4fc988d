"""`tdnet-inspect`: what it shows, and how it ends."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import msgspec
import pytest
from rich.cells import cell_len
from rich.console import Console

from tdnet_runtime.bundle import Bundle, write_bundle
from tdnet_runtime.cli import inspect_main
from tdnet_runtime.cli.inspect import json_from_bundle
from tdnet_runtime.cli.inspect_view import show_bundle
from tdnet_runtime.manifest import (
    ClassSpec,
    EngineMember,
    EngineSpec,
    InputSpec,
    Manifest,
    PathSpec,
    StateSpec,
)

HALF = ("query", "value", "memory_k", "memory_v", "slot1_k", "slot1_v", "slot2_k", "slot2_v")


class Inspect(Protocol):
    def __call__(self, *args: str | Path, **env: str) -> subprocess.CompletedProcess[str]: ...


@pytest.fixture
def inspect(tmp_path: Path, child_env: dict[str, str]) -> Inspect:
    """Run the console script's function in a process of its own."""

    def run(*args: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
        command = "from tdnet_runtime.cli import inspect_main; inspect_main()"
        return subprocess.run(
            [sys.executable, "-c", command, *map(str, args)],
            env={**child_env, **env},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
        )

    return run


def _shown(path: Path, *, width: int = 80, **options: object) -> str:
    with Bundle.open(path) as bundle:
        console = Console(file=io.StringIO(), width=width, markup=False, highlight=False, **options)  # type: ignore[arg-type]
        show_bundle(bundle, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


# What is shown.


def test_engines_and_their_layers_are_shown(
    tmp_path: Path, tiny_manifest: Manifest, tiny_members: Mapping[str, bytes]
) -> None:
    """Two precisions, and engines of one; one engine's layers are not readable, which is said."""
    members = dict(tiny_members)
    graphs, engines = [], {}
    for graph in tiny_manifest.graphs:
        half = f"graphs/fp16/{graph.name}.onnx"
        graphs.append(msgspec.structs.replace(graph, members={**graph.members, "fp16": half}))
        stem = f"engines/tensorrt-rtx/a-key/{graph.name}"
        layers = [{"outputs": [["x", [1, 2], "float16"]], "half": True}] * 3
        layers += [{"outputs": [["y", [1], "float32"]], "half": False}, {"outputs": []}]
        if graph.name == "subnet2":
            layers.append({"outputs": [["z", [1], "int8"]], "half": False, "int8": True})
        readable = json.dumps({"layers": layers}).encode() if graph.name != "apm2" else b"{"
        members |= {
            half: b"x",
            f"{stem}.engine": b"e" * 2048,
            f"{stem}.layers.json": readable,
            f"{stem}.log": b"",
        }
        engines[graph.name] = EngineMember(
            engine=f"{stem}.engine",
            layers=f"{stem}.layers.json",
            log=f"{stem}.log",
            graph_sha256=hashlib.sha256(b"x").hexdigest(),
            build_seconds=1.25,
            half_share=0.9749 if graph.name != "subnet2" else 0.2,
            int8_share=0.0 if graph.name != "subnet2" else 0.7,
        )
    spec = EngineSpec(
        backend="tensorrt-rtx",
        key="a-key",
        precision="fp16",
        product_version="1.7.1.116",
        compute_capabilities=("8.7", "8.9"),
        platform="linux-aarch64",
        options={"tf32": "off"},
        graphs=engines,
    )
    manifest = msgspec.structs.replace(
        tiny_manifest, graphs=tuple(graphs), engines=(spec,), dtypes={"fp16": dict.fromkeys(HALF, "float16")}
    )
    write_bundle(tmp_path / "engines.plan", manifest, members)
    text = " ".join(_shown(tmp_path / "engines.plan", width=120).split())
    for expected in (
        "Engines tensorrt-rtx/a-key",
        "apm1 2.0 KiB 1.2 s 97% 3 half, 1 other 3 float16, 1 float32",
        "apm2 2.0 KiB 1.2 s 97% unreadable unreadable",
        "subnet2 2.0 KiB 1.2 s 20%, int8 70% 3 half, 1 int8, 1 other",
        "built by tensorrt-rtx 1.7.1.116; for compute capability 8.7, 8.9; on linux-aarch64; tf32 off",
        "slot2_v 3x2 float32 / float16 24 / 12",
        "warm 1 float32 4",
        "80 bytes / 40 bytes in 2 slots",
        "Types by precision: fp32 / fp16.",
    ):
        assert expected in text, expected


def test_everything_is_shown(made_up_bundle: Path) -> None:
    text = _shown(made_up_bundle)
    with Bundle.open(made_up_bundle) as bundle:
        manifest, digest = bundle.manifest, bundle.digest
    for expected in (
        "td2-fa18, 2 classes, 2 paths",
        "value 3, stages 4-8",
        "4x8 (assumed: heights 1 to 8 and widths 1 to 8 fit the",
        "uint8 RGB, [1, 4, 8, 3] (NHWC)",
        "RGB, (x/255 - mean)/std inside the graphs; ASSUMED",
        "R 0.485, G 0.456, B 0.406",
        "the class of the largest logit",
        digest,
        manifest.checkpoint_sha256,
        "80 bytes in 2 slots",
        "Cold frames after a reset: 1,",
        "subnet2, apm2   1",
        "slot2_v    3x2       float32      24",
        "fp32 55 bytes",
        "99.9990 %   99.9900 %",
        "#804080   road",
        f"graphs/fp32/subnet1.onnx      55   {manifest.members['graphs/fp32/subnet1.onnx'].sha256[:12]}",
        "tdnet-deploy   0.1.0",
    ):
        assert expected in text, expected
    assert "APPROXIMATE" not in text


BGR = {"mean": (104.0, 117.0, 123.0), "std": (1.0, 1.0, 1.0), "scale": 1.0, "color_order": "BGR"}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"preprocessing_from": "user"}, "RGB, (x/255 - mean)/std inside the graphs; stated at the export"),
        (
            BGR | {"preprocessing_from": "user"},
            "BGR, (x - mean)/std inside the graphs; stated at the export mean B 104, G 117, R 123 std B 1, G 1, R 1",
        ),
        ({"color_order": "BGR"}, "inside the graphs; BGR as stated, mean, std and scale ASSUMED"),
        ({"scale": 1 / 127.5}, "RGB, (0.00784314 x - mean)/std inside the graphs; ASSUMED"),
    ],
)
def test_the_preprocessing_is_shown_and_whether_it_was_assumed(
    spec: dict[str, object],
    expected: str,
    tmp_path: Path,
    tiny_manifest: Manifest,
    tiny_members: Mapping[str, bytes],
) -> None:
    path = tmp_path / "x.plan"
    stated = msgspec.structs.replace(tiny_manifest.input, **spec)
    write_bundle(path, msgspec.structs.replace(tiny_manifest, input=stated), tiny_members)
    text = " ".join(_shown(path, width=300).split())
    assert expected in text
    assert "input uint8 RGB, [1, 4, 8, 3] (NHWC)" in text  # frames are, whatever the network takes
    with Bundle.open(path) as bundle:
        told = json.loads(json_from_bundle(bundle))["manifest"]["input"]
    assert {key: told[key] for key in spec} == json.loads(json.dumps(spec))


@pytest.mark.parametrize(
    ("classes", "threshold", "expected"),
    [
        (2, 0.25, "labels sky where the one logit's sigmoid is above 0.25, else road"),
        (2, None, "labels the class of the largest logit"),
        (1, None, "labels all 0: one class and no threshold (before schema 3); export it again"),
    ],
)
def test_the_rule_of_the_labels_is_shown(
    classes: int,
    threshold: float | None,
    expected: str,
    tmp_path: Path,
    tiny_manifest: Manifest,
    tiny_members: Mapping[str, bytes],
) -> None:
    path = tmp_path / "x.plan"
    named = tiny_manifest.classes[:classes]
    write_bundle(
        path, msgspec.structs.replace(tiny_manifest, classes=named, threshold=threshold), tiny_members
    )
    assert expected in " ".join(_shown(path, width=300).split())


def test_it_reads_well_in_80_columns_without_colour(made_up_bundle: Path) -> None:
    text = _shown(made_up_bundle)
    assert max(cell_len(line) for line in text.splitlines()) <= 80
    assert "\x1b" not in text
    assert "…" not in text  # nothing is cut off


def test_a_resampled_size_is_the_first_thing_said(
    tmp_path: Path, tiny_manifest: Manifest, tiny_members: Mapping[str, bytes]
) -> None:
    path = tmp_path / "x.plan"
    write_bundle(path, msgspec.structs.replace(tiny_manifest, size_resampled=True), tiny_members)
    text = _shown(path)
    assert text.startswith("APPROXIMATE: the LayerNorm maps of this network were resampled")
    assert "4x8 (APPROXIMATE: resampled)" in text


@pytest.mark.parametrize(
    ("changes", "size_from", "expected"),
    [
        ({}, "user", "4x8 (named by the user); features 1x1"),
        (
            {},
            "assumed",
            "4x8 (assumed: heights 1 to 8 and widths 1 to 8 fit the checkpoint alike); features 1x1",
        ),
        (
            {"schema_version": 2},
            "assumed",
            "4x8 (assumed, not recorded before schema 3: heights 1 to 8 and widths 1 to 8 fit the checkpoint alike)",
        ),
        ({"size_resampled": True}, "user", "4x8 (APPROXIMATE: resampled)"),
    ],
    ids=["named", "assumed", "old", "resampled"],
)
def test_where_the_size_comes_from(
    changes: dict[str, Any],
    size_from: str,
    expected: str,
    tmp_path: Path,
    tiny_manifest: Manifest,
    tiny_members: Mapping[str, bytes],
) -> None:
    chosen = msgspec.structs.replace(tiny_manifest.input, size_from=size_from)
    path = tmp_path / "x.plan"
    write_bundle(path, msgspec.structs.replace(tiny_manifest, input=chosen, **changes), tiny_members)
    assert expected in _shown(path, width=160)


def test_classes_have_swatches_only_where_there_is_colour(made_up_bundle: Path) -> None:
    swatch = "48;2;128;64;128m"
    assert swatch in _shown(made_up_bundle, force_terminal=True, color_system="truecolor")
    plain = _shown(made_up_bundle, force_terminal=True, color_system="truecolor", no_color=True)
    assert swatch not in plain
    assert "#804080   road" in plain


def test_a_per_frame_network_and_no_proof(tmp_path: Path, tiny_manifest: Manifest) -> None:
    image, labels = tiny_manifest.graph("subnet1").inputs, tiny_manifest.graph("apm1").outputs
    whole = msgspec.structs.replace(
        tiny_manifest.graphs[0],
        name="whole",
        inputs=image,
        outputs=labels,
        members={"fp32": "g", "fp16": "h", "int8": "i"},
    )
    manifest = msgspec.structs.replace(
        tiny_manifest,
        paths=(PathSpec(index=1, subnet="whole", apm=None, reads=()),),
        state=StateSpec(slots=0, entry=(), stride=4, cold_frames=0),
        graphs=(whole,),
        parity={},
    )
    path = tmp_path / "x.plan"
    write_bundle(path, manifest, {"g": b"x" * 2000, "h": b"x", "i": b"x" * (3 << 20)})
    text = _shown(path)
    assert "State of a stream: none, each frame stands alone" in text
    assert "4x8 (assumed: this network takes any size); features 1x1" in text
    assert "Parity with PyTorch: not proven" in text
    assert "fp32 2.0 KiB" in text
    assert "fp16 1 bytes" in text
    assert "int8 3.0 MiB" in text


def test_foreign_text_cannot_steer_the_terminal(
    tmp_path: Path, tiny_manifest: Manifest, tiny_members: Mapping[str, bytes]
) -> None:
    evil = "\x1b]0;x\x07\n[red]evil[/red]"
    manifest = msgspec.structs.replace(
        tiny_manifest,
        network=evil,
        classes=(ClassSpec(name=evil, color=(0, 0, 0)),),
        tools={evil: evil},
        input=InputSpec(height=4, width=8, mean=(0, 0, 0), std=(1, 1, 1), resize=evil),
    )
    path = tmp_path / "x.plan"
    write_bundle(path, manifest, tiny_members)
    text = _shown(path, width=200)
    assert "\x1b" not in text
    assert "\x07" not in text
    assert text.count(r"\x1b]0;x\x07 [red]evil[/red]") == 5


@pytest.mark.parametrize(("name", "told"), [("a.plan", "a.plan"), ("caf\udce9.plan", r"caf\udce9.plan")])
def test_json_holds_the_whole_manifest(made_up_bundle: Path, name: str, told: str) -> None:
    made_up_bundle = made_up_bundle.rename(made_up_bundle.with_name(name))
    with Bundle.open(made_up_bundle) as bundle:
        described = msgspec.json.decode(json_from_bundle(bundle))
        assert described == {
            "path": str(made_up_bundle.with_name(told)),
            "digest": bundle.digest,
            "file_sha256": hashlib.sha256(made_up_bundle.read_bytes()).hexdigest(),
            "manifest": json.loads(bundle.read("manifest.json")),
        }


# How it ends.


def test_piped(made_up_bundle: Path, inspect: Inspect) -> None:
    done = inspect(made_up_bundle)
    assert (done.returncode, done.stderr) == (0, "")
    assert "td2-fa18, 2 classes, 2 paths" in done.stdout
    assert "\x1b" not in done.stdout
    assert max(cell_len(line) for line in done.stdout.splitlines()) <= 80


def test_piped_without_unicode(made_up_bundle: Path, inspect: Inspect) -> None:
    done = inspect(made_up_bundle, PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.isascii()


def test_json_and_nothing_else(made_up_bundle: Path, inspect: Inspect) -> None:
    done = inspect(made_up_bundle, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["manifest"]["network"] == "td2-fa18"


def test_extract(
    tmp_path: Path, made_up_bundle: Path, tiny_members: Mapping[str, bytes], inspect: Inspect
) -> None:
    done = inspect(made_up_bundle, "--extract", "out")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("6 files were unpacked to out\n")
    for name, data in tiny_members.items():
        assert (tmp_path / "out" / name).read_bytes() == data
    again = inspect(made_up_bundle, "--json", "--extract", "out")
    assert (again.returncode, again.stdout) == (1, "")
    assert again.stderr.startswith("tdnet-inspect: error: extracting would overwrite 'out/manifest.json'")
    assert again.stderr.count("\n") == 1


def test_a_folders_name_is_harmless_in_a_terminal(made_up_bundle: Path, inspect: Inspect) -> None:
    done = inspect(made_up_bundle, "--extract", "ex\x1b[31mred\nnew")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("6 files were unpacked to ex\\x1b[31mred new\n")


def test_help(inspect: Inspect) -> None:
    done = inspect("--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Usage: tdnet-inspect [OPTIONS] " in done.stdout
    assert "tdnet-inspect td2-fa18.plan --extract unpacked/" in done.stdout


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((), "Usage: tdnet-inspect"),
        ((), "Missing argument 'X.plan'"),
        (("x.plan", "--bad"), "No such option: --bad"),
        (("x.plan", "--extract"), "requires an argument"),
        (("x.plan", "y.plan"), "unexpected extra argument"),
    ],
)
def test_wrong_usage(inspect: Inspect, args: tuple[str, ...], message: str) -> None:
    done = inspect(*args)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert len(done.stderr.splitlines()) <= 4
    assert "Traceback" not in done.stderr


def _add(path: Path, name: str) -> None:
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(name, b"")


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def _damage(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"apm one", b"apm two"))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (Path.unlink, "there is no such bundle"),
        (lambda path: path.write_bytes(b""), "the bundle is an empty file"),
        (lambda path: path.write_bytes(b"ftrt" * 99), "not a TDNet bundle but a TensorRT engine"),
        (lambda path: path.write_bytes(b"\n\n"), r"but a file that starts with b'\n\n'"),
        (_truncate, "is truncated"),
        (lambda path: _add(path, "../evil"), "has a '..' part, which would leave the bundle"),
        (lambda path: _add(path, "graphs/more"), "which its manifest does not list"),
        (lambda path: _add(path, "archive/data.pkl"), "but a PyTorch checkpoint"),
        (_damage, "has SHA-256"),
        (lambda path: path.unlink() or path.mkdir(), "this is a folder"),
    ],
)
def test_bad_bundles_end_in_one_line(
    made_up_bundle: Path, inspect: Inspect, spoil: Callable[[Path], object], message: str
) -> None:
    spoil(made_up_bundle)
    done = inspect(made_up_bundle, "--extract", "out")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("tdnet-inspect: error: ")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (made_up_bundle.parent / "out").exists()


@pytest.mark.parametrize("package", ["typer", "rich"])
def test_a_missing_extra_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], package: str
) -> None:
    for loaded in list(sys.modules):
        if loaded.split(".")[0] == package or loaded.startswith("tdnet_runtime.cli."):
            monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setattr(sys, "argv", ["tdnet-inspect", "x.plan"])
    with pytest.raises(SystemExit) as caught:
        inspect_main()
    assert caught.value.code == 1
    assert capsys.readouterr().err == (
        f"tdnet-inspect: error: the package {package!r} is not installed; "
        "install it with: pip install 'tdnet-deploy[cli]'\n"
    )
