"""Other programs and the kernel's files: whatever they do, there is an answer."""

from __future__ import annotations

from pathlib import Path

import pytest

from tdnet_runtime.doctor import host as module
from tdnet_runtime.doctor.host import Host


@pytest.mark.parametrize(
    ("script", "code", "words", "complaint"),
    [
        ("echo one; echo two >&2", 0, "one\n", "two"),
        ("echo one; exit 3", 3, "one\n", "one"),
        ("exit 1", 1, "", "it said nothing"),
        ("kill -ABRT $$", -6, "", "it said nothing"),
        ("printf '\\377'", 0, "\ufffd", "\ufffd"),
    ],
)
def test_what_a_program_says(script: str, code: int, words: str, complaint: str) -> None:
    answer = Host().ask(["sh", "-c", script])
    assert answer is not None
    assert (answer.code, answer.words, answer.complaint) == (code, words, complaint)


def test_one_that_is_not_there() -> None:
    assert Host().ask(["no-such-program"]) is None


@pytest.mark.parametrize("endless", [True, False])
def test_one_that_goes_on_for_ever(endless: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LIMIT_S", 0.5)
    monkeypatch.setattr(module, "_ENDLESS_S", 0.5)
    answer = Host().ask(["sh", "-c", "echo one; exec sleep 600"], endless=endless)
    assert answer is not None
    assert answer.code is None


def test_files(tmp_path: Path) -> None:
    host = Host(root=tmp_path)
    (tmp_path / "text").write_bytes(b"Orin\xff\0\n")
    (tmp_path / "number").write_text("12\n")
    (tmp_path / "long").write_text("9" * 100)
    assert (host.text("/text"), host.text("/absent"), host.text("/")) == ("Orin\ufffd", "", "")
    assert [host.number(f"/{name}") for name in ("number", "text", "long", "absent")] == [
        12,
        None,
        None,
        None,
    ]
