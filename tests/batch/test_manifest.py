import errno
import os

import pytest

from tdnet_batch.manifest import Manifest
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
