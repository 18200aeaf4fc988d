import errno
import os

import pytest

from tdnet_batch.manifest import Manifest
from tdnet_batch.record import Record
from tdnet_batch.settings import Settings
from tdnet_runtime.errors import MediaError


def test_a_disk_that_tells_when_the_file_is_closed(tmp_path, monkeypatch):
    """As network file systems do."""
    manifest = Manifest(tmp_path / "manifest.jsonl")
    file = manifest._file

    class Late:
        closed = False

        def close(self):
            file.close()
            raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    monkeypatch.setattr(manifest, "_file", Late())
    with pytest.raises(MediaError, match="the manifest cannot be read or written: Disk quota exceeded"):
        manifest.close()


ROW = b'{"input":"a","output":"a.labels","state":"done","tdnet_batch":1'


@pytest.mark.parametrize(
    "content",
    [
        b'{"a": 1}\n',
        b'{"a": 1}',
        b'{"a": 1',
        b'{"input": 1}',
        b'{"input": 1\n',
        b'{"input":"a"}\n{"input":"b',
        b"[",
        b'{"input":"a","tdnet_batch":2,"more":{}}\n',
    ],
)
def test_what_is_not_its_own_is_refused_and_stays(tmp_path, content):
    path = tmp_path / "manifest.jsonl"
    path.write_bytes(content)
    with pytest.raises(MediaError, match="name another --output"):
        Manifest(path)
    assert path.read_bytes() == content


@pytest.mark.parametrize("cut", [1, 3, 9, 30, len(ROW)])
def test_half_of_a_first_row_is_dropped(tmp_path, cut):
    path = tmp_path / "manifest.jsonl"
    path.write_bytes(ROW[:cut])
    Manifest(path).close()
    assert path.read_bytes() == b""


def test_a_newer_row_beside_known_ones_is_refused(tmp_path):
    path = tmp_path / "manifest.jsonl"
    with Manifest(path) as manifest:
        manifest.add(record("a"))
    content = path.read_bytes() + path.read_bytes().replace(b'"tdnet_batch":1', b'"tdnet_batch":2')
    path.write_bytes(content)
    with pytest.raises(MediaError, match="a row is of form 2, which another version of tdnet-batch writes"):
        Manifest(path)
    assert path.read_bytes() == content


def test_a_row_that_cannot_be_written_spoils_no_other(tmp_path):
    path = tmp_path / "manifest.jsonl"
    with Manifest(path) as manifest:
        manifest.add(record("a"))
        with pytest.raises(UnicodeEncodeError):
            manifest.add(record("\udce9"))
    assert path.read_bytes().count(b"\n") == 1


def record(output):
    return Record(
        input="a",
        output=output,
        state="failed",
        bundle="",
        settings=Settings(),
        worker="",
        version="",
        finished_at="",
    )
