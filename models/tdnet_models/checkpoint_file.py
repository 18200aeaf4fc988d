"""What is in a checkpoint file: data of PyTorch's or safetensors' format, or a diagnosis of what the file is instead."""

from __future__ import annotations

import pickle
import pickletools
import re
import shlex
import warnings
import zipfile
from pathlib import Path
from typing import IO, Any

import torch

from tdnet_models.file_formats import FORMATS
from tdnet_models.provenance import shown
from tdnet_models.safetensors_file import is_safetensors, read_safetensors
from tdnet_runtime.errors import CheckpointError

__all__ = ["Ignored", "read_checkpoint"]

_SAVE = "save the weights alone where it was trained: torch.save(model.state_dict(), 'weights.pth')"
_LEGACY = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # a number that torch.save wrote first before PyTorch 1.6
_NEWEST_PROTOCOL = 3  # of pickle, that PyTorch's safe reader takes (2.13); torch.save writes 2
_BLOCK = 1 << 20
_CONTAINERS = re.compile(r"(builtins|__builtin__|collections|types|numpy)\.")
_AGAIN = "copy or download it again"


class Ignored:
    """An object of a class that is not needed here; nothing of it is kept."""

    def __init__(self, *_: object) -> None: ...

    def __setstate__(self, state: object) -> None: ...


def _stand_in(module: str, name: str) -> type:
    """A class that PyTorch's unpickler takes for `module.name`, and that keeps nothing of what it is given."""
    return type(name, (Ignored,), {"__module__": module, "__qualname__": name})


# Training keeps such objects beside the weights: TDNet's saves `best_iou` as a NumPy scalar, others their arguments.
# `weights_only` refuses them; they are not needed here, so none is made. NumPy 2 and Python 3.13 have moved modules.
_HARMLESS: list[Any] = [
    _stand_in(module, name)
    for modules, names in (
        (("numpy",), ("dtype", "ndarray")),
        (("numpy.core.multiarray", "numpy._core.multiarray"), ("scalar", "_reconstruct")),
        (("argparse",), ("Namespace",)),
        (("pathlib", "pathlib._local"), ("PosixPath", "PurePosixPath", "WindowsPath")),
        (("datetime",), ("datetime", "timedelta")),
    )
    for module in modules
    for name in names
]


def read_checkpoint(path: Path) -> object:
    """The data in the file; nothing in it is run (`weights_only=True`), and tensors are on the CPU.

    Raises:
        CheckpointError: it cannot be read, or is no checkpoint: what it is instead, and what to do.
    """
    try:
        if path.is_dir():
            raise _error(path, *_folder(path))
        if path.exists() and not path.is_file():
            raise _error(path, "it is no file of the disk (a pipe or device)", "name a file")
        with path.open("rb") as file:
            head = file.read(512)
            file.seek(0)
            if is_safetensors(head):
                return read_safetensors(path)
            _require_pytorch(path, head, file)
    except OSError as error:
        raise CheckpointError(
            f"cannot read the checkpoint {str(path)!r}: {error.strerror or error}"
        ) from error
    try:
        if head.startswith(b"PK"):
            _require_check_sums(path)
        with torch.serialization.safe_globals(_HARMLESS), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what is refused here in other words, or harmless
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        culprit = re.search(r"GLOBAL (\S+)", str(error))
        if culprit is None:
            raise _damaged(path, error) from error
        raise CheckpointError(
            f"the checkpoint {str(path)!r} is not weights alone: it {_holds(path, culprit[1])}, and code from a file "
            f"is not run; {_SAVE}"
        ) from error
    except Exception as error:  # damaged files raise whatever the parser stumbles on
        raise _damaged(path, error) from error


def _error(path: Path, found: str, fix: str) -> CheckpointError:
    return CheckpointError(f"cannot read the checkpoint {str(path)!r}: {found}; {fix}")


def _damaged(path: Path, error: Exception) -> CheckpointError:
    return _error(
        path,
        f"it is damaged or not a PyTorch file ({type(error).__name__})",
        f"expected what torch.save writes; {_AGAIN}",
    )


def _folder(path: Path) -> tuple[str, str]:
    """What a folder is, and what to do."""
    names = sorted(entry.name for entry in path.iterdir())
    if ".metadata" in names:
        return (
            "Is a directory: a distributed checkpoint",
            "make one file of it: python -m torch.distributed.checkpoint.format_utils dcp_to_torch "
            f"{shlex.quote(str(path))} weights.pth",
        )
    if "data.pkl" in names:
        return "Is a directory: a PyTorch file that was unpacked", "take the packed file"
    files = [name for name in names if re.search(r"\.(pth|pt|pkl|ckpt|tar|bin|safetensors)$", name)]
    return "Is a directory", f"name a file{f' in it, for instance {str(path / files[0])!r}' if files else ''}"


def _require_pytorch(path: Path, head: bytes, file: IO[bytes]) -> None:
    """Raise CheckpointError where the file is something else than a checkpoint that PyTorch's safe reader takes."""
    if not head:
        raise _error(path, "it is empty (0 bytes)", _AGAIN)
    if head.startswith(b"PK"):
        _require_pytorch_zip(path, file)
    elif head[:1] == b"\x80" and len(head) > 2:
        if _LEGACY not in head[:64]:
            raise _error(path, "it is a plain pickle, not a PyTorch file", _SAVE)
        _require_protocol(path, head[:2])
    else:
        for pattern, what, fix in FORMATS:
            if pattern.match(head):
                raise _error(path, f"it is {what}", fix)


def _require_pytorch_zip(path: Path, file: IO[bytes]) -> None:
    try:
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
            inner = {member.filename.partition("/")[2]: member for member in archive.infolist()}
            start = _opened(archive, inner["data.pkl"]).read(2) if "data.pkl" in inner else b""
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError, OSError) as error:
        raise _damaged(path, error) from error
    if "constants.pkl" in inner:
        fix = "torch.save(torch.jit.load(PATH).state_dict(), 'weights.pth') makes weights of it"
        raise _error(path, "it is a TorchScript archive: a program, not weights alone", fix)
    if "manifest.json" in names:
        fix = "run it with tdnet-run --engine, or name the checkpoint that it was made from"
        raise _error(path, "it is a bundle of this toolkit, already exported", fix)
    if start:
        _require_protocol(path, start)
        return
    if any("serialized_exported_program" in name or "/models/" in name for name in names):
        raise _error(path, "it is a program of torch.export, not weights alone", _SAVE)
    if names and all(name.endswith(".npy") for name in names):
        raise _error(path, "it holds NumPy arrays (.npz)", _SAVE)
    inside = shown(names) or "nothing"
    raise _error(path, f"it is a zip archive that PyTorch did not write; in it: {inside}", "unpack it first")


def _require_check_sums(path: Path) -> None:
    """Raise BadZipFile where bytes have changed since the file was written; torch.load (2.13) takes them."""
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            with _opened(archive, member) as data:
                while data.read(_BLOCK):
                    pass


def _opened(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> IO[bytes]:
    """A member that is checked as it is read, unless PyTorch was told to count no check sums: it writes 0 then."""
    if member.CRC == 0:
        del member.CRC
    return archive.open(member)


def _require_protocol(path: Path, start: bytes) -> None:
    """A pickle begins with the byte 128 and the number of its protocol."""
    if start[0] == 0x80 and start[1] > _NEWEST_PROTOCOL:
        raise _error(
            path,
            f"it was saved with pickle protocol {start[1]}, which PyTorch's safe reader does not take",
            f"{_SAVE}, without pickle_protocol",
        )


def _holds(path: Path, culprit: str) -> str:
    """How a class that is not taken sits in the file."""
    if not _CONTAINERS.match(culprit) and _class_of_all(path) == culprit:
        return f"holds {shown([repr(culprit)])}, a whole network pickled with its class"
    return f"holds {shown([repr(culprit)])} among its entries"


def _class_of_all(path: Path) -> str | None:
    """`module.name` where the file's object is one of a class; opcodes are read, nothing is made of them."""
    try:
        with path.open("rb") as file:
            if file.read(2) == b"PK":
                with zipfile.ZipFile(file) as archive:
                    member = next(m for m in archive.infolist() if m.filename.endswith("/data.pkl"))
                    return _first_class(_opened(archive, member))
            file.seek(0)
            for _ in range(3):  # a number, the version and the system come before the object
                list(pickletools.genops(file))
            return _first_class(file)
    except Exception:  # whatever parsers stumble on: the message does without it
        return None


def _first_class(file: IO[bytes]) -> str | None:
    for operation, argument, _ in pickletools.genops(file):
        if operation.name == "GLOBAL":
            return str(argument).replace(" ", ".")
        if operation.name in ("EMPTY_DICT", "EMPTY_LIST"):
            return None
    return None
