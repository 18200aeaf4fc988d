"""A virtual environment for the check on a host without a network. Needs Python and nothing else.

    python install.py --venv FOLDER [--wheels FOLDER]

It sees the host's packages (torch with CUDA), also where the host's Python is itself in a virtual environment. Wheels
that were cut with `split -b` (`X.whl.aa`, …) are joined. What is missing is said and left out, as long as the check can
go on.
"""

from __future__ import annotations

import argparse
import configparser
import ctypes
import re
import shutil
import site
import subprocess
import sys
import venv
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["Group", "InstallError", "gpu_name", "groups", "install", "join_parts", "main", "make_environment"]

_ROOT = Path(__file__).resolve().parents[3]
_PART = re.compile(r"(.+\.whl)\.[a-z]{2,}")
_OWN = "tdnet-deploy"
_PIP = ("--no-index", "--disable-pip-version-check", "--quiet")


class InstallError(Exception):
    """What ends the installation, in one line."""


class Group(NamedTuple):
    """Requirements that stand or fall together; `needed` for the check itself."""

    name: str
    requirements: tuple[str, ...]
    needed: bool = False


def groups(setup_cfg: str) -> tuple[Group, ...]:
    """What to install, by the extras in the text of setup.cfg."""
    parser = configparser.ConfigParser()
    parser.read_string(setup_cfg)
    extras = {name: _lines(text) for name, text in parser["options.extras_require"].items()}

    def only(extra: str, *names: str) -> list[str]:
        return [line for line in extras[extra] if _name(line) in names]

    base = [
        *_lines(parser["options"]["install_requires"]),
        *only("bench", "psutil"),
        *only("cli", "typer", "rich", "opencv-python-headless"),
    ]
    return (
        Group("the check", tuple(base), needed=True),
        Group("tdnet-bench", tuple(line for line in extras["bench"] if line not in base)),
        Group("tests", tuple(only("dev", "pytest", "hypothesis"))),
        Group("GPU access", tuple(extras["gpu"])),
        Group("ONNX Runtime for CUDA", tuple(extras["cuda"])),
        Group("TensorRT-RTX", tuple(extras["rtx"])),
    )


def gpu_name(load: Callable[[str], Any] = ctypes.CDLL) -> str:
    """Name of the first GPU that the CUDA driver offers; raises InstallError where it offers none."""
    try:
        driver = load("libcuda.so.1")
    except OSError as error:
        raise InstallError(f"the CUDA driver does not load ({error})") from error
    status = driver.cuInit(0)
    if status:
        raise InstallError(f"the CUDA driver does not start (cuInit returns {status})")
    count, device, name = ctypes.c_int(0), ctypes.c_int(0), ctypes.create_string_buffer(256)
    driver.cuDeviceGetCount(ctypes.byref(count))
    if not count.value:
        raise InstallError("the CUDA driver finds no GPU")
    driver.cuDeviceGet(ctypes.byref(device), 0)
    driver.cuDeviceGetName(name, len(name), device)
    return name.value.decode(errors="replace") or "GPU"


def join_parts(folder: Path, target: Path) -> list[str]:
    """Join the wheels in `folder` that were cut into parts; the names of those now in `target`."""
    names = set()
    for path in sorted(folder.iterdir()):
        if found := _PART.fullmatch(path.name):
            names.add(found[1])
            with (target / found[1]).open("ab") as whole, path.open("rb") as piece:
                shutil.copyfileobj(piece, whole)
    return sorted(names)


def make_environment(folder: Path, host: Iterable[str]) -> Path:
    """A new virtual environment that sees the folders `host` after its own; its Python."""
    venv.create(folder, system_site_packages=True, with_pip=False, clear=True, symlinks=True)
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    # --system-site-packages shows the base Python's alone, not those of a virtual environment in between
    lines = "".join(f"{path}\n" for path in host)
    (folder / "lib" / version / "site-packages" / "host.pth").write_text(lines, encoding="locale")
    return folder / "bin" / "python"


def install(python: Path, group: Group, sources: Iterable[Path]) -> str | None:
    """Install a group from wheels alone; why not, or None."""
    found = [word for source in sources for word in ("--find-links", str(source))]
    command = [str(python), "-m", "pip", "install", *_PIP, *found, *group.requirements]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode == 0:
        return None
    lines = done.stderr.splitlines()
    errors = [line for line in lines if line.startswith("ERROR")] or lines
    return errors[0] if errors else f"pip ended with {done.returncode}"


def main(arguments: list[str] | None = None) -> int:
    """Make the environment; 0 where the check can run in it."""
    parser = argparse.ArgumentParser(prog="gpu-check")
    parser.add_argument("--venv", type=Path, required=True)
    parser.add_argument("--wheels", type=Path)
    given = parser.parse_args(arguments)
    try:
        _prepare(given.venv, given.wheels)
    except (InstallError, OSError) as error:
        sys.stderr.write(f"gpu-check: error: {error}\n")
        return 1
    return 0


def _prepare(folder: Path, wheels: Path | None) -> None:
    try:
        gpu_name()
    except InstallError as error:
        raise InstallError(f"no GPU can be used here, and nothing was installed: {error}") from error
    if wheels is not None and not wheels.is_dir():
        raise InstallError(f"WHEELS is no folder: {str(wheels)!r}")
    python = make_environment(folder, _host_folders())
    sources = []
    if wheels is not None:
        joined = folder / "wheels"
        joined.mkdir()
        join_parts(wheels, joined)
        sources = [wheels.resolve(), joined]
    setup = (_ROOT / "setup.cfg").read_text(encoding="utf-8")
    carried = {path.name[:17] for source in sources for path in source.glob("tensorrt_rtx_cu1*")}
    if carried == {"tensorrt_rtx_cu12"}:  # tensorrt-rtx itself wants the one for CUDA 13
        setup = setup.replace("tensorrt-rtx>", "tensorrt-rtx-cu12>")
    for group in groups(setup):
        if (obstacle := install(python, group, sources)) is None:
            continue
        if group.needed:
            raise InstallError(f"{group.name} cannot be installed from WHEELS: {obstacle}")
        sys.stderr.write(f"gpu-check: left out {group.name} ({', '.join(group.requirements)}): {obstacle}\n")
    if sources:
        shutil.rmtree(sources[-1])


def _host_folders() -> list[str]:
    """Where the Python that runs this has its packages."""
    user = [site.getusersitepackages()] if site.ENABLE_USER_SITE else []
    return [folder for folder in [*site.getsitepackages(), *user] if Path(folder).is_dir()]


def _lines(text: str) -> list[str]:
    """Requirements of an extra; this project's own extras are left out."""
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [line for line in lines if _name(line) != _OWN]


def _name(requirement: str) -> str:
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    return found[0] if found else ""


if __name__ == "__main__":
    sys.exit(main())
