"""Engines that do not fit: one message, with both values and the command that builds them anew."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tdnet_runtime.bundle import Bundle, write_bundle
from tdnet_runtime.engine_header import EngineHeader
from tdnet_runtime.errors import BackendError
from tdnet_runtime.manifest import EngineMember, EngineSpec, Manifest
from tdnet_runtime.preflight import (
    DeviceFacts,
    check_engine,
    choose_engines,
    platform_name,
    portability_note,
    rebuild_command,
    too_old,
)

ORIN = DeviceFacts(
    backend="tensorrt",
    product_version="10.3.0.26",
    platform="linux-aarch64",
    device_name="Orin",
    compute_capability="8.7",
    driver_cuda=(12, 6),
)
RTX = DeviceFacts(
    backend="tensorrt-rtx",
    product_version="1.7.1.116",
    platform="linux-x86_64",
    device_name="RTX 4090",
    compute_capability="8.9",
    driver_cuda=(13, 0),
)
FITTING: dict[str, dict[str, Any]] = {
    "tensorrt": {
        "product_version": "10.3.0.26",
        "compute_capabilities": ("8.7",),
        "platform": "linux-aarch64",
        "options": {"tf32": "off"},
    },
    "tensorrt-rtx": {
        "product_version": "1.7.1.116",
        "compute_capabilities": (),
        "platform": "linux-x86_64",
        "options": {"tf32": "off", "cuda": "13"},
    },
}
MakeBundle = Callable[..., Bundle]


def header(magic: bytes, *version: int) -> bytes:
    return magic + struct.pack("<LQQ", 0, 2, 1000) + bytes(version) + b"weights"


@pytest.fixture
def bundle(
    tiny_manifest: Manifest, tiny_members: Mapping[str, bytes], tmp_path: Path
) -> Iterator[MakeBundle]:
    """bundle(*sets, precisions=…): an open bundle with sets of engines; each set is what differs from `FITTING`."""
    opened: list[Bundle] = []

    def make(*sets: Mapping[str, Any], precisions: tuple[str, ...] = ("fp32", "fp16")) -> Bundle:
        members = dict(tiny_members)
        graphs = []
        for graph in tiny_manifest.graphs:
            names = {precision: f"graphs/{precision}/{graph.name}.onnx" for precision in precisions}
            members |= {name: name.encode() for name in names.values()}
            graphs.append(msgspec.structs.replace(graph, members=names))
        engines = []
        for number, given in enumerate(sets):
            fields = {"backend": "tensorrt-rtx", "precision": "fp16", "key": f"key{number}", **given}
            fields = FITTING[fields["backend"]] | fields
            folder = f"engines/{fields['backend']}/{fields['key']}"
            built = {}
            for graph in graphs:
                files = {kind: f"{folder}/{graph.name}.{kind}" for kind in ("engine", "layers", "log")}
                members |= dict.fromkeys(files.values(), b"x")
                source = members[graph.members[fields["precision"]]]
                built[graph.name] = EngineMember(
                    **files,
                    graph_sha256=hashlib.sha256(source).hexdigest(),
                    build_seconds=1.0,
                    half_share=1.0,
                )
            engines.append(EngineSpec(graphs=built, **fields))
        unused = {
            name for name in members if name.startswith("graphs/") and name.split("/")[1] not in precisions
        }
        for name in unused:
            del members[name]
        path = tmp_path / "a bundle.plan"
        write_bundle(
            path,
            msgspec.structs.replace(tiny_manifest, graphs=tuple(graphs), engines=tuple(engines)),
            members,
        )
        opened.append(Bundle.open(path))
        return opened[-1]

    yield make
    for each in opened:
        each.close()


def refusal(bundle: Bundle, facts: DeviceFacts, precision: str | None = None) -> str:
    with pytest.raises(BackendError) as caught:
        choose_engines(bundle, facts, precision=precision)
    return str(caught.value)


def command(bundle: Bundle, backend: str, precision: str) -> str:
    return f"tdnet-export --rebuild '{bundle.path}' --backend {backend} --precision {precision}"


def test_what_fits_is_chosen(bundle: MakeBundle) -> None:
    both = bundle({}, {"backend": "tensorrt"}, {"precision": "fp32"})
    assert choose_engines(both, RTX, precision=None).key == "key0"
    assert choose_engines(both, ORIN, precision=None).key == "key1"
    assert choose_engines(both, RTX, precision="fp16").key == "key0"
    assert choose_engines(both, RTX, precision="fp32").key == "key2"


def test_of_several_that_fit_the_devices_own_then_the_newest(bundle: MakeBundle) -> None:
    own = {"compute_capabilities": ("8.9",)}
    assert choose_engines(bundle({}, own, {}), RTX, precision=None).key == "key1"
    assert choose_engines(bundle({}, {}), RTX, precision=None).key == "key1"
    assert choose_engines(bundle({"product_version": "1.6"}, {}), RTX, precision=None).key == "key1"


def test_fp32_is_taken_where_there_are_no_fp16_engines(bundle: MakeBundle) -> None:
    assert choose_engines(bundle({"precision": "fp32"}), RTX, precision=None).precision == "fp32"


@pytest.mark.parametrize(
    ("backend", "facts", "values"),
    [
        ("tensorrt", {"product_version": "11.4.0.106"}, ("TensorRT 10.3.0.26", "TensorRT 11.4.0.106")),
        ("tensorrt-rtx", {"product_version": "1.6.0.9"}, ("TensorRT-RTX 1.7.1.116", "TensorRT-RTX 1.6.0.9")),
        ("tensorrt", {"platform": "linux-x86_64"}, ("linux-aarch64", "linux-x86_64")),
        (
            "tensorrt",
            {"compute_capability": "9.0", "device_name": "H200"},
            ("capability 8.7", "H200 has 9.0"),
        ),
        ("tensorrt-rtx", {"driver_cuda": (12, 8)}, ("CUDA 12.8", "CUDA 13")),
    ],
)
def test_each_misfit_names_both_values_and_the_command(
    bundle: MakeBundle, backend: str, facts: dict[str, Any], values: tuple[str, str]
) -> None:
    given = bundle({"backend": backend})
    here = {"tensorrt": ORIN, "tensorrt-rtx": RTX}[backend]
    choose_engines(given, here, precision=None)
    changed = DeviceFacts(**{name: facts.get(name, getattr(here, name)) for name in DeviceFacts.__slots__})
    message = refusal(given, changed)
    for value in values:
        assert value in message
    assert message.endswith(command(given, backend, "fp16"))
    assert ("update the driver" in message) is ("driver_cuda" in facts)


def test_numbers_of_thousands_of_digits_do_not_fit(bundle: MakeBundle) -> None:
    """Python makes no number of them; the version is the installed one's, so that the header is asked."""
    long = "9" * 5000
    assert "built for CUDA 999999999;" in refusal(
        bundle({"backend": "tensorrt-rtx", "options": {"cuda": long}}), RTX
    )
    assert not EngineHeader("tensorrt", "10.3.0.26").built_by(f"10.3.{long}")


def test_the_nearest_set_is_explained(bundle: MakeBundle) -> None:
    far = {
        "backend": "tensorrt",
        "platform": "linux-x86_64",
        "product_version": "9.0",
        "compute_capabilities": ("7.5",),
    }
    near = {"backend": "tensorrt", "product_version": "10.2.0.1"}
    message = refusal(bundle(far, near), ORIN)
    assert "built by TensorRT 10.2.0.1, here is TensorRT 10.3.0.26 (nor do 1 other sets fit)" in message
    assert "7.5" not in message


def test_a_driver_of_unknown_age_is_not_refused(bundle: MakeBundle) -> None:
    facts = DeviceFacts(
        **{name: getattr(RTX, name) for name in DeviceFacts.__slots__ if name != "driver_cuda"}
    )
    assert facts.driver_cuda is None
    assert choose_engines(bundle({}), facts, precision=None).key == "key0"


def test_no_engines_of_this_backend(bundle: MakeBundle) -> None:
    given = bundle({})
    message = refusal(given, ORIN)
    assert (
        "TensorRT engines were asked, the bundle has none (TensorRT 10.3.0.26, compute capability 8.7"
        in message
    )
    assert message.endswith(command(given, "tensorrt", "fp16"))
    only_fp32 = bundle(precisions=("fp32",))
    assert refusal(only_fp32, ORIN).endswith(command(only_fp32, "tensorrt", "fp32"))


def test_no_engines_in_this_precision(bundle: MakeBundle) -> None:
    given = bundle({})
    message = refusal(given, RTX, "fp32")
    assert "engines in fp32 were asked, the bundle has only in fp16" in message
    assert message.endswith(command(given, "tensorrt-rtx", "fp32"))


def test_no_graphs_in_this_precision_either(bundle: MakeBundle) -> None:
    given = bundle({"precision": "fp32"}, precisions=("fp32",))
    message = refusal(given, RTX, "fp16")
    assert "engines in fp16 were asked, and the bundle has graphs in fp32 only" in message
    assert "export the checkpoint again with --precision fp16, or ask for fp32" in message
    assert "--rebuild" not in message


@pytest.mark.parametrize(
    ("data", "facts", "values"),
    [
        (header(b"ftrt", 10, 3, 0, 26), ORIN, None),
        (header(b"ftrt", 10, 2, 0, 1), ORIN, ("TensorRT 10.2.0.1", "TensorRT 10.3.0.26")),
        (header(b"vtrt", 10, 3, 0, 26), ORIN, ("TensorRT-RTX 10.3.0.26", "TensorRT 10.3.0.26")),
        (header(b"ftrt", 10, 3, 0, 26)[:20], ORIN, ("after 20 bytes", "28")),
        (b"version https://git-lfs.github.com/spec", ORIN, ("b'version '", "b'ftrt'")),
        (
            header(b"ftrt", 10, 3, 0, 26),
            DeviceFacts(
                backend="tensorrt",
                product_version="11.4.0.106",
                platform="linux-x86_64",
                device_name="H200",
                compute_capability="9.0",
            ),
            ("was built by TensorRT 10.3.0.26, here is", "TensorRT 11.4.0.106"),
        ),
    ],
)
def test_an_engines_own_header_is_compared(
    bundle: MakeBundle, data: bytes, facts: DeviceFacts, values: tuple[str, str] | None
) -> None:
    given = bundle({"backend": "tensorrt"})
    spec = given.manifest.engines[0]
    if values is None:
        check_engine(spec, "apm1", data, facts, plan=given.path)
        return
    with pytest.raises(BackendError) as caught:
        check_engine(spec, "apm1", data, facts, plan=given.path)
    for value in (*values, "'apm1'", command(given, "tensorrt", "fp16")):
        assert value in str(caught.value)


@pytest.mark.parametrize(
    ("capability", "noted"),
    [("7.5", True), ("8.0", False), ("8.6", False), ("8.7", True), ("8.9", False), ("9.0", True), ("10.0", True),
     ("12.0", False), ("12.1", False), ("13.0", False)],
)  # fmt: skip
def test_portable_engines_on_devices_that_rtx_does_not_name_get_a_note(
    bundle: MakeBundle, capability: str, noted: bool
) -> None:
    given = bundle({}, {"compute_capabilities": (capability,)})
    facts = DeviceFacts(
        backend="tensorrt-rtx",
        product_version="1.7.1.116",
        platform="linux-x86_64",
        device_name="a device",
        compute_capability=capability,
    )
    portable, own = given.manifest.engines
    choose_engines(given, facts, precision=None)  # not refused here
    note = portability_note(portable, facts)
    assert (note is not None) is noted
    if note:
        assert f"a device has {capability}" in note
        assert "8.0, 8.6, 8.9, 12.0 and later" in note
    assert portability_note(own, facts) is None


@pytest.mark.parametrize("sets", [(), ({"product_version": "1.6.0.1"},)], ids=["none", "of another version"])
@pytest.mark.parametrize(("version", "known"), [("1.7.1.116", True), ("1.8.0.1", False)])
def test_nobody_is_sent_to_build_engines_that_cannot_run(
    bundle: MakeBundle, sets: tuple[dict[str, str], ...], version: str, known: bool
) -> None:
    """As on an H100. What a later version runs on is not known."""
    facts = DeviceFacts(
        backend="tensorrt-rtx",
        product_version=version,
        platform="linux-x86_64",
        device_name="a device",
        compute_capability="9.0",
    )
    with pytest.raises(BackendError) as caught:
        choose_engines(bundle(*sets), facts, precision=None)
    assert ("a device has 9.0: use the backend tensorrt or cuda" in str(caught.value)) is known
    assert ("--rebuild" in str(caught.value)) is not known


def test_names_and_commands() -> None:
    system, _, machine = platform_name().partition("-")
    assert system == "linux"
    assert machine in ("x86_64", "aarch64")
    assert rebuild_command("x.plan", "tensorrt") == "tdnet-export --rebuild x.plan --backend tensorrt"
    quoted = rebuild_command(Path("a b.plan"), "tensorrt-rtx", "fp16")
    assert quoted == "tdnet-export --rebuild 'a b.plan' --backend tensorrt-rtx --precision fp16"


@pytest.mark.parametrize(
    ("backend", "version", "old"),
    [
        ("tensorrt", "8.6.2", True),
        ("tensorrt", "10.2.0.19", True),
        ("tensorrt", "10.3.0", False),
        ("tensorrt", "11.4.0.106", False),
        ("tensorrt", "unknown", False),
        ("tensorrt-rtx", "1.7.1.116", False),
    ],
)
def test_a_tensorrt_that_is_too_old_is_said_with_its_jetpack(backend: str, version: str, old: bool) -> None:
    reason = too_old(backend, version)
    assert (reason is not None) is old
    if reason is not None:
        assert reason.startswith(f"this is TensorRT {version}, which is too old: 10.3")
        assert "JetPack 6.1" in reason


def test_int8_engines_of_an_older_toolkit_are_not_run(bundle: MakeBundle) -> None:
    """It built some whose upper half of the range was cut off."""
    opened = bundle({"precision": "int8"}, precisions=("fp32", "fp16", "int8"))
    with pytest.raises(
        BackendError,
        match=r"engines in int8 were asked; there are such in fp16, fp32, int8_fp16 only.*Ask for int8_fp16",
    ):
        choose_engines(opened, RTX, precision="int8")
    with pytest.raises(
        BackendError, match=r"engines were asked, the bundle has only in int8 .*--precision fp16"
    ):
        choose_engines(opened, RTX, precision=None)


def test_int8_is_taken_only_where_it_is_asked_for(bundle: MakeBundle) -> None:
    precisions = ("fp32", "int8", "int8_fp16")
    both = bundle({"precision": "int8_fp16"}, {"precision": "fp32"}, precisions=precisions)
    assert choose_engines(both, RTX, precision=None).precision == "fp32"
    assert choose_engines(both, RTX, precision="int8_fp16").key == "key0"
    alone = bundle({"precision": "int8_fp16"}, precisions=precisions)
    words = "the bundle has only in int8_fp16, which costs accuracy: ask for it by name (precision='int8_fp16', --precision"
    assert words in refusal(alone, RTX)
    assert choose_engines(alone, RTX, precision="int8_fp16").key == "key0"
    none = bundle(precisions=("int8_fp16",))
    assert refusal(none, RTX).endswith(command(none, "tensorrt-rtx", "int8_fp16"))


def test_a_cpu_s_int8_graphs_alone_are_for_no_engine(bundle: MakeBundle) -> None:
    message = refusal(bundle(precisions=("int8",)), RTX)
    assert "has graphs in int8 only; export the checkpoint again with --precision fp16: " in message
    message = refusal(bundle(precisions=("int8", "fp32")), RTX, "int8_fp16")
    assert "again with --precision int8_fp16, or ask for fp32: " in message
