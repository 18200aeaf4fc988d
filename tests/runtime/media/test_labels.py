import resource
import subprocess
import sys

import cv2
import numpy as np
import pytest

from tdnet_runtime.errors import MediaError
from tdnet_runtime.media.sinks import LabelWriter

FILL = """
import resource, signal, sys
import numpy as np
from pathlib import Path
from tdnet_runtime.errors import MediaError
from tdnet_runtime.media.frames import SourceFrame
from tdnet_runtime.media.sinks import LabelWriter

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
rng = np.random.default_rng(0)
image = np.zeros((64, 64, 3), np.uint8)
with LabelWriter(Path(sys.argv[1])) as writer:
    writer.write(SourceFrame(image=image, name="small", stamp_ns=0), np.zeros((64, 64), np.uint8))
    try:
        noise = rng.integers(0, 19, (64, 64), dtype=np.uint8)
        writer.write(SourceFrame(image=image, name="large", stamp_ns=0), noise)
    except MediaError as error:
        print(error)
"""


def test_class_indices_in_grey(tmp_path, source_frame, draw):
    labels = np.arange(36 * 52, dtype=np.uint32).reshape(36, 52).astype(np.uint8)
    folder = tmp_path / "made" / "on demand"
    with LabelWriter(folder) as writer:
        assert not folder.parent.exists()
        writer.write(source_frame(draw(0), name="frame_7"), labels)
        writer.write(source_frame(draw(1), name="frame_7"), labels)  # replaces
    assert [path.name for path in folder.iterdir()] == ["frame_7.png"]
    written = cv2.imread(str(folder / "frame_7.png"), cv2.IMREAD_UNCHANGED)
    assert written.dtype == np.uint8
    assert np.array_equal(written, labels)


def test_a_full_disk_leaves_whole_files_only(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", FILL, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert "writing label images stopped after 1, which are whole: File too large: " in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["small.png"]
    assert cv2.imread(str(tmp_path / "small.png"), cv2.IMREAD_UNCHANGED).shape == (64, 64)
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 2000  # only in the child


@pytest.mark.parametrize("below", ["", "sub", "sub/sub"])
def test_a_file_where_the_folder_should_be(tmp_path, below):
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(MediaError, match=r"writing label images to '.*': not a folder: '.*/taken'"):
        LabelWriter(tmp_path / "taken" / below)


def test_no_right_to_write(tmp_path, monkeypatch):
    monkeypatch.setattr("os.access", lambda path, mode: False)  # root may write everywhere
    with pytest.raises(MediaError, match=r"writing label images to '.*/out': no right to write in"):
        LabelWriter(tmp_path / "out")
