"""Finding inputs: whatever a user names becomes a list of videos, each whole."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from tdnet_batch.output_names import OUTPUT_SUFFIX, name_as_written, output_name, split_topic
from tdnet_batch.places import Place, own_path, place_of
from tdnet_batch.record import RECORD_FILE
from tdnet_runtime.errors import OptionError
from tdnet_runtime.file_names import as_utf8
from tdnet_runtime.media.frames import reason
from tdnet_runtime.media.images import IMAGE_SUFFIXES, natural_key
from tdnet_runtime.os_errors import told_as
from tdnet_runtime.passwords import hide_password
from tdnet_runtime.sources.log_folder import METADATA, describes_log, has_images, is_described

__all__ = ["BatchInput", "Found", "find_inputs"]

# fmt: off
_VIDEOS = frozenset({
    ".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".m2ts", ".mts", ".wmv", ".flv", ".ogv",
    ".3gp", ".264", ".h264", ".265", ".h265", ".hevc", ".ivf", ".mjpg", ".mjpeg", ".y4m",
})
# fmt: on
_LOGS = frozenset({".mcap", ".db3"})
_OTHER_LOGS = (".bag", ".mcap.zstd", ".db3.zstd", ".mcap.lz4")  # opening them says what to do
_LIST_MARK = "@"


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchInput:
    """One video, log or folder of images.

    Attributes:
        shown: as the manifest names it: as the user wrote it, or below what the user wrote; without a password, and
            UTF-8, as `output`.
        path: absolute, or the address of a file system that fsspec knows.
        topic: of a log; empty where it was not named.
        output: name of its folder of outputs, below the run's; another for each topic.
        size_bytes: of its files, for the time left.
        remote: `path` is an address: the worker fetches it.
    """

    shown: str
    path: str
    topic: str
    output: str
    size_bytes: int
    remote: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What there is to do, sorted by name, and how many files were passed over as no videos."""

    inputs: tuple[BatchInput, ...]
    passed_over: int


def find_inputs(specs: Iterable[str], *, output: Path) -> Found:
    """Each video, log and folder of images that `specs` name, once.

    Args:
        specs: a file, a folder (with all in it), a pattern (`logs/**/*.mp4`; `**` is any depth), an address of a file
            system that fsspec knows (`s3://bucket/drives/**`), or `@FILE` with one of these on each line. `?topic=/NAME`
            behind a log or a pattern of logs names its topic.
        output: the run's folder, which is never an input.

    Raises:
        OptionError: one of them leads to nothing, or two inputs would have the same output.
        MissingExtraError: a file system's package is not installed.
    """
    by_output: dict[str, BatchInput] = {}
    known: set[tuple[str, str]] = set()
    passed_over: set[str] = set()
    for spec in _specs(specs):
        before = len(known)
        others: set[str] = set()
        for each in _of_spec(spec, output=output, others=others):
            key = (each.path if each.remote else os.path.realpath(each.path), each.topic)
            if key in known:
                before = -1
                continue
            known.add(key)
            other = by_output.setdefault(each.output, each)
            if other is not each:
                raise OptionError(
                    f"--input: {other.shown!r} and {each.shown!r} would both write to {each.output!r}; "
                    + ("" if other.path == each.path else "name the folder that has both in it, or ")
                    + "run them one after the other, with an --output each"
                )
        if len(known) == before:
            raise OptionError(
                f"--input {hide_password(spec)!r}: no video, log or folder of images is there"
                + (f", only {len(others)} other files" if others else "")
                + f"; videos end in .mp4, .mkv and their like, logs in {', '.join(sorted(_LOGS))}"
            )
        passed_over |= others
    inputs = sorted(by_output.values(), key=lambda each: natural_key(each.output))
    return Found(inputs=tuple(inputs), passed_over=len(passed_over))


def _specs(specs: Iterable[str]) -> Iterator[str]:
    """Those of list files in place of their names."""
    for spec in specs:
        if not spec.startswith(_LIST_MARK):
            yield spec
            continue
        path = Path(spec[len(_LIST_MARK) :])
        try:
            text = path.read_text(encoding="utf-8-sig", errors="surrogateescape")
        except (OSError, ValueError) as error:
            raise OptionError(f"--input {spec!r}: reading the list: {reason(error)}: '{path}'") from error
        if "\0" in text:
            raise OptionError(f"--input {spec!r}: reading the list: it is no text in UTF-8: '{path}'")
        lines = text.splitlines()
        listed = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
        if not listed:
            raise OptionError(
                f"--input {spec!r}: the list names nothing; put one input on each line: '{path}'"
            )
        nested = next((line for line in listed if line.startswith(_LIST_MARK)), None)
        if nested is not None:
            raise OptionError(f"--input {spec!r}: a list names no lists: {hide_password(nested)!r}")
        yield from listed


def _of_spec(spec: str, *, output: Path, others: set[str]) -> Iterator[BatchInput]:
    name, named_topic = split_topic(spec)
    topic = named_topic or ""
    if named_topic is not None and not topic.strip("/ "):
        raise OptionError(f"--input {hide_password(spec)!r}: the parameter 'topic' is empty; give it a value")
    name = own_path(name) or name
    place = place_of(name)
    if place.is_file and _is_part(place):  # the whole recording is meant
        name = name.rpartition("/")[0] or "."
        place = place_of(name)
        yield _input(
            place,
            place.path,
            name_as_written(name, remote=place.remote) or place.relative(place.path),
            topic,
            place.listing(),
        )
        return
    listing = place.listing()
    if place.is_file and _suffix(place.path) not in IMAGE_SUFFIXES:
        yield _input(place, place.path, name_as_written(name, remote=place.remote), topic, listing)
        return
    kept = {path: size for path, size in listing.items() if not place.is_below(path, output)}
    grouped = sorted(_grouped(kept, place, others), key=lambda each: (place.is_linked(each[0]), each[0]))
    for path, files in grouped:
        yield _input(place, path, place.relative(path), topic, files)


def _grouped(
    listing: Mapping[str, int], place: Place, others: set[str]
) -> Iterator[tuple[str, dict[str, int]]]:
    """Inputs by their paths, with the files that belong to them."""
    folders: dict[str, dict[str, int]] = {}
    for path, size in listing.items():
        folder, _, name = path.rpartition("/")
        folders.setdefault(folder, {})[name] = size
    outputs = [
        folder for folder, files in folders.items() if folder.endswith(OUTPUT_SUFFIX) and RECORD_FILE in files
    ]
    for folder, files in folders.items():
        if any(f"{folder}/".startswith(f"{done}/") for done in outputs):
            continue  # an earlier run's
        if _is_recording(folder, place):
            yield folder, files
            continue
        images = {name for name in files if _suffix(name) in IMAGE_SUFFIXES}
        if images:
            there = {
                name for name in place.names_in(folder) if _suffix(name) in IMAGE_SUFFIXES and name[0] != "."
            }
            if images != there:
                raise OptionError(
                    f"--input: {len(images)} of the {len(there)} images in {place.shown(folder)!r} "
                    "were named, but a folder of images is one video, whole; name the folder"
                )
            yield folder, {name: files[name] for name in images}
        for name, size in files.items():
            if _suffix(name) in _VIDEOS | _LOGS or name.lower().endswith(_OTHER_LOGS):
                yield f"{folder}/{name}", {name: size}
            elif name not in images:
                others.add(f"{folder}/{name}")


def _is_part(place: Place) -> bool:
    """The file is one of several that are one recording."""
    return _suffix(place.path) in _LOGS and _is_recording(place.path.rpartition("/")[0], place)


def _is_recording(folder: str, place: Place) -> bool:
    """Its logs are parts of one: rosbag2's description lies beside them, or they are called as it calls them."""
    names = place.names_in(folder)
    parts = [name for name in names if _suffix(name) in _LOGS]
    if not parts:
        return False
    if METADATA in names:
        with told_as(OptionError, "--input"):
            if (
                describes_log(place.text(f"{folder}/{METADATA}"))
                if place.remote
                else is_described(Path(folder or "/"))
            ):
                return True
    base = re.escape(folder.rpartition("/")[2])
    numbered = all(re.fullmatch(rf"{base}_[0-9]+\.(mcap|db3)", name) for name in parts)
    return numbered and len(parts) > 1 and not has_images(names)


def _suffix(name: str) -> str:
    return PurePosixPath(name).suffix.lower()


def _input(place: Place, path: str, name: str, topic: str, files: Mapping[str, int]) -> BatchInput:
    return BatchInput(
        shown=as_utf8(place.shown(path) + (f"?topic={topic}" if topic else "")),
        path=path if not place.remote else place.address(path),
        topic=topic,
        output=output_name(name, topic),
        size_bytes=sum(files.values()),
        remote=place.remote,
    )
