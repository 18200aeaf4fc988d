"""What was freed goes back to the system, where the C library can be told."""

import ctypes
import os

import pytest

from tdnet_export.process_memory import give_back, want_large_pages


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


@pytest.mark.parametrize(("before", "after"), [(None, "1"), ("0", "0")])
def test_large_pages_are_the_users_to_refuse(monkeypatch, before, after):
    monkeypatch.setattr(os, "environ", {} if before is None else {"THP_MEM_ALLOC_ENABLE": before})
    want_large_pages()
    assert os.environ == {"THP_MEM_ALLOC_ENABLE": after}
