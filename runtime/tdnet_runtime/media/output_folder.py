"""A folder for the PNGs of one run, in which nothing of another one stays."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Sequence
from pathlib import Path

from tdnet_runtime.atomic_file import PARTIAL_SUFFIX
from tdnet_runtime.closeable import Closeable
from tdnet_runtime.errors import MediaError
from tdnet_runtime.media.frames import reason
from tdnet_runtime.media.png import is_marked_png
from tdnet_runtime.os_errors import told_as

__all__ = ["OutputFolder", "check_folder"]

_ENDINGS = (".png", f".png{PARTIAL_SUFFIX}")


class OutputFolder(Closeable):
    """Takes files by name; the folder is made, and cleared of an earlier run's, with the first one.

    PNGs that an earlier run left there are refused or removed; PNGs of other programs are always refused, and
    nothing else is looked at.

    Args:
        folder: may not exist yet.
        sequences: names of folders in it that the files go to; none where they go to itself.
        purpose: of the files, in the plural, for messages.
        overwrite: remove an earlier run's PNGs instead of refusing.
        keep_all: a name that comes again gets a number behind it: `a.png`, `a_000000001.png`.

    Raises:
        MediaError: it is no folder to write to, or holds PNGs that are refused.
    """

    def __init__(
        self,
        folder: Path,
        *,
        sequences: Sequence[str] = (),
        purpose: str,
        overwrite: bool = False,
        keep_all: bool = False,
    ) -> None:
        self.folder = folder
        self._sequences = sequences
        self.written = self._repeats = 0
        self._purpose = purpose
        self._overwrite = overwrite
        self._keep_all = keep_all
        self._lock: int | None = None
        self._closed = False
        check_folder(folder, purpose=purpose)
        self._earlier_files()

    def close(self) -> None:
        """Let other runs write there; nothing comes any more. Safe to call twice."""
        self._closed = True
        self._unlock()

    def _unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def put(self, name: str, data: bytes) -> None:
        """Write one file, which has its name only when it is whole; replaces one of the same name, unless all are kept.

        Raises:
            MediaError: it cannot be written, or the folder is closed; those before are whole.
        """
        if self._closed:
            raise MediaError(
                f"writing {self._purpose} to '{self.folder}': it was finished before and takes no more"
            )
        path = self.folder / name
        try:
            if self._lock is None:
                self._begin()
            path.parent.mkdir(exist_ok=True)
            path = self._free(path) if self._keep_all else path
            partial = path.with_name(path.name + PARTIAL_SUFFIX)
            try:
                # Unlike a bundle not synced to the disk, which would cost more time than the network.
                partial.write_bytes(data)
                partial.replace(path)
            except BaseException:
                with contextlib.suppress(OSError):
                    partial.unlink(missing_ok=True)
                raise
        except OSError as error:
            raise MediaError(
                f"writing {self._purpose} stopped after {self.written}, which are whole: {reason(error)}: '{path}'"
            ) from error
        self.written += 1

    def _begin(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise MediaError(
                    f"writing {self._purpose} to '{self.folder}': another run is writing there; name another folder"
                ) from None
            except OSError:  # a file system without locks
                pass
            for path in self._earlier_files():
                path.unlink(missing_ok=True)
        except BaseException:
            self._unlock()  # or the next file would go to a folder that is not ours
            raise

    def _free(self, path: Path) -> Path:
        """The path, or one beside it where this run wrote that already."""
        free = path
        while free.is_file():
            self._repeats += 1
            free = path.with_name(f"{path.stem}_{self._repeats:09d}{path.suffix}")
        return free

    def _earlier_files(self) -> list[Path]:
        """What an earlier run left and this one may remove.

        Raises:
            MediaError: there are PNGs that it may not remove.
        """
        own = [self.folder, *(self.folder / name for name in self._sequences)]
        try:
            earlier = [path for folder in own for path in _pngs(folder)]
            foreign = [path for path in earlier if path.suffix.lower() == ".png" and not is_marked_png(path)]
            left = [path for path in self._other_sequences() if any(map(is_marked_png, _pngs(path)))]
        except OSError as error:
            raise MediaError(f"writing {self._purpose} to '{self.folder}': {reason(error)}") from error
        refused = f"writing {self._purpose} to '{self.folder}': "
        if foreign:
            raise MediaError(
                f"{refused}{len(foreign)} PNGs are in it that no tdnet-run of this version wrote, "
                f"'{foreign[0].relative_to(self.folder)}' for one; name another folder"
            )
        if left:
            raise MediaError(
                f"{refused}'{left[0].name}' in it is an earlier run's and no sequence of this one; remove it, or "
                "name another folder"
            )
        if earlier and not self._overwrite:
            raise MediaError(
                f"{refused}{len(earlier)} files of an earlier run are in it, which would be mixed with this one's; "
                "--overwrite removes them first, or name another folder"
            )
        return earlier

    def _other_sequences(self) -> list[Path]:
        """Folders beside those that a run over several sequences writes to."""
        if not self._sequences or not self.folder.is_dir():
            return []
        return sorted(
            path for path in self.folder.iterdir() if path.is_dir() and path.name not in self._sequences
        )


def check_folder(folder: Path, *, purpose: str) -> None:
    """Check, as far as can be known beforehand, that files can be made in `folder`, which may not exist yet.

    Raises:
        MediaError: it is not a folder, or may not be written to.
    """
    existing = folder.absolute()
    while not os.path.lexists(existing) and existing != existing.parent:
        existing = existing.parent
    with told_as(MediaError, f"writing {purpose} to '{folder}'"):
        if not existing.is_dir():
            raise MediaError(f"writing {purpose} to '{folder}': not a folder: '{existing}'")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise MediaError(f"writing {purpose} to '{folder}': no right to write in '{existing}'")


def _pngs(folder: Path) -> list[Path]:
    """In a folder that may not exist; those of a run that was killed in mid-file, too."""
    if not folder.is_dir():
        return []
    return [
        path for path in sorted(folder.iterdir()) if path.name.lower().endswith(_ENDINGS) and path.is_file()
    ]
