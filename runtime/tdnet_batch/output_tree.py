"""The folder of a run's outputs: one run at a time, each output whole or not at all."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tdnet_batch.record import foreign_in
from tdnet_runtime.closeable import Closeable
from tdnet_runtime.errors import MediaError
from tdnet_runtime.media.frames import reason
from tdnet_runtime.media.output_folder import check_folder

__all__ = ["OutputLock", "OutputTree"]

_OWN = ".tdnet-batch"
_FENCE_LIMIT_S = 60.0
_LOOK_S = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputTree:
    """Where workers put outputs, and by which right; sent to them.

    Attributes:
        root: absolute.
        run: the one that has the folder. Workers of an earlier one, which live on for a moment after their driver was
            killed, have lost the right to put anything there.
    """

    root: Path
    run: str

    @property
    def own(self) -> Path:
        """What is not for users: locks, and outputs that are not whole yet."""
        return self.root / _OWN

    def at(self, output: str) -> Path:
        """Of one output."""
        return self.root / output

    def piece(self, output: str, number: int) -> str:
        """Name of the output of one piece of a cut input, in the order of the pieces."""
        return f"{_OWN}/pieces/{output}/{number:06d}"

    def pieces(self, output: str) -> Path:
        """The folder of them all."""
        return self.own / "pieces" / output

    @contextlib.contextmanager
    def partial(self, output: str) -> Iterator[Path]:
        """A new folder, which takes the name of `output` when the block ends well; whatever has it makes way.

        Raises:
            MediaError: it cannot be made, the run has ended or lost the folder to another one, or files that no run wrote
                would be lost.
        """
        folder = self.own / "partial" / f"{self.run}-{secrets.token_hex(6)}"
        try:
            self._require_own(self.at(output))
            folder.mkdir(parents=True)
        except OSError as error:
            raise self._failure(output, error) from error
        try:
            yield folder
            try:
                with self._right_to_publish():
                    self._publish(folder, self.at(output))
            except OSError as error:
                raise self._failure(output, error) from error
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def replace(self, output: str, name: str, content: bytes) -> None:
        """Another content for one file of an output, whole or not at all.

        Raises:
            MediaError: it cannot be written, or the run has ended or lost the folder to another one.
        """
        file = self.own / "partial" / f"{self.run}-{secrets.token_hex(6)}"
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
            with self._right_to_publish():
                file.rename(self.at(output) / name)
        except OSError as error:
            raise self._failure(output, error) from error

    def _publish(self, folder: Path, place: Path) -> None:
        place.parent.mkdir(parents=True, exist_ok=True)
        if os.path.lexists(place):
            if place.is_symlink() or not place.is_dir():
                raise MediaError(f"writing labels: a file has the name of their folder: '{place}'")
            self._require_own(place)
            place.rename(folder.with_name(f"{folder.name}-before"))
        folder.rename(place)
        shutil.rmtree(folder.with_name(f"{folder.name}-before"), ignore_errors=True)

    def _require_own(self, place: Path) -> None:
        """Nobody else's files are in what is to make way."""
        foreign = foreign_in(place) if place.is_dir() and not place.is_symlink() else []
        if foreign:
            raise MediaError(
                f"writing labels: they are to be made again, and {len(foreign)} files that no run wrote would be lost, "
                f"{foreign[0]!r} for one; move them, or name another --output: '{place}'"
            )

    @contextlib.contextmanager
    def _right_to_publish(self) -> Iterator[None]:
        with _locked(self.own / "fence", fcntl.LOCK_SH):
            if (self.own / "run").read_text(encoding="utf-8") != self.run:
                raise MediaError(f"writing labels: another run has the folder now: '{self.root}'")
            yield

    def _failure(self, output: str, error: OSError) -> MediaError:
        return MediaError(f"writing labels: {reason(error)}: '{self.at(output)}'")


class OutputLock(Closeable):
    """The driver's hold on a folder of outputs; a context manager.

    Args:
        root: may not exist yet.

    Attributes:
        tree: for the workers.

    Raises:
        MediaError: it cannot be written to, or another run has it.
    """

    def __init__(self, root: Path) -> None:
        check_folder(root, purpose="labels")
        self.tree = OutputTree(root=root.absolute(), run=secrets.token_hex(8))
        own = self.tree.own
        try:
            own.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(own / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise MediaError(f"writing labels to '{root}': {reason(error)}") from error
        try:
            if not _try_lock(self._lock, fcntl.LOCK_EX):
                raise MediaError(
                    f"writing labels to '{root}': another run is writing there; name another folder"
                )
            self._take_over(root)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let other runs have the folder; workers that live on lose it, and what they have begun. Safe to call twice."""
        if self._lock is not None:
            with contextlib.suppress(OSError):
                if (self.tree.own / "run").read_text(encoding="utf-8") == self.tree.run:
                    (self.tree.own / "run").write_text("", encoding="utf-8")
                    shutil.rmtree(self.tree.own / "partial", ignore_errors=True)
            os.close(self._lock)
            self._lock = None

    _lock: int | None

    def _take_over(self, root: Path) -> None:
        """Wait until no worker of an earlier run puts anything there, and see to it that none does again."""
        try:
            with _locked(self.tree.own / "fence", fcntl.LOCK_EX):
                (self.tree.own / "run").write_text(self.tree.run, encoding="utf-8")
            shutil.rmtree(self.tree.own / "partial", ignore_errors=True)
        except OSError as error:
            raise MediaError(f"writing labels to '{root}': {reason(error)}") from error


@contextlib.contextmanager
def _locked(path: Path, kind: int) -> Iterator[None]:
    """Hold a lock on a file, which is made if need be.

    Raises:
        OSError: it cannot be opened, or others do not let go of it.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        end = time.monotonic() + _FENCE_LIMIT_S
        while not _try_lock(descriptor, kind):
            if time.monotonic() > end:
                raise OSError(f"another process holds the lock '{path}'")
            time.sleep(_LOOK_S)
        yield
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int, kind: int) -> bool:
    """True where it is held now, or the file system has no locks."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True
