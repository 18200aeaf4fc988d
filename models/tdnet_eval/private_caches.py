"""Where libraries keep what they would leave in the user's folders, or in /tmp for good.

Matplotlib 3.11 keeps a list of fonts and a folder for settings, torch.compile (2.13) its code, Triton its kernels.
"""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import tempfile
from pathlib import Path

from tdnet_runtime.errors import OptionError

__all__ = ["use_private_caches"]

_FOLDERS = {"MPLCONFIGDIR": "matplotlib", "TORCHINDUCTOR_CACHE_DIR": "inductor", "TRITON_CACHE_DIR": "triton"}
"""By environment variable; read by these libraries when they are imported, or when they first write."""
_HEADERS = (
    "TORCHINDUCTOR_CPP_CACHE_PRECOMPILE_HEADERS"  # which PyTorch 2.13.0 keeps in /tmp, wherever the cache is
)


@functools.cache
def use_private_caches() -> None:
    """Give these libraries one temporary folder, which goes when the process does; a variable that is set stays.

    To be called before they are imported; once is enough.

    Raises:
        OptionError: no temporary folder can be made.
    """
    missing = {variable: name for variable, name in _FOLDERS.items() if not os.environ.get(variable)}
    if not missing:
        return
    try:
        folder = Path(tempfile.mkdtemp(prefix="tdnet-"))
    except OSError as error:
        what = f"PyTorch's compiler and Matplotlib need a temporary folder, and none can be made ({error})"
        raise OptionError(
            f"{what}; set TMPDIR, or leave out --html, --pictures and --peer torch-compile"
        ) from error
    atexit.register(_remove, folder, os.getpid())
    for variable, name in missing.items():
        os.environ[variable] = str(folder / name)
    os.environ.setdefault(_HEADERS, "0")
    (folder / "matplotlib").mkdir()  # Matplotlib would complain


def _remove(folder: Path, owner: int) -> None:
    if os.getpid() == owner:  # a forked child leaves it alone
        shutil.rmtree(folder, ignore_errors=True)
