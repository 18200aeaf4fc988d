"""Engines from a bundle's own graphs: the rest stays byte for byte, and nothing is lost where it fails."""

import io
import json
import os
import shutil
import stat
import subprocess
import sys

import msgspec
import pytest
from rich.console import Console
from tests.export.engines.conftest import BUILDS, toy_graph

from tdnet_export.engines import build_engines, rebuild
from tdnet_export.view import show_rebuild
from tdnet_runtime.bundle import Bundle, write_bundle
from tdnet_runtime.errors import BundleError, ExportError, MissingExtraError, OptionError
from tdnet_runtime.manifest import SCHEMA_VERSION

RTX = "tensorrt-rtx"

# A rebuild in a process that can import neither torch nor onnx.
WITHOUT_TORCH = """
import sys
sys.modules.update(torch=None, onnx=None, onnxruntime=None)
from pathlib import Path
from tdnet_export.engines import rebuild
summary = rebuild(Path(sys.argv[1]), backends=["tensorrt-rtx"], precisions=["fp32"])
print(summary.built[0].title)
"""


@pytest.fixture(params=["psp50"])
def plan(request, tiny_bundle, tmp_path):
    """A copy of a bundle that has FP32 graphs and no engines; of the network with the fewest graphs."""
    path = tmp_path / "a bundle.plan"
    shutil.copy(tiny_bundle(request.param), path)
    return path


def contents(plan):
    with Bundle.open(plan) as bundle:
        return bundle.manifest, {name: bundle.read(name) for name in bundle.manifest.members}


def with_foreign_engines(plan, *titles):
    """Put sets of engines into the bundle that were built elsewhere: 'backend/key' each."""
    manifest, members = contents(plan)
    (newest,) = manifest.engines
    for title in titles:
        backend, _, key = title.partition("/")
        graphs = {}
        for name, engine in newest.graphs.items():
            moved = {
                field: getattr(engine, field).replace(f"/{newest.title}/", f"/{title}/")
                for field in ("engine", "layers", "log")
            }
            members |= {moved[field]: members[getattr(engine, field)] + b"foreign" for field in moved}
            graphs[name] = msgspec.structs.replace(engine, **moved)
        foreign = msgspec.structs.replace(newest, backend=backend, key=key, graphs=graphs)
        manifest = msgspec.structs.replace(manifest, engines=(foreign, *manifest.engines), members={})
    write_bundle(plan, manifest, members)


@BUILDS
@pytest.mark.parametrize("plan", ["psp50", "td2-fa18"], indirect=True)
def test_engines_come_in_and_all_else_stays(plan):
    before, members_before = contents(plan)
    events = []
    summary = rebuild(plan, backends=[RTX], precisions=["fp32"], on_progress=events.append)
    after, members_after = contents(plan)
    assert after == summary.manifest
    assert summary.dropped == ()
    (spec,) = after.engines
    assert (spec,) == summary.built
    assert list(spec.graphs) == [graph.name for graph in after.graphs]
    assert {name: members_after[name] for name in members_before} == members_before
    assert len(members_after) == len(members_before) + 3 * len(after.graphs)
    unchanged = msgspec.structs.replace(after, engines=(), members=before.members, schema_version=1)
    assert unchanged == msgspec.structs.replace(before, schema_version=1)
    assert after.schema_version == SCHEMA_VERSION
    assert events[-1].done == len(after.graphs)
    for graph, engine in spec.graphs.items():
        assert engine.graph_sha256 == after.members[after.graph(graph).members["fp32"]].sha256
        assert any(layer["nodes"] for layer in json.loads(members_after[engine.layers])["layers"])


@BUILDS
def test_again_replaces_the_set_and_estimates_from_it(plan):
    first = rebuild(plan, backends=[RTX], precisions=["fp32"])
    events = []
    second = rebuild(plan, backends=[RTX, RTX], precisions=["fp32", "fp32"], on_progress=events.append)
    assert [spec.title for spec in second.manifest.engines] == [spec.title for spec in first.manifest.engines]
    assert second.dropped == ()
    assert len(second.built) == 1
    begins = [event for event in events if event.graph and event.seconds is None]
    assert begins[0].estimate_s == first.built[0].graphs[begins[0].graph].build_seconds


@BUILDS
def test_other_sets_stay_unless_they_are_dropped(plan):
    rebuild(plan, backends=[RTX], precisions=["fp32"])
    with_foreign_engines(plan, f"{RTX}/0.9-old", "tensorrt/10.3-jetson")
    kept = rebuild(plan, backends=[RTX], precisions=["fp32"])
    assert {spec.key for spec in kept.manifest.engines} >= {"0.9-old", "10.3-jetson"}
    assert len(kept.manifest.engines) == 3
    summary = rebuild(plan, backends=[RTX], precisions=["fp32"], keep_others=False)
    manifest, members = contents(plan)
    assert [spec.key for spec in summary.dropped] == ["0.9-old"]
    assert {spec.backend for spec in manifest.engines} == {RTX, "tensorrt"}
    assert not any("0.9-old" in name for name in members)
    assert any("10.3-jetson" in name for name in members)


@BUILDS
def test_neither_torch_nor_onnx_is_needed(plan):
    arguments = [sys.executable, "-c", WITHOUT_TORCH, str(plan)]
    run = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("tensorrt-rtx/")
    assert len(contents(plan)[0].engines) == 1


@pytest.mark.parametrize(
    ("precisions", "message"),
    [
        ((), r"in fp16 unless asked otherwise, and the bundle has graphs in fp32 only; export the checkpoint again "
             r"with --precision fp16, or rebuild with --precision fp32: '.*a bundle\.plan'"),
        (("fp32", "fp16"), "--precision fp16 was asked, and the bundle has graphs in fp32 only"),
    ],
)  # fmt: skip
def test_a_precision_that_the_bundle_has_not_is_said_with_the_fix(plan, precisions, message, monkeypatch):
    monkeypatch.setattr("tdnet_export.engines.rebuilding.require_builder", lambda backend: None)
    before = plan.read_bytes()
    with pytest.raises(ExportError, match=message):
        rebuild(plan, backends=[RTX], precisions=precisions)
    assert plan.read_bytes() == before


def test_wrong_calls_are_said_before_anything_is_read(tmp_path, monkeypatch):
    absent = tmp_path / "absent.plan"
    with pytest.raises(OptionError, match="no backend"):
        rebuild(absent, backends=[])
    with pytest.raises(OptionError, match="came 'openvino'"):
        rebuild(absent, backends=["openvino"])
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match="TensorRT-RTX"):
        rebuild(absent, backends=[RTX])
    monkeypatch.setattr("tdnet_export.engines.rebuilding.require_builder", lambda backend: None)
    with pytest.raises(BundleError, match="no such bundle"):
        rebuild(absent, backends=[RTX])


@BUILDS
def test_a_build_that_fails_leaves_the_bundle_as_it_was(plan, monkeypatch):
    before = plan.read_bytes()
    built = build_engines

    def fail(graphs, **others):
        return built(dict.fromkeys(graphs, toy_graph("float32", bad=("toy/conv",))), **others)

    monkeypatch.setattr("tdnet_export.engines.rebuilding.build_engines", fail)
    with pytest.raises(ExportError, match="could not build graph"):
        rebuild(plan, backends=[RTX], precisions=["fp32"])
    assert plan.read_bytes() == before
    assert [path.name for path in plan.parent.iterdir()] == [plan.name]


@BUILDS
def test_a_bundle_that_changes_meanwhile_is_not_overwritten(plan):
    other = plan.read_bytes()

    def replace(event):
        if event.graph is None:
            fresh = plan.with_name("other.plan")
            fresh.write_bytes(other)
            fresh.replace(plan)

    with pytest.raises(ExportError, match="changed by someone else"):
        rebuild(plan, backends=[RTX], precisions=["fp32"], on_progress=replace)
    assert plan.read_bytes() == other


@BUILDS
@pytest.mark.parametrize("mode", [0o600, 0o664])
def test_the_permissions_stay_as_they_were(plan, mode):
    """Whoever could read it before still can, and nobody else."""
    plan.chmod(mode)
    before = os.umask(0o027)
    try:
        rebuild(plan, backends=[RTX], precisions=["fp32"])
    finally:
        os.umask(before)
    assert stat.S_IMODE(plan.stat().st_mode) == mode


@BUILDS
def test_a_link_stays_a_link(plan):
    """`current.plan` → `v3.plan`: it is v3 that gets the engines."""
    link = plan.with_name("current.plan")
    link.symlink_to(plan.name)
    summary = rebuild(link, backends=[RTX], precisions=["fp32"])
    assert summary.path == link
    assert link.is_symlink()
    assert len(contents(plan)[0].engines) == 1
    assert sorted(path.name for path in plan.parent.iterdir()) == [plan.name, link.name]


@pytest.mark.parametrize(
    ("kept", "message"), [("file", "the bundle is read-only"), ("folder", "its folder may not be written to")]
)
def test_where_nothing_can_be_written_nothing_is_built(plan, kept, message, monkeypatch):
    """A build takes minutes. Permissions are made up: tests may run as root, who may write everywhere."""
    protected = plan if kept == "file" else plan.parent
    monkeypatch.setattr("tdnet_export.engines.rebuilding.require_builder", lambda backend: None)
    monkeypatch.setattr("tdnet_export.engines.rebuilding.build_engines", None)
    monkeypatch.setattr("os.access", lambda path, mode: path != protected)
    with pytest.raises(
        ExportError, match=rf"put into the bundle: {message}; allow .*, or copy .*: '.*a bundle\.plan'"
    ):
        rebuild(plan, backends=[RTX], precisions=["fp32"])


@BUILDS
@pytest.mark.parametrize("name", ["a [red] b.plan", "x[/y].plan", "x[/].plan"])
def test_names_in_brackets_are_shown_as_they_are(plan, name):
    """Rich's markup would swallow them, or end in a traceback after all the work."""
    path = plan.parent / name
    path.parent.mkdir(exist_ok=True)
    plan.rename(path)
    shown = io.StringIO()
    show_rebuild(rebuild(path, backends=[RTX], precisions=["fp32"]), Console(file=shown, width=500))
    assert f"{path} (" in shown.getvalue()
