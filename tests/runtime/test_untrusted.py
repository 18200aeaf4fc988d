"""Finds of fuzzing: what strangers' files had brought that was no plain refusal. See SECURITY.md."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path

import msgspec
import numpy as np
import pytest

from tdnet_runtime import BackendError, Segmenter
from tdnet_runtime.bundle import Bundle, write_bundle
from tdnet_runtime.errors import BundleFormatError, MediaError
from tdnet_runtime.manifest import Manifest


@pytest.mark.parametrize(
    ("scale", "shown"),
    [
        (1.0, "x"),
        (1 / 255, "x/255"),
        (0.3, "0.3 x"),
        (2.0, "2 x"),
        (3921.5, "3921.5 x"),
        (5e-324, "4.94066e-324 x"),
    ],
)
def test_any_scale_of_a_manifest_is_shown(scale: float, shown: str) -> None:
    """2 and more were a division by zero."""
    pytest.importorskip("rich")
    from tdnet_runtime.cli.labelling_view import scaled

    assert scaled(scale) == shown


@pytest.mark.parametrize("layout", ["NHWC\nerror: all is well", "\x1b]0;owned\x07"])
def test_words_of_a_manifest_stay_in_one_line(
    tmp_path: Path, tiny_manifest: Manifest, tiny_members: Mapping[str, bytes], layout: str
) -> None:
    write_bundle(tmp_path / "x.plan", tiny_manifest, tiny_members)
    data = io.BytesIO()
    with zipfile.ZipFile(tmp_path / "x.plan") as sound, zipfile.ZipFile(data, "w") as changed:
        for name in sound.namelist():
            member = sound.read(name)
            if name == "manifest.json":
                manifest = json.loads(member)
                manifest["input"]["layout"] = layout
                member = json.dumps(manifest).encode()
            changed.writestr(name, member)
    (tmp_path / "x.plan").write_bytes(data.getvalue())
    with pytest.raises(BundleFormatError, match="is not valid: input is RGB") as caught:
        Bundle.open(tmp_path / "x.plan")
    assert str(caught.value).isprintable()


def png(*chunks: tuple[int, bytes]) -> bytes:
    """A PNG by its chunks: the length that each claims, and its kind and content."""
    return b"\x89PNG\r\n\x1a\n" + b"".join(struct.pack(">I", claimed) + data for claimed, data in chunks)


HEAD = (13, b"IHDR" + struct.pack(">IIBBBBB", 32, 24, 8, 2, 0, 0, 0) + bytes(4))


@pytest.mark.parametrize("claimed", [0xFFFFFFFF, 0x7FFFFFFF, (64 << 20) + 4096])
def test_a_png_gets_no_memory_for_what_it_claims(monkeypatch: pytest.MonkeyPatch, claimed: int) -> None:
    """It was 4 GiB for 176 bytes."""
    cv2 = pytest.importorskip("cv2")
    from tdnet_runtime.media.image_file import decoded_image

    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("OpenCV was given it"))
    found = decoded_image(png(HEAD, (claimed, b"tEXt")), name="it")
    assert (found.bgr, f"claims {claimed} bytes" in (found.damage or "")) == (None, True)


@pytest.mark.parametrize("cut", [0, 10, 40, 60])
def test_a_png_that_is_cut_is_damage_as_before(cut: int) -> None:
    """Its last part claims more than there is, but no more than can be had."""
    cv2 = pytest.importorskip("cv2")
    from tdnet_runtime.media.image_file import _most_claimed, decoded_image

    image = np.arange(24 * 32 * 3, dtype=np.uint8).reshape(24, 32, 3)
    whole = cv2.imencode(".png", image)[1].tobytes()
    assert 13 <= _most_claimed(whole) < len(whole)
    found = decoded_image(whole[: len(whole) - cut], name="it")
    assert (found.damage is None) is (cut == 0) or found.bgr is not None
    assert "claims" not in (found.damage or "")


@pytest.mark.parametrize("kind", ["std_msgs/msg/Str\ning", "a\x1b[31m/msg/b", "\r\rtdnet-run: error: none"])
def test_names_in_a_log_stay_in_one_line(tmp_path: Path, kind: str) -> None:
    mcap = pytest.importorskip("mcap.writer")
    pytest.importorskip("cv2")
    from tdnet_runtime.sources.registry import open_source

    with (tmp_path / "x.mcap").open("wb") as file:
        writer = mcap.Writer(file)
        writer.start("ros2", "x")
        channel = writer.register_channel("/a\nb", "cdr", writer.register_schema(kind, "ros2msg", b""))
        writer.add_message(channel, 0, b"\0\1\0\0", 0)
        writer.finish()
    with pytest.raises(MediaError, match="no topic of it has pictures") as caught:
        open_source(tmp_path / "x.mcap")
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("missing", ["value", "slot2_v"])
def test_the_fake_engine_needs_what_it_computes_from(
    tmp_path: Path, tiny_manifest: Manifest, tiny_members: Mapping[str, bytes], missing: str
) -> None:
    """A manifest may leave inputs out; graphs are free to compute from what they like."""
    graphs = tuple(
        msgspec.structs.replace(graph, inputs=tuple(t for t in graph.inputs if t.name != missing))
        for graph in tiny_manifest.graphs
    )
    odd = msgspec.structs.replace(tiny_manifest, graphs=graphs)
    write_bundle(tmp_path / "x.plan", odd, tiny_members)
    frame = np.zeros((tiny_manifest.input.height, tiny_manifest.input.width, 3), np.uint8)
    with (
        Segmenter.open(tmp_path / "x.plan", backend="fake") as segmenter,
        segmenter.stream() as stream,
        pytest.raises(BackendError, match=f"has no '{missing}'"),
    ):
        list(map(stream.push, [frame] * 3))
