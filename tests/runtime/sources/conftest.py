"""Clips, as `tests/runtime/media` makes them."""

import pytest
from tests.runtime.media.conftest import encode_video, picture


@pytest.fixture(scope="session")
def draw():
    return picture


@pytest.fixture(scope="session")
def encode():
    return encode_video
