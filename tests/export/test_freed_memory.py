"""What was freed goes back to the system, where the C library can be told."""

import ctypes

import pytest

from tdnet_export.freed_memory import give_back


def test_the_library_is_told(monkeypatch):
    told = []

    class Library:
        def malloc_trim(self, kept):
            told.append(kept)

    monkeypatch.setattr(ctypes, "CDLL", lambda name: Library())
    give_back()
    assert told == [0]


@pytest.mark.parametrize("failure", [AttributeError, OSError, TypeError])
def test_a_system_without_it(monkeypatch, failure):
    def refuse(name):
        raise failure

    monkeypatch.setattr(ctypes, "CDLL", refuse)
    give_back()
