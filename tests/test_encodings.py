"""Text files are of an encoding that is named: without one, what is written depends on the locale."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def unnamed(source: str) -> Iterator[int]:
    """Lines that read or write text in the locale's encoding."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call) or any(key.arg == "encoding" for key in node.keywords):
            continue
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if isinstance(node.func, ast.Attribute) and getattr(node.func.value, "id", "") == "av":
            continue  # a video's mode
        modes = [*node.args, *(key.value for key in node.keywords if key.arg == "mode")]
        texts = {
            mode.value for mode in modes if isinstance(mode, ast.Constant) and isinstance(mode.value, str)
        }
        is_text = any(set(text) <= set("rwxat+") for text in texts)
        if called in ("read_text", "write_text", "TextIOWrapper"):
            yield node.lineno
        elif called == "open" and isinstance(node.func, ast.Name) and node.args:
            if not any("b" in text for text in texts):
                yield node.lineno
        elif called in ("open", "fdopen", "NamedTemporaryFile", "TemporaryFile") and texts and is_text:
            yield node.lineno


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("path.read_text()", True),
        ("path.write_text(text, newline='')", True),
        ("open(name)", True),
        ("open(name, 'w')", True),
        ("path.open('a')", True),
        ("path.open(mode='r')", True),
        ("os.fdopen(1, 'w')", True),
        ("path.read_text(encoding='utf-8')", False),
        ("open(name, 'rb', closefd=False)", False),
        ("path.open('xb')", False),
        ("Bundle.open(path)", False),
        ("av.open(file, 'w')", False),
        ("source.open()", False),
    ],
)
def test_lines(line: str, found: bool) -> None:
    assert list(unnamed(line)) == [1] * found


@pytest.mark.parametrize("folder", ["benchmarks", "examples", "export", "models", "runtime"])
def test_every_file_of_text_names_its_encoding(folder: str) -> None:
    found = {
        f"{path.relative_to(ROOT)}:{line}"
        for path in (ROOT / folder).rglob("*.py")
        for line in unnamed(path.read_text(encoding="utf-8"))
    }
    assert found == set()
