"""ONNX Runtime's reports are switched off before it is imported, unless the user has said otherwise."""

from __future__ import annotations

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from tdnet_runtime.backends import no_telemetry
from tdnet_runtime.backends.no_telemetry import import_without_telemetry

SETTING = "ORT_DISABLE_TELEMETRY"


@pytest.fixture(autouse=True)
def first_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(no_telemetry, "_ort_seen", False)
    monkeypatch.delitem(sys.modules, "onnxruntime", raising=False)


@pytest.mark.parametrize(
    ("set_by_user", "then"), [(None, "1"), ("", "1"), ("0", "0"), ("1", "1"), ("false", "false")]
)
def test_the_users_own_setting_wins(
    set_by_user: str | None, then: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SETTING, "undone at the end")
    monkeypatch.delenv(SETTING)
    if set_by_user is not None:
        monkeypatch.setenv(SETTING, set_by_user)
    import_without_telemetry("json")
    assert os.environ[SETTING] == then


@pytest.mark.parametrize(
    ("version", "set_by_user", "told"),
    [("1.32.0", None, 1), ("1.29.0", None, 1), ("1.28.4", None, 0), ("1.32.0", "0", 0), ("", None, 0)],
)
def test_an_import_that_came_first_is_told_once(
    version: str,
    set_by_user: str | None,
    told: int,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv(SETTING, set_by_user or "")
    monkeypatch.setitem(sys.modules, "onnxruntime", SimpleNamespace(__version__=version))
    import_without_telemetry("json")
    monkeypatch.setenv(SETTING, set_by_user or "")
    import_without_telemetry("json")
    assert len(caplog.messages) == told
    assert all("ORT_DISABLE_TELEMETRY=1 before it is imported" in message for message in caplog.messages)


@pytest.mark.parametrize(
    "imports",
    [
        "from tdnet_runtime.backends import cuda, onnxruntime\nonnxruntime.unavailable()",
        "import tdnet_runtime\nimport onnxruntime",
    ],
    ids=["for a bundle", "by the application"],
)
def test_it_is_set_first(imports: str, child_env: dict[str, str]) -> None:
    """Asked by a finder that sees ONNX Runtime's import."""
    pytest.importorskip("onnxruntime")
    lines = f"""
import os, sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "onnxruntime":
            print(os.environ.get({SETTING!r}))
sys.meta_path.insert(0, Finder())
{imports}
"""
    env = {key: value for key, value in child_env.items() if key != SETTING}
    done = subprocess.run([sys.executable, "-c", lines], env=env, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "1\n"), done.stderr
