"""A machine of paper: files below a folder, variables, and programs that say what the test wants."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tdnet_runtime.doctor.findings import Finding, State
from tdnet_runtime.doctor.host import Answer, Host

MakeHost = Callable[..., Host]


@pytest.fixture
def host_with(tmp_path: Path) -> MakeHost:
    """host_with(files={path: text}, environ={}, programs={name: Answer, or function of the command})."""
    root = tmp_path / "machine"
    root.mkdir()

    def make(
        files: Mapping[str, str] | None = None,
        environ: Mapping[str, str] | None = None,
        programs: Mapping[str, Any] | None = None,
    ) -> Host:
        for name, text in (files or {}).items():
            path = root / name.lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

        def ask(command: Sequence[str], *, endless: bool = False) -> Answer | None:
            answer = (programs or {}).get(command[0])
            return answer(list(command)) if callable(answer) else answer

        return Host(root=root, environ=environ or {}, ask=ask)

    return make


@pytest.fixture
def by_name() -> Callable[..., dict[str, Finding]]:
    """by_name(findings): by their names, which must differ."""

    def index(findings: Any) -> dict[str, Finding]:
        found = list(findings)
        named = {finding.name: finding for finding in found}
        assert len(named) == len(found), [finding.name for finding in found]
        for finding in found:
            assert "\n" not in finding.text + finding.fix
            assert finding.state is not State.WARNING or finding.fix or finding.name == "this check", finding
        return named

    return index
