"""Which frames follow one another in time, by the names of their files."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from decimal import Decimal
from itertools import pairwise
from statistics import median_low
from typing import TypeAlias

from tdnet_runtime.media.images import natural_key

__all__ = ["holes", "numbered", "sequences_by_name"]

_Frames: TypeAlias = list[tuple[Decimal, str]]  # number, name
_NUMBERED = re.compile(r"(?P<clip>.*?)[_\-. ]*(?P<number>\d+(?:\.\d+)?)", re.DOTALL)
_POINTED = re.compile(r"(?P<whole>\d+)\.(?P<fraction>\d+)$")
_TIME_DIGITS = 9
"""Of the whole seconds since 1970, and what counts finer: no clip is numbered so high."""

_JUMP = 2
"""Times the usual step between two frames' numbers, beyond which they do not follow one another."""


def numbered(stem: str) -> tuple[str, Decimal] | None:
    """A clip's name and the number of a frame in it; None for a name that does not end in a number.

    By itself: beside others of its clip, `cam0.8` may be frame 8 of `cam0`, see `sequences_by_name`.

    >>> numbered("drive1_000012"), numbered("1403636579.763"), numbered("frame")
    (('drive1', Decimal('12')), ('', Decimal('1403636579.763')), None)
    """
    match = _NUMBERED.fullmatch(stem)
    return (match["clip"], Decimal(match["number"])) if match else None


def sequences_by_name(names: Iterable[str], *, single_images: bool) -> dict[str, list[str]]:
    """Frames in order of time, by the name of their sequence.

    A sub-folder, or `<clip>_<number>` in one folder, is a sequence; its frames come in the order of their numbers. A
    jump in these, by more than twice the usual step, begins another sequence, since what was filmed between is not
    there. A frame without a number is a sequence of its own. A number with a point is a decimal one where that is how
    decimals are written; where it is how frames are counted (`cam0.8`, `cam0.9`, `cam0.10`), the clip's name ends before
    the point.

    Args:
        names: of the frames, with `/` between folders.
        single_images: no frame follows another.
    """
    found: dict[str, list[str]] = {}
    for clip, frames in _clips(names, single_images=single_images):
        places = [0, *_jumps(frames), len(frames)]
        runs = [[name for _, name in frames[begin:end]] for begin, end in pairwise(places)]
        for run in runs:
            alone = len(runs) == 1 and clip not in found
            found[clip if alone else f"{clip}@{run[0].rpartition('/')[2]}"] = run
    return found


def holes(names: Iterable[str]) -> list[tuple[str, str]]:
    """Pairs of frames between which, by their numbers, there are others that are not there.

    >>> holes(["a_1", "a_2", "a_4", "a_5", "b_3"])
    [('a_2', 'a_4')]
    """
    return [
        (name, after)
        for _, frames in _clips(names, single_images=False)
        for (number, name), (next_number, after) in pairwise(frames)
        if 2 * (next_number - number) > 3 * _usual_step(frames)
    ]


def _clips(names: Iterable[str], *, single_images: bool) -> list[tuple[str, _Frames]]:
    """Each clip's name, and the numbers and names of its frames, in order."""
    clips: dict[tuple[str, str, bool], _Frames] = {}
    for name in names:
        folder, _, stem = name.rpartition("/")
        parts = None if single_images else numbered(stem)
        clip, number = parts or (stem, Decimal(0))
        clips.setdefault((folder, clip, parts is None), []).append((number, name))
    for key in [key for key, frames in clips.items() if not _are_decimals(frames)]:
        for number, name in clips.pop(key):
            pointed = _POINTED.search(name)
            clip = name[: pointed.end("whole")].rpartition("/")[2] if pointed else key[1]
            number = Decimal(pointed["fraction"]) if pointed else number
            clips.setdefault((key[0], clip, False), []).append((number, name))
    for frames in clips.values():
        frames.sort(key=lambda frame: (frame[0], natural_key(frame[1])))
    named = [("/".join(filter(None, key[:2])), key, frames) for key, frames in clips.items()]
    named.sort(key=lambda clip: (natural_key(clip[0]), clip[1]))
    return [(name, frames) for name, _, frames in named]


def _are_decimals(frames: _Frames) -> bool:
    """Whether their numbers with a point are decimals: of one length, or times, or without idle zeros at the end.

    A counter that grows by a digit passes 10 or 100, which ends in such a zero. One that passes over these, as odd
    numbers do, has even steps where decimals would not; with uneven ones it cannot be told from decimals.

    >>> _are_decimals([(Decimal(digits), f"a{digits}") for digits in ("0.0", "0.25", "0.5", "0.75", "1.0")])
    True
    >>> _are_decimals([(Decimal(digits), f"a{digits}") for digits in ("0.8", "0.9", "0.10")])
    False
    >>> _are_decimals([(Decimal(digits), f"a{digits}") for digits in ("0.7", "0.9", "0.11", "0.13")])
    False
    """
    pointed = [(match, name) for _, name in frames if (match := _POINTED.search(name))]
    fractions = [match["fraction"] for match, _ in pointed]
    if len({len(each) for each in fractions}) <= 1:
        return True
    if all(len(match["whole"]) >= _TIME_DIGITS for match, _ in pointed):
        return True
    if any(each.endswith("0") for each in fractions if len(each) > 1):
        return False
    counted: dict[str, list[int]] = defaultdict(list)
    for match, name in pointed:
        counted[name[: match.end("whole")]].append(int(match["fraction"]))
    steps = {after - before for each in counted.values() for before, after in pairwise(sorted(each))}
    # Two alone are always even.
    is_even = len(steps) == 1 and any(len(each) > 2 for each in counted.values())
    decimal = {after[0] - before[0] for before, after in pairwise(sorted(frames))}
    return not (is_even and len(decimal) > 1 and max(map(len, fractions)) < _TIME_DIGITS)


def _jumps(frames: _Frames) -> list[int]:
    """Places of the frames that do not follow the one before."""
    most = _JUMP * _usual_step(frames)
    return [place for place, (before, after) in enumerate(pairwise(frames), 1) if after[0] - before[0] > most]


def _usual_step(frames: _Frames) -> Decimal:
    return median_low([after[0] - before[0] for before, after in pairwise(frames)] or [Decimal(0)])
