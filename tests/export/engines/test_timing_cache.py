"""TensorRT's timing cache with a fake config: shared, merged, locked, and harmless when it is damaged."""

import fcntl
import threading

import pytest

from tdnet_export.engines.timing_cache import (
    load_timing_cache,
    save_timing_cache,
    timing_cache_path,
    with_absolute_folder,
)


@pytest.mark.parametrize("named", [None, "", "/there"])
def test_a_folder_that_says_where_it_is_stays_as_it_is(named):
    environment = {"A": "b", **({} if named is None else {"TDNET_TIMING_CACHE": named})}
    assert with_absolute_folder(environment) == environment


class Cache:
    """A set of entries; from device 7 unless told."""

    def __init__(self, entries=(), device=7):
        self.entries, self.device = set(entries), device

    def combine(self, input_cache, ignore_mismatch):
        if input_cache.device != self.device and not ignore_mismatch:
            return False
        self.entries |= input_cache.entries
        return True

    def serialize(self):
        return memoryview(f"{self.device}:{','.join(sorted(self.entries))}".encode())


class Config:
    """As much of IBuilderConfig as the timing cache needs; `refuses` data that starts with '!'."""

    def __init__(self):
        self.cache = None

    def create_timing_cache(self, serialized_timing_cache):
        text = bytes(serialized_timing_cache).decode()
        if text.startswith("!"):
            return None
        device, _, entries = text.partition(":")
        return Cache(filter(None, entries.split(",")), int(device)) if text else Cache()

    def set_timing_cache(self, cache, ignore_mismatch):
        if cache.device != 7 and not ignore_mismatch:
            return False
        self.cache = cache
        return True

    def get_timing_cache(self):
        return self.cache


def build(path, *kernels):
    """One build that measures `kernels`; returns what it did not have to measure."""
    config = Config()
    load_timing_cache(config, path)
    known = set(config.cache.entries)
    config.cache.entries |= set(kernels)
    save_timing_cache(config, path)
    return known


@pytest.fixture
def path(tmp_path):
    return tmp_path / "cache" / "timing" / "tensorrt.bin"


def test_the_second_graph_knows_what_the_first_measured(path):
    assert build(path, "conv3", "gemm") == set()
    assert build(path, "conv1") == {"conv3", "gemm"}
    assert build(path) == {"conv1", "conv3", "gemm"}


def test_what_another_build_saved_in_between_is_kept(path):
    config = Config()
    load_timing_cache(config, path)
    build(path, "theirs")
    config.cache.entries.add("ours")
    save_timing_cache(config, path)
    assert build(path) == {"ours", "theirs"}


@pytest.mark.parametrize("content", [b"!damaged", b"8:other_device"])
def test_a_cache_that_cannot_be_used_is_replaced(path, content):
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    config = Config()
    assert load_timing_cache(config, path) is False
    assert config.cache.entries == set()
    assert build(path, "conv") == set()
    assert build(path) == {"conv"}


def test_a_product_without_a_cache_saves_nothing(path):
    save_timing_cache(Config(), path)
    assert not path.exists()


def test_reading_and_writing_wait_for_the_lock(path):
    build(path, "conv")
    with path.with_suffix(".lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        thread = threading.Thread(target=build, args=(path, "gemm"))
        thread.start()
        thread.join(0.3)
        assert thread.is_alive()
        assert path.read_bytes() == b"7:conv"
    thread.join(10)
    assert build(path) == {"conv", "gemm"}


def test_where_it_lies(monkeypatch, tmp_path):
    """Nothing is kept in the user's folders unasked."""
    name, where = "tensorrt-10.3.0-8.7-linux-aarch64.bin", ("10.3.0", "8.7", "linux-aarch64")
    monkeypatch.setenv("TDNET_TIMING_CACHE", str(tmp_path / "kept"))
    assert timing_cache_path(*where, work=tmp_path) == tmp_path / "kept" / name
    for unset in (
        lambda: monkeypatch.setenv("TDNET_TIMING_CACHE", ""),
        lambda: monkeypatch.delenv("TDNET_TIMING_CACHE"),
    ):
        unset()
        assert timing_cache_path(*where, work=tmp_path) == tmp_path / name
