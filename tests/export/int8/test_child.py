"""NNCF's process: as many threads as can compute at once, for whatever session NNCF makes."""

import onnxruntime as ort
import pytest

from tdnet_export.int8 import child
from tdnet_runtime.errors import BackendError


def test_sessions_that_ask_for_no_threads(monkeypatch):
    monkeypatch.setattr(ort, "SessionOptions", ort.SessionOptions)  # put back at the end
    monkeypatch.setattr(child, "usable_cpus", lambda: 3)
    assert ort.SessionOptions().intra_op_num_threads == 0
    child._limit_sessions()
    options = ort.SessionOptions()
    assert (options.intra_op_num_threads, options.enable_mem_pattern) == (3, False)
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"


def test_threads_that_cannot_be_had(monkeypatch):
    def refuse(count, **_):
        raise BackendError(f"no {count}")

    monkeypatch.setattr(ort, "SessionOptions", ort.SessionOptions)
    monkeypatch.setattr(child, "usable_cpus", lambda: 3)
    monkeypatch.setattr(child, "require_threads", refuse)
    with pytest.raises(BackendError, match="no 2"):
        child._limit_sessions()
