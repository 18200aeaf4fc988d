"""What a `with` block does with what is closed at its end, and that it is written once."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tdnet_runtime.closeable import Closeable, close_all
from tdnet_runtime.errors import StreamError

ROOT = Path(__file__).parents[2]


class Thing(Closeable):
    def __init__(self) -> None:
        self.closed = 0

    def close(self) -> None:
        self.closed += 1


class Broken(Closeable):
    def close(self) -> None:
        raise OSError("close failed")


class Busy(Thing):
    def __init__(self, words: str) -> None:
        super().__init__()
        self.words = words

    def close(self) -> None:
        super().close()
        raise StreamError(self.words)


def test_one_that_is_busy_keeps_no_other_one_open() -> None:
    things = [Busy("first"), Thing(), Busy("second"), Thing()]
    with pytest.raises(StreamError, match="first"):
        close_all(things)
    assert [thing.closed for thing in things] == [1] * 4
    close_all(iter(things[1::2]))
    assert [thing.closed for thing in things] == [1, 2, 1, 2]


def test_the_block_gets_the_thing_and_closes_it() -> None:
    thing = Thing()
    with thing as inside:
        assert inside is thing
        assert thing.closed == 0
    assert thing.closed == 1


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError("no")])
def test_an_exception_closes_it_and_goes_on(error: BaseException) -> None:
    thing = Thing()
    with pytest.raises(type(error)) as raised, thing:
        raise error
    assert raised.value is error
    assert thing.closed == 1


def test_where_closing_fails_too_both_are_told() -> None:
    with pytest.raises(OSError, match="close failed") as raised, Broken():
        raise ValueError("no")
    assert isinstance(raised.value.__context__, ValueError)


def test_who_cannot_close_cannot_be_made() -> None:
    class Endless(Closeable):
        pass

    with pytest.raises(TypeError, match="abstract"):
        Endless()  # type: ignore[abstract]


def test_nobody_else_writes_both_methods() -> None:
    """One of them may say more; both are `Closeable` over again."""
    sources = [path for folder in ("runtime", "export") for path in (ROOT / folder).rglob("*.py")]
    assert len(sources) > 100
    found = [
        f"{path.relative_to(ROOT)}: {node.name}"
        for path in sources
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
        and {"__enter__", "__exit__"}
        <= {part.name for part in node.body if isinstance(part, ast.FunctionDef)}
    ]
    assert found == ["runtime/tdnet_runtime/closeable.py: Closeable"]
