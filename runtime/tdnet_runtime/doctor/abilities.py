"""What this installation can do: engines, inputs, outputs and transports, each really loaded, in a child process."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tdnet_runtime.backends import AUTO_ORDER
from tdnet_runtime.doctor.findings import Finding, State
from tdnet_runtime.doctor.probing import Outcome, Probe, probe
from tdnet_runtime.sinks import registry as sinks
from tdnet_runtime.sources import registry as sources

__all__ = ["check_abilities", "finding_from_outcome"]

_COMMAND = re.compile(
    r"""(?:pip\ (?:un)?install|tdnet-export\ --\w+(?=\ [^\s-]))\ (?:'[^']*' | "[^"]*" | [^;,:()'"] | [,:](?=\S))+""",
    re.VERBOSE,
)
"""Up to where the sentence goes on; what `tdnet-export` is to work on is a part of it."""
_TRANSPORTS: dict[str, Probe] = {
    "rmw_zenoh": ("package", "zenoh", "zenoh"),
    "DDS": ("dds",),
}
_CODECS: dict[str, Probe] = {
    "logs packed with zstd": ("package", "zstandard", "mcap"),
    "logs packed with LZ4": ("package", "lz4.frame", "mcap"),
}


def check_abilities(
    try_all: Callable[[list[Probe]], Mapping[Probe, Outcome]] = probe,
) -> Iterator[Finding]:
    """All of it, tried in one go.

    Args:
        try_all: see `probe`.
    """
    asked: list[tuple[str, str, Probe]] = [("Engines", name, ("backend", name)) for name in AUTO_ORDER]
    asked += [("Inputs", names, room) for room, names in _rooms(sources.entries()).items()]
    asked += [("Inputs", name, each) for name, each in _CODECS.items()]
    asked += [("Outputs", names, room) for room, names in _rooms(sinks.entries()).items()]
    asked += [("ROS 2 transports", name, each) for name, each in _TRANSPORTS.items()]
    asked += [("Metrics", "Prometheus", ("package", "prometheus_client", "metrics"))]
    outcomes = try_all([each for _, _, each in asked])
    for section, name, each in asked:
        yield finding_from_outcome(section, name, outcomes[each])
    if not any(outcomes["backend", name].state is State.OK for name in AUTO_ORDER):
        yield Finding(
            section="Engines",
            name="all",
            state=State.WARNING,
            text="no engine can be used, so no bundle can be run",
            fix="pip install 'tdnet-deploy[cpu]'",
        )


def finding_from_outcome(section: str, name: str, outcome: Outcome) -> Finding:
    """As a finding; the command within the reason, if there is one, is its fix."""
    state, words = outcome.state, outcome.words
    if outcome.alone:
        before = ", ".join(dict.fromkeys(each[1] if len(each) > 1 else each[0] for each in outcome.alone))
        state = State.WARNING
        words = f"it works alone, and kills a process that has loaded {before} before: their libraries clash"
    command = _COMMAND.search(words)
    return Finding(
        section=section,
        name=name,
        state=state,
        text=words or "works",
        fix=command[0].strip().rstrip(".") if command and state is not State.OK else "",
        facts=outcome.facts,
    )


def _rooms(entries: Mapping[str, Any]) -> dict[Probe, str]:
    """Each module that opens something, and the schemes that it opens."""
    found: dict[Probe, list[str]] = {}
    for scheme, entry in sorted(entries.items()):
        found.setdefault(("room", entry.opener.partition(":")[0], entry.extra), []).append(scheme)
    return {room: ", ".join(schemes) for room, schemes in found.items()}
