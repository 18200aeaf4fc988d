"""Model repositories: whole or not at all, valid by Triton's own schema, and what cannot be meant."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from tests.export.triton.conftest import Repository
from tests.export.triton.model_config import read_config

from tdnet_export.triton import TritonOptions, write_models
from tdnet_export.triton import options as options_module
from tdnet_export.triton import repository as repository_module
from tdnet_export.triton.command import put_new_bundle
from tdnet_export.triton.config_text import Word, config_text
from tdnet_runtime import BundleError, ExportError, MissingExtraError, OptionError, ParityError
from tdnet_runtime.bundle import Bundle, write_bundle
from tdnet_runtime.manifest import decode_manifest
from tdnet_runtime.member_names import MANIFEST_NAME
from tdnet_runtime.preflight import must_be_asked

NETWORKS = ("td2-fa18", "td4-psp18", "psp101")
Bundles = Callable[[str], Path]


def files(folder: Path) -> dict[str, str]:
    """Digests of all files by their names below `folder`."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in found}


@pytest.mark.parametrize("name", NETWORKS)
def test_configurations_are_what_triton_knows(
    repository: Repository, tiny_bundle: Bundles, name: str
) -> None:
    """No field that its schema does not have, types as there; and every state begins with zeros that have a name."""
    with Bundle.open(tiny_bundle(name)) as bundle:
        manifest, digest = bundle.manifest, bundle.digest
    height, width = manifest.input.height, manifest.input.width
    runs = read_config(repository(name) / name / "config.pbtxt")
    assert (runs["name"], runs["backend"]) == (name, "python")
    assert runs["input"] == [
        {"name": "image", "data_type": "TYPE_UINT8", "dims": ["1", "-1", "-1", "3"], "optional": True}
    ]
    assert runs["sequence_batching"]["max_sequence_idle_microseconds"] == "3000000"
    assert runs["sequence_batching"]["oldest"] == {"max_candidate_sequences": 2}
    joined = read_config(repository(name) / f"{name}-onnx" / "config.pbtxt")
    assert joined["backend"] == "onnxruntime"
    assert joined["input"][0]["dims"] == ["1", str(height), str(width), "3"]
    for config in (runs, joined):
        parameters = {key: value["string_value"] for key, value in config["parameters"].items()}
        assert decode_manifest(parameters["tdnet_manifest"].encode()) == manifest
        assert hashlib.sha256(parameters["tdnet_manifest"].encode()).hexdigest() == digest
    states = joined.get("sequence_batching", {}).get("state", [])
    assert len(states) == (
        1 + manifest.state.slots * len(manifest.state.entry) if manifest.state.slots else 0
    )
    for state in states:
        (initial,) = state["initial_state"]
        assert initial["name"]
        assert initial["zero_data"] is True
        assert (initial["data_type"], initial["dims"]) == (state["data_type"], state["dims"])


@pytest.mark.parametrize("name", NETWORKS)
def test_the_graph_has_the_configurations_tensors(repository: Repository, name: str) -> None:
    onnx = pytest.importorskip("onnx")
    folder = repository(name) / f"{name}-onnx"
    config, model = read_config(folder / "config.pbtxt"), onnx.load(folder / "1" / "model.onnx")
    onnx.checker.check_model(model, full_check=True)
    states = config.get("sequence_batching", {}).get("state", [])
    kinds = {"TYPE_UINT8": "UINT8", "TYPE_INT32": "INT32", "TYPE_FP32": "FLOAT"}

    def stated(specs: list[dict[str, object]], key: str) -> dict[object, tuple[int, list[int]]]:
        return {
            spec[key]: (
                getattr(onnx.TensorProto, kinds[str(spec["data_type"])]),
                list(map(int, spec["dims"])),
            )  # type: ignore[call-overload]
            for spec in specs
        }

    for values, expected in (
        (model.graph.input, stated(config["input"], "name") | stated(states, "input_name")),
        (model.graph.output, stated(config["output"], "name") | stated(states, "output_name")),
    ):
        found = {
            value.name: (
                value.type.tensor_type.elem_type,
                [side.dim_value for side in value.type.tensor_type.shape.dim],
            )
            for value in values
        }
        assert found == expected


def test_the_same_bundle_makes_the_same_files(
    repository: Repository, tiny_bundle: Bundles, tmp_path: Path
) -> None:
    options = TritonOptions(
        folder=tmp_path / "again", backends=("python", "onnxruntime"), streams=2, idle_s=3
    )
    summary = write_models(tiny_bundle("td2-fa18"), options)
    assert [model.proven_frames for model in summary.models] == [None, 10]
    assert files(tmp_path / "again") == files(repository("td2-fa18"))
    assert (tmp_path / "again/td2-fa18/1/bundle.plan").read_bytes() == tiny_bundle("td2-fa18").read_bytes()


def test_models_are_added_and_none_is_replaced(tiny_bundle: Bundles, tmp_path: Path) -> None:
    options = TritonOptions(folder=tmp_path / "models")
    write_models(tiny_bundle("td2-fa18"), options)
    before = files(tmp_path)
    write_models(tiny_bundle("td4-psp18"), options)
    assert sorted(path.name for path in options.folder.iterdir()) == ["td2-fa18", "td4-psp18"]
    with pytest.raises(OptionError, match="has a model 'td2-fa18'"):
        write_models(tiny_bundle("td2-fa18"), options)
    assert before.items() <= files(tmp_path).items()


def test_what_fails_leaves_nothing(
    tiny_bundle: Bundles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def differs(*_: object, **__: object) -> int:
        raise ParityError("another label")

    monkeypatch.setattr(repository_module, "prove_graph", differs)
    options = TritonOptions(folder=tmp_path / "new", backends=("python", "onnxruntime"))
    with pytest.raises(ParityError, match="another label"):
        write_models(tiny_bundle("td2-fa18"), options)
    assert not options.folder.exists()
    (tmp_path / "kept" / "other").mkdir(parents=True)
    options = TritonOptions(folder=tmp_path / "kept", backends=("python", "onnxruntime"))
    with pytest.raises(ParityError, match="another label"):
        write_models(tiny_bundle("td2-fa18"), options)
    assert [path.name for path in options.folder.iterdir()] == ["other"]


def interrupted(*_: object, **__: object) -> int:
    raise KeyboardInterrupt


def too_late(*_: object, **__: object) -> int:
    return 1


@pytest.mark.parametrize(
    ("other", "proof", "error"),
    [("td4-psp18", interrupted, KeyboardInterrupt), ("td2-fa18", too_late, ExportError)],
)
def test_what_others_put_there_meanwhile_stays(
    tiny_bundle: Bundles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, other: str, proof, error
) -> None:  # type: ignore[no-untyped-def]
    """Two exports into one new repository, of one name or two: the one that fails takes nothing of the other's away."""
    options = TritonOptions(folder=tmp_path / "new", backends=("onnxruntime",))
    real = repository_module.prove_graph

    def meanwhile(*given: object, **more: object) -> int:
        monkeypatch.setattr(repository_module, "prove_graph", real)
        write_models(tiny_bundle(other), options)
        return proof()

    monkeypatch.setattr(repository_module, "prove_graph", meanwhile)
    with pytest.raises(error):
        write_models(tiny_bundle("td2-fa18"), options)
    assert [path.name for path in options.folder.iterdir()] == [f"{other}-onnx"]
    assert (options.folder / f"{other}-onnx" / "1" / "model.onnx").stat().st_size > 1000


def test_a_disk_that_is_full(tiny_bundle: Bundles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(repository_module, "_copy", full)
    with pytest.raises(ExportError, match="No space left on device; nothing was kept"):
        write_models(tiny_bundle("td2-fa18"), TritonOptions(folder=tmp_path / "new"))
    assert list(tmp_path.iterdir()) == []


def test_native_packages_are_there_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A signal in the midst of an import may crash the process, which would leave half a model."""
    asked: list[str] = []
    monkeypatch.setattr(options_module, "require", lambda name, extra: asked.append(name))
    monkeypatch.setattr(options_module, "import_without_telemetry", asked.append)
    TritonOptions(folder=tmp_path / "m", backends=("python",)).require_tools()
    assert asked == []
    TritonOptions(folder=tmp_path / "m", backends=("python", "onnxruntime")).require_tools()
    assert asked == ["onnx", "onnxruntime"]


def test_tensorrt_needs_tensorrt_and_says_so_first(
    tiny_bundle: Bundles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(backend: str) -> None:
        raise MissingExtraError(f"{backend} is not installed")

    monkeypatch.setattr(options_module, "require_builder", absent)
    options = TritonOptions(folder=tmp_path / "new", backends=("python", "tensorrt"))
    with pytest.raises(MissingExtraError, match="tensorrt is not installed"):
        write_models(tiny_bundle("td2-fa18"), options)
    assert list(tmp_path.iterdir()) == []


def test_an_engine_is_what_the_builder_makes_of_the_joined_graph(
    tiny_bundle: Bundles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The builder itself needs a GPU; see tests/export/engines."""
    given = {}

    def build(graphs, *, backend, precision, on_progress):  # type: ignore[no-untyped-def]
        given.update(graphs, backend=backend, precision=precision)
        engine = msgspec.defstruct("Engine", [("engine", str)])("engines/x/joined.engine")
        return msgspec.defstruct("Set", [("graphs", dict)])({"joined": engine}), {
            "engines/x/joined.engine": b"engine"
        }

    monkeypatch.setattr(options_module, "require_builder", lambda backend: None)
    monkeypatch.setattr(repository_module, "build_engines", build)
    write_models(tiny_bundle("td2-fa18"), TritonOptions(folder=tmp_path, backends=("tensorrt",)))
    model = tmp_path / "td2-fa18-tensorrt"
    assert (model / "1" / "model.plan").read_bytes() == b"engine"
    assert (given["backend"], given["precision"]) == ("tensorrt", "fp32")
    config = read_config(model / "config.pbtxt")
    assert (config["backend"], config["default_model_filename"]) == ("tensorrt", "model.plan")


def test_text_is_escaped() -> None:
    text = config_text({"a": 'say "a\\b"\n', "b": Word("TYPE_X"), "c": True, "d": [{"e": 1}, {"e": -2}]})
    assert text == 'a: "say \\"a\\\\b\\"\\n"\nb: TYPE_X\nc: true\nd {\n  e: 1\n}\nd {\n  e: -2\n}\n'


def bad_name(folder: Path, bundle: Path) -> tuple[object, ...]:
    named = folder / "my plan.plan"
    named.write_bytes(bundle.read_bytes())
    return ("--bundle", named, "--triton", folder / "repo")


def a_file(folder: Path, bundle: Path) -> tuple[object, ...]:
    (folder / "repo").write_text("")
    return ("--bundle", bundle, "--triton", folder / "repo")


def a_model(folder: Path, bundle: Path) -> tuple[object, ...]:
    (folder / "config.pbtxt").write_text("")
    return ("--bundle", bundle, "--triton", folder)


def no_bundle(folder: Path, bundle: Path) -> tuple[object, ...]:
    (folder / "x.plan").write_bytes(b"not one")
    return ("--bundle", folder / "x.plan", "--triton", folder / "repo")


BAD = [
    (bad_name, "rename it"),
    (a_file, "this is a file"),
    (a_model, "name the folder above"),
    (no_bundle, "x.plan"),
    (lambda folder, bundle: ("--bundle", folder / "absent.plan", "--triton", folder / "repo"), "absent.plan"),
    (lambda folder, bundle: ("--bundle", bundle, "--triton", folder / "a" / "b"), "does not exist"),
    (lambda folder, bundle: ("--bundle", bundle), "--bundle goes with --triton"),
    (lambda folder, bundle: ("--triton", folder), "name a checkpoint, or a bundle"),
    (
        lambda folder, bundle: ("--bundle", bundle, "--triton-backend", "python"),
        "--triton-backend goes with --triton",
    ),
    (
        lambda folder, bundle: ("--ckpt", "x.pth", "--triton-streams", 3),
        "--triton-streams goes with --triton",
    ),
    (
        lambda folder, bundle: ("--bundle", bundle, "--triton", folder, "--triton-backend", "openvino"),
        "'openvino'; expected python, onnxruntime or tensorrt",
    ),
    (lambda folder, bundle: ("--bundle", bundle, "--triton", folder, "--triton-streams", 0), "1 to 1024"),
    (
        lambda folder, bundle: ("--bundle", bundle, "--triton", folder, "--precision", "fp16"),
        "write it into config.pbtxt",
    ),
    (
        lambda folder, bundle: (
            *("--bundle", bundle, "--triton", folder, "--precision", "fp16"),
            *("--triton-backend", "onnxruntime"),
        ),
        "the bundle has graphs in fp32",
    ),
    (
        lambda folder, bundle: ("--bundle", bundle, "--triton", folder, "--size", "64x96"),
        "takes all from the bundle; leave out --size",
    ),
    (
        lambda folder, bundle: ("--rebuild", bundle, "--triton", folder, "--backend", "tensorrt"),
        "takes all from the bundle; leave out --triton",
    ),
    (lambda folder, bundle: ("--verify", bundle, "--triton", folder), "leave out --triton"),
    *(
        (
            lambda folder, bundle, backend=backend: (
                *("--bundle", bundle, "--triton", folder / "repo", "--sha256", "0" * 64),
                *("--triton-backend", backend),
            ),
            f"{'0' * 64} was asked for",
        )
        for backend in ("python", "onnxruntime")
    ),
    (
        lambda folder, bundle: ("--bundle", bundle, "--triton", folder / "repo", "--sha256", "abc"),
        "expected the 64 hexadecimal digits",
    ),
    (
        lambda folder, bundle: ("--ckpt", "x.pth", "--triton", folder / "repo", "--sha256", "0" * 64),
        "--sha256 goes with --rebuild, --verify and --bundle",
    ),
    (lambda folder, bundle: ("--bundle", bundle, "--ckpt", "x.pth", "--triton", folder), "leave out --ckpt"),
]


@pytest.mark.parametrize(("arguments", "words"), BAD)
def test_bad_input_is_told_in_one_line(
    command, tiny_bundle: Bundles, tmp_path: Path, arguments, words
) -> None:  # type: ignore[no-untyped-def]
    done = command("tdnet-export", *arguments(tmp_path, tiny_bundle("td2-fa18")), cwd=tmp_path)
    said = " ".join(done.stderr.replace("│", " ").split())
    assert done.returncode in (1, 2)
    assert words in said
    if done.returncode == 1:
        assert done.stderr.count("\n") == 1
    assert "Traceback" not in said
    assert not (tmp_path / "repo").is_dir()


def test_a_folder_that_may_not_be_written_to(tiny_bundle: Bundles, tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write anywhere")
    tmp_path.chmod(0o500)
    with pytest.raises(OptionError, match="nothing may be written"):
        TritonOptions(folder=tmp_path / "repo")
    tmp_path.chmod(0o700)


def test_a_folder_whose_name_is_too_long(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="--triton: File name too long"):
        TritonOptions(folder=tmp_path / ("x" * 300))


def test_a_model_whose_name_is_too_long_until_it_is_whole(tmp_path: Path) -> None:
    options = TritonOptions(folder=tmp_path, backends=("onnxruntime",))
    with pytest.raises(OptionError, match="--triton: File name too long: '"):
        options.names(Path("x" * 235 + ".plan"))
    assert options.names(Path("x" * 230 + ".plan"))


def test_the_command_from_a_bundle(command, tiny_bundle: Bundles, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    bundle = tiny_bundle("td2-fa18")
    pin = hashlib.sha256(bundle.read_bytes()).hexdigest()
    done = command(
        *("tdnet-export", "--bundle", bundle, "--sha256", pin, "--triton", "models", "--triton-streams", 3),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert "3 at once, idle for 10 s at most" in done.stdout
    assert "triton://127.0.0.1:8000/td2-fa18" in done.stdout
    assert "max_candidate_sequences: 3" in (tmp_path / "models/td2-fa18/config.pbtxt").read_text()


def test_the_command_from_a_checkpoint_refuses_before_it_exports(
    command, tiny_checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "models" / "x").mkdir(parents=True)
    done = command(
        *("tdnet-export", "--ckpt", tiny_checkpoint("td2-fa18"), "--out", "x.plan", "--triton", "models"),
        cwd=tmp_path,
    )
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "has a model 'x'" in done.stderr
    assert not (tmp_path / "x.plan").exists()


def test_the_name_that_nobody_gave_is_looked_up_before_the_export(
    command, tiny_checkpoint: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # type: ignore[no-untyped-def]
    pipeline = pytest.importorskip("tdnet_export.pipeline")
    monkeypatch.setattr(pipeline, "write_graphs", None)
    (tmp_path / "models" / "td2-fa18").mkdir(parents=True)
    done = command("tdnet-export", "--ckpt", tiny_checkpoint("td2-fa18"), "--triton", "models", cwd=tmp_path)
    assert (done.returncode, done.stderr.splitlines()[-1].count("has a model 'td2-fa18'")) == (1, 1)
    assert not list(tmp_path.glob("*.plan"))


def test_an_export_with_tensorrt_models_asks_for_it_first(
    command, tiny_checkpoint: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # type: ignore[no-untyped-def]
    def absent(backend: str) -> None:
        raise MissingExtraError(f"{backend} is not installed")

    monkeypatch.setattr(options_module, "require_builder", absent)
    pipeline = pytest.importorskip("tdnet_export.pipeline")
    monkeypatch.setattr(pipeline, "load_checkpoint", None)
    given = ("--ckpt", tiny_checkpoint("td2-fa18"), "--triton", "models", "--triton-backend", "tensorrt")
    done = command("tdnet-export", *given, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (1, "tdnet-export: error: tensorrt is not installed\n")


def test_a_bundle_whose_models_fail_stands_and_says_so(
    command, tiny_bundle: Bundles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # type: ignore[no-untyped-def]
    def differs(*_: object, **__: object) -> int:
        raise ParityError("another label.")

    monkeypatch.setattr(repository_module, "prove_graph", differs)
    options = TritonOptions(folder=tmp_path / "my models", backends=("python", "onnxruntime"), streams=3)
    bundle = tiny_bundle("td2-fa18")
    with pytest.raises(ParityError) as caught:
        put_new_bundle(bundle, options)
    words = shlex.split(str(caught.value).partition("go on with it: ")[2])
    assert str(caught.value).startswith("another label; the bundle itself was exported, go on with it: ")
    monkeypatch.undo()
    done = command(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "max_candidate_sequences: 3" in (tmp_path / "my models/td2-fa18/config.pbtxt").read_text()
    assert (tmp_path / "my models/td2-fa18-onnx").is_dir()


@pytest.mark.parametrize("precision", ["int8", "int8_fp16", "fp16"])
def test_a_precision_that_is_not_run_unasked_is_asked_for(
    tiny_bundle: Bundles, tmp_path: Path, precision: str
) -> None:
    """As the export's last line says of tdnet-run: `auto` would be refused when the server loads the model."""
    with Bundle.open(tiny_bundle("td2-fa18")) as bundle:
        assert must_be_asked(bundle.manifest) is None
        graphs = tuple(
            msgspec.structs.replace(graph, members={precision: graph.members["fp32"]})
            for graph in bundle.manifest.graphs
        )
        manifest = msgspec.structs.replace(bundle.manifest, graphs=graphs, parity={}, members={})
        members = {name: bundle.read(name) for graph in graphs for name in graph.members.values()}
    write_bundle(tmp_path / "x.plan", manifest, members)
    write_models(tmp_path / "x.plan", TritonOptions(folder=tmp_path / "models"))
    config = read_config(tmp_path / "models/x/config.pbtxt")
    assert config["parameters"]["tdnet_precision"]["string_value"] == precision


def test_a_bundle_needs_no_torch_and_python_models_no_onnx(tiny_bundle: Bundles, tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['torch'] = sys.modules['onnx'] = None\nfrom tdnet_export import main\nmain()"
    )
    always = ("--bundle", str(tiny_bundle("td2-fa18")), "--triton", str(tmp_path / "m"))

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", code, *always, *arguments], capture_output=True, text=True, timeout=300
        )

    done = run()
    assert done.returncode == 0, done.stderr
    done = run("--triton-backend", "onnxruntime")
    assert done.returncode == 1
    assert "'onnx' is not installed" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("tdnet-export: error: ")


def test_a_changed_bundle_is_refused(tiny_bundle: Bundles, tmp_path: Path) -> None:
    data = bytearray(tiny_bundle("td2-fa18").read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "x.plan").write_bytes(data)
    with pytest.raises(BundleError, match="damaged or changed"):
        write_models(tmp_path / "x.plan", TritonOptions(folder=tmp_path / "models"))
    assert not (tmp_path / "models").exists()


@pytest.fixture
def meanwhile(tiny_bundle: Bundles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """meanwhile(name, act): a bundle on which `act` is called, once, when it was opened and nothing was made of it yet."""

    def make(name: str, act: Callable[[Path], object]) -> Path:
        plan = tmp_path / "x.plan"
        plan.write_bytes(tiny_bundle("td2-fa18").read_bytes())
        real = getattr(repository_module, name)
        monkeypatch.setattr(
            repository_module, name, lambda *given, **options: (act(plan), real(*given, **options))[1]
        )
        return plan

    return make


def test_what_is_copied_is_what_was_opened(
    meanwhile: Callable[..., Path], tiny_bundle: Bundles, tmp_path: Path
) -> None:
    def replace(plan: Path) -> None:
        (tmp_path / "y.plan").write_bytes(tiny_bundle("td4-psp18").read_bytes())
        (tmp_path / "y.plan").replace(plan)

    opened = tiny_bundle("td2-fa18").read_bytes()
    pin = hashlib.sha256(opened).hexdigest()
    write_models(meanwhile("python_config", replace), TritonOptions(folder=tmp_path / "models"), sha256=pin)
    assert (tmp_path / "models/x/1/bundle.plan").read_bytes() == opened


def test_a_copy_of_bytes_that_changed_is_refused(meanwhile: Callable[..., Path], tmp_path: Path) -> None:
    def change(plan: Path) -> None:
        with plan.open("r+b") as file:
            file.seek(plan.stat().st_size // 2)
            file.write(b"\xff\x00\xff")

    with pytest.raises(BundleError, match="damaged or changed"):
        write_models(meanwhile("python_config", change), TritonOptions(folder=tmp_path / "models"))
    assert not (tmp_path / "models").exists()


def test_a_graph_is_of_the_bundle_that_was_opened(
    meanwhile: Callable[..., Path], repository: Repository, tiny_bundle: Bundles, tmp_path: Path
) -> None:
    def replace(plan: Path) -> None:
        (tmp_path / "y.plan").write_bytes(tiny_bundle("td4-psp18").read_bytes())
        (tmp_path / "y.plan").replace(plan)

    options = TritonOptions(folder=tmp_path / "models", backends=("onnxruntime",))
    write_models(meanwhile("graph_config", replace), options)
    model = Path("1/model.onnx")
    assert (options.folder / "x-onnx" / model).read_bytes() == (
        repository("td2-fa18") / "td2-fa18-onnx" / model
    ).read_bytes()


def test_names_beyond_the_locale(tiny_bundle: Bundles, tmp_path: Path) -> None:
    """Whatever the locale's characters are, the files are UTF-8; others than we write manifests without escapes."""
    with (
        Bundle.open(tiny_bundle("td2-fa18")) as bundle,
        zipfile.ZipFile(tmp_path / "x.plan", "w") as file,
    ):
        manifest = json.loads(bundle.read(MANIFEST_NAME))
        manifest["classes"][0]["name"] = "Straße 道路"
        file.writestr(MANIFEST_NAME, json.dumps(manifest, ensure_ascii=False).encode())
        for name in bundle.manifest.members:
            file.writestr(name, bundle.read(name))
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import tdnet_export; tdnet_export.main()",
            *("--bundle", "x.plan", "--triton", "m"),
        ],
        capture_output=True,
        env=os.environ
        | {
            "LC_ALL": "C",
            "PYTHONUTF8": "0",
            "PYTHONCOERCECLOCALE": "0",
            "PYTHONPATH": os.pathsep.join(sys.path),
        },
        cwd=tmp_path,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert "Straße 道路" in (tmp_path / "m/x/config.pbtxt").read_text(encoding="utf-8")
