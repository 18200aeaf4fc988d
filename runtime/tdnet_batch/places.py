"""Where inputs lie: this machine's folders, or a file system of another kind that fsspec reaches."""

from __future__ import annotations

import os
import re
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import fsspec.core

from tdnet_runtime.errors import MissingExtraError, OptionError, TdnetError
from tdnet_runtime.extras import one_line
from tdnet_runtime.media.frames import reason
from tdnet_runtime.passwords import hide_password, without_login

__all__ = ["Place", "file_system", "own_path", "place_of"]

_MAGIC = re.compile(r"[*?\[]")
_OWN = ("file://", "local://")  # as fsspec calls this machine's files


class Place:
    """What one `--input` names, on its file system.

    Args:
        name: a path or an address, with a pattern or without.
        fs: the file system.
        path: `name` as the file system has it.
        remote: it is not this machine's.

    Attributes:
        path: `name` as the file system has it.
        is_file: it is one file, named without a pattern.
    """

    def __init__(self, name: str, fs: Any, path: str, *, remote: bool) -> None:
        self.remote = remote
        self._name, self._fs, self.path = name, fs, path.rstrip("/") or "/"
        self._names: dict[str, list[str]] = {}
        self._form: int | None = None  # of the addresses
        literal = self._there(fs.exists, self.path)
        self._pattern = bool(_MAGIC.search(self.path)) and not literal
        self.is_file = literal and bool(self._there(fs.isfile, self.path))
        if not self._pattern and not literal:
            raise OptionError(f"--input {hide_password(name)!r}: there is nothing of that name")
        if not remote and literal and self._there(_is_special, Path(self.path)):
            raise OptionError(f"--input {name!r}: neither a file nor a folder")
        if self._pattern:
            parts = self.path.split("/")
            first = next(index for index, part in enumerate(parts) if _MAGIC.search(part))
            self._root = "/".join(parts[:first])
        else:
            self._root = self.path

    def listing(self) -> dict[str, int]:
        """Paths of all files that it means, with their sizes in bytes, without hidden ones.

        Raises:
            OptionError: a folder in it cannot be read.
        """
        if self.is_file:
            return {self.path: self._size(self._there(self._fs.info, self.path))}
        if not self._pattern:
            return self._below(self.path)
        found: dict[str, int] = {}
        expanded: list[str] = []
        matches = self._there(self._fs.glob, self.path, detail=True)
        for path, info in sorted(matches.items()):
            path = path.rstrip("/")
            if self._hidden(path) or any(f"{path}/".startswith(f"{folder}/") for folder in expanded):
                continue
            if info["type"] == "directory" or self._there(self._fs.isdir, path):
                found |= self._below(path)
                expanded.append(path)
            else:
                found[path] = self._size(info)
        return found

    def names_in(self, folder: str) -> list[str]:
        """Names of the files in a folder."""
        if folder not in self._names:
            entries = self._there(self._fs.ls, folder or "/", detail=True)
            self._names[folder] = [
                entry["name"].rstrip("/").rpartition("/")[2]
                for entry in entries
                if entry["type"] != "directory"
            ]
        return self._names[folder]

    def relative(self, path: str) -> str:
        """Its name below what was named; a folder that was named itself keeps its own."""
        path, root = (without_login(each) if self.remote else each for each in (path, self._root))
        below = path[len(root) :].strip("/") if path.startswith(root) else path.strip("/")
        return below or path.rstrip("/").rpartition("/")[2] or "root"

    def shown(self, path: str) -> str:
        """For the manifest and messages: below what the user wrote; an address without its password."""
        if self.remote:
            return hide_password(self.address(path))
        return os.path.relpath(path) if not Path(self._name).is_absolute() else path

    def address(self, path: str) -> str:
        """As fsspec takes it: with the host, login or archive that a file system's own paths leave out."""
        plain = str(self._fs.unstrip_protocol(path))
        head, chained, rest = self._name.partition("::")
        scheme, _, tail = head.partition("://")
        host = tail.partition("/")[0]
        if chained and "://" not in rest:
            rest = str(Path(rest).absolute())
        forms = (
            f"{scheme}://{host}/{path.lstrip('/')}",
            f"{scheme}://{host}/{path.partition('/')[2]}",  # whose paths begin with it: a bucket
            f"{plain}{chained}{rest}",
        )
        if self._form is None:  # one serves for all paths
            self._form = next((index for index, form in enumerate(forms) if self._leads_to(form, path)), -1)
        return forms[self._form]

    def is_below(self, path: str, folder: Path) -> bool:
        """It lies in a folder of this machine."""
        return not self.remote and f"{path}/".startswith(f"{folder.absolute()}/")

    def is_linked(self, path: str) -> bool:
        """A link below what was named leads to it."""
        root = self._root.rstrip("/")
        real = os.path.realpath(root) if root else ""
        return not self.remote and os.path.realpath(path) != real + path[len(root) :]

    def text(self, path: str) -> str:
        """What a small file says."""
        return str(self._there(self._fs.cat_file, path).decode(errors="replace"))

    def _leads_to(self, address: str, path: str) -> bool:
        try:
            fs, found = file_system(address)
        except TdnetError:
            return False
        return bool(fs == self._fs) and found.rstrip("/") == path

    def _below(self, folder: str) -> dict[str, int]:
        if self.remote:
            infos = self._there(self._fs.find, folder, detail=True)
            return {path: self._size(info) for path, info in infos.items() if not self._hidden(path)}
        return dict(self._there(list, _files_below(folder)))

    def _hidden(self, path: str) -> bool:
        return any(part.startswith(".") for part in path[len(self._root) :].split("/"))

    def _size(self, info: Any) -> int:
        return int(info.get("size") or 0)

    def _there(self, call: Any, *arguments: Any, **options: Any) -> Any:
        """What the file system answers; whatever it raises as one line."""
        try:
            return call(*arguments, **options)
        except TdnetError:
            raise
        except Exception as error:  # each kind of file system has its own
            raise OptionError(
                f"--input {hide_password(self._name)!r}: {_why(error)}; is it there, and may it be read?"
            ) from error


def _files_below(folder: str) -> Iterator[tuple[str, int]]:
    """Of this machine, links followed, each folder once; unlike fsspec's own search it says what may not be read.

    A folder that a link leads to as well has its own name.
    """
    seen: set[str] = set()
    waiting, linked = [folder], deque[str]()
    while waiting or linked:
        here = waiting.pop() if waiting else linked.popleft()
        real = os.path.realpath(here)
        if real in seen:
            continue
        seen.add(real)
        with os.scandir(here) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                if entry.name.startswith("."):
                    continue
                path = f"{here.rstrip('/')}/{entry.name}"
                if entry.is_dir():
                    (linked if entry.is_symlink() else waiting).append(path)
                else:
                    yield path, entry.stat().st_size if Path(path).exists() else 0


def _is_special(path: Path) -> bool:
    """A pipe, a socket or a device."""
    return path.exists() and not path.is_file() and not path.is_dir()


def own_path(name: str) -> str | None:
    """The path on this machine that an input names; None where it is an address of another file system."""
    if os.path.lexists(name):
        return name
    scheme = next((each for each in _OWN if name.startswith(each)), "")
    return name[len(scheme) :] if scheme or "://" not in name else None


def place_of(name: str) -> Place:
    """Where `name` leads.

    Raises:
        OptionError: nowhere, or to something that is no file.
        MissingExtraError: a package is missing for such addresses.
    """
    own = own_path(name)
    if own is not None:
        if not own.strip():
            raise OptionError(f"--input {name!r} names nothing; is a variable unset?")
        return Place(own, fsspec.filesystem("file"), _absolute(own), remote=False)
    fs, path = file_system(name)
    return Place(name, fs, path, remote=True)


def _absolute(name: str) -> str:
    """Without `..`, which names no folder of outputs; a link at its end stays."""
    path = Path(name).absolute()
    if ".." not in path.parts:
        return str(path)
    if path.name == "..":
        return os.path.realpath(path)
    return f"{os.path.realpath(path.parent).rstrip('/')}/{path.name}"


def file_system(address: str) -> tuple[Any, str]:
    """The file system of an address, and the path on it.

    Raises:
        OptionError: fsspec does not know such addresses, or the file system refuses.
        MissingExtraError: it needs a package that is not installed.
    """
    shown = hide_password(address)
    scheme = address.partition("://")[0]
    if scheme in ("rtsp", "rtsps", "udp", "ros2", "camera"):
        raise OptionError(
            f"--input {shown!r}: cameras and topics have no end; tdnet-run segments them, tdnet-batch files"
        )
    try:
        fs, path = fsspec.core.url_to_fs(address)
    except ImportError as error:
        raise MissingExtraError(
            f"--input {shown!r}: fsspec needs another package for {scheme}://: {_why(error)}"
        ) from error
    except ValueError as error:
        raise OptionError(
            f"--input {shown!r}: addresses of the kind {scheme}:// are not known to fsspec {fsspec.__version__}"
        ) from error
    except Exception as error:
        raise OptionError(f"--input {shown!r}: {_why(error)}") from error
    return fs, str(path)


def _why(error: Exception) -> str:
    text = one_line(reason(error)) if isinstance(error, OSError) else one_line(f"{error}")
    return hide_password(text) or type(error).__name__
