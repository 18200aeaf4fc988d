"""The fake GPU with engines on it, and streams."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tests.runtime.gpu.fake_device import FakeDevice
from tests.runtime.gpu.fake_engine import fake_engines
from tests.runtime.test_stream import hand_made

from tdnet_runtime.device_stream import DeviceStream
from tdnet_runtime.gpu.backend import GpuBackend
from tdnet_runtime.manifest import Manifest
from tdnet_runtime.stream import Stream

SIZE_HW = (4, 8)  # the network's

MakeBackend = Callable[..., GpuBackend]


def frame(byte: int) -> np.ndarray:
    """A frame of the network's size whose first byte, which decides the labels, is `byte`."""
    values = np.random.default_rng(byte).integers(0, 256, (*SIZE_HW, 3)).astype(np.uint8)
    values[0, 0, 0] = byte
    return values


def host_stream(backend: GpuBackend, manifest: Manifest, **options: Any) -> Stream:
    """A stream with labels on the host; closed where it cannot be opened."""
    session = backend.device_session(**options)
    try:
        return Stream(manifest, session, bundle_digest="d" * 64, precision="fp32")
    except BaseException:
        session.close()
        raise


def device_stream(backend: GpuBackend, manifest: Manifest, **options: Any) -> DeviceStream:
    """A stream with labels on the GPU; closed where it cannot be opened."""
    session = backend.device_session(labels_to_host=False, **options)
    try:
        return DeviceStream(manifest, session, bundle_digest="d" * 64, precision="fp32")
    except BaseException:
        session.close()
        raise


@pytest.fixture(params=[1, 2, 4], ids=["1 path", "2 paths", "4 paths"])
def paths(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture
def manifest(tiny_manifest: Manifest, paths: int) -> Manifest:
    return hand_made(tiny_manifest, paths)


@pytest.fixture
def device() -> FakeDevice:
    return FakeDevice()


@pytest.fixture
def backend(device: FakeDevice, manifest: Manifest) -> GpuBackend:
    return made_backend(device, manifest)


def made_backend(device: FakeDevice, manifest: Manifest) -> GpuBackend:
    return GpuBackend(
        device,
        fake_engines(device, manifest),
        manifest,
        name="tensorrt",
        precision="fp32",
        description="fake",
    )
