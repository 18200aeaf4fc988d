"""What a check has found, for people and for programs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from enum import Enum
from typing import TypeAlias

import msgspec

from tdnet_runtime.file_names import utf8_content

__all__ = ["Fact", "Finding", "Report", "State", "isolated"]

Fact: TypeAlias = "str | int | float | bool | list[str] | dict[str, str] | None"


class State(str, Enum):
    """How it stands with something.

    Attributes:
        OK: it works.
        NOTE: worth knowing, and no judgement.
        ABSENT: not there, and nobody has asked for it.
        WARNING: it works, but not well, or not for long.
        BROKEN: it is installed or was asked for, and does not work. Exit code 1.
    """

    OK = "ok"
    NOTE = "note"
    ABSENT = "absent"
    WARNING = "warning"
    BROKEN = "broken"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One of them.

    Attributes:
        section: heading that it belongs under.
        name: of what was looked at.
        text: one sentence for people.
        fix: what to do, a command where there is one; empty where there is nothing to do.
        facts: for programs.
    """

    section: str
    name: str
    state: State
    text: str
    fix: str = ""
    facts: dict[str, Fact] = {}


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """All findings.

    Attributes:
        schema_version: of this structure.
        toolkit: version of tdnet-deploy.
        python: version of the interpreter.
        platform: see `preflight.platform_name`.
        findings: in the order of the checks.
    """

    schema_version: int = 1
    toolkit: str
    python: str
    platform: str
    findings: tuple[Finding, ...]

    @property
    def exit_code(self) -> int:
        """1 where anything is broken."""
        return int(any(finding.state is State.BROKEN for finding in self.findings))

    def to_json(self) -> str:
        """As JSON, with the exit code, in ASCII."""
        described = {**msgspec.to_builtins(self), "exit_code": self.exit_code}
        return json.dumps(utf8_content(described), indent=1) + "\n"


def isolated(section: str, check: Callable[[], Iterable[Finding]]) -> Iterator[Finding]:
    """What `check` finds; where it fails itself, what it had found and that."""
    try:
        yield from check()
    except Exception as error:  # a check must not hide the others' findings
        yield Finding(
            section=section,
            name="this check",
            state=State.WARNING,
            text=f"it failed itself ({type(error).__name__}: {error}); what it would have said is missing",
        )
