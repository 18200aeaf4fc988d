"""Opening trusts nothing: each way in which a file is not a sound bundle has its own message."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
import struct
import threading
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

import msgspec
import pytest

from tdnet_runtime import bundle as bundle_module
from tdnet_runtime import bundle_zip
from tdnet_runtime.bundle import Bundle, write_bundle
from tdnet_runtime.bundle_extraction import extract
from tdnet_runtime.errors import (
    BundleDigestError,
    BundleError,
    BundleFormatError,
    BundleVersionError,
    ExportError,
)
from tdnet_runtime.manifest import Manifest, MemberSpec, encode_manifest

MANIFEST = "manifest.json"
GRAPH = "graphs/fp32/apm1.onnx"
REPORT = "reports/parity-fp32.json"
Entries = list[tuple[str, bytes]]


@pytest.fixture
def entries(tiny_manifest: Manifest, tiny_members: Mapping[str, bytes]) -> Entries:
    """What a sound tiny bundle holds, manifest first."""
    specs = {
        n: MemberSpec(size=len(d), sha256=hashlib.sha256(d).hexdigest()) for n, d in tiny_members.items()
    }
    manifest = encode_manifest(msgspec.structs.replace(tiny_manifest, members=specs))
    return [(MANIFEST, manifest), *tiny_members.items()]


@pytest.fixture
def forge(tmp_path: Path) -> Callable[..., Path]:
    """Write a zip of any entries, as another tool would."""

    def write(entries: Entries, *, compression: int = zipfile.ZIP_STORED) -> Path:
        path = tmp_path / "forged.plan"
        with zipfile.ZipFile(path, "w", compression) as archive:
            for name, data in entries:
                archive.writestr(zipfile.ZipInfo(name), data, compression)
        return path

    return write


def _manifest_with(entries: Entries, change: Callable[[dict[str, Any]], None]) -> Entries:
    tree = json.loads(entries[0][1])
    change(tree)
    return [(MANIFEST, json.dumps(tree).encode()), *entries[1:]]


def _patch_directory(path: Path, member: str, offset: int, value: bytes) -> None:
    """Overwrite bytes of one member's entry in the zip's directory."""
    data = bytearray(path.read_bytes())
    start = data.rindex(member.encode()) - 46
    assert data[start : start + 4] == b"PK\x01\x02"
    data[start + offset : start + offset + len(value)] = value
    path.write_bytes(data)


# A sound bundle.


def test_a_sound_bundle_opens(
    made_up_bundle: Path, tiny_manifest: Manifest, tiny_members: Mapping[str, bytes]
) -> None:
    with Bundle.open(str(made_up_bundle)) as bundle:
        assert bundle.path == made_up_bundle
        assert msgspec.structs.replace(bundle.manifest, members={}) == tiny_manifest
        assert {name: bundle.read(name) for name in bundle.manifest.members} == tiny_members
        assert bundle.digest == hashlib.sha256(bundle.read(MANIFEST)).hexdigest()
        assert bundle.read(MANIFEST) == encode_manifest(bundle.manifest)


def test_another_tool_may_have_zipped_it(entries: Entries, forge: Callable[..., Path]) -> None:
    with Bundle.open(forge(entries[::-1])) as bundle:
        assert bundle.read(GRAPH) == dict(entries)[GRAPH]


def test_zip64_records_are_read(
    entries: Entries, forge: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 1)  # as in a zip above 4 GiB
    path = forge(entries)
    assert b"PK\x06\x06" in path.read_bytes()
    with Bundle.open(path) as bundle:
        assert bundle.read(GRAPH) == dict(entries)[GRAPH]
    data = path.read_bytes()
    for cut in (52, 30):  # a damaged record, a damaged locator
        path.write_bytes(data[:-cut] + b"\1" + data[1 - cut :])
        with pytest.raises(BundleFormatError, match="truncated"):
            Bundle.open(path)


def test_members_larger_than_a_chunk_are_verified(
    tmp_path: Path, tiny_manifest: Manifest, tiny_members: Mapping[str, bytes]
) -> None:
    big = os.urandom((1 << 20) + 17) * 2
    path = tmp_path / "big.plan"
    write_bundle(path, tiny_manifest, {**tiny_members, GRAPH: big})
    with Bundle.open(path) as bundle:
        assert bundle.read(GRAPH) == big
    data = bytearray(path.read_bytes())
    data[data.index(big) + len(big) - 1] ^= 1
    path.write_bytes(data)
    with pytest.raises(BundleDigestError, match=GRAPH):
        Bundle.open(path)


def test_several_threads_may_read(made_up_bundle: Path, tiny_members: Mapping[str, bytes]) -> None:
    failures: list[str] = []
    with Bundle.open(made_up_bundle) as bundle:

        def read(name: str) -> None:
            failures.extend(name for _ in range(200) if bundle.read(name) != tiny_members[name])

        threads = [threading.Thread(target=read, args=(name,)) for name in tiny_members]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not failures


def test_reading_what_is_not_there(made_up_bundle: Path) -> None:
    bundle = Bundle.open(made_up_bundle)
    with pytest.raises(
        BundleError, match=r"has no member 'nothing', only 'graphs/.* and 2 more: '.*tiny.plan'"
    ):
        bundle.read("nothing")
    bundle.close()
    bundle.close()
    with pytest.raises(BundleError, match="the bundle is closed"):
        bundle.read(GRAPH)


def test_a_bundle_changed_after_opening_is_noticed(
    tmp_path: Path, tiny_manifest: Manifest, tiny_members: Mapping[str, bytes]
) -> None:
    path = tmp_path / "x.plan"
    big = b"graph" * 20_000  # more than Python keeps of an open file
    write_bundle(path, tiny_manifest, {**tiny_members, GRAPH: big})
    with Bundle.open(path) as bundle:
        data = path.read_bytes().replace(big, b"x" * len(big))
        with path.open("r+b") as file:
            file.write(data)
        with pytest.raises(BundleDigestError, match=f"member '{GRAPH}' has SHA-256"):
            bundle.read(GRAPH)


def test_a_failing_disk_is_reported(made_up_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> NoReturn:
        raise OSError(errno.EIO, "Input/output error")

    with Bundle.open(made_up_bundle) as bundle, monkeypatch.context() as patch:
        patch.setattr(bundle, "_file", _Failing())
        with pytest.raises(BundleError, match=f"reading member '{GRAPH}' failed: Input/output error: "):
            bundle.read(GRAPH)
    monkeypatch.setattr(bundle_module, "read_directory", fail)
    with pytest.raises(BundleError, match=r"reading the bundle failed: Input/output error: '.*tiny\.plan'"):
        Bundle.open(made_up_bundle)


class _Failing:
    closed = False

    def fileno(self) -> NoReturn:
        raise OSError(errno.EIO, "Input/output error")

    def close(self) -> None:
        pass


# The path.


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(
        BundleError, match=r"no such bundle; check the path, .*tdnet-export: '.*absent\.plan'$"
    ):
        Bundle.open(tmp_path / "absent.plan")


def test_a_file_in_place_of_a_folder(made_up_bundle: Path) -> None:
    with pytest.raises(BundleError, match="no such bundle"):
        Bundle.open(made_up_bundle / "x.plan")


def test_a_folder(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="this is a folder, expected a bundle"):
        Bundle.open(tmp_path)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.plan")
    with pytest.raises(BundleError, match="this is a device or pipe, expected a bundle"):
        Bundle.open(tmp_path / "pipe.plan")


def test_no_permission(made_up_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> NoReturn:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)  # root may read everything
    with pytest.raises(BundleError, match="may not be read; change its permissions or its owner: "):
        Bundle.open(made_up_bundle)


@pytest.mark.parametrize(("name", "message"), [("x" * 300, "name too long"), ("a\0b", "null")])
def test_impossible_paths(name: str, message: str) -> None:
    with pytest.raises(BundleError, match=f"(?i)the bundle cannot be opened: .*{message}.*; check the path"):
        Bundle.open(name)


# The file.


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is an empty file; copy it again"),
        (b"ftrt" + b"\0" * 99, "not a TDNet bundle but a TensorRT engine; make a bundle"),
        (b"vtrt" + b"\0" * 99, "but a TensorRT engine"),
        (b"\x80\x02\x8a\nl\xfc\x9cF\xf9", "but a Python pickle, perhaps a PyTorch checkpoint"),
        (b"\x08\x0a:\x12" + b"\0" * 99, "but an ONNX graph"),
        (b"\x08\x07\x12\x07pytorch", "but an ONNX graph"),
        (b'{"schema_version": 1}', "but a JSON file"),
        (b"<!DOCTYPE html>", "but a web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "but a Git LFS pointer"),
        (b"\x1f\x8b\x08\0", "but a gzip file"),
        (b"\x89PNG\r\n\x1a\n", r"but a file that starts with b'\\x89PNG.*, no zip"),
        (b"P", "but a file that starts with b'P', no zip"),
        (b"PK\x03\x04", "is truncated, or something was appended"),
        (b"PK\x03\x04" + b"\0" * 500, "is truncated, or something was appended"),
    ],
)
def test_other_files_are_recognised(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "x.plan"
    path.write_bytes(data)
    with pytest.raises(BundleFormatError, match=f"{message}.*x.plan'$"):
        Bundle.open(path)


def test_a_checkpoint_is_recognised(forge: Callable[..., Path]) -> None:
    path = forge(
        [("archive/data.pkl", b"\x80\x02"), ("archive/data/0", b"\0" * 12), ("archive/version", b"3\n")]
    )
    with pytest.raises(
        BundleFormatError, match="but a PyTorch checkpoint; make a bundle from a checkpoint with tdnet"
    ):
        Bundle.open(path)


def test_another_zip(forge: Callable[..., Path]) -> None:
    with pytest.raises(BundleFormatError, match=r"a zip without a manifest\.json, no TDNet bundle"):
        Bundle.open(forge([("word/document.xml", b"<xml/>")]))


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9, 0.999])
def test_truncated(made_up_bundle: Path, kept: float) -> None:
    data = made_up_bundle.read_bytes()
    made_up_bundle.write_bytes(data[: int(len(data) * kept)])
    with pytest.raises(
        BundleFormatError, match="is truncated, or something was appended to it; copy it again"
    ):
        Bundle.open(made_up_bundle)


@pytest.mark.parametrize("where", [100, -1, 10**9])
def test_bytes_inserted(made_up_bundle: Path, where: int) -> None:
    data = made_up_bundle.read_bytes()
    made_up_bundle.write_bytes(data[:where] + b"more" + data[where:])
    with pytest.raises(
        BundleFormatError, match="is truncated, or something was appended to it; copy it again"
    ):
        Bundle.open(made_up_bundle)


def test_a_damaged_directory(made_up_bundle: Path) -> None:
    _patch_directory(made_up_bundle, GRAPH, 0, b"PK\xff\xff")
    with pytest.raises(
        BundleFormatError, match=r"damaged: its directory cannot be read .BadZipFile: .*; copy it again"
    ):
        Bundle.open(made_up_bundle)


def test_an_absurd_directory(made_up_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle_zip, "_MAX_DIRECTORY_BYTES", 100)
    with pytest.raises(BundleFormatError, match="is truncated, or something was appended"):
        Bundle.open(made_up_bundle)


# The members.


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("/etc/passwd", "member name '/etc/passwd' is absolute"),
        ("../evil", "has a '..' part, which would leave the bundle"),
        ("graphs/../../evil", "has a '..' part"),
        ("graphs\\evil", "has a backslash"),
        ("C:evil", "starts with a drive letter"),
        ("graphs//evil", "is not normalised"),
        ("graphs/", "is not normalised"),
        ("./evil", "is not normalised"),
        (".bashrc", "is not of the form"),
        ("graphs/\u202egnp", "is not of the form"),
        ("graphs", "'graphs' would be a file and, for 'graphs/fp32/apm1.onnx', a folder"),
    ],
)
def test_unsafe_names(entries: Entries, forge: Callable[..., Path], name: str, message: str) -> None:
    with pytest.raises(BundleFormatError, match=f"unsafe bundle: .*{message}.*; do not use it"):
        Bundle.open(forge([*entries, (name, b"")]))


def test_a_name_that_ends_early_for_zipfile(made_up_bundle: Path) -> None:
    _patch_directory(made_up_bundle, GRAPH, 46, b"graphs/fp32/\0pm1.onnx")
    with pytest.raises(BundleFormatError, match=r"unsafe bundle: member name 'graphs/fp32/\\x00pm1.onnx'"):
        Bundle.open(made_up_bundle)


@pytest.mark.parametrize("name", [MANIFEST, GRAPH])
@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")  # of zipfile, while it forges
def test_duplicates(entries: Entries, forge: Callable[..., Path], name: str) -> None:
    with pytest.raises(BundleFormatError, match=f"member '{name}' is there twice, expected once"):
        Bundle.open(forge([*entries, (name, b"other")]))


def test_compressed(entries: Entries, forge: Callable[..., Path]) -> None:
    with pytest.raises(BundleFormatError, match=r"'manifest.json' is compressed, expected stored \(zip -0\)"):
        Bundle.open(forge(entries, compression=zipfile.ZIP_DEFLATED))


def test_encrypted(made_up_bundle: Path) -> None:
    _patch_directory(made_up_bundle, GRAPH, 8, b"\x01")
    with pytest.raises(BundleFormatError, match=f"member '{GRAPH}' is encrypted, expected plain"):
        Bundle.open(made_up_bundle)


def test_two_sizes(made_up_bundle: Path) -> None:
    _patch_directory(made_up_bundle, GRAPH, 24, struct.pack("<L", 4))
    with pytest.raises(BundleFormatError, match=f"member '{GRAPH}' has the two sizes 35 and 4, expected one"):
        Bundle.open(made_up_bundle)


def test_a_size_larger_than_the_file(made_up_bundle: Path) -> None:
    _patch_directory(made_up_bundle, GRAPH, 20, struct.pack("<LL", 1 << 30, 1 << 30))
    with pytest.raises(
        BundleFormatError, match=rf"'{GRAPH}' claims 1073741824 bytes at \d+, but the file has"
    ):
        Bundle.open(made_up_bundle)


def test_overlapping_members_larger_than_the_file_together(made_up_bundle: Path) -> None:
    for member in (GRAPH, "graphs/fp32/apm2.onnx"):
        _patch_directory(made_up_bundle, member, 20, struct.pack("<LL", 600, 600))
    with pytest.raises(BundleFormatError, match=r"the members claim \d+ bytes together, but the file has"):
        Bundle.open(made_up_bundle)


def test_a_member_beyond_the_end(made_up_bundle: Path) -> None:
    _patch_directory(made_up_bundle, GRAPH, 42, struct.pack("<L", 1 << 30))
    with pytest.raises(
        BundleFormatError, match=f"member '{GRAPH}' claims 35 bytes at 1073741824, but the file has"
    ):
        Bundle.open(made_up_bundle)


def test_a_member_in_the_wrong_place(made_up_bundle: Path) -> None:
    _patch_directory(made_up_bundle, GRAPH, 42, struct.pack("<L", 0))  # where the manifest is
    with pytest.raises(BundleFormatError, match=f"the header of member '{GRAPH}' is damaged; copy it again"):
        Bundle.open(made_up_bundle)


def test_absent_members(entries: Entries, forge: Callable[..., Path]) -> None:
    with pytest.raises(BundleFormatError, match=f"the manifest lists '{GRAPH}', absent from the bundle: "):
        Bundle.open(forge([entry for entry in entries if entry[0] != GRAPH]))
    with pytest.raises(BundleFormatError, match=r"the manifest lists '.*', '.*', '.*' and 2 more, absent"):
        Bundle.open(forge(entries[:1]))


def test_unlisted_members(entries: Entries, forge: Callable[..., Path]) -> None:
    with pytest.raises(
        BundleFormatError, match="the bundle holds 'graphs/more', which its manifest does not list: "
    ):
        Bundle.open(forge([*entries, ("graphs/more", b"")]))


def test_a_member_of_another_size(entries: Entries, forge: Callable[..., Path]) -> None:
    wrong = [(name, data + b"!" if name == GRAPH else data) for name, data in entries]
    with pytest.raises(
        BundleDigestError, match=f"member '{GRAPH}' has 36 bytes, the manifest says 35; export"
    ):
        Bundle.open(forge(wrong))


def test_a_member_of_another_digest(entries: Entries, forge: Callable[..., Path]) -> None:
    wrong = [(name, data.swapcase() if name == GRAPH else data) for name, data in entries]
    with pytest.raises(
        BundleDigestError, match=f"member '{GRAPH}' has SHA-256 .*…, the manifest says .*…: it was dam"
    ):
        Bundle.open(forge(wrong))


def test_a_flipped_bit_is_a_digest_error(made_up_bundle: Path, tiny_members: Mapping[str, bytes]) -> None:
    data = bytearray(made_up_bundle.read_bytes())
    data[data.index(tiny_members[GRAPH])] ^= 1
    made_up_bundle.write_bytes(data)
    with pytest.raises(BundleDigestError, match=f"member '{GRAPH}' has SHA-256"):
        Bundle.open(made_up_bundle)


def test_members_are_verified_when_they_are_read(
    made_up_bundle: Path, tiny_members: Mapping[str, bytes]
) -> None:
    """And what was not read, by `verify`, which finds it again as often as it is asked."""
    data = bytearray(made_up_bundle.read_bytes())
    for name in (GRAPH, REPORT):
        data[data.index(tiny_members[name])] ^= 1
    made_up_bundle.write_bytes(data)
    with Bundle.open_unread(made_up_bundle) as bundle:
        assert bundle.read("graphs/fp32/apm2.onnx") == tiny_members["graphs/fp32/apm2.onnx"]
        for _ in range(2):
            with pytest.raises(BundleDigestError, match=f"member '{GRAPH}' has SHA-256"):
                bundle.read(GRAPH)
            with pytest.raises(BundleDigestError, match=f"member '({GRAPH}|{REPORT})' has SHA-256"):
                bundle.verify()


def test_nothing_is_read_twice(
    made_up_bundle: Path, tiny_members: Mapping[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    read, reading = [], bundle_module.os.preadv
    monkeypatch.setattr(
        bundle_module.os, "preadv", lambda *arguments: (read.append(arguments), reading(*arguments))[1]
    )
    with Bundle.open_unread(made_up_bundle) as bundle:
        assert bundle.read(GRAPH) == tiny_members[GRAPH]
        bundle.verify()
        assert len(read) == len(tiny_members) - 1
        bundle.verify()
        assert len(read) == len(tiny_members) - 1


def test_a_disk_that_fails_while_it_is_verified(
    made_up_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Bundle.open_unread(made_up_bundle) as bundle, monkeypatch.context() as patch:
        patch.setattr(bundle, "_file", _Failing())
        with pytest.raises(BundleError, match=r"reading member 'graphs/.*' failed: Input/output error: "):
            bundle.verify()


@pytest.mark.parametrize("call", [lambda bundle: bundle.read(GRAPH), Bundle.file_sha256, Bundle.verify])
def test_a_bundle_that_another_thread_closes(
    made_up_bundle: Path, monkeypatch: pytest.MonkeyPatch, call: Callable[[Bundle], object]
) -> None:
    with Bundle.open_unread(made_up_bundle) as bundle:
        for name in ("bytes_at", "sha256_at"):
            real = getattr(bundle_module, name)
            monkeypatch.setattr(
                bundle_module, name, lambda *arguments, real=real: (bundle.close(), real(*arguments))
            )
        with pytest.raises(BundleError, match=r"^reading .* failed: .* closed file: '.*tiny\.plan'$"):
            call(bundle)


def test_members_of_more_than_the_system_reads_at_once(
    made_up_bundle: Path, tiny_members: Mapping[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes, reading = [], os.pread
    monkeypatch.setattr("tdnet_runtime.bundle_bytes._MOST_AT_ONCE", 3)
    monkeypatch.setattr(
        os, "pread", lambda file, size, offset: (sizes.append(size), reading(file, size, offset))[1]
    )
    with Bundle.open(made_up_bundle) as bundle:
        assert bundle.read(GRAPH) == tiny_members[GRAPH]
    assert sum(sizes) == len(tiny_members[GRAPH])
    assert max(sizes) == 3


def test_a_bundle_that_is_replaced_while_it_is_opened(
    made_up_bundle: Path, tiny_manifest: Manifest, tiny_members: Mapping[str, bytes]
) -> None:
    """By renaming, as it should be: what was opened stays whole."""
    other = made_up_bundle.with_name("other.plan")
    write_bundle(other, tiny_manifest, {**tiny_members, GRAPH: b"another" * 5})
    with Bundle.open(made_up_bundle) as before, Bundle.open_unread(made_up_bundle) as bundle:
        other.replace(made_up_bundle)
        bundle.verify()
        assert (bundle.digest, bundle.read(GRAPH)) == (before.digest, tiny_members[GRAPH])


def test_a_bundle_that_is_written_over_after_its_digest_was_found(
    made_up_bundle: Path,
    tiny_manifest: Manifest,
    tiny_members: Mapping[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is as sound as the one that was asked for, and another one."""
    other = made_up_bundle.with_name("other.plan")
    write_bundle(other, tiny_manifest, {**tiny_members, GRAPH: b"another" * 5})
    asked = hashlib.sha256(made_up_bundle.read_bytes()).hexdigest()
    os.utime(made_up_bundle, (1e9, 1e9))
    find = bundle_module.sha256_at

    def found(*arguments: object) -> str:
        digest = find(*arguments)
        made_up_bundle.write_bytes(other.read_bytes())
        return digest

    monkeypatch.setattr(bundle_module, "sha256_at", found)
    with pytest.raises(
        BundleDigestError, match=r"^the file was written to after its SHA-256 was found and before"
    ):
        Bundle.open(made_up_bundle, sha256=asked)


# The manifest.


def test_a_damaged_manifest(made_up_bundle: Path) -> None:
    made_up_bundle.write_bytes(made_up_bundle.read_bytes().replace(b"0.99999", b"0.99998"))
    with pytest.raises(BundleFormatError, match=r"manifest.json is damaged: wrong checksum; copy it again"):
        Bundle.open(made_up_bundle)


def test_an_absurdly_large_manifest(entries: Entries, forge: Callable[..., Path]) -> None:
    with pytest.raises(
        BundleFormatError, match=r"manifest.json has 16777217 bytes, expected at most 16777216"
    ):
        Bundle.open(forge([(MANIFEST, b" " * ((16 << 20) + 1)), *entries[1:]]))


def test_a_manifest_that_is_no_json(entries: Entries, forge: Callable[..., Path]) -> None:
    with pytest.raises(
        BundleFormatError, match=r"manifest.json cannot be read: .*; export the bundle again: '.*plan'"
    ):
        Bundle.open(forge([(MANIFEST, b"\0"), *entries[1:]]))


def test_a_manifest_of_the_wrong_types(entries: Entries, forge: Callable[..., Path]) -> None:
    wrong = _manifest_with(entries, lambda tree: tree.update(classes="road"))
    with pytest.raises(BundleFormatError, match=r"Expected `array`, got `str` - at `\$.classes`; export"):
        Bundle.open(forge(wrong))


def test_a_manifest_of_the_future(entries: Entries, forge: Callable[..., Path]) -> None:
    wrong = _manifest_with(entries, lambda tree: tree.update(schema_version=6))
    with pytest.raises(BundleVersionError, match=r"schema version 6; .* reads 1 to 5; .*: '.*forged.plan'"):
        Bundle.open(forge(wrong))


# Writing.


def test_the_bytes_depend_on_the_content_alone(
    tmp_path: Path, tiny_manifest: Manifest, tiny_members: Mapping[str, bytes]
) -> None:
    (tmp_path / "other").mkdir()
    one, two = tmp_path / "one.plan", tmp_path / "other" / "two.plan"
    write_bundle(one, tiny_manifest, tiny_members)
    os.utime(one, (0, 0))
    write_bundle(two, tiny_manifest, dict(sorted(tiny_members.items(), reverse=True)))
    assert one.read_bytes() == two.read_bytes()
    with zipfile.ZipFile(one) as archive:
        assert archive.namelist() == [MANIFEST, *sorted(tiny_members)]
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert {info.external_attr >> 16 for info in archive.infolist()} == {stat.S_IFREG | 0o644}
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}


def test_the_manifest_is_completed(
    tmp_path: Path, tiny_manifest: Manifest, tiny_members: Mapping[str, bytes]
) -> None:
    written = write_bundle(tmp_path / "x.plan", tiny_manifest, tiny_members)
    assert written.members[GRAPH].sha256 == hashlib.sha256(tiny_members[GRAPH]).hexdigest()
    assert written.members[GRAPH].size == len(tiny_members[GRAPH])
    with Bundle.open(tmp_path / "x.plan") as bundle:
        assert bundle.manifest == written


def test_the_umask_decides_who_may_read_it(tmp_path: Path, write_tiny: Callable[[Path], Manifest]) -> None:
    before = os.umask(0o027)
    try:
        write_tiny(tmp_path / "x.plan")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "x.plan").stat().st_mode) == 0o640


@pytest.mark.parametrize("failure", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_failure_leaves_the_old_file_and_nothing_else(
    tmp_path: Path,
    write_tiny: Callable[[Path], Manifest],
    monkeypatch: pytest.MonkeyPatch,
    failure: BaseException,
    call: str,
) -> None:
    def fail(*_: object) -> NoReturn:
        raise failure

    path = tmp_path / "x.plan"
    path.write_bytes(b"the old one")
    if call == "fsync":
        monkeypatch.setattr(os, "fsync", fail)
    else:
        monkeypatch.setattr(Path, "replace", fail)
    expected = (
        pytest.raises(
            ExportError, match=r"bundle of 0\.0 MiB was not written: No space left .*room: '.*x\.plan'"
        )
        if isinstance(failure, OSError)
        else pytest.raises(KeyboardInterrupt)
    )
    with expected:
        write_tiny(path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["x.plan"]
    assert path.read_bytes() == b"the old one"


def test_a_disk_that_fills_while_writing(
    tmp_path: Path, write_tiny: Callable[[Path], Manifest], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> NoReturn:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(zipfile._ZipWriteFile, "write", fail)  # type: ignore[attr-defined]
    with pytest.raises(ExportError, match="No space left on device"):
        write_tiny(tmp_path / "x.plan")
    assert not list(tmp_path.iterdir())


def test_the_partial_file_is_beside_it_until_it_is_whole(
    tmp_path: Path, write_tiny: Callable[[Path], Manifest], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda _: seen.extend(entry.name for entry in tmp_path.iterdir()))
    write_tiny(tmp_path / "x.plan")
    assert len(seen) == 1
    assert seen[0].startswith("x.plan.")
    assert seen[0].endswith(".partial")


def test_nowhere_to_write(tmp_path: Path, write_tiny: Callable[[Path], Manifest]) -> None:
    with pytest.raises(ExportError, match=r"was not written: No such file .* folder exists, .*: '.*x\.plan'"):
        write_tiny(tmp_path / "absent" / "x.plan")
    with pytest.raises(ExportError, match="this is a folder; name a file"):
        write_tiny(tmp_path)


def test_members_that_contradict_the_manifest(
    tmp_path: Path, tiny_manifest: Manifest, tiny_members: Mapping[str, bytes]
) -> None:
    with pytest.raises(ExportError, match=r"could not be read again: .* which is not listed"):
        write_bundle(tmp_path / "x.plan", tiny_manifest, {"reports/parity-fp32.json": b""})
    with pytest.raises(ExportError, match=r"could not be read again: .* has a '\.\.' part"):
        write_bundle(tmp_path / "x.plan", tiny_manifest, {**tiny_members, "../x": b""})
    assert not list(tmp_path.iterdir())


def test_what_could_not_be_read_again_is_not_written(
    tmp_path: Path, tiny_manifest: Manifest, tiny_members: Mapping[str, bytes]
) -> None:
    wrong = msgspec.structs.replace(tiny_manifest, tools={"python": "\udcff"})
    with pytest.raises(
        ExportError, match=r"was not written, since it could not be read again: manifest.json"
    ):
        write_bundle(tmp_path / "x.plan", wrong, tiny_members)
    assert not list(tmp_path.iterdir())


# Extracting.


def test_extract_unpacks_everything(
    tmp_path: Path, made_up_bundle: Path, tiny_members: Mapping[str, bytes]
) -> None:
    target = tmp_path / "deep" / "unpacked"
    with Bundle.open(made_up_bundle) as bundle:
        written = extract(bundle, target)
        assert written[0].read_bytes() == bundle.read(MANIFEST)
    assert written == [target / name for name in (MANIFEST, *sorted(tiny_members))]
    assert {str(path.relative_to(target)): path.read_bytes() for path in written[1:]} == tiny_members
    assert sorted(path for path in target.rglob("*") if path.is_file()) == sorted(written)


def test_extract_overwrites_nothing(tmp_path: Path, made_up_bundle: Path) -> None:
    taken = tmp_path / "unpacked" / GRAPH
    taken.parent.mkdir(parents=True)
    taken.symlink_to(tmp_path / "absent")
    with (
        Bundle.open(made_up_bundle) as bundle,
        pytest.raises(
            BundleError, match=f"extracting would overwrite '.*{GRAPH}'; name an empty folder: '.*unpacked'"
        ),
    ):
        extract(bundle, tmp_path / "unpacked")
    assert [path for path in (tmp_path / "unpacked").rglob("*") if not path.is_dir()] == [taken]


def test_extract_into_a_file(tmp_path: Path, made_up_bundle: Path) -> None:
    with (
        Bundle.open(made_up_bundle) as bundle,
        pytest.raises(
            BundleError, match=r"extracting failed: .*; nothing was kept; check that the folder may be wr"
        ),
    ):
        extract(bundle, made_up_bundle)


def test_extract_keeps_nothing_after_a_failure(
    tmp_path: Path, made_up_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []

    def fail_the_third(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) == 3:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail_the_third)
    target = tmp_path / "unpacked"
    with (
        Bundle.open(made_up_bundle) as bundle,
        pytest.raises(BundleError, match="No space left on device; nothing was"),
    ):
        extract(bundle, target)
    assert not [path for path in target.rglob("*") if path.is_file()]
