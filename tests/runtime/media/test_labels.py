import resource
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from tdnet_runtime.errors import MediaError
from tdnet_runtime.media.output_folder import OutputFolder
from tdnet_runtime.media.png import encoded_png
from tdnet_runtime.media.sinks import LabelWriter

PNG = encoded_png(np.zeros((2, 2), np.uint8))
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


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_run_that_was_refused_writes_none_of_its_later_files(tmp_path):
    """It was refused one file, and wrote all that came after into the other run's folder."""
    first, second = (OutputFolder(tmp_path, purpose="x", overwrite=True) for _ in range(2))
    with first, second:
        first.put("a0.png", PNG)
        for name in ("b0.png", "b1.png", "b2.png"):
            with pytest.raises(MediaError, match="another run is writing there; name another folder"):
                second.put(name, PNG)
        first.put("a1.png", PNG)
    assert names(tmp_path) == ["a0.png", "a1.png"]


def test_a_folder_that_another_program_used_meanwhile_takes_no_file(tmp_path):
    with OutputFolder(tmp_path, purpose="x") as folder:
        (tmp_path / "theirs.png").write_bytes(b"of another program")
        for name in ("0.png", "1.png"):
            with pytest.raises(MediaError, match="1 PNGs are in it that no tdnet-run of this version wrote"):
                folder.put(name, PNG)
        with OutputFolder(tmp_path / "sub", purpose="x") as other:  # the lock was let go, and others go on
            other.put("0.png", PNG)
        (tmp_path / "theirs.png").unlink()
        folder.put("2.png", PNG)
    assert names(tmp_path) == ["2.png", "sub"]


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), KeyboardInterrupt()])
def test_a_folder_that_could_not_be_cleared_takes_no_file(tmp_path, monkeypatch, error):
    with OutputFolder(tmp_path, purpose="x") as earlier:
        earlier.put("old.png", PNG)
    unlink, errors = Path.unlink, [error]

    def fails_once(path, missing_ok=False):
        if path.name == "old.png" and errors:
            raise errors.pop()
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", fails_once)
    with OutputFolder(tmp_path, purpose="x", overwrite=True) as folder:
        with pytest.raises((MediaError, KeyboardInterrupt)):
            folder.put("0.png", PNG)
        assert names(tmp_path) == ["old.png"]
        folder.put("1.png", PNG)  # clears it before
    assert names(tmp_path) == ["1.png"]


def test_all_files_are_kept_where_that_is_asked_for(tmp_path):
    with OutputFolder(tmp_path, purpose="x", keep_all=True) as folder:
        for name in ("a.png", "b.png", "a.png", "a.png"):
            folder.put(name, PNG)
    assert names(tmp_path) == ["a.png", "a_000000001.png", "a_000000002.png", "b.png"]
