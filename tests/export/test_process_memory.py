"""What PyTorch is told of memory."""

import os

import pytest

from tdnet_export.process_memory import want_large_pages


@pytest.mark.parametrize(("before", "after"), [(None, "1"), ("0", "0")])
def test_large_pages_are_the_users_to_refuse(monkeypatch, before, after):
    monkeypatch.setattr(os, "environ", {} if before is None else {"THP_MEM_ALLOC_ENABLE": before})
    want_large_pages()
    assert os.environ == {"THP_MEM_ALLOC_ENABLE": after}
