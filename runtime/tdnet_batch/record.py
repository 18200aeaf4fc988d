"""What is known of one input's outputs: a row of the manifest, and the same beside the outputs."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from tdnet_batch.settings import Settings
from tdnet_runtime.errors import MediaError
from tdnet_runtime.media.frames import reason
from tdnet_runtime.media.png import is_marked_png

__all__ = [
    "RECORD_FILE",
    "ClassCount",
    "Joints",
    "OutputFiles",
    "Record",
    "decode_record",
    "encode_record",
    "files_in",
    "foreign_in",
    "form_of",
    "is_half",
    "put_record",
    "read_record",
]

RECORD_FILE = "record.json"
"""In the folder of one input's outputs."""

_SCHEMA = 1
_BEGIN = b'{"input":'  # of each row
_FILES = frozenset({"labels.npz", "labels.mkv", "labels.mcap", "after.npz"})  # beside PNGs
_PNG_BEGIN, _PNG_END = b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82"


class _Form(msgspec.Struct):
    """Of a row of whatever version."""

    tdnet_batch: int


class ClassCount(msgspec.Struct, frozen=True, kw_only=True):
    """Of one class in all frames of an input: its pixels, and the frames that have any."""

    pixels: int
    frames: int


class OutputFiles(msgspec.Struct, frozen=True, kw_only=True):
    """The files of an output, but for the record and what others put there: number and bytes, by which a loss shows."""

    count: int
    bytes: int


class Joints(msgspec.Struct, frozen=True, kw_only=True):
    """What cutting an input has cost.

    Attributes:
        pieces: that it was cut into.
        warm_up_frames: that were segmented a second time, before each piece but the first.
        compared_frames: after the joints, segmented by the piece before as well.
        equal_pixels: share (0 to 1) of their pixels with the same label; None without a joint.
    """

    pieces: int
    warm_up_frames: int
    compared_frames: int
    equal_pixels: float | None


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One input.

    Attributes:
        tdnet_batch: version of this form.
        input: as `BatchInput.shown`.
        output: folder of its outputs, below the run's.
        state: `done` or `failed`.
        input_sha256: of the file; of a folder's files, see `digest.py`. None where it could not be read.
        input_key: what a file system of another kind says of it, by which a change is noticed without fetching it.
        bundle: digest of the bundle's members, as `tdnet-inspect` shows it.
        settings: see `Settings`.
        backend: that ran; `precision` likewise. Empty where none did.
        frames: with labels; `damaged` were left out, or used as they were.
        seconds: from opening the input to its finished outputs, without the queue.
        worker: host and process.
        attempts: 1 but where workers were lost.
        error: why it failed.
        warning: what its reader warns of.
        classes: by name.
        files: of the output.
        warm_up_frames: of a piece; see `Joints`.
        joints: None where it was not cut.
        version: of tdnet-deploy.
        finished_at: UTC.
    """

    input: str
    output: str
    state: str
    bundle: str
    settings: Settings
    worker: str
    version: str
    finished_at: str
    tdnet_batch: int = _SCHEMA
    input_sha256: str | None = None
    input_key: str | None = None
    backend: str = ""
    precision: str = ""
    frames: int = 0
    damaged: int = 0
    seconds: float = 0.0
    attempts: int = 1
    error: str | None = None
    warning: str | None = None
    classes: dict[str, ClassCount] = {}
    files: OutputFiles | None = None
    warm_up_frames: int = 0
    joints: Joints | None = None

    @property
    def done(self) -> bool:
        """Its outputs are whole."""
        return self.state == "done"


def encode_record(record: Record) -> bytes:
    """One line of JSON, with its end."""
    return msgspec.json.encode(record) + b"\n"


def decode_record(line: bytes) -> Record | None:
    """What a line holds; None where it is no record of this form."""
    try:
        record = msgspec.json.decode(line, type=Record)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return record if record.tdnet_batch == _SCHEMA else None


def form_of(line: bytes) -> int | None:
    """The form of a row that another version wrote; None for anything else."""
    try:
        form = msgspec.json.decode(line, type=_Form).tdnet_batch
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return None if form == _SCHEMA else form


def is_half(content: bytes) -> bool:
    """It is the begin of one row, without its end."""
    if b"\n" in content or not content.startswith(_BEGIN[: len(content)]):
        return False
    try:
        msgspec.json.decode(content)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return True
    except RecursionError:
        pass
    return False


def read_record(folder: Path) -> Record | None:
    """That of the outputs in a folder; None where there is none, or files of theirs are missing or cut short."""
    try:
        record = decode_record((folder / RECORD_FILE).read_bytes())
        whole = record is not None and (
            record.files == files_in(folder) or record.files == files_in(folder, exact=True)
        )
    except OSError:
        return None
    return record if whole else None


def put_record(folder: Path, record: Record) -> Record:
    """Put the record beside the files that it is of; gives it with these.

    Raises:
        MediaError: it cannot be written.
    """
    try:
        record = msgspec.structs.replace(record, files=files_in(folder))
        (folder / RECORD_FILE).write_bytes(encode_record(record))
    except OSError as error:
        raise MediaError(f"writing labels: {reason(error)}: '{folder}'") from error
    return record


def files_in(folder: Path, *, exact: bool = False) -> OutputFiles:
    """What is in a folder of outputs, beside the record, by the names; `exact`: without PNGs of other programs.

    Raises:
        OSError: it cannot be read.
    """
    with os.scandir(folder) as entries:
        own = [
            entry for entry in entries if _is_named(entry) and not (exact and _is_others(Path(entry.path)))
        ]
    sizes = [entry.stat().st_size for entry in own]
    return OutputFiles(count=len(sizes), bytes=sum(sizes))


def foreign_in(folder: Path) -> list[str]:
    """Names of what is in a folder of outputs and was put there by others: by users, by a desktop.

    Raises:
        OSError: it cannot be read.
    """
    with os.scandir(folder) as entries:
        return sorted(
            entry.name
            for entry in entries
            if entry.name != RECORD_FILE and (not _is_named(entry) or _is_others(Path(entry.path)))
        )


def _is_named(entry: os.DirEntry[str]) -> bool:
    """So outputs are called."""
    return (entry.name in _FILES or entry.name.endswith(".png")) and entry.is_file(follow_symlinks=False)


def _is_others(path: Path) -> bool:
    """A whole PNG that no run wrote, or no PNG at all; one of a run may be cut short, or empty after a power cut."""
    if path.suffix != ".png" or is_marked_png(path):
        return False
    data = path.read_bytes()
    return bool(data.strip(b"\0")) and (data.endswith(_PNG_END) or not data.startswith(_PNG_BEGIN))
