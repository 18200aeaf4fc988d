"""What `tdnet-run` is asked of a live run: which frames, how late a result may be, how long, who may look on."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Literal, TypeVar

from tdnet_runtime.errors import OptionError
from tdnet_runtime.extras import require
from tdnet_runtime.live import Deadline, GapPolicy, Policy, Restart, every, every_kth, fixed_rate, newest
from tdnet_runtime.live.deadline import HALF_RATE, HOLD, NO_ATTENTION
from tdnet_runtime.media.damage import OnDamage

__all__ = ["Degrade", "Late", "LiveOptions", "parse_inputs", "parse_metrics", "parse_policy"]

_Number = TypeVar("_Number", int, float)
_POLICIES = "newest, every, every:K (one of K frames) or rate:HZ (so many frames a second at most)"
_NAME = re.compile(r"([A-Za-z][A-Za-z0-9_-]{0,63})=(.*)", re.DOTALL)


class Late(str, Enum):
    """What becomes of a late result; it is counted in any case."""

    DELIVER = "deliver"
    SKIP = "skip"


class Degrade(str, Enum):
    """The degraded modes that go with one network; see `Deadline`."""

    NO_ATTENTION = NO_ATTENTION
    HALF_RATE = HALF_RATE
    HOLD = HOLD


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveOptions:
    """Options that only a live run has; with any of them files and logs are run live, too.

    Attributes:
        policy: which frames are segmented; None for what each kind of source gets by default.
        deadline_ms: from a frame's arrival to its labels; None for none.
        late: see `Late`; None stands for `deliver`.
        degrade: modes where results keep being late, the mildest first.
        gap_ms: a longer pause between frames empties the memory; None: none does.
        max_seconds: the run ends after so long; None for no limit.
        metrics: (host, port) to serve Prometheus at; None for nowhere.
        wait: live sources that are absent at the start are waited for.

    Raises:
        OptionError: a value that cannot be meant.
        MissingExtraError: the package for `metrics` is not installed.
    """

    policy: Policy | None = None
    deadline_ms: float | None = None
    late: Late | None = None
    degrade: tuple[Degrade, ...] = ()
    gap_ms: float | None = None
    max_seconds: float | None = None
    metrics: tuple[str, int] | None = None
    wait: bool = False

    def __post_init__(self) -> None:
        for name, value, unit in (
            ("--deadline-ms", self.deadline_ms, "ms"),
            ("--gap-ms", self.gap_ms, "ms"),
            ("--max-seconds", self.max_seconds, "s"),
        ):
            if value is not None and not 0 < value < math.inf:
                raise OptionError(f"{name} is {value:g}; expected more than 0 {unit}")
        if self.late is not None and self.deadline_ms is None:
            raise OptionError("--late goes with --deadline-ms; say when a result is late, or leave it out")
        if self.degrade and self.deadline_ms is None:
            raise OptionError("--degrade goes with --deadline-ms; say when a result is late, or leave it out")
        if len(set(self.degrade)) < len(self.degrade):
            raise OptionError(f"--degrade names a mode twice: {', '.join(self.modes)}")
        if self.metrics is not None:
            require("prometheus_client", extra="metrics")

    @property
    def asked(self) -> bool:
        """There is any."""
        return self != LiveOptions()

    @property
    def modes(self) -> tuple[str, ...]:
        """Of `degrade`, as the live layer calls them."""
        return tuple(mode.value for mode in self.degrade)

    @property
    def deadline(self) -> Deadline | None:
        """For the live layer."""
        if self.deadline_ms is None:
            return None
        late: Literal["deliver", "skip"] = "skip" if self.late is Late.SKIP else "deliver"
        return Deadline(ms=self.deadline_ms, late=late, degrade=self.modes)

    @property
    def gap(self) -> GapPolicy:
        """For the live layer."""
        return GapPolicy(after_ms=self.gap_ms)

    def restart(self, on_damage: OnDamage) -> Restart:
        """For the live layer: where damage is to end the run, no death of a source is passed over."""
        return Restart(limit=0 if on_damage is OnDamage.FAIL else None)


def parse_policy(text: str) -> Policy:
    """`newest`, `every`, `every:3`, `rate:2.5`.

    Raises:
        OptionError: not of that form, or a number that cannot be meant.
    """
    name, colon, number = text.strip().partition(":")
    try:
        if not colon and name in ("newest", "every"):
            return newest() if name == "newest" else every()
        if colon and name == "every":
            return every_kth(_number(int, number))
        if colon and name == "rate":
            return fixed_rate(_number(float, number))
    except (ValueError, OptionError) as error:
        raise OptionError(f"--policy is {text!r}: {error}; expected {_POLICIES}") from None
    raise OptionError(f"--policy is {text!r}; expected {_POLICIES}")


def _number(kind: Callable[[str], _Number], text: str) -> _Number:
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text):
        raise ValueError(f"{text!r} is no number")
    return kind(text)


def parse_metrics(text: str) -> tuple[str, int]:
    """`9464` → (`127.0.0.1`, 9464); `0.0.0.0:9464`, `[::1]:9464`. Port 0 is any that is free.

    Raises:
        OptionError: not of that form.
    """
    host, colon, port = text.strip().rpartition(":")
    host = host.strip("[]") if host.startswith("[") and host.endswith("]") else host
    if (colon and not host) or (":" in host and not text.strip().startswith("[")) or not port.isascii():
        raise OptionError(f"--metrics is {text!r}; expected PORT or HOST:PORT, such as 9464")
    if not re.fullmatch("[0-9]{1,5}", port) or int(port) > 65535:
        raise OptionError(f"--metrics is {text!r}; expected a port from 0 to 65535, such as 9464")
    return host or "127.0.0.1", int(port)


def parse_inputs(texts: Sequence[str]) -> Mapping[str, str]:
    """What each `--input` names, by name: `front=rtsp://…`, or without a name.

    A single one without a name has the empty name; of several they are `input1`, `input2` …, by their place. A text that
    is the path of something that exists is no name and URL, whatever is in it.

    Raises:
        OptionError: two have one name.
    """
    found: dict[str, str] = {}
    for place, text in enumerate(texts, start=1):
        match = None if _exists(text) else _NAME.fullmatch(text)
        name, spec = match.groups() if match else (f"input{place}" if len(texts) > 1 else "", text)
        if not spec.strip():
            raise OptionError(f"--input {text!r} names nothing; is a variable unset? Write NAME=URL")
        if name in found:
            raise OptionError(f"--input: two inputs are called {name!r}; give each a name of its own")
        found[name] = spec
    return found


def _exists(text: str) -> bool:
    try:
        return Path(text).exists() or Path(text.partition("?")[0]).exists()
    except (OSError, ValueError):
        return False
