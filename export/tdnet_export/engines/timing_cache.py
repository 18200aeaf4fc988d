"""TensorRT's timing cache: what kernels took on this device, shared by same-shaped graphs and by builds.

It lies in the folder that the user names, or goes with the export; one file for each product version, device and
platform. Several builds may run at once: the file is read and written under a lock, what another build added is
merged, and it is replaced as a whole. A cache that is damaged or foreign is worth nothing and costs
nothing: the build starts with an empty one. TensorRT-RTX has no timing cache.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tdnet_export.engines.tensorrt_api import BuilderConfig, TimingCache
from tdnet_runtime.atomic_file import atomic_file
from tdnet_runtime.errors import ExportError
from tdnet_runtime.os_errors import told_as

__all__ = ["load_timing_cache", "save_timing_cache", "timing_cache_path", "with_absolute_folder"]

_FOLDER = "TDNET_TIMING_CACHE"
_DOING = f"TensorRT's timing cache, for which {_FOLDER} names a folder"


def with_absolute_folder(environment: Mapping[str, str]) -> dict[str, str]:
    """`environment` for a process that works in another folder than this one."""
    named = environment.get(_FOLDER)
    return {**environment, **({_FOLDER: str(Path(named).absolute())} if named else {})}


def timing_cache_path(product_version: str, compute_capability: str, platform: str, *, work: Path) -> Path:
    """Where the cache for this product, device and platform lies; nothing is made.

    Args:
        product_version: of TensorRT.
        compute_capability: of the device.
        platform: see `platform_name`.
        work: the export's temporary folder, for a cache that nobody has named a folder for.
    """
    folder = Path(os.environ.get(_FOLDER) or work)
    return folder / f"tensorrt-{product_version}-{compute_capability}-{platform}.bin"


def load_timing_cache(config: BuilderConfig, path: Path) -> bool:
    """Let the build of `config` use the cache at `path`, an empty one where there is none.

    Returns:
        True where a cache was read and taken.

    Raises:
        ExportError: its folder cannot be made, read or written.
    """
    with told_as(ExportError, _DOING), _locked(path):
        data = path.read_bytes() if path.is_file() else b""
    cache = config.create_timing_cache(data) if data else None
    if cache is not None and config.set_timing_cache(cache, ignore_mismatch=False):
        return True
    config.set_timing_cache(config.create_timing_cache(b""), ignore_mismatch=False)
    return False


def save_timing_cache(config: BuilderConfig, path: Path) -> None:
    """Keep what the build of `config` measured, together with what is at `path` by now; ExportError as in loading."""
    cache = config.get_timing_cache()
    if cache is None:
        return
    with told_as(ExportError, _DOING), _locked(path):
        present = path.read_bytes() if path.is_file() else b""
        _merge(config, cache, present)
        with atomic_file(path) as file:
            file.write(bytes(cache.serialize()))


def _merge(config: BuilderConfig, cache: TimingCache, present: bytes) -> None:
    other = config.create_timing_cache(present) if present else None
    if other is not None:
        cache.combine(other, ignore_mismatch=False)  # False: from another device; ours replaces it


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the lock beside `path`, whose folder is made; the kernel frees it where the process dies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # The lock file stays: removing it would let two processes hold locks on two files of its name.
    with path.with_suffix(".lock").open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
