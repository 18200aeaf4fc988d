"""Whether something listens at an address."""

from __future__ import annotations

import socket

import pytest

from tdnet_runtime.sinks.listening import answers


@pytest.mark.parametrize("host", ["a..b", "a" * 64 + ".net"])
def test_nobody_answers_at_a_name_that_is_none(host: str) -> None:
    assert not answers(host, 80)


def test_somebody_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert answers("127.0.0.1", server.getsockname()[1])
