"""Whatever happens to a bundle's bytes, it either opens as it was or is refused with a BundleError."""

from __future__ import annotations

import io
import json
import warnings
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tdnet_runtime.bundle import Bundle
from tdnet_runtime.errors import BundleError
from tdnet_runtime.manifest import Manifest, decode_manifest

# The same examples in every run; the time depends on the machine, so it is no criterion.
bounded = settings(derandomize=True, max_examples=400, deadline=None, database=None)
position = st.integers(min_value=0, max_value=1 << 20)


class Opener:
    """Writes bytes to a file and opens it; knows what the sound bundle held."""

    def __init__(self, folder: Path, write: Callable[[Path], Manifest], members: Mapping[str, bytes]) -> None:
        self.path = folder / "damaged.plan"
        self.manifest = write(self.path)
        self.members = members
        self.sound = self.path.read_bytes()
        with zipfile.ZipFile(io.BytesIO(self.sound)) as archive:
            directory = archive.start_dir
            starts = [info.header_offset for info in archive.infolist()]
        ends = [*starts[1:], directory]
        self.blocks = [self.sound[start:end] for start, end in zip(starts, ends, strict=True)]
        self.directory = self.sound[directory:]

    def check(self, data: bytes) -> bool:
        """Whether `data` opens; fails unless it then is what the sound bundle was."""
        self.path.write_bytes(data)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                bundle = Bundle.open(self.path)
            except BundleError:
                return False
            with bundle:
                assert bundle.manifest == self.manifest
                assert {name: bundle.read(name) for name in bundle.manifest.members} == self.members
        return True


@pytest.fixture(scope="module")
def opener(
    tmp_path_factory: pytest.TempPathFactory,
    write_tiny: Callable[[Path], Manifest],
    tiny_members: Mapping[str, bytes],
) -> Opener:
    return Opener(tmp_path_factory.mktemp("bundle"), write_tiny, tiny_members)


def test_the_sound_bundle_opens(opener: Opener) -> None:
    assert opener.check(opener.sound)
    assert b"".join(opener.blocks) + opener.directory == opener.sound


@bounded
@given(flips=st.lists(st.tuples(position, st.integers(1, 255)), min_size=1, max_size=4))
def test_flipped_bytes(opener: Opener, flips: list[tuple[int, int]]) -> None:
    data = bytearray(opener.sound)
    for where, mask in flips:
        data[where % len(data)] ^= mask
    opener.check(bytes(data))


@pytest.mark.parametrize("value", [0x00, 0x01, 0x7F, 0x80, 0xFF])
def test_every_byte_of_headers_and_directory(opener: Opener, value: int) -> None:
    """Hypothesis finds few of these: most of a bundle is members, and their digests catch all."""
    headers = [(opener.sound.index(block), 80) for block in opener.blocks]
    directory = (len(opener.sound) - len(opener.directory), len(opener.directory))
    for start, length in (*headers, directory):
        for where in range(start, min(start + length, len(opener.sound))):
            data = bytearray(opener.sound)
            if data[where] != value:
                data[where] = value
                opener.check(bytes(data))


@bounded
@given(start=position, length=st.integers(1, 1 << 12))
def test_cut_out_bytes(opener: Opener, start: int, length: int) -> None:
    start %= len(opener.sound)
    assert not opener.check(opener.sound[:start] + opener.sound[start + length :])


@bounded
@given(length=position)
def test_cut_ends(opener: Opener, length: int) -> None:
    assert not opener.check(opener.sound[: length % len(opener.sound)])


@bounded
@given(where=position, extra=st.binary(min_size=1, max_size=100))
def test_inserted_bytes(opener: Opener, where: int, extra: bytes) -> None:
    where %= len(opener.sound) + 1
    opener.check(opener.sound[:where] + extra + opener.sound[where:])


@bounded
@given(start=position, other=position, length=st.integers(1, 200))
def test_copied_bytes(opener: Opener, start: int, other: int, length: int) -> None:
    data = bytearray(opener.sound)
    start %= len(data)
    piece = data[other % len(data) :][:length]
    data[start : start + len(piece)] = piece
    opener.check(bytes(data))


@bounded
@given(order=st.permutations(range(6)))
def test_swapped_blocks_under_the_old_directory(opener: Opener, order: list[int]) -> None:
    data = b"".join(opener.blocks[index] for index in order) + opener.directory
    assert opener.check(data) == (order == sorted(order))


@bounded
@given(order=st.permutations(range(5)))
def test_swapped_contents(opener: Opener, order: list[int]) -> None:
    names = sorted(opener.members)
    with zipfile.ZipFile(io.BytesIO(opener.sound)) as archive:
        manifest = archive.read("manifest.json")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("manifest.json", manifest)
        for name, index in zip(names, order, strict=True):
            archive.writestr(name, opener.members[names[index]])
    assert opener.check(buffer.getvalue()) == (order == sorted(order))


@bounded
@given(data=st.binary(max_size=300))
def test_noise(opener: Opener, data: bytes) -> None:
    assert not opener.check(data)
    assert not opener.check(b"PK\x03\x04" + data)
    assert not opener.check(b"PK\x03\x04" + data + opener.directory)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@bounded
@given(where=position, cut=st.integers(0, 60), extra=st.binary(max_size=20))
def test_manifests_of_any_bytes(opener: Opener, where: int, cut: int, extra: bytes) -> None:
    """Past the checksum, which an attacker can make right."""
    with zipfile.ZipFile(io.BytesIO(opener.sound)) as archive:
        encoded = archive.read("manifest.json")
    where %= len(encoded)
    _decode_or_refuse(encoded[:where] + extra + encoded[where + cut :])


@bounded
@given(field=st.integers(0, 200), value=json_values)
def test_manifests_of_any_types(opener: Opener, field: int, value: Any) -> None:
    with zipfile.ZipFile(io.BytesIO(opener.sound)) as archive:
        tree = json.loads(archive.read("manifest.json"))
    places = list(_places(tree))
    parent, key = places[field % len(places)]
    parent[key] = value
    _decode_or_refuse(json.dumps(tree).encode())


def _places(node: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) of a JSON tree."""
    found = []
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, child in items:
        found.append((node, key))
        found.extend(_places(child))
    return found


def _decode_or_refuse(data: bytes) -> None:
    try:
        decode_manifest(data)
    except BundleError:
        return
